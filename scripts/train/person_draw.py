"""Draws the person network's training data: windows of images, and composites of people pasted in front of other backgrounds and relit.

A batch is a function of only seed and step. Its parts: x [n, 3, h, w] normalised, alpha [n, 1, h, w] in 0..1 and weight [n, 1, h, w], 0 where alpha is unknown.
The last image of a batch is its first, moved by a few pixels and with other lighting.
"""

import json
import math

import numpy as np
import torch
import torch.nn.functional as F

from network import fitted
from person_data import EXACT

# Shapes of images, width and height, and how often each is drawn.
SHAPES = (((4, 3), 0.27), ((3, 4), 0.3), ((1, 1), 0.1), ((16, 9), 0.1), ((9, 16), 0.08), ((3, 2), 0.05), ((2, 3), 0.1))
# The input's longer side, varied around the requested one.
LONGER = ((0, 0.7), (-32, 0.06), (-64, 0.06), (-96, 0.04), (32, 0.06), (64, 0.08))
# How often an image of each source is drawn, with people in it and without; unlisted sources: 0.6 and 0.25.
SHARES = {"picsart": 1.2, "ccp": 1.6, "pennfudan": 3.0, "voc": 1.6, "coco": 1.2, "coco-person": 0.7, "duts": 1.0}
EMPTY = {"voc": 0.2, "coco": 0.4, "duts": 0.12, "duts-background": 0.35, "pets": 0.25, "caltech": 0.08, "furniture": 0.2}
GREY = 127 / 255


class Pool:
    """The output of person_data.py."""

    def __init__(self, folder):
        with open(f"{folder}/index.json", encoding="utf-8") as file:
            self.index = json.load(file)
        self.rgb, self.alpha, self.sure = (np.memmap(f"{folder}/{n}.bin", np.uint8, "r") for n in ("rgb", "alpha", "sure"))
        people = np.array([i["person"] > 0.002 for i in self.index])
        odds = np.array([SHARES.get(i["source"], 0.6) if p else EMPTY.get(i["source"], 0.25) for i, p in zip(self.index, people)])
        exact = np.array([i["source"] in EXACT and i["person"] > 0.02 for i in self.index])
        self.drawn = {"any": odds, "background": np.where(people, 0.15 * odds, odds), "cut": np.where(exact, odds, 0.0)}
        self.drawn = {k: np.cumsum(v) / v.sum() for k, v in self.drawn.items()}
        self.tall = np.array([i["size"][0] > i["size"][1] for i in self.index])

    def pick(self, kind, rng, tall=None):
        """An image's number; `tall`: a portrait (or landscape) one, if a few tries find it."""
        for _ in range(4):
            i = min(int(np.searchsorted(self.drawn[kind], rng.random())), len(self.index) - 1)
            if tall is None or self.tall[i] == tall:
                break
        return i

    def layers(self, i):
        """[5, h, w] float32: RGB in 0..1, alpha, sureness."""
        (h, w), at = self.index[i]["size"], self.index[i]["at"]
        end = at + h * w
        rgb = torch.from_numpy(np.array(self.rgb[3 * at : 3 * end]).reshape(h, w, 3)).permute(2, 0, 1)
        rest = torch.from_numpy(np.stack([self.alpha[at:end], self.sure[at:end]]).reshape(2, h, w))
        return torch.cat([rgb, rest]).float() / 255


def choose(pairs, rng):
    """One of the first elements, with the second elements as odds."""
    odds = np.cumsum([p for _, p in pairs])
    return pairs[min(int(np.searchsorted(odds, rng.random() * odds[-1])), len(pairs) - 1)][0]


def log_uniform(lo, hi, rng):
    return math.exp(between(math.log(lo), math.log(hi), rng))


def between(one, other, rng):
    """A random value between two, in either order."""
    return one + (other - one) * rng.random()


def seen(layers, centre, step, angle, flip, size):
    """A window of layers [c, h, w]: its centre (x, y) in pixels, pixels of the layers per pixel of the window (x, y), rotation; and where it is inside (0 or 1)."""
    h, w = layers.shape[1:]
    coarse = min(step)
    if coarse > 1.4:  # strong reductions are averaged first, as in a resize
        small = (max(2, round(h / coarse)), max(2, round(w / coarse)))
        layers = F.interpolate(layers[None], small, mode="bilinear", antialias=True, align_corners=False)[0]
        centre = (centre[0] * small[1] / w, centre[1] * small[0] / h)
        step = (step[0] * small[1] / w, step[1] * small[0] / h)
        h, w = small
    rows, columns = size
    cos, sin = math.cos(angle), math.sin(angle)
    sx, sy = step[0] * (-1 if flip else 1), step[1]
    # From pixels of the window, around its middle, to the layers' -1..1 (align corners).
    xs, ys = torch.arange(columns) - (columns - 1) / 2, (torch.arange(rows) - (rows - 1) / 2)[:, None]
    to_x, to_y = 2 / (w - 1), 2 / (h - 1)
    x = (sx * cos * to_x * xs + centre[0] * to_x - 1) - sx * sin * to_x * ys
    y = (sy * cos * to_y * ys + centre[1] * to_y - 1) + sy * sin * to_y * xs
    inside = ((x.abs() <= 1) & (y.abs() <= 1)).float()[None]
    return F.grid_sample(layers[None], torch.stack([x, y], -1)[None], padding_mode="border", align_corners=True)[0], inside


