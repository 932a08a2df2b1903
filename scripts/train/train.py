"""Trains the network of a spec on prepared images, from labels and from a teacher; see README.md.

Loss: cross-entropy on the labels, Kullback-Leibler divergence from the teacher's logits, and squared distance to the teacher's features at two taps through a
learned 1x1 adapter. AdamW, cosine over the steps, exponential moving average of the weights (which is saved and scored).
The schedule counts steps, never time: a stopped or paused run resumes as if nothing had happened.
"""

import argparse
import copy
import datetime
import math
import os
import tempfile
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

import data
import pictures
import score
from network import Network, cells, fold, load_spec


def arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("prepared", nargs="+", help="folders written by prepare.py")
    p.add_argument("--spec", default=os.path.join(os.path.dirname(__file__), "specs", "voc21.json"))
    p.add_argument("--out", required=True, help="folder of this run: checkpoint.pt, weights.pt, log.csv, curves.png, samples.png")
    p.add_argument("--start", help="state dict to start from (extract.py creates one from the ImageNet classifier)")
    p.add_argument("--steps", type=int, default=20000)
    p.add_argument("--size", type=int, help="side of the training window; default: the spec's input size")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--optimizer", choices=("adamw", "sgd"), default="adamw")
    p.add_argument("--schedule", choices=("cosine", "poly"), default="cosine")
    p.add_argument("--lr", type=float, default=5e-4, help="learning rate of the extractor; the head and the adapters use three times it")
    p.add_argument("--weight-decay", type=float, default=1e-2)
    p.add_argument("--ema", type=float, default=0.998)
    p.add_argument("--freeze", type=int, default=2, help="number of first blocks that are frozen, with the stem (their backward pass costs most); -1: none")
    p.add_argument("--zoom", type=float, nargs=2, default=(0.55, 1.4), help="side of the window divided by side of the square")
    p.add_argument("--teacher", type=float, default=1.0, help="weight of the teacher's logits")
    p.add_argument("--features", type=float, default=1.0, help="weight of the teacher's features")
    p.add_argument("--taps", default="12,16", help="blocks whose output is compared with the teacher's")
    p.add_argument("--workers", type=int, default=2, help="processes of one thread each that share every batch: on a CPU faster than threads")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--save-every", type=int, default=250)
    p.add_argument("--score-every", type=int, default=0, help="0: never")
    p.add_argument("--voc", help="VOC folder to score on; its images are never trained on")
    p.add_argument("--float32", action="store_true", help="no bfloat16")
    return p.parse_args(argv)


