"""Copy-paste: labelled objects of thin classes, cut out and pasted into other images, so that rare things appear in many places.

Some are pasted with their surroundings as a rectangle, some with everything labelled around them (a rider on a bicycle, bottles on a table).
"""

import os

import numpy as np
from PIL import Image, ImageFilter

LEAST = 200  # pixels of an object worth pasting


def quotas(shares, count):
    """Number of pastes per class (none for background): more for classes in fewer images."""
    pictures = (shares[:, 1:] > 0.015).sum(0)
    want = np.where(pictures > 0, np.maximum(pictures, 1) ** -0.5, 0)
    return np.concatenate([[0], np.rint(count * want / max(want.sum(), 1e-9))]).astype(int)


def cut(image, mask, c, classes, rng):
    """An object of class c: its image, labels and alpha, cropped; None if there is too little of it."""
    keep = mask == c if rng.random() < 0.6 else (mask > 0) & (mask < classes)
    ys, xs = np.nonzero(keep)
    if len(ys) < LEAST:
        return None
    top, bottom, left, right = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    if rng.random() < 0.35:
        around = int(0.15 * max(bottom - top, right - left))
        top, left = max(0, top - around), max(0, left - around)
        bottom, right = min(mask.shape[0], bottom + around), min(mask.shape[1], right + around)
        keep = np.ones_like(keep)
    window = np.s_[top:bottom, left:right]
    alpha = Image.fromarray((keep[window] * 255).astype(np.uint8))
    return Image.fromarray(image[window]), Image.fromarray(mask[window]), alpha


def put(parts, image, mask, rng):
    """Pastes an object into an image and its mask, resized, possibly mirrored, at a position where most of it is visible."""
    size = rng.uniform(0.35, 0.95) * min(image.size) / max(parts[0].size)
    w = max(8, round(parts[0].width * size * np.exp(rng.uniform(-0.15, 0.15))))
    h = max(8, round(parts[0].height * size))
    thing, labels, alpha = (p.resize((w, h), how) for p, how in zip(parts, (Image.BICUBIC, Image.NEAREST, Image.BILINEAR)))
    if rng.random() < 0.5:
        thing, labels, alpha = (p.transpose(Image.FLIP_LEFT_RIGHT) for p in (thing, labels, alpha))
    x = int(rng.integers(-(w // 6), max(1 - w // 6, image.width - w + w // 6)))
    y = int(rng.integers(-(h // 8), max(1 - h // 8, image.height - h + h // 8)))
    image.paste(thing, (x, y), alpha.filter(ImageFilter.GaussianBlur(0.8)))
    mask.paste(labels, (x, y), alpha.point(lambda v: 255 if v > 127 else 0))


def make(files, count, classes, folder, seed=5):
    """Writes `count` pictures (about) with masks into a folder and returns the pairs."""
    if not count:
        return []
    os.makedirs(folder, exist_ok=True)
    rng = np.random.default_rng(seed)
    shares = np.zeros((len(files), classes), np.float32)
    for i, (_, mask) in enumerate(files):
        m = np.asarray(Image.open(mask))
        shares[i] = np.bincount(m[m < classes], minlength=classes) / m.size
    made = []
    for c, quota in enumerate(quotas(shares, count)):
        sources = np.flatnonzero(shares[:, c] > 0.015)
        for _ in range(quota):
            image, mask = files[rng.choice(sources)]
            parts = cut(np.asarray(Image.open(image).convert("RGB")), np.asarray(Image.open(mask)), c, classes, rng)
            if parts is None:
                continue
            image, mask = files[rng.integers(len(files))]
            image, mask = Image.open(image).convert("RGB"), Image.open(mask).copy()
            put(parts, image, mask, rng)
            stem = f"{folder}/{len(made):05d}"
            image.save(f"{stem}.webp", quality=90)
            mask.save(f"{stem}.png")
            made.append((f"{stem}.webp", f"{stem}.png"))
    return made
