"""Masks of people, ours compared with public models by the same code: IoU, border F, error of alpha, by source and by size of the person.

people.py --shared SHARED [--set choosing|final|voc] [--ours NAME=MODEL.safetensors[@SIZE]] ... [--json FILE]
people.py --shared SHARED [--set choosing|final|voc] --write DIR

--write only writes the set for `silhouette eval --people --images DIR/SOURCE/images --masks DIR/SOURCE/masks --labels voc`, which scores the refined alpha.

Sets: `choosing` and `final` are held out of training by scripts/train/person_data.py (score `final` only once, when all choices are made); `voc` are the images
with people of SHARED/data/voc-val. Peers: MediaPipe's selfie model (the image stretched to its square) and the public DeepLab networks (grey around the image, their
class person), each through LiteRT. Ours runs in PyTorch, in the image's own shape. Needs scripts/train/requirements.txt.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

import export  # noqa: E402
import person_data  # noqa: E402
import person_score  # noqa: E402
from person_score import PERSON  # noqa: E402

NAMED = {"mediapipe": "selfie_segmentation.tflite", "public-1.0": "deeplabv3_mnv2_pascal_quant.tflite", "public-0.5": "deeplabv3_257_mv_gpu.tflite"}


def held_out(shared, name):
    """(source, name, image, mask) of a set."""
    if name == "voc":
        at, out = Path(shared) / "data" / "voc-val", []
        for stem in (at / "val.txt").read_text().split():
            mask = np.array(Image.open(at / "SegmentationClass" / f"{stem}.png"))
            if (mask == PERSON).any():
                out.append(("voc", stem, np.array(Image.open(at / "JPEGImages" / f"{stem}.jpg").convert("RGB")), mask))
        return out
    chosen = person_data.FINAL if name == "final" else person_data.CHOOSING
    return person_data.of_split([f"{shared}/data/train/{source}.tar" for source in chosen], name)


class Selfie:
    """MediaPipe's selfie model."""

    def __init__(self, path):
        self.lite = person_data.Lite(str(path))

    def __call__(self, image):
        return person_data.selfie_alpha(self.lite, image)


class DeepLab:
    """A public network of VOC's classes: its confidence in a person, or 0 and 1 if it outputs only classes."""

    def __init__(self, path):
        self.lite = person_data.Lite(str(path))

    def __call__(self, image):
        h, w = image.shape[:2]
        side = int(self.lite.input["shape"][1])
        k = side / max(h, w)
        small = max(1, round(w * k)), max(1, round(h * k))
        canvas = np.full((side, side, 3), 127, np.uint8)
        canvas[: small[1], : small[0]] = np.asarray(Image.fromarray(image).resize(small, Image.BILINEAR))
        out = self.lite(canvas)
        if out.ndim == 3 and out.shape[-1] > 1:
            out = torch.from_numpy(np.float32(out)).softmax(-1)[..., PERSON].numpy()
        else:
            out = np.float32(np.squeeze(out) == PERSON)
        return np.asarray(Image.fromarray(out[: small[1], : small[0]], "F").resize((w, h), Image.BILINEAR))


def ours(path):
    """A model file, run at its own size or the one after the @."""
    file, _, size = path.partition("@")
    spec, net = export.read(file)
    return person_score.Predictor(net, spec, int(size) if size else None)


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shared", required=True)
    p.add_argument("--set", choices=("choosing", "final", "voc"), default="choosing")
    p.add_argument("--ours", action="append", default=[], metavar="NAME=FILE[@SIZE]")
    p.add_argument("--peers", nargs="*", default=["mediapipe"], choices=sorted(NAMED))
    p.add_argument("--write", help="write images and masks into this folder, and score nothing")
    p.add_argument("--json", help="all measures of all images")
    a = p.parse_args(argv)
    torch.set_num_threads(1)
    if a.write:
        for source, name, image, mask in held_out(a.shared, a.set):
            for kind, pixels in (("images", image), ("masks", mask)):
                folder = Path(a.write) / source / kind
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(folder / f"{Path(name).name}.png")
        return
    contenders = {n: (Selfie if n == "mediapipe" else DeepLab)(Path(a.shared) / "models" / NAMED[n]) for n in a.peers}
    contenders |= {n: ours(file) for n, file in (o.split("=", 1) for o in a.ours)}
    pictures, everything = held_out(a.shared, a.set), {}
    for name, predict in contenders.items():
        rows = everything[name] = person_score.by_source(predict, pictures)
        for source, some in sorted(rows.items()):
            print(person_score.line(f"{name} {source}", person_score.summary(some)), flush=True)
        every = [r for some in rows.values() for r in some]
        for size, least, most in person_score.SIZES:
            some = [r for r in every if least < r["share"] <= most]
            if some:
                print(person_score.line(f"{name} people {size}", person_score.summary(some)), flush=True)
        print(person_score.line(f"{name} all", person_score.summary(every)), flush=True)
    if a.json:
        Path(a.json).write_text(json.dumps(everything), encoding="utf-8")


if __name__ == "__main__":
    main()
