"""The quality of an alpha of people against labels: IoU, border F, error of alpha, per image and pooled. The same measures for every model.

A label is 1 (person), 0 (none) or 255 (unknown: not counted). Borders are those of alpha >= 0.5; a border pixel counts as matched if the other border passes
within a given distance of it (by disc). On request, pixels of a void seam along borders first take their nearest label.
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from network import fitted, fold, resized

PERSON, UNLABELLED, VOID, UNKNOWN = 15, 254, 255, 255
SIZES = (("below 5 %", 0.0, 0.05), ("5 to 20 %", 0.05, 0.2), ("above 20 %", 0.2, 1.01))


def as_tensor(region):
    return torch.from_numpy(np.float32(region))[None, None]


def grown(region, radius):
    """All pixels within `radius` of the region."""
    reach = int(radius)
    ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = as_tensor(ys**2 + xs**2 <= radius**2)
    return (F.conv2d(as_tensor(region), disc, padding=reach) > 0.5)[0, 0].numpy()


def border(region):
    """Pixels of the region next to one outside; the image's edge is not a border."""
    x = np.pad(region, 1, mode="edge")
    return region & ~(x[:-2, 1:-1] & x[2:, 1:-1] & x[1:-1, :-2] & x[1:-1, 2:])


def label(mask, fill_void=False):
    """A mask of VOC's classes as a label of people. `fill_void`: void pixels take the nearest label (by rings of one pixel, people first)."""
    out = np.where(mask == PERSON, 1, np.where(mask >= UNLABELLED, UNKNOWN, 0)).astype(np.uint8)
    void = mask == VOID
    while fill_void and void.any():
        person, ground = (grown(out == v, 1.5) & void for v in (1, 0))
        if not (person | ground).any():
            break
        out[ground], void = 0, void & ~(person | ground)
        out[person] = 1
    return out


def border_f(alpha, truth, radius):
    """F of border precision and recall; nan if neither has a border."""
    known = truth != UNKNOWN
    far = ~grown(~known, radius + 1)
    ours, theirs = border(alpha >= 0.5) & far, border(truth == 1) & far
    if not ours.any() and not theirs.any():
        return float("nan")
    met = (ours & grown(theirs, radius)).sum(), (theirs & grown(ours, radius)).sum()
    precision, recall = met[0] / max(1, ours.sum()), met[1] / max(1, theirs.sum())
    return 2 * precision * recall / max(precision + recall, 1e-9)


def of_picture(alpha, mask, fill_void=False, matte=None):
    """The measures of one image: alpha in 0..1 and a mask of VOC's classes, both of the image's size. If the true alpha is known as `matte` (0..1), the
    error is the distance from it; the mask is then where it is at least one half."""
    strict, filled = label(mask), label(mask, fill_void)
    known, person, ours = strict != UNKNOWN, strict == 1, alpha >= 0.5
    both, either = (known & person & ours).sum(), (known & (person | ours)).sum()
    diagonal = np.hypot(*mask.shape)
    return {
        "both": int(both),
        "either": int(either),
        "iou": both / either if either else float("nan"),
        "f2": border_f(alpha, filled, 2),
        "f": border_f(alpha, filled, 0.0075 * diagonal),
        "error": float(np.abs(alpha - (person if matte is None else matte))[known].mean()) if known.any() else float("nan"),
        "share": float(person.sum() / max(1, known.sum())),
    }


def mean(rows, key):
    values = [r[key] for r in rows if np.isfinite(r[key])]
    return 100 * float(np.mean(values)) if values else float("nan")


def summary(rows):
    """Measures of many images, in percent: IoU pooled and per image, border F at 2 px and at 0.75 % of the diagonal, alpha error, share of images under IoU 0.5."""
    people = [r for r in rows if r["share"] > 0]
    return {
        "pictures": len(rows),
        "pooled": 100 * sum(r["both"] for r in rows) / max(1, sum(r["either"] for r in rows)),
        "iou": mean(people, "iou"),
        "f2": mean(people, "f2"),
        "f": mean(people, "f"),
        "error": mean(rows, "error"),
        "missed": 100 * float(np.mean([r["iou"] < 0.5 for r in people])) if people else float("nan"),
    }


def line(name, s):
    return f"{name:28} {s['pictures']:4}  pooled {s['pooled']:5.2f}  IoU {s['iou']:5.2f}  F2 {s['f2']:5.2f}  F0.75% {s['f']:5.2f}  alpha {s['error']:5.2f}  under 0.5: {s['missed']:5.2f}"


class Predictor:
    """A network of a spec as a function from an image (uint8 [h, w, 3]) to its alpha (float32 [h, w]): in the image's own shape, the rest grey."""

    def __init__(self, net, spec, size=None, refine=None):
        self.net, self.spec, self.size, self.refine = fold(net).float().cpu().to(memory_format=torch.channels_last), spec, size or spec["input"]["size"], refine

    @torch.no_grad()
    def __call__(self, image):
        h, w = image.shape[:2]
        k = self.size / max(h, w)
        rows, columns = fitted(self.size, w, h)
        small = min(columns, max(1, round(w * k))), min(rows, max(1, round(h * k)))
        canvas = np.full((rows, columns, 3), self.spec["input"]["fit"]["fill"], np.uint8)
        canvas[: small[1], : small[0]] = np.asarray(Image.fromarray(image).resize(small, Image.BILINEAR))
        mean, std = np.float32(self.spec["input"]["mean"]), np.float32(self.spec["input"]["std"])
        x = torch.from_numpy(((canvas - mean) / std).transpose(2, 0, 1)[None].copy()).contiguous(memory_format=torch.channels_last)
        alpha = resized(self.net(x), (rows, columns), self.spec).sigmoid()[:, :, : small[1], : small[0]]
        alpha = F.interpolate(alpha, (h, w), mode="bilinear", align_corners=False)[0, 0].numpy()
        return self.refine(image, alpha) if self.refine else alpha


def by_source(predict, pictures):
    """Rows of measures by source of (source, name, image, mask)."""
    rows = {}
    for source, _, image, mask in pictures:
        rows.setdefault(source, []).append(of_picture(predict(image), mask, fill_void=source == "voc"))
    return rows
