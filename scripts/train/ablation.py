"""The paper's ablations that need training, on images drawn by scenes.py: small networks, each trained from scratch, several seeds.

One change to the base at a time (`VARIANTS`). The seed of a run determines the initial weights and the order of the images, and is the same for all
variants, so that their difference from the base is computed seed by seed. Each finished training is a line in OUT/results.jsonl; an interrupted run
resumes after the last one. OUT/specs/ contains the networks for `silhouette info --spec`; the table is printed and written to OUT/table.md.
"""

import argparse
import copy
import json
import math
import multiprocessing
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from network import Network, cells, cost, load_spec
from scenes import LABELS, scenes

HERE = os.path.dirname(os.path.abspath(__file__))
SIZE = 97
WIDTH = 0.35
HEAD_CHANNELS = 64
# (6, 12, 18) on the paper's map of 33 cells is (1.3, 2.5, 3.8) on this one's 7; half of the map is 3.5.
RATES = [1, 2, 3]
# Rows of the paper's table 2 have at most this many blocks here, and MobileNetV1's five equal ones are one.
DEPTH = 2
V1_BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (1024, 2), (1024, 1)]
TRAIN_SEED, TEST_SEED = 1, 2


def base():
    """MobileNetV2 (table 2 of the paper) at a small width and depth with DeepLabV3's head without ASPP, the paper's V2*. The last bottleneck keeps
    its 320 channels, so that the last feature map's 1280 are four times as many, as in the paper."""
    spec = load_spec(f"{HERE}/specs/voc21.json")
    spec["name"] = "base"
    spec["extractor"]["width"] = WIDTH
    for row in spec["extractor"]["bottlenecks"]:
        row["n"] = min(row["n"], DEPTH)
    spec["extractor"]["bottlenecks"][-1]["c"] = round(320 / WIDTH)
    spec["head"] |= {"classes": len(LABELS), "channels": HEAD_CHANNELS}
    spec["labels"] = LABELS
    spec["input"]["size"] = SIZE
    spec["provenance"] = "scripts/train/ablation.py"
    return spec


def changed(**changes):
    """A function that changes the values at these paths of the base's spec ('extractor__shortcut')."""

    def change(spec):
        for path, value in changes.items():
            *way, last = path.split("__")
            at = spec
            for key in way:
                at = at[key]
            at[last] = value

    return change


def mobilenet_v1(spec):
    spec["extractor"] = {
        "kind": "mobilenet_v1",
        "width": WIDTH,
        "output_stride": spec["extractor"]["output_stride"],
        "stem_channels": 32,
        "blocks": [{"c": c, "s": s} for c, s in V1_BLOCKS],
    }


VARIANTS = {
    "base": ("V2*: linear bottleneck, shortcut between bottlenecks, second last map, no ASPP", changed()),
    "relu6-bottleneck": ("ReLU6 bottleneck", changed(extractor__bottleneck_activation="relu6")),
    "shortcut-expansion": ("shortcut between expansions", changed(extractor__shortcut="expansion")),
    "shortcut-none": ("no shortcut", changed(extractor__shortcut="none")),
    "aspp-plain": ("ASPP of plain convolutions", changed(head__aspp={"kind": "plain", "rates": RATES})),
    "aspp-separable": ("ASPP of separable convolutions", changed(head__aspp={"kind": "separable", "rates": RATES})),
    "last-layer": ("last feature map (1280 channels)", changed(extractor__feature="last_layer")),
    "mobilenet-v1": ("MobileNetV1", mobilenet_v1),
}


def spec_of(name):
    spec = copy.deepcopy(base())
    VARIANTS[name][1](spec)
    spec["name"] = name
    return spec


def taps_inside(side, rate):
    """Share of a 3x3 atrous convolution's reads that are inside a map of side x side, over all its pixels."""
    axis = sum(0 <= i + d < side for i in range(side) for d in (-rate, 0, rate)) / (3 * side)
    return axis * axis