def rate(a, step):
    """Share of the peak learning rate at a step: a short warm-up, then cosine (or poly, power 0.9) to zero."""
    t = min(1.0, step / a.steps)
    fall = (1 + math.cos(math.pi * t)) / 2 if a.schedule == "cosine" else (1 - t) ** 0.9
    return min(1.0, (step + 1) / min(200, max(1, a.steps // 5))) * fall


class Student(nn.Module):
    """The network, and the 1x1 adapters from its taps to the teacher's features."""

    def __init__(self, spec, taps):
        super().__init__()
        self.start, self.frozen = (), 0
        self.net, self.taps, self.seen = Network(spec), taps, {}
        channels = [self.net.blocks[t].project.weight.shape[0] for t in taps]
        self.adapters = nn.ModuleList(nn.Conv2d(c, c, 1) for c in channels)
        for i, t in enumerate(taps):
            self.net.blocks[t].register_forward_hook(lambda m, x, y, i=i: self.seen.__setitem__(i, y))

    def freeze(self, blocks):
        """Freezes the stem and the first blocks: they run folded, and have no backward pass. -1: freezes nothing."""
        if blocks >= 0:
            self.frozen, start = blocks, self.net.start(blocks).requires_grad_(False)
            # In a tuple, so that it is not part of the state; recreated from the network after reading a checkpoint.
            self.start = (fold(start).to(memory_format=torch.channels_last),)

    def train(self, mode=True):
        super().train(mode)
        if self.start:
            self.net.start(self.frozen).eval()
        return self

    def forward(self, x):
        if self.start:
            with torch.no_grad():
                x = self.start[0](x)
            logits = self.net(x, self.frozen)
        else:
            logits = self.net(x)
        return logits, torch.cat([a(self.seen[i]) for i, a in enumerate(self.adapters)], 1) if self.taps else logits


@torch.no_grad()
def fit_adapters(student, draw, batches):
    """Starts the adapters at the least-squares map from the student's features to the teacher's."""
    gather = [([], []) for _ in student.taps]
    student.eval()
    for _ in range(batches):
        x, _, _, target, inside = draw()
        student.net(x)
        at, keep = 0, inside.flatten() > 0
        for i, (s, t) in enumerate(gather):
            c = student.seen[i].shape[1]
            rows = lambda m: m.permute(0, 2, 3, 1).reshape(-1, c)[keep].double()
            s.append(rows(student.seen[i])), t.append(rows(target[:, at : at + c]))
            at += c
    for adapter, (s, t) in zip(student.adapters, gather):
        s, t = torch.cat(s), torch.cat(t)
        s = torch.cat([s, torch.ones(len(s), 1)], 1)
        ridge = s.T @ s + 1e-3 * len(s) * torch.eye(s.shape[1])
        w = torch.linalg.solve(ridge, s.T @ t)
        adapter.weight.copy_(w[:-1].T[:, :, None, None]), adapter.bias.copy_(w[-1])
        print(f"adapter explains {1 - ((s @ w - t) ** 2).mean() / t.var():.3f} of the teacher's variance", flush=True)


def labelled(logits, y):
    """Cross-entropy on the labels at half size (as good as full, a fraction of its cost)."""
    classes, half = logits.shape[1], [(side + 1) // 2 for side in y.shape[1:]]
    return F.cross_entropy(
        F.interpolate(logits, half, mode="bilinear", align_corners=True),
        torch.where(y >= classes, data.VOID, y)[:, ::2, ::2],
        ignore_index=data.VOID,
        reduction="sum",
    ) / max(1, int((y[:, ::2, ::2] < classes).sum()))


def losses(a, logits, features, y, soft_target, feature_target, inside, deviation):
    """Cross-entropy on the labels, and the two distances to the teacher."""
    hard = labelled(logits, y)
    if soft_target is None:
        return hard, torch.zeros(()), torch.zeros(())
    share = inside / inside.sum().clamp_min(1)
    kl = (F.kl_div(F.log_softmax(logits, 1), F.softmax(soft_target, 1), reduction="none").sum(1) * share).sum()
    apart = (((features - feature_target) / deviation) ** 2).mean(1)
    return hard, kl, (apart * share).sum()


def share_gradients(optimizer, workers):
    """Gives every worker the mean of all gradients."""
    grads = [p.grad for g in optimizer.param_groups for p in g["params"]]
    flat = torch.cat([g.flatten() for g in grads])
    dist.all_reduce(flat)
    flat /= workers
    for g, mean in zip(grads, flat.split([g.numel() for g in grads])):
        g.copy_(mean.view_as(g))


class Average:
    """The exponential moving average of a network: which is saved and scored."""

    def __init__(self, net, keep):
        self.net, self.keep = copy.deepcopy(net).eval(), keep
        for block in self.net.blocks.values():
            block._forward_hooks.clear()

    @torch.no_grad()
    def take(self, net, step):
        keep = min(self.keep, (1 + step) / (10 + step))
        for mean, value in zip(self.net.state_dict().values(), net.state_dict().values()):
            mean.lerp_(value, 1 - keep) if mean.dtype.is_floating_point else mean.copy_(value)


def save_as(value, path):
    """Writes a file atomically."""
    torch.save(value, path + ".new")
    os.replace(path + ".new", path)


def main(argv=None):
    a = arguments(argv)
    os.makedirs(a.out, exist_ok=True)
    if a.batch % a.workers:
        raise SystemExit(f"--batch {a.batch} is not a multiple of --workers {a.workers}")
    if a.workers == 1:
        run(0, a, None)
    else:
        meeting = tempfile.mktemp(prefix="silhouette-train-")
        torch.multiprocessing.spawn(run, (a, meeting), a.workers)
    return f"{a.out}/weights.pt"


def run(rank, a, meeting):
    """One worker; the first also keeps the average, saves and scores."""
    spec = load_spec(a.spec)
    if meeting:
        forever = datetime.timedelta(days=7)  # a paused run is not a failure
        dist.init_process_group("gloo", f"file://{meeting}", timeout=forever, world_size=a.workers, rank=rank)
    size = a.size or spec["input"]["size"]
    side = cells(spec, size)
    torch.manual_seed(a.seed * 1000 + rank)
    torch.set_num_threads(1 if a.workers > 1 else torch.get_num_threads())
    pool = data.Pool(a.prepared)
    odds = np.cumsum(pool.odds())
    state = f"{a.out}/checkpoint.pt"

    def draw(step):
        """The batch of a step; a function of only seed and step, so that a resumed run continues with the same images."""
        g = torch.Generator().manual_seed(a.seed * 1_000_003 + step)
        ids = np.searchsorted(odds, torch.rand(a.batch, generator=g).numpy() * odds[-1]).clip(max=len(pool) - 1)
        g.manual_seed((a.seed * 1_000_003 + step) * a.workers + rank)
        return data.batch(pool, ids[rank :: a.workers], size, side, a.zoom, g)

    student = Student(spec, a.taps.split(",") if pool.teacher else [])
    net = student.net
    deviation = pool.scale * (127 / 6)
    resumed = torch.load(state) if os.path.exists(state) else None
    if resumed is None:
        if a.start:
            net.load_state_dict(torch.load(a.start))
        fresh = iter(range(10**9, 10**9 + 100))
        if pool.teacher:
            fit_adapters(student, lambda: draw(next(fresh)), max(2, 240 // a.batch))
    if meeting:
        for value in student.state_dict().values():
            dist.broadcast(value, 0)
    average = Average(net, a.ema)
    student = student.to(memory_format=torch.channels_last)
    student.freeze(a.freeze)
    body = [p for n, p in net.named_parameters() if p.requires_grad and not n.startswith("head")]
    fast = [*net.head.parameters(), *student.adapters.parameters()]
    groups = [{"params": body, "lr": a.lr}, {"params": fast, "lr": 3 * a.lr}]
    if a.optimizer == "adamw":
        optimizer = torch.optim.AdamW(groups, weight_decay=a.weight_decay)
    else:
        optimizer = torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=4e-5)
    peaks, step = [g["lr"] for g in optimizer.param_groups], 0
    if resumed is not None:
        student.load_state_dict(resumed["student"]), average.net.load_state_dict(resumed["average"])
        optimizer.load_state_dict(resumed["optimizer"])
        student.freeze(a.freeze)
        step = resumed["step"]
        print(f"resuming at step {step}", flush=True)

    def save():
        parts = {"student": student, "average": average.net, "optimizer": optimizer}
        save_as({"step": step} | {k: v.state_dict() for k, v in parts.items()}, state)
        save_as(average.net.state_dict(), f"{a.out}/weights.pt")
        pictures.curves(f"{a.out}/log.csv", f"{a.out}/curves.png")

    log = open(f"{a.out}/log.csv" if rank == 0 else os.devnull, "a", buffering=1)
    if step == 0:
        log.write("step,labels,teacher,features,miou\n")
    sums, since = np.zeros(3), time.time()
    while step < a.steps:
        for g, peak in zip(optimizer.param_groups, peaks):
            g["lr"] = peak * rate(a, step)
        x, y, soft_target, feature_target, inside = draw(step)
        torch.manual_seed((a.seed * 1_000_003 + step) * a.workers + rank)  # dropout's
        student.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=not a.float32):
            logits, features = student(x.to(memory_format=torch.channels_last))
        hard, kl, apart = losses(a, logits.float(), features.float(), y, soft_target, feature_target, inside, deviation)
        optimizer.zero_grad()
        (hard + a.teacher * kl + a.features * apart).backward()
        if meeting:
            share_gradients(optimizer, a.workers)
        nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 5)
        optimizer.step()
        step += 1
        if rank:
            continue
        average.take(net, step)
        sums += [hard.item(), kl.item(), apart.item()]
        last = step == a.steps
        if step % 50 == 0 or last:
            n = step % 50 or 50
            print(f"step {step}/{a.steps}  {n * a.batch / (time.time() - since):.1f} images/s  labels {sums[0] / n:.4f}  teacher {sums[1] / n:.4f}  features {sums[2] / n:.4f}", flush=True)
            miou = ""
            if a.voc and ((a.score_every and step % a.score_every == 0) or last):
                iou = score.voc(average.net, spec, a.voc, size)
                miou = f"{100 * np.nanmean(iou):.2f}"
                print(f"step {step}  mIOU {miou}", dict(zip(spec["labels"], np.round(100 * iou, 1).tolist())), flush=True)
            log.write(f"{step},{sums[0] / n:.5f},{sums[1] / n:.5f},{sums[2] / n:.5f},{miou}\n")
            sums[:], since = 0, time.time()
        if step % a.save_every == 0 or last:
            save()
    log.close()
    if rank == 0:
        x, y, *_ = draw(0)
        pictures.samples(average.net, spec, x[:8], y[:8], f"{a.out}/samples.png")
    if meeting:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
