"""Small masks and alphas with the measures that person_score.py gives them: the Rust side must give the same (core/segmenter/tests/alpha_scores.rs).

person_score_cases.py > core/segmenter/tests/alpha_scores.txt

Each case is a line `case NAME WIDTH HEIGHT voc|void|matte` (`void`: void pixels take the nearest label; `matte`: the truth is an alpha of 0 to 255), then the
truth, the alpha (0 to 255), both as VALUExCOUNT row by row, and the measures. The last line is the summary of all cases.
"""

import itertools

import numpy as np

import person_score
from person_score import PERSON, UNLABELLED, VOID

KEYS = ("both", "either", "iou", "f2", "f", "error", "share")
SUMMARY = ("pictures", "pooled", "iou", "f2", "f", "error", "missed")


def disc(width, height, x, y, radius):
    ys, xs = np.mgrid[:height, :width]
    return np.hypot(xs - x, ys - y) - radius


def cases():
    """(name, kind, truth, alpha), all uint8."""
    soft = lambda distance, width: np.uint8(np.clip(127.5 - 255 * distance / width, 0, 255))
    voc = lambda region: np.uint8(region) * PERSON
    near = disc(37, 29, 17.2, 14.1, 9)
    yield "odd sizes", "voc", voc(near <= 0), soft(disc(37, 29, 18.4, 13.3, 8.2), 5)
    yield "the same", "voc", voc(near <= 0), np.uint8(near <= 0) * 255
    yield "nobody and none found", "voc", np.full((11, 23), 3, np.uint8), np.zeros((11, 23), np.uint8)
    yield "nobody and one found", "voc", np.zeros((31, 17), np.uint8), soft(disc(17, 31, 8, 12, 5), 3)
    yield "somebody and none found", "voc", voc(near <= 0), np.full((29, 37), 127, np.uint8)
    yield "somebody everywhere", "voc", np.full((9, 14), PERSON, np.uint8), np.full((9, 14), 128, np.uint8)
    yield "nothing labelled", "voc", np.full((5, 7), UNLABELLED, np.uint8), np.full((5, 7), 200, np.uint8)
    yield "one pixel", "voc", np.full((1, 1), PERSON, np.uint8), np.full((1, 1), 255, np.uint8)
    yield "one row", "voc", voc(disc(53, 1, 20, 0, 11) <= 0), soft(disc(53, 1, 23, 0, 11), 9)
    # Other classes beside the person, an unlabelled corner, and a seam of void along a part of the border.
    seam = np.where(disc(61, 47, 30, 25, 15.5) <= 0, PERSON, 0).astype(np.uint8)
    seam[disc(61, 47, 50, 40, 8) <= 0] = 2
    seam[(np.abs(disc(61, 47, 30, 25, 15.5)) <= 2.3) & (np.mgrid[:47, :61][1] < 33)] = VOID
    seam[:6, :20] = UNLABELLED
    found = soft(disc(61, 47, 31.5, 24, 14.5), 6)
    yield "void not filled", "voc", seam, found
    yield "void filled", "void", seam, found
    # Void that no label reaches, next to unlabelled pixels.
    lost = np.full((13, 13), UNLABELLED, np.uint8)
    lost[3:9, 4:10] = VOID
    yield "void that stays", "void", lost, soft(disc(13, 13, 6, 6, 4), 4)
    # Both people and ground are equally near in the middle of a void band.
    band = np.zeros((15, 21), np.uint8)
    band[:, 8:13], band[:, 13:] = VOID, PERSON
    yield "void between", "void", band, np.uint8(np.mgrid[:15, :21][1] >= 11) * 255
    # 0.75 % of this diagonal is 4.5 pixels.
    yield "a wide image", "voc", voc(disc(600, 40, 310, 19, 16.4) <= 0), soft(disc(600, 40, 314, 17, 14.9), 7)
    yield "a soft truth", "matte", soft(disc(41, 33, 20, 15, 9), 8), soft(disc(41, 33, 21, 16, 8.5), 4)
    coarse = np.random.default_rng(3).integers(0, 256, (7, 9), np.uint8)
    yield "noise", "matte", coarse, coarse[::-1, ::-1]


def measures(kind, truth, alpha):
    alpha = np.float32(alpha) / 255
    if kind != "matte":
        return person_score.of_picture(alpha, truth, fill_void=kind == "void")
    matte = np.float32(truth) / 255
    return person_score.of_picture(alpha, np.where(matte >= 0.5, PERSON, 0), matte=matte)


def runs(values):
    return " ".join(f"{value}x{len(list(same))}" for value, same in itertools.groupby(values.ravel().tolist()))


def text():
    lines, rows = [], []
    for name, kind, truth, alpha in cases():
        row = measures(kind, truth, alpha)
        rows.append(row)
        lines += [f"case {name.replace(' ', '-')} {truth.shape[1]} {truth.shape[0]} {kind}", f"truth {runs(truth)}", f"alpha {runs(alpha)}"]
        lines.append("measures " + " ".join(f"{key} {row[key]:.7g}" for key in KEYS))
    summary = person_score.summary(rows)
    return "\n".join([*lines, "summary " + " ".join(f"{key} {summary[key]:.7g}" for key in SUMMARY), ""])


if __name__ == "__main__":
    print(text(), end="")
