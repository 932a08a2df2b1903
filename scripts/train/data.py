"""The training data: a prepared folder of arrays, and the batches drawn from it.

prepare.py writes, for N images (squares of `SIDE` pixels, image at the top left, the rest grey):
  X.npy  [N, SIDE, SIDE, 3] uint8   RGB
  Y.npy  [N, SIDE, SIDE] uint8      class; 254 not labelled, 255 void
  V.npy  [N, 2] float32             width and height of the image as shares of the square
  P.npy  [N, classes] float32       share of each class
  T.npy  [N, classes, c, c] float16 the teacher's logits on its own feature map
  F.npy  [N, channels, c, c] int8   the teacher's features at the taps, in units of `scale` of taps.npz
Without a teacher, T, F and taps.npz do not exist.
"""

import math
import os

import numpy as np
import torch
import torch.nn.functional as F

SIDE = 342
VOID = 255


class Pool:
    """One or more prepared folders as one list of images."""

    def __init__(self, folders, teacher=True):
        """`teacher` false: without the teacher's outputs, even if there are some."""
        self.teacher = teacher and os.path.exists(f"{folders[0]}/taps.npz")
        names = "XYTFPV" if self.teacher else "XYPV"
        self.parts = [{n: np.load(f"{f}/{n}.npy", mmap_mode="r") for n in names} for f in folders]
        self.ends = np.cumsum([len(p["X"]) for p in self.parts])
        self.shares = np.concatenate([p["P"] for p in self.parts])
        scale = np.load(f"{folders[0]}/taps.npz")["scale"] if self.teacher else np.ones(1)
        self.scale = torch.from_numpy(scale).float()[:, None, None]

    def __len__(self):
        return int(self.ends[-1])

    def stack(self, name, ids):
        rows = []
        for i in ids:
            part = int(np.searchsorted(self.ends, i, side="right"))
            rows.append(self.parts[part][name][i - (self.ends[part - 1] if part else 0)])
        return torch.from_numpy(np.stack(rows))

    def odds(self, least=0.01):
        """Sampling probability of each image: by its rarest class, one over the square root of the class's frequency."""
        present = self.shares[:, 1:] > least
        rarity = (np.maximum(present.sum(0), 1) / max(present.sum(), 1)) ** -0.5
        odds = np.where(present.any(1), (present * rarity).max(1), rarity.min() / 2)
        return odds / odds.sum()


def windows(valid, n, zooms, generator, shape=(1.0, 1.0)):
    """A window for each of n images: affine maps [n, 2, 3] from the window (-1..1) to the image's square. `shape`: width and height over the longer side."""

    def uniform(lo, hi, *shape):
        return torch.empty(*shape).uniform_(lo, hi, generator=generator)

    zoom = torch.exp(uniform(math.log(zooms[0]), math.log(zooms[1]), n))
    aspect = torch.exp(uniform(-0.15, 0.15, n))
    side = torch.stack([zoom * aspect, zoom / aspect], 1) * torch.tensor(shape)  # of the window, in units of the square
    slack = valid - side  # negative: the window is larger than the image
    corner = torch.minimum(slack, torch.zeros(1)) + uniform(0, 1, n, 2) * slack.abs()
    flip = torch.where(uniform(0, 1, n) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = side[:, 0] * flip, side[:, 1]
    theta[:, :, 2] = 2 * corner + side - 1
    return theta


def photometric(x, generator):
    """Brightness, contrast, saturation, colour cast, grey, blur and noise, each image independently; x [n, 3, S, S] in -1..1."""
    n = len(x)

    def uniform(lo, hi, *shape):
        return torch.empty(*shape).uniform_(lo, hi, generator=generator)

    def some(share):
        return (torch.rand(n, 1, 1, 1, generator=generator) < share).float()

    gray = (x * torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]).sum(1, keepdim=True)
    saturation = uniform(0.5, 1.5, n, 1, 1, 1) * (1 - some(0.05))
    x = gray + (x - gray) * saturation
    mean = x.mean((2, 3), keepdim=True)
    x = (x - mean) * uniform(0.7, 1.35, n, 1, 1, 1) + mean + uniform(-0.25, 0.25, n, 1, 1, 1) + uniform(-0.08, 0.08, n, 3, 1, 1)
    blurred = torch.nonzero(some(0.12).flatten()).flatten()
    if len(blurred):
        x[blurred] = F.avg_pool2d(F.pad(x[blurred], (1, 1, 1, 1), mode="replicate"), 3, 1)
    noisy = torch.nonzero(some(0.12).flatten()).flatten()
    if len(noisy):
        x[noisy] = x[noisy] + torch.randn(x[noisy].shape, generator=generator) * 0.05
    return x.clamp(-1, 1)


def batch(pool, ids, size, cells, zooms, generator, colour=1.0):
    """Images [n, 3, *size], labels [n, *size], the teacher's logits and features [n, C, *cells] (or None), 1 where a cell is in the image; size and cells: rows
    and columns."""
    n = len(ids)
    size, cells = ((s, s) if isinstance(s, int) else s for s in (size, cells))
    x = pool.stack("X", ids).permute(0, 3, 1, 2).float() / 127.5 - 1
    y = pool.stack("Y", ids).unsqueeze(1).float()
    valid = pool.stack("V", ids)
    theta = windows(valid, n, zooms, generator, (size[1] / max(size), size[0] / max(size)))
    fine = F.affine_grid(theta, (n, 3, *size), align_corners=True)
    coarse = F.affine_grid(theta, (n, 3, *cells), align_corners=True)
    edge = 2 * valid[:, None, None] - 1

    def inside(grid, margin):
        return ((grid >= -1 - margin) & (grid <= edge + margin)).all(-1)

    x = F.grid_sample(x, fine, align_corners=True)
    x = torch.where(inside(fine, 0.0)[:, None], x + colour * (photometric(x, generator) - x), 0.0)  # the grey around is the same as in inference
    y = (F.grid_sample(y - VOID, fine, mode="nearest", align_corners=True) + VOID).long().squeeze(1)
    if not pool.teacher:
        return x, y, None, None, inside(coarse, 0.02).float()
    logits, features = pool.stack("T", ids).float(), pool.stack("F", ids).float()
    logits = F.grid_sample(logits, coarse, align_corners=True, padding_mode="border")
    features = F.grid_sample(features, coarse, align_corners=True, padding_mode="border") * pool.scale
    return x, y, logits, features, inside(coarse, 0.02).float()