def window(pool, i, size, rng, wide=False):
    """A window of an image: RGB, alpha and weight; grey outside of it. `wide`: always most of the image."""
    layers = pool.layers(i)
    h, w = layers.shape[1:]
    rows, columns = size
    whole = max(w / columns, h / rows)  # pixels of the image per pixel of a window that shows all of it
    if (h > w) != (rows > columns) and rng.random() < 0.7:
        whole = min(w / columns, h / rows)  # little grey if the shapes do not match
    zoom = log_uniform(0.85, 1.05, rng) if wide or rng.random() < 0.35 else log_uniform(0.4, 1.15, rng)
    aspect = math.exp(rng.uniform(-0.12, 0.12))
    step = whole * zoom * aspect, whole * zoom / aspect
    free = [side - 1 - s * (n - 1) for side, s, n in ((w, step[0], columns), (h, step[1], rows))]
    # Mostly inside the image; if the window is larger, the image is anywhere in it.
    centre = [(side - 1) / 2 + f / 2 * rng.uniform(-1, 1) for side, f in ((w, free[0]), (h, free[1]))]
    if rng.random() < 0.25 and pool.index[i]["source"] not in ("ccp", "picsart"):
        centre[1] = (h - 1) / 2 + free[1] / 2 * -1  # from the top, where heads are
    angle = rng.normal() * 0.12 if rng.random() < 0.25 else 0.0
    values, inside = seen(layers, centre, step, angle, rng.random() < 0.5, size)
    return values[:3], values[3:4] * inside, torch.where(values[4:] > 0.45, values[4:], 0.0), inside


def person_of(pool, rng):
    """A person cut out: layers of RGB and alpha cropped to it, and which edges of its image crop it (left, top, right, bottom)."""
    layers = pool.layers(pool.pick("cut", rng))
    region = (layers[3] > 0.5) & (layers[4] > 0.9)
    ys, xs = torch.nonzero(region.any(1)).flatten(), torch.nonzero(region.any(0)).flatten()
    if len(ys) < 24 or len(xs) < 8:
        return None
    top, bottom, left, right = int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1
    h, w = layers.shape[1:]
    cut = (left == 0, top == 0, right == w, bottom == h)
    around = 3
    top, left, bottom, right = max(0, top - around), max(0, left - around), min(h, bottom + around), min(w, right + around)
    return layers[[0, 1, 2, 3], top:bottom, left:right] * torch.stack([torch.ones_like(region)] * 3 + [region])[:, top:bottom, left:right], cut


