"""Training as images: curves of the losses, and masks of a few samples next to their labels."""

import csv

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

COLORS = {"labels": (214, 39, 40), "teacher": (31, 119, 180), "features": (44, 160, 44), "miou": (0, 0, 0)}


def palette(classes=256):
    """PASCAL VOC's colours: the bits of the class, spread over the channels from the highest down."""
    table = np.zeros((classes, 3), np.uint8)
    for c in range(classes):
        for bit in range(8):
            for channel in range(3):
                table[c, channel] |= (c >> (3 * bit + channel) & 1) << (7 - bit)
    return table


def curves(log, out, width=960, height=480):
    """Draws every column of a log.csv over the steps, each scaled to its own range."""
    with open(log, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    for line, (name, color) in enumerate(COLORS.items()):
        points = [(float(r["step"]), float(r[name])) for r in rows if r[name] and r[name] != "nan"]
        if not points:
            continue
        steps, values = zip(*points)
        lo, hi = min(values), max(values)
        place = [
            (40 + (width - 60) * s / max(steps[-1], 1), height - 20 - (height - 110) * (v - lo) / max(hi - lo, 1e-9))
            for s, v in points
        ]
        pen.line(place, fill=color, width=2)
        pen.text((40, 8 + 16 * line), f"{name}: {lo:.3f} to {hi:.3f}, last {values[-1]:.3f} at step {steps[-1]:.0f}", fill=color)
    image.save(out)


@torch.no_grad()
def samples(net, spec, x, y, out):
    """Images, labels and masks in three rows; x [n, 3, S, S], y [n, S, S]."""
    net.eval()
    colors = palette()
    mean, std = (torch.tensor(spec["input"][k])[:, None, None] for k in ("mean", "std"))
    mask = F.interpolate(net(x), x.shape[2:], mode="bilinear", align_corners=True).argmax(1)
    photo = (x * std + mean).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    rows = [photo, colors[y.clamp(max=255).numpy()], colors[mask.numpy()]]
    Image.fromarray(np.concatenate([np.concatenate(list(r), 1) for r in rows], 0)).save(out)
