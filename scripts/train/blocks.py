"""Trains the network block by block: each learns to reproduce the teacher's output from the teacher's input (blockwise distillation, arXiv 1911.13053, section 3).

Blocks are trained separately, so no block's gradient is disturbed by another block's errors. The teacher, which has the student's shape and runs at
its size, runs once on some images; the inputs and outputs of its blocks are stored, crops of the large maps, and each block learns from them by
itself, in concurrent processes. The student uses the teacher's outputs, never its weights: its own come from `--start`.
joint.py continues from here with all blocks together.

blocks.py PREPARED --start START.pt --teacher TEACHER.tflite --out FOLDER
"""

import argparse
import copy
import os

import numpy as np
import torch
import torch.nn.functional as F
import data
import score
from muon import Muon
from network import Network, answers, cells, centre, fold, load_spec, settle, units
from prepare import load_teacher, side_by_side
from train import save_as


def arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("prepared", nargs="+", help="folders written by prepare.py; the teacher's outputs in them are not read")
    p.add_argument("--spec", default=os.path.join(os.path.dirname(__file__), "specs", "voc21.json"))
    p.add_argument("--out", required=True, help="folder of this run; existing files are not recomputed: answers/, basis.pt, unit-*.pt, weights.pt")
    p.add_argument("--start", required=True, help="state dict to start from (extract.py creates one from the ImageNet classifier)")
    p.add_argument("--teacher", required=True, help="a quantised DeepLabV3 .tflite of the spec's shape, or a model file written by export.py")
    p.add_argument("--pictures", type=int, default=2048, help="number of images that the teacher runs on")
    p.add_argument("--steps", type=int, default=400, help="steps of every block, each on two groups of images")
    p.add_argument("--chain", type=int, default=1024, help="images of the second pass, in which each block's input is the output of the blocks before it")
    p.add_argument("--size", type=int)
    p.add_argument("--lr", type=float, default=0.06)
    p.add_argument("--zoom", type=float, nargs=2, default=(0.55, 1.4))
    p.add_argument("--cut", type=int, default=17, help="side of the crop of a block's output")
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--voc", help="VOC folder to score on after each pass; its images are never trained on")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--float32", action="store_true")
    return p.parse_args(argv)


GROUP = 8  # images that are processed and stored together


def convolutions(unit):
    return [m for m in unit.modules() if hasattr(m, "kernel")]


def cut(inside, outside, unit, side, generator):
    """A crop of a unit's input and output, `side` wide in the output, and a mask [h, w] that is 1 where the output does not depend on pixels outside the crop."""
    layers = convolutions(unit)
    stride = int(np.prod([c.stride for c in layers]))
    size = outside.shape[2]
    if side >= size:
        return inside, outside, torch.ones(outside.shape[2:])
    reach = 1 + sum(c.kernel > 1 for c in layers[:-1])  # pixels of the output that an edge can affect
    keep = torch.ones(side, side)
    window = []
    for axis in range(2):
        # Sampled past both ends and clamped, so that borders are cropped as often as the inside.
        at = int(torch.randint(size, (), generator=generator)) - side // 2
        at = min(max(at, 0), size - side)
        window.append((at, at + side))
        line = keep if axis == 0 else keep.T
        if at > 0:
            line[:reach] = 0
        if at + side < size:
            line[-reach:] = 0
    (top, bottom), (left, right) = window
    rows, columns = slice(stride * top, stride * (bottom - 1) + 1), slice(stride * left, stride * (right - 1) + 1)
    return inside[:, :, rows, columns], outside[:, :, top:bottom, left:right], keep


def affine(a, b, ridge=1e-3):
    """Least squares: the matrix [B, A] and the vector [B] that map rows of a [n, A] to rows of b [n, B]."""
    a, b = a.double(), b.double()
    ma, mb = a.mean(0), b.mean(0)
    x = a - ma
    gram = x.T @ x / len(a)
    w = torch.linalg.solve(gram + ridge * gram.diagonal().mean() * torch.eye(len(gram)), x.T @ (b - mb) / len(a)).T
    return w.float(), (mb - w @ ma).float()


