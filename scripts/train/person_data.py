"""Images for the person network: reads the tar files into one folder of arrays with an alpha for every pixel, and determines which images are held out.

person_data.py OUT --tar FILE.tar ... [--selfie SELFIE.tflite] [--segmenter DEEPLAB.tflite]

OUT contains, for all images consecutively, rgb.bin (uint8, 3 per pixel), alpha.bin (uint8: 255 is a person) and sure.bin (uint8: 0 unknown and not trained
on, 128 from teachers, 255 labelled), and index.json with the offset of each.

Labels take precedence. Teachers are used where there are none: at void or coarsely drawn borders (`COARSE`) the selfie model, in images where it agrees with the label;
unlabelled pixels in coco-person are a person, or none, where both teachers agree.
"""

import argparse
import hashlib
import io
import json
import os
import tarfile

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from PIL import Image

PERSON, UNLABELLED, VOID = 15, 254, 255
# Images never trained on, by source: scored once for the figures of a release, and for model selection.
FINAL = {"picsart": 100, "ccp": 100, "pennfudan": 57}
CHOOSING = {"picsart": 60, "ccp": 60, "pennfudan": 15, "voc": 70, "coco": 40}
COARSE = ("voc", "coco", "coco-person")
# People cut out of these are pasted into other images.
EXACT = ("picsart", "ccp", "pennfudan", "duts")
AGREES = 0.85  # minimum IoU of the selfie model with the label for using it at borders


def splits(named):
    """'final', 'choosing' or 'train' for every (source, name, holds a person): by a hash of the name, so that it is always the same."""
    out = {}
    for source in {s for s, _, _ in named}:
        people = [n for s, n, person in named if s == source and person]
        order = sorted(people, key=lambda n: hashlib.sha256(n.encode()).hexdigest())
        final, choosing = FINAL.get(source, 0), CHOOSING.get(source, 0)
        out |= {(source, n): "final" if i < final else "choosing" if i < final + choosing else "train" for i, n in enumerate(order)}
        out |= {(source, n): "train" for s, n, person in named if s == source and not person}
    return out


def members(path):
    """(name, image, mask) of a tar file, still encoded."""
    pictures, masks = {}, {}
    with tarfile.open(path) as archive:
        for member in archive:
            stem, kind = os.path.splitext(os.path.basename(member.name))
            if member.isfile():
                (masks if kind == ".png" else pictures)[stem] = archive.extractfile(member).read()
    return [(stem, pictures[stem], masks[stem]) for stem in sorted(pictures) if stem in masks]


def source_of(path):
    return os.path.splitext(os.path.basename(path))[0]


def pixels(encoded, mode=None):
    image = Image.open(io.BytesIO(encoded))
    return np.array(image.convert(mode) if mode else image)


def labelled(paths):
    """(source, name, image, mask) of all images, images still encoded and masks read."""
    return [(source_of(p), name, picture, pixels(mask)) for p in paths for name, picture, mask in members(p)]


def of_split(paths, split):
    """The held-out images with people: (source, name, image, mask), both read."""
    every = labelled(paths)
    which = splits([(s, n, bool((m == PERSON).any())) for s, n, _, m in every])
    return [(s, n, pixels(p, "RGB"), m) for s, n, p, m in every if which[s, n] == split]


class Lite:
    """A `.tflite` network on an image stretched to its input."""

    def __init__(self, path):
        from ai_edge_litert.interpreter import Interpreter  # needed only with teachers

        self.lite = Interpreter(path, num_threads=1)
        self.lite.allocate_tensors()
        self.input, self.output = self.lite.get_input_details()[0], self.lite.get_output_details()[0]

    def __call__(self, image):
        side = tuple(self.input["shape"][1:3])
        x = np.asarray(Image.fromarray(image).resize(side[::-1], Image.BILINEAR))
        x = x if self.input["dtype"] == np.uint8 else np.float32(x) / 255
        self.lite.set_tensor(self.input["index"], x[None])
        self.lite.invoke()
        return self.lite.get_tensor(self.output["index"])[0]


def selfie_alpha(lite, image):
    """MediaPipe's selfie model, its square stretched back: float32 [h, w]."""
    alpha = np.float32(lite(image)).squeeze(-1)
    return np.asarray(Image.fromarray(alpha, "F").resize(image.shape[1::-1], Image.BILINEAR))


def near_border(region, reach):
    """Pixels within `reach` of the border of a region."""
    x = torch.from_numpy(np.float32(region))[None, None]
    grown = lambda v: F.max_pool2d(v, 2 * reach + 1, 1, reach)
    return ((grown(x) + grown(1 - x)) > 1.5)[0, 0].numpy()


