"""IoU of each class on a folder in PASCAL VOC's layout, by the same protocol as `silhouette eval`, for monitoring training."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from network import fitted, fold


def voc(net, spec, folder, size):
    """IoU per class over `val.txt` of a folder in VOC's layout."""
    names = open(f"{folder}/val.txt").read().split()
    return pairs(net, spec, [(f"{folder}/JPEGImages/{n}.jpg", f"{folder}/SegmentationClass/{n}.png") for n in names], size)


@torch.no_grad()
def pairs(net, spec, files, size, frame=False):
    """IoU per class over pairs of image and mask; nan if a class neither occurs nor is predicted. `frame`: the input has the image's shape."""
    net = fold(net).to(memory_format=torch.channels_last)
    classes = spec["head"]["classes"]
    confusion = np.zeros((classes, classes), np.int64)
    mean, std = np.float32(spec["input"]["mean"]), np.float32(spec["input"]["std"])
    for picture, mask in files:
        image, truth = Image.open(picture).convert("RGB"), np.asarray(Image.open(mask))
        k = size / max(image.size)
        w, h = round(image.width * k), round(image.height * k)
        rows, columns = fitted(size, *image.size) if frame else (size, size)
        canvas = np.full((rows, columns, 3), spec["input"]["fit"]["fill"], np.uint8)
        canvas[:h, :w] = np.asarray(image.resize((w, h), Image.BILINEAR))
        x = torch.from_numpy(((canvas - mean) / std).transpose(2, 0, 1)[None].copy())
        aligned = spec["head"]["resize"] == "align_corners"
        logits = F.interpolate(net(x), (rows, columns), mode="bilinear", align_corners=aligned)
        mask = logits.argmax(1)[0].numpy().astype(np.uint8)[:h, :w]
        mask, valid = np.asarray(Image.fromarray(mask).resize(image.size, Image.NEAREST)), truth < classes
        pairs = truth[valid].astype(int) * classes + mask[valid]
        confusion += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    hit = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hit
    return np.where(union > 0, hit / np.maximum(union, 1), np.nan)
