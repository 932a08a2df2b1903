"""Drawn images with their masks, for experiments without a data set.

Each shows two grounds of any colour divided by a tilted horizon, one grained, one smooth, and shapes of any size and angle that occlude each other,
plain or striped. A pixel's class is its shape. Usually a shape's colour is close to its class's colour: colours are a hint, outlines decide.
"""

import numpy as np

SHAPES = ("disc", "square", "triangle", "cross")
OWN = np.float32([(215, 60, 60), (60, 90, 215), (60, 180, 80), (225, 200, 60)])
LABELS = ["background", *SHAPES]


def inside(shape, u, v):
    """Whether the points (u, v), in units of the shape's radius, are in the shape."""
    if shape == "disc":
        return u * u + v * v < 0.8
    if shape == "square":
        return np.maximum(abs(u), abs(v)) < 0.75
    if shape == "triangle":
        return (v < 0.6) & (v > 1.9 * abs(u) - 1)
    return (np.minimum(abs(u), abs(v)) < 0.3) & (np.maximum(abs(u), abs(v)) < 0.95)


def color(rng):
    return rng.uniform(20, 235, 3).astype(np.float32)


def color_of(rng, kind):
    """A shape's colour: close to its class's for three in four, arbitrary for the others."""
    return (OWN[kind] + rng.normal(0, 25, 3)).clip(0, 255).astype(np.float32) if rng.integers(4) else color(rng)


def scene(rng, size):
    """One image, [size, size, 3] uint8, and its mask, [size, size] uint8."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / (size - 1) * 2 - 1
    angle, offset, grained = rng.uniform(-0.6, 0.6), rng.uniform(-0.4, 0.4), rng.integers(2)
    above = y * np.cos(angle) + x * np.sin(angle) < offset
    grain = above == bool(grained)
    image = np.where(above[..., None], color(rng), color(rng))
    image = image + (x * rng.uniform(-25, 25) + y * rng.uniform(-25, 25))[..., None]
    coarse = rng.normal(0, 1, (-(-size // 2), -(-size // 2))).astype(np.float32).repeat(2, 0).repeat(2, 1)[:size, :size]
    image = image + np.where(grain, rng.uniform(14, 30) * coarse, 0)[..., None]
    mask = np.zeros((size, size), np.uint8)
    for _ in range(rng.integers(2, 5)):
        cx, cy, turn, radius = *rng.uniform(-0.85, 0.85, 2), rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(np.log(0.3), np.log(0.8)))
        u = ((x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)) / radius
        v = ((y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)) / radius
        kind = rng.integers(len(SHAPES))
        here = inside(SHAPES[kind], u, v)
        fill = color_of(rng, kind) + u[..., None] * rng.uniform(-30, 30)
        if rng.integers(2):  # stripes
            fill = np.where((np.floor(v * rng.uniform(2, 5)) % 2 == 0)[..., None], fill, color_of(rng, kind))
        image = np.where(here[..., None], fill, image)
        mask[here] = 1 + kind
    image = image + rng.normal(0, 8, image.shape)
    return image.clip(0, 255).astype(np.uint8), mask


def scenes(n, size, seed):
    """n images [n, size, size, 3] and masks [n, size, size]; the same seed draws the same ones, and the first images do not depend on n."""
    drawn = [scene(np.random.default_rng((seed, i)), size) for i in range(n)]
    return np.stack([image for image, _ in drawn]), np.stack([mask for _, mask in drawn])