def put(x, alpha, weight, inside, cutout, rng):
    """Pastes a person into an image, at any size down to 24 pixels and up to one whose face fills the frame."""
    layers, (left, top, right, bottom) = cutout
    h, w = layers.shape[1:]
    rows, columns = x.shape[1:]
    small = rng.random() < 0.35
    tall = log_uniform(24, 0.4 * rows, rng) if small else log_uniform(0.35 * rows, 1.5 * rows, rng)
    step = h / tall
    if bottom and not small or rng.random() < 0.15:
        y = rows - tall + tall * rng.uniform(0.0, 0.35)  # cropped at the bottom by the frame
    else:
        y = between(-0.2 * tall, rows - 0.75 * tall, rng)
    broad = w / step
    if left != right and not small:
        x0 = between(0, -0.3 * broad, rng) if left else columns - broad * between(0.7, 1, rng)
    else:
        x0 = between(-0.3 * broad, columns - 0.7 * broad, rng)
    flip = rng.random() < 0.5
    if flip and left != right and not small:
        x0 = columns - broad - x0
    aspect = math.exp(rng.uniform(-0.08, 0.08))
    centre = (w - 1) / 2 + (1 if flip else -1) * (x0 + broad / 2 - (columns - 1) / 2) * step, (h - 1) / 2 - (y + tall / 2 - (rows - 1) / 2) * step
    angle = rng.normal() * 0.1 if rng.random() < 0.2 else 0.0
    values, within = seen(layers, centre, (step * aspect, step / aspect), angle, flip, (rows, columns))
    a = values[3:4] * within
    blurred = F.avg_pool2d(F.pad(a[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    a = ((0.5 * (a + blurred) - 0.25) / 0.65).clamp(0, 1)  # a little within the border, where the old background does not shine through
    colour = values[:3]
    # Partly the lighting of its new surroundings.
    share = rng.uniform(0, 0.6)
    area = a.sum().clamp_min(1)
    own = (colour * a).sum((1, 2), keepdim=True) / area
    colour = (colour + share * 0.6 * (x.mean((1, 2), keepdim=True) - own)) * math.exp(rng.uniform(-0.2, 0.2))
    colour = own + (colour - own) * rng.uniform(0.8, 1.15)
    x = (a * colour.clamp(0, 1) + (1 - a) * x) if rng.random() < 0.97 else x * (1 - a) + a * colour.clamp(0, 1).mean(0, keepdim=True)
    return x, a + alpha * (1 - a), torch.where(a > 0.02, torch.ones(()), weight), torch.maximum(inside, (a > 0.02).float())


def sample(pool, size, rng, composite):
    """One image of a batch: x in 0..1, alpha, weight, all [c, h, w]."""
    tall = size[0] > size[1]
    if rng.random() < composite:
        x, alpha, weight, inside = window(pool, pool.pick("background", rng), size, rng, wide=rng.random() < 0.5)
        for _ in range(int(rng.choice(4, p=(0.06, 0.54, 0.25, 0.15)))):
            cutout = person_of(pool, rng)
            if cutout is not None:
                x, alpha, weight, inside = put(x, alpha, weight, inside, cutout, rng)
    else:
        x, alpha, weight, inside = window(pool, pool.pick("any", rng, tall if rng.random() < 0.7 else None), size, rng)
    # The area outside is cropped in use, but must not contain people.
    return x, alpha, torch.where(inside > 0, weight, 0.15), inside


def shifted(layers, by):
    """Layers [c, h, w] moved to the left and up by whole pixels, repeating the last column and row at the other side."""
    h, w = layers.shape[1:]
    columns, rows = ((torch.arange(n) + d).clamp(0, n - 1) for n, d in zip((w, h), by))
    return layers[:, rows][:, :, columns]


def lit(x, generator):
    """Lighting, colour, blur, noise and shadow, each image independently, stronger than a camera's automatic adjustments; x [n, 3, h, w] in 0..1, changed in place."""
    n, _, rows, columns = x.shape

    def uniform(lo, hi, *shape):
        return torch.empty(n, *shape).uniform_(lo, hi, generator=generator)

    def some(share):
        return torch.rand(n, generator=generator) < share

    def change(share, how, *values):
        for i in torch.nonzero(some(share)).flatten().tolist():
            x[i] = how(x[i], *(v[i] for v in values))

    change(0.5, lambda v, g: v.clamp_(1e-3, 1) ** g, torch.exp(uniform(-0.7, 0.7)))
    # Saturation, contrast, brightness and colour cast are one matrix and one shift of the colours.
    grey = torch.tensor([0.299, 0.587, 0.114]).expand(3, 3)
    saturation = (uniform(0.5, 1.5, 1, 1) * ~some(0.06)[:, None, None]).float()
    mixed = grey + (torch.eye(3) - grey) * saturation
    contrast, cast = uniform(0.6, 1.4, 1, 1), 1 + some(0.6)[:, None, None] * uniform(-0.2, 0.2, 3, 1)
    mean = x.mean((1, 2, 3))[:, None, None]
    shift = mean * (1 - contrast) + uniform(-0.15, 0.15, 1, 1) * some(0.7)[:, None, None]
    x = torch.baddbmm(cast * shift, cast * contrast * mixed, x.flatten(2)).view_as(x)
    along = lambda count, v: torch.linspace(-1, 1, count) * v
    change(0.3, lambda v, g: v * (1 + 0.5 * (along(columns, g[0])[None, :] + along(rows, g[1])[:, None])), uniform(-1, 1, 2))  # light from one side
    for share, radius in ((0.12, 1), (0.06, 2)):
        change(share, lambda v: F.avg_pool2d(F.pad(v, (radius,) * 4, mode="replicate"), 2 * radius + 1, 1))
    halved = lambda v: F.interpolate(v[None], scale_factor=0.5, mode="bilinear", antialias=True)
    change(0.08, lambda v: F.interpolate(halved(v), (rows, columns), mode="bilinear")[0])  # an upscaled small image
    change(0.3, lambda v, g: v + torch.randn(v.shape, generator=generator) * g, uniform(0, 0.06))
    return x.clamp_(0, 1)


def batch(pool, seed, step, n, composite=0.45, longer=257, part=0):
    """A part of the batch of a step, all of one shape: x normalised to -1..1, alpha, weight, and how many pixels (x, y) the last image is to the left of and above the
    first. Negative steps are drawn for evaluation."""
    number = 2 * abs(step) + (step < 0)
    rng = np.random.default_rng((seed, number))
    shape, longer = choose(SHAPES, rng), max(65, longer + choose(LONGER, rng))
    size = fitted(longer, *(100 * side for side in shape))
    rng = np.random.default_rng((seed, number, part))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    samples = [sample(pool, size, rng, composite) for _ in range(max(1, n - 1))]
    moved = rng.integers(-4, 5, 2).tolist()
    if n > 1:
        samples.append([shifted(v, moved) for v in samples[0]])
    x, alpha, weight, inside = (torch.stack(v) for v in zip(*samples))
    x = torch.where(inside > 0, lit(x, generator), torch.full((), GREY))
    return x * 2 - 1, alpha, weight, torch.tensor(moved)
