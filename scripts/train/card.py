"""Updates the model card: its table of figures, and the sheet of images that shows where the built-in model does well and where it fails.

card.py VOC SILHOUETTE [--model MODEL.safetensors]

VOC is in VOC's layout; SILHOUETTE is the command, built for release. The images are the two of docs/images, which may be redistributed freely, and variants of
them: small, dark, upside down. `silhouette segment` draws the masks.
"""

import argparse
import json
import os
import subprocess
import tempfile

import numpy as np
from PIL import Image, ImageOps

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")
# Longer side of the network's input, and its shape.
INPUTS = ((257, "square"), (273, "square"), (321, "square"), (321, "frame"))
HEAD, FOOT = "| | at 257 |", "\n![Six images"


def table(reports):
    """Rows of the card's table from the reports of `silhouette eval` at each size."""
    def row(name, form, value):
        return f"| {name} | " + " | ".join(form.format(value(r)) for r in reports) + " |\n"

    text = f"{HEAD} at 273 | at 321 | at 321, the images' own shapes |\n| --- | --- | --- | --- | --- |\n"
    text += row("**mIOU**", "**{:.2f}**", lambda r: r["miou"]) + row("pixel accuracy", "{:.2f}", lambda r: r["pixel_accuracy"])
    text += row("MACs (B)", "{:.3f}", lambda r: r["macs"] / 1e9)
    return text + "".join(row(name, "{:.1f}", lambda r, n=name: r["iou"][n]) for name in sorted(reports[0]["iou"]))


def cases():
    """Names and images of the sheet, in its order."""
    cat, person = (Image.open(f"{DOCS}/images/{n}.png").convert("RGB") for n in ("chelsea", "astronaut"))
    dark = Image.fromarray((np.asarray(person) * 0.1).astype(np.uint8))
    frame = Image.new("RGB", cat.size, (120, 140, 160))
    frame.paste(cat.resize((cat.width // 8, cat.height // 8)), (cat.width // 2, cat.height // 2))
    return {"cat": cat, "person": person, "cat-turned": ImageOps.flip(cat), "person-turned": ImageOps.flip(person), "person-dark": dark, "cat-small": frame}


def sheet(overlays, height=170):
    """All images next to each other, in two rows, scaled to one height."""
    scaled = [o.resize((round(o.width * height / o.height), height)) for o in overlays]
    half = (len(scaled) + 1) // 2
    rows = [scaled[:half], scaled[half:]]
    out = Image.new("RGB", (max(sum(p.width + 6 for p in r) for r in rows) - 6, 2 * height + 6), "white")
    for y, pictures in enumerate(rows):
        x = 0
        for picture in pictures:
            out.paste(picture, (x, y * (height + 6)))
            x += picture.width + 6
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("voc")
    p.add_argument("silhouette")
    p.add_argument("--model", help="default: the built-in one")
    a = p.parse_args()
    model = ["--model", a.model] if a.model else []
    with tempfile.TemporaryDirectory() as work:
        reports = []
        for size, shape in INPUTS:
            call = [a.silhouette, "eval", "--voc", a.voc, "--list", "val.txt", "--size", str(size), "--input-shape", shape, "--json", f"{work}/report.json"]
            subprocess.run(call + model, check=True, stdout=subprocess.DEVNULL)
            with open(f"{work}/report.json", encoding="utf-8") as file:
                reports.append(json.load(file))
        for name, picture in cases().items():
            picture.save(f"{work}/{name}.png")
        photos = [f"{work}/{name}.png" for name in cases()]
        subprocess.run([a.silhouette, "segment", *photos, "--effect", "overlay", "-o", work, *model], check=True)
        overlays = [Image.open(f"{work}/{name}.overlay.png").convert("RGB") for name in cases()]
        sheet(overlays).save(f"{DOCS}/images/model-card.jpg", quality=88, optimize=True)
    path = f"{DOCS}/model-card.md"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text[: text.index(HEAD)] + table(reports) + text[text.index(FOOT) :])
    print("mIOU " + ", ".join(f"{r['miou']:.2f} at {size} ({shape})" for (size, shape), r in zip(INPUTS, reports)))


if __name__ == "__main__":
    main()