def truth(source, image, mask, selfie=None, segmenter=None):
    """Alpha and sureness (both uint8) of an image; the teachers may be None."""
    person, known = mask == PERSON, mask < UNLABELLED
    alpha, sure = np.uint8(person) * 255, np.uint8(known) * 255
    if selfie is None or not person.any():
        return alpha, sure
    taught = selfie_alpha(selfie, image)
    wide = (taught > 0.5) & known
    agrees = (wide & person).sum() > AGREES * max(1, (wide | person).sum())
    asked = np.zeros_like(known)
    if agrees:
        asked |= mask == VOID
        if source in COARSE:
            asked |= near_border(person, 2)
    if source == "coco-person" and segmenter is not None:
        classes = np.uint8(segmenter(image).squeeze())
        classes = np.asarray(Image.fromarray(classes).resize(image.shape[1::-1], Image.NEAREST))
        both = ((classes == PERSON) & (taught > 0.6)) | ((classes != PERSON) & (taught < 0.35))
        asked |= ~known & both
    alpha[asked], sure[asked] = np.uint8(taught[asked] * 255 + 0.5), 128
    return alpha, sure


def write_some(rank, a, files, spans):
    """One process: every a.workers-th image."""
    torch.set_num_threads(1)
    selfie, segmenter = (Lite(p) if p else None for p in (a.selfie, a.segmenter))
    rgb, alpha, sure = (np.memmap(f"{a.out}/{n}.bin", np.uint8, "r+") for n in ("rgb", "alpha", "sure"))
    for i in range(rank, len(files), a.workers):
        source, _, picture, mask = files[i]
        image, (at, end) = pixels(picture, "RGB"), spans[i]
        rgb[3 * at : 3 * end] = image.ravel()
        alpha[at:end], sure[at:end] = (v.ravel() for v in truth(source, image, mask, selfie, segmenter))


def pool_arrays(folder, sizes):
    """Creates the folder's files for images of these sizes; returns where each begins and ends, in pixels."""
    os.makedirs(folder, exist_ok=True)
    ends = np.cumsum([h * w for h, w in sizes]).tolist()
    for name, each in (("rgb", 3), ("alpha", 1), ("sure", 1)):
        with open(f"{folder}/{name}.bin", "wb") as file:
            file.truncate(each * ends[-1])
    return list(zip([0, *ends[:-1]], ends))


def thumbnail(encoded):
    small = Image.open(io.BytesIO(encoded)).convert("L").resize((12, 12), Image.BOX)
    v = np.float32(small).ravel()
    return (v - v.mean()) / (v.std() + 4)


def without_doubles(files, which):
    """The images to train on, without those that look like a held-out one (the same photo under another name, mirrored or not)."""
    held = np.stack([thumbnail(p) for s, n, p, _ in files if which[s, n] != "train"] or [np.zeros(144)])
    held = np.concatenate([held, held.reshape(-1, 12, 12)[:, :, ::-1].reshape(-1, 144)])
    out = []
    for file in files:
        if which[file[0], file[1]] == "train":
            apart = ((held - thumbnail(file[2])) ** 2).mean(1).min()
            if apart > 0.03:
                out.append(file)
            else:
                print(f"skipped, because it looks like a held-out image: {file[0]} ({apart:.3f})", flush=True)
    return out


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--tar", nargs="+", required=True)
    p.add_argument("--selfie", help="MediaPipe's selfie_segmentation.tflite")
    p.add_argument("--segmenter", help="a .tflite of VOC's classes whose output is the mask")
    p.add_argument("--workers", type=int, default=os.cpu_count())
    a = p.parse_args(argv)
    files = labelled(a.tar)
    files = without_doubles(files, splits([(s, n, bool((m == PERSON).any())) for s, n, _, m in files]))
    spans = pool_arrays(a.out, [m.shape for *_, m in files])
    if a.workers == 1:
        write_some(0, a, files, spans)
    else:
        # Forked, so that the images are not sent to each process.
        mp.start_processes(write_some, (a, files, spans), a.workers, start_method="fork")
    index = [{"source": s, "at": at, "size": m.shape, "person": float((m == PERSON).mean())} for (s, _, _, m), (at, _) in zip(files, spans)]
    with open(f"{a.out}/index.json", "w", encoding="utf-8") as file:
        json.dump(index, file)
    print(f"{len(index)} images, {sum(i['person'] > 0 for i in index)} with people, in {a.out}", flush=True)


if __name__ == "__main__":
    main()