def rows(maps, most=24000):
    """Pixels as rows, at most `most`, the same ones for every map of that size."""
    flat = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
    return flat[:: max(1, len(flat) // most)]


def set_folded(layer, weight, bias, outputs):
    """Gives a convolution the function of a folded one; rows of the weight have length 1 and batch norm has the statistics of `outputs`, so that one learning rate fits all."""
    length = weight.flatten(1).norm(dim=1) / (weight[0].numel() ** 0.5) + 1e-8
    layer.weight.data.copy_(weight / length[:, None, None, None])
    mean, var = outputs.mean((0, 2, 3)), outputs.var((0, 2, 3)).clamp_min(1e-4)  # of the folded layer's output
    bn = layer.bn
    bn.running_mean.copy_((mean - bias) / length)
    bn.running_var.copy_((var / length**2 - bn.eps).clamp_min(1e-8))
    bn.weight.data.copy_(((bn.running_var + bn.eps) * length**2).sqrt())
    bn.bias.data.copy_(mean)


@torch.no_grad()
def change_basis(net, theirs, x):
    """Initialises every unit by least squares: the expansion reads the teacher's narrow map through the linear map to ours, and the projection
    reproduces the teacher's from the output of the depthwise convolution."""
    ours, folded = units(net), fold(net).eval()
    own = answers(units(folded), x)
    share = []
    for i, (unit, plain) in enumerate(zip(ours, units(folded))):
        taught, target = theirs[i], theirs[i + 1]
        if isinstance(unit, type(net.head)):
            w, b = affine(rows(taught), rows(own[i]))
            for name in ("branch", "pool"):
                layer, source = getattr(unit, name, None), getattr(plain, name, None)
                if layer is not None:
                    at = taught if name == "branch" else taught.mean((2, 3), keepdim=True)
                    weight, bias = source.weight.flatten(1) @ w, source.weight.flatten(1) @ b + source.bias
                    weight = weight[:, :, None, None]
                    set_folded(layer, weight, bias, F.conv2d(at, weight, bias))
            y = torch.cat([p.expand(-1, -1, *taught.shape[2:]) for p in [unit.pool(taught.mean((2, 3), keepdim=True)), unit.branch(taught)]], 1) if hasattr(unit, "pool") else unit.branch(taught)
            set_folded(unit.project, plain.project.weight, plain.project.bias, F.conv2d(y, plain.project.weight, plain.project.bias))
            y = unit.project(y)
            w, b = affine(rows(y), rows(target), 1e-2)
            unit.classifier.weight.data.copy_(w[:, :, None, None]), unit.classifier.bias.data.copy_(b)
            share.append(1 - float((F.conv2d(y, w[:, :, None, None], b) - target).var() / target.var()))
            continue
        block, source = (unit[1], plain[1]) if i == 0 else (unit, plain)
        y = taught
        if i == 0:
            out = pre(plain[0], y)
            set_folded(unit[0], plain[0].weight, plain[0].bias, out)
            y = unit[0](y)
        else:
            w, b = affine(rows(taught), rows(own[i]))
            flat = source.expand.weight.flatten(1)
            weight, bias = flat @ w, flat @ b + source.expand.bias
            # A map that explains only a part of ours has a smaller variance: rescale it, so that as many units are
            # active.
            before, after = pre(source.expand, own[i]), F.conv2d(taught, weight[:, :, None, None], bias)
            gain = (before.std((0, 2, 3)) + 1e-3) / (after.std((0, 2, 3)) + 1e-3)
            mean = after.mean((0, 2, 3))
            weight, bias = weight * gain[:, None], mean + (bias - mean) * gain
            weight = weight[:, :, None, None]
            set_folded(block.expand, weight, bias, F.conv2d(taught, weight, bias))
            y = block.expand(y)
        set_folded(block.depthwise, source.depthwise.weight, source.depthwise.bias, pre(source.depthwise, y))
        y = block.depthwise(y)
        left = target - taught if block.shortcut == "bottleneck" else target
        w, b = affine(rows(y), rows(left))
        w = w[:, :, None, None]
        out = F.conv2d(y, w, b)
        set_folded(block.project, w, b, out)
        share.append(1 - float(((out - left).var((0, 2, 3)) / left.var((0, 2, 3)).clamp_min(1e-6)).mean()))
    print("explained at the start:", " ".join(f"{s:.2f}" for s in share), flush=True)


def pre(layer, x):
    """The output of a folded convolution before its activation."""
    act, layer.act = layer.act, "linear"
    y = layer(x)
    layer.act = act
    return y


def ask(rank, a):
    """One process: the teacher's outputs for its share of the groups, one file each."""
    torch.set_num_threads(1)
    spec = load_spec(a.spec)
    size = a.size or spec["input"]["size"]
    pool = data.Pool(a.prepared, teacher=False)
    odds = np.cumsum(pool.odds())
    parts = units(fold(load_teacher(spec, a.teacher)).to(memory_format=torch.channels_last))
    for number in range(rank, a.pictures // GROUP, a.workers):
        path = f"{a.out}/answers/{number:05d}.pt"
        if os.path.exists(path):
            continue
        g = torch.Generator().manual_seed(a.seed * 1_000_003 + number)
        ids = np.searchsorted(odds, torch.rand(GROUP, generator=g).numpy() * odds[-1]).clip(max=len(pool) - 1)
        x = data.batch(pool, ids, size, cells(spec, size), a.zoom, g)[0].contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=not a.float32):
            maps = answers(parts, x)
        kept = [(x, maps[-1], None)] if number < WHOLE else [None]
        for i, part in enumerate(parts):
            kept.append((maps[i], maps[i + 1], torch.ones(maps[i].shape[2:])) if i == len(parts) - 1 else cut(maps[i], maps[i + 1], part, a.cut, g))
        half = torch.float32 if a.float32 else torch.bfloat16
        save_as([k and tuple(t if t is None or i == 2 else t.to(half).clone() for i, t in enumerate(k)) for k in kept], path)


WHOLE = 8  # groups whose images are stored too, for the change of basis


def basis(a):
    """Initialises all units."""
    spec = load_spec(a.spec)
    net = Network(spec)
    net.load_state_dict(torch.load(a.start))
    groups = [torch.load(f"{a.out}/answers/{n:05d}.pt")[0] for n in range(min(WHOLE, a.pictures // GROUP))]
    x = torch.cat([g[0] for g in groups]).float()
    parts = units(fold(load_teacher(spec, a.teacher)).to(memory_format=torch.channels_last))
    with torch.no_grad():
        change_basis(net.eval(), answers(parts, x), x)
    save_as(net.state_dict(), f"{a.out}/basis.pt")


def learn(rank, a, order):
    """One process: every a.workers-th unit of `order`."""
    torch.set_num_threads(1)
    spec = load_spec(a.spec)
    net = Network(spec).to(memory_format=torch.channels_last).eval()  # batch norm keeps its statistics: a unit's input does not change
    net.load_state_dict(torch.load(f"{a.out}/basis.pt"))
    for index in order[rank :: a.workers]:
        path = f"{a.out}/unit-{index:02d}.pt"
        if not os.path.exists(path):
            groups = [torch.load(f"{a.out}/answers/{n:05d}.pt", mmap=True)[1 + index] for n in range(a.pictures // GROUP)]
            groups = [tuple(t.clone() for t in g) for g in groups]
            unit = units(net)[index]
            before, after, lr = fit_or_leave(unit, groups, a, a.lr, a.steps)
            print(f"unit {index}: {before:.3f} of the variance left, now {after:.3f}, at {lr:.4f}", flush=True)
            save_as(unit.state_dict(), path)


def fit_or_leave(unit, groups, a, lr, steps):
    """Trains one unit, at smaller rates if that made it worse, or leaves it unchanged; returns the variance left before and after, and the rate."""
    own = copy.deepcopy(unit.state_dict())
    for rate in (lr, lr / 4, lr / 16):
        before, after = fit(unit, groups, a, rate, steps)
        if after < before:
            return before, after, rate
        unit.load_state_dict(own)
    return before, before, 0.0


def fit(unit, groups, a, lr, steps):
    """Trains one unit; returns the unexplained share of the variance of its residual on images that it was not trained on, before and after."""
    kept = max(1, len(groups) // 16)
    groups, unseen = groups[kept:], groups[:kept]
    # Over all groups: a crop that shows only the grey around the images has no variance of its own.
    variance = torch.cat([o.float() - i.float() if i.shape == o.shape else o.float() for i, o, _ in groups]).var((0, 2, 3)).clamp_min(1e-4)

    def left(some):
        inside, outside, keep = (torch.cat(t) for t in zip(*((i, o, k[None].expand(len(i), -1, -1)) for i, o, k in some)))
        with torch.autocast("cpu", torch.bfloat16, enabled=not a.float32):
            y = unit(inside.contiguous(memory_format=torch.channels_last)).float()
        apart = ((y - outside.float()) ** 2 * keep[:, None]).sum((0, 2, 3)) / keep.sum()
        return (apart / variance).mean()

    def test():
        with torch.no_grad():
            return float(left(unseen))

    torch.manual_seed(a.seed)
    before = test()
    with torch.autocast("cpu", torch.bfloat16, enabled=not a.float32):
        centre(unit, [g[0].contiguous(memory_format=torch.channels_last) for g in groups[:4]])
    optimizer = Muon(list(unit.parameters()), lr)
    mean = [p.detach().clone() for p in unit.parameters()]
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1, (step + 1) / 20) * max(0.02, 1 - step / steps)
        loss = left([groups[i] for i in torch.randint(len(groups), (2,)).tolist()])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for m, p in zip(mean, unit.parameters()):
            m.lerp_(p.detach(), 0.05)
    with torch.no_grad():
        for m, p in zip(mean, unit.parameters()):
            p.copy_(m)
        settle(unit)
        for layer in convolutions(unit):
            layer.centre = None
    return before, test()


def chain(a):
    """Once more from the first to the last, each unit on the current output of the units before it, so that it also compensates for their errors."""
    spec = load_spec(a.spec)
    size, half = a.size or spec["input"]["size"], torch.float32 if a.float32 else torch.bfloat16
    last = {"memory_format": torch.channels_last}
    pool = data.Pool(a.prepared, teacher=False)
    odds = np.cumsum(pool.odds())
    net = Network(spec).to(**last).eval()
    net.load_state_dict(torch.load(f"{a.out}/weights-alone.pt"))
    theirs = units(fold(load_teacher(spec, a.teacher)).to(**last))
    ours = []  # per group: our units' output, and the teacher's
    for number in range(10**6, 10**6 + a.chain // GROUP):
        g = torch.Generator().manual_seed(a.seed * 1_000_003 + number)
        ids = np.searchsorted(odds, torch.rand(GROUP, generator=g).numpy() * odds[-1]).clip(max=len(pool) - 1)
        x = data.batch(pool, ids, size, cells(spec, size), a.zoom, g)[0].contiguous(**last).to(half)
        ours.append((x, x))

    def forward(unit, x):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=not a.float32):
            return unit(x.to(half)).to(half)

    for index, (unit, their) in enumerate(zip(units(net), theirs)):
        pairs = [(s, forward(their, t)) for s, t in ours]
        path = f"{a.out}/own-{index:02d}.pt"
        if os.path.exists(path):
            unit.load_state_dict(torch.load(path))
        else:
            g, groups = torch.Generator().manual_seed(index), []
            for s, t in pairs:
                for _ in range(1 if t.shape[2] <= a.cut else 2):
                    groups.append((s, t, torch.ones(t.shape[2:])) if index == len(theirs) - 1 else cut(s, t, unit, a.cut, g))
            before, after, _ = fit_or_leave(unit, groups, a, a.lr / 3, a.steps // 4)
            print(f"unit {index} after the others: {before:.3f} left, now {after:.3f}", flush=True)
            save_as(unit.state_dict(), path)
        folded = fold(unit).to(**last)
        ours = [(forward(folded, s), t) for (s, _), (_, t) in zip(ours, pairs)]
    save_as(net.state_dict(), f"{a.out}/weights.pt")


def main(argv=None):
    a = arguments(argv)
    os.makedirs(f"{a.out}/answers", exist_ok=True)
    side_by_side(ask, a)
    if not os.path.exists(f"{a.out}/basis.pt"):
        basis(a)
    spec = load_spec(a.spec)
    net = Network(spec)
    parts = units(net)
    # The last first: they take longest, and both processes end at about the same time.
    side_by_side(learn, a, list(range(len(parts)))[::-1])
    net.load_state_dict(torch.load(f"{a.out}/basis.pt"))
    for index, part in enumerate(parts):
        part.load_state_dict(torch.load(f"{a.out}/unit-{index:02d}.pt"))
    save_as(net.state_dict(), f"{a.out}/weights-alone.pt")
    chain(a)
    for name in ("weights-alone", "weights") if a.voc else ():
        net.load_state_dict(torch.load(f"{a.out}/{name}.pt"))
        print(f"{name}: mIOU {100 * np.nanmean(score.voc(net, spec, a.voc, a.size or spec['input']['size'])):.2f}", flush=True)


if __name__ == "__main__":
    main()