def drawn(folder, pictures, tests):
    """The training and the test set as tensors, drawn once and kept in a file."""
    path = f"{folder}/scenes-{SIZE}-{pictures}-{tests}.npz"
    if not os.path.exists(path):
        (x, y), (tx, ty) = scenes(pictures, SIZE, TRAIN_SEED), scenes(tests, SIZE, TEST_SEED)
        np.savez(f"{path}.new.npz", x=x, y=y, tx=tx, ty=ty)
        os.replace(f"{path}.new.npz", path)
    with np.load(path) as file:
        return [torch.from_numpy(file[k]) for k in ("x", "y", "tx", "ty")]


def as_input(x):
    """[N, H, W, 3] bytes to [N, 3, H, W] in -1 to 1."""
    return (x.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def upsampled(logits):
    return F.interpolate(logits, (SIZE, SIZE), mode="bilinear", align_corners=True)


@torch.no_grad()
def miou(net, x, y):
    """mIOU in percent over images and masks."""
    net.eval()
    n = len(LABELS)
    confusion = torch.zeros(n * n, dtype=torch.long)
    for at in range(0, len(x), 32):
        mask = upsampled(net(as_input(x[at : at + 32]))).argmax(1)
        confusion += torch.bincount((y[at : at + 32].long() * n + mask).flatten(), minlength=n * n)
    confusion = confusion.view(n, n).double()
    hit = confusion.diag()
    return float((hit / (confusion.sum(0) + confusion.sum(1) - hit)).nanmean()) * 100


def training(task):
    """Trains one variant with one seed; returns its line of results."""
    a, name, seed = task
    torch.set_num_threads(1)
    x, y, test_x, test_y = drawn(a.out, a.pictures, a.tests)
    began, used = time.time(), time.process_time()
    torch.manual_seed(seed)
    net = Network(spec_of(name)).to(memory_format=torch.channels_last)
    for layer in net.modules():  # the training is short: statistics over the last ten steps instead of thirty
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.1
    optimizer = torch.optim.AdamW(net.parameters(), a.lr, weight_decay=1e-2)
    order = np.random.default_rng(seed)
    warm, shown = max(1, a.steps // 20), []
    for step in range(a.steps):
        for group in optimizer.param_groups:
            group["lr"] = a.lr * min(1, (step + 1) / warm) * (1 + math.cos(math.pi * step / a.steps)) / 2
        ids = torch.from_numpy(order.integers(len(x), size=a.batch))
        inputs, labels = as_input(x[ids]), y[ids].long()
        if order.integers(2):
            inputs, labels = inputs.flip(3), labels.flip(2)
        net.train()
        loss = F.cross_entropy(upsampled(net(inputs)), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5)
        optimizer.step()
        shown.append(loss.item())
    line = {"variant": name, "seed": seed, "miou": miou(net, test_x, test_y), "loss": float(np.mean(shown[-50:]))}
    return line | {"seconds": round(time.time() - began, 1), "cpu_seconds": round(time.process_time() - used, 1), "plan": plan(a)}


def plan(a):
    """The parameters that must be equal for results to be comparable."""
    keys = ("steps", "batch", "lr", "pictures", "tests")
    return {k: getattr(a, k) for k in keys} | {"size": SIZE, "width": WIDTH, "depth": DEPTH, "head_channels": HEAD_CHANNELS, "rates": RATES}


def finished(a):
    """The lines of results of this plan."""
    path = f"{a.out}/results.jsonl"
    if not os.path.exists(path):
        return []
    lines = []
    for text in open(path, encoding="utf-8"):
        try:
            line = json.loads(text)
        except json.JSONDecodeError:  # truncated when the run was stopped
            continue
        if line["plan"] == plan(a):
            lines.append(line)
    return lines


def end_line(path):
    """Ends a truncated line, so that the next one is separate."""
    with open(path, "a+b") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            file.write(b"\n")


def spread(values):
    """Mean and standard deviation (of a sample) as text."""
    deviation = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{deviation}"


def table(a):
    """The results as Markdown: mean and standard deviation over the seeds, and of the differences from the base, seed by seed."""
    lines = finished(a)
    scores = {name: {r["seed"]: r["miou"] for r in lines if r["variant"] == name} for name in VARIANTS}
    rows = ["| variant | parameters | MACs | seeds | mIOU | against the base |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, (about, _) in VARIANTS.items():
        own = scores[name]
        if not own:
            continue
        parameters, macs = cost(spec_of(name), SIZE, SIZE)
        apart = [own[s] - scores["base"][s] for s in own if s in scores["base"]]
        against = "" if name == "base" else f"{np.mean(apart):+.2f}" + (f" ± {np.std(apart, ddof=1):.2f}" if len(apart) > 1 else "") if apart else ""
        rows.append(f"| {about} | {parameters / 1e6:.3f} M | {macs / 1e6:.1f} M | {len(own)} | {spread(list(own.values()))} | {against} |")
    side = cells(base(), SIZE)
    rows += ["", f"{SIZE}x{SIZE} images, a map of {side}x{side}; share of the taps inside the map: " + ", ".join(f"rate {r} {taps_inside(side, r):.0%}" for r in RATES)]
    rows += ["", ", ".join(f"{k} {v}" for k, v in plan(a).items())]
    mean = np.mean(list(scores["base"].values())) if scores["base"] else None
    if mean is not None and not 40 <= mean <= 85:
        rows += ["", f"THE TASK IS NOT INFORMATIVE: the base's mIOU, {mean:.1f}, is not between 40 and 85."]
    return "\n".join(rows)


def arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True, help="folder for results.jsonl, table.md and the drawn images")
    p.add_argument("--quick", action="store_true", help="one seed: some minutes on two idle cores, up to an hour on busy ones")
    p.add_argument("--seeds", type=int, help="default: 5, quick: 1")
    p.add_argument("--steps", type=int, default=600)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--lr", type=float, default=4e-3)
    p.add_argument("--pictures", type=int, default=3000, help="size of the training set")
    p.add_argument("--tests", type=int, default=300, help="number of scored images")
    p.add_argument("--only", help="variants, separated by commas; default: all")
    p.add_argument("--jobs", type=int, default=os.cpu_count(), help="concurrent trainings, one thread each")
    a = p.parse_args(argv)
    a.seeds = a.seeds or (1 if a.quick else 5)
    return a


def main(argv=None):
    a = arguments(argv)
    assert max(RATES) <= cells(base(), SIZE) / 2, "the largest rate reads mostly padding"
    os.makedirs(f"{a.out}/specs", exist_ok=True)
    for name in VARIANTS:
        with open(f"{a.out}/specs/{name}.json", "w", encoding="utf-8") as file:
            json.dump(spec_of(name), file, indent=1)
    drawn(a.out, a.pictures, a.tests)
    done = {(r["variant"], r["seed"]) for r in finished(a)}
    names = a.only.split(",") if a.only else list(VARIANTS)
    # Seed by seed, so that a run stopped early compares variants over the same seeds.
    tasks = [(a, name, seed) for seed in range(a.seeds) for name in names if (name, seed) not in done]
    end_line(f"{a.out}/results.jsonl")
    os.environ["OMP_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(max(1, min(a.jobs, len(tasks)))) as pool, open(f"{a.out}/results.jsonl", "a", encoding="utf-8") as results:
        for line in pool.imap_unordered(training, tasks):
            results.write(json.dumps(line) + "\n")
            results.flush()
            print(f"{line['variant']:20} seed {line['seed']}  mIOU {line['miou']:.2f}  loss {line['loss']:.3f}  {line['seconds']:.0f} s", flush=True)
    text = table(a)
    print(text)
    with open(f"{a.out}/table.md", "w", encoding="utf-8") as file:
        file.write(text + "\n")


if __name__ == "__main__":
    main()
