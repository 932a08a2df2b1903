"""Trains all units of the network together, each towards the teacher's map at the same position; continues from the output of blocks.py.

The student has the teacher's shape, so once its narrow maps are in the teacher's basis (blocks.py starts them there) they are compared directly,
without adapters. Loss: the unexplained share of each channel's variance at the end of every unit, Kullback-Leibler divergence from the teacher's logits, cross-entropy
on the labels. The teacher runs on the same windows: its maps at the student's size, its logits at a larger one, where it is much better.

Batch norm keeps its statistics, and each layer's bias is kept at the mean of its input instead of at zero (`network.centred`): otherwise every step of
a weight shifts the mean of everything after it. AdamW, linear to zero; the average of the weights is saved and scored.

joint.py PREPARED --start WEIGHTS.pt --teacher TEACHER.tflite --out FOLDER
"""

import argparse
import contextlib
import json
import os
import signal
import time

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F

import data
import score
from network import Conv, Network, answers, cells, centre, fitted, fold, load_spec, settle, units
from prepare import load_teacher
from train import Average, labelled, save_as


def arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("prepared", nargs="+", help="folders written by prepare.py; the teacher's outputs in them are not read")
    p.add_argument("--spec", default=os.path.join(os.path.dirname(__file__), "specs", "voc21.json"))
    p.add_argument("--out", required=True, help="folder of this run: checkpoint.pt, weights.pt")
    p.add_argument("--start", required=True, help="state dict to start from, in the teacher's basis")
    p.add_argument("--teacher", required=True, help="a quantised DeepLabV3 .tflite of the spec's shape, or a model file written by export.py")
    p.add_argument("--steps", type=int, default=3000)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--size", type=int, help="side of the training window; default: the spec's input size")
    p.add_argument("--frames", type=float, default=0.0, help="share of the batches whose windows have an image's shape, 4:3 or 3:4, instead of a square")
    p.add_argument("--frame-size", type=int, default=321, help="longer side of these windows")
    p.add_argument("--teacher-size", type=int, default=385, help="side of the window for the teacher's logits")
    p.add_argument("--lr", type=float, default=1.5e-3, help="learning rate of the late units; weights have rows of mean square 1")
    p.add_argument("--late", type=int, default=13, help="first of the late units; the others use --early times the rate")
    p.add_argument("--early", type=float, default=0.3)
    p.add_argument("--freeze", type=int, default=0, help="number of first units that are frozen (their backward pass costs most)")
    p.add_argument("--ema", type=float, default=0.995)
    p.add_argument("--maps", type=float, default=2.0, help="weight of the teacher's maps")
    p.add_argument("--logits", type=float, default=1.0, help="weight of the teacher's logits")
    p.add_argument("--labels", type=float, default=0.5, help="weight of the labels")
    p.add_argument("--zoom", type=float, nargs=2, default=(0.6, 1.3), help="side of the window divided by side of the square")
    p.add_argument("--colour", type=float, default=0.5, help="strength of colour changes, blur and noise: at full strength the teacher itself is wrong more often")
    p.add_argument("--held", help="held.json of prepare.py: scores mIOU on these images at every save")
    p.add_argument("--save-every", type=int, default=150)
    p.add_argument("--ahead", type=int, default=0, help="number of batches that a second process prepares in advance, with the teacher's outputs, on the cores that this one is not bound to")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--float32", action="store_true", help="no bfloat16")
    return p.parse_args(argv)


def left(ours, theirs, variances):
    """The share of the variance of the teacher's maps that ours leave unexplained, mean over channels; one number per unit."""
    return torch.stack([(((o.float() - t.float()) ** 2).mean((0, 2, 3)) / v).mean() for o, t, v in zip(ours, theirs, variances)])


def divergence(logits, taught, inside):
    """Kullback-Leibler divergence of our logits from the teacher's, mean over the cells in the image."""
    each = F.kl_div(F.log_softmax(logits, 1), F.softmax(taught, 1), reduction="none").sum(1)
    return (each * inside).sum() / inside.sum().clamp_min(1)


class Run:
    """The networks of a training, its batches and its losses."""

    def __init__(self, a):
        self.a, self.spec = a, load_spec(a.spec)
        self.size = a.size or self.spec["input"]["size"]
        self.pool = data.Pool(a.prepared, teacher=False)
        self.odds = np.cumsum(self.pool.odds())
        self.last = {"memory_format": torch.channels_last}
        self.teacher = units(fold(load_teacher(self.spec, a.teacher)).to(**self.last))
        self.net = Network(self.spec)
        self.net.load_state_dict(torch.load(a.start))
        self.net = self.net.to(**self.last).eval()
        self.ours = units(self.net)
        with torch.no_grad():
            maps = [self.taught(self.draw(-1 - i)[0])[0] for i in range(4)]
        # Images may differ in shape, but not within a batch.
        self.variances = [torch.cat([b.float().transpose(0, 1).flatten(1) for b in m], 1).var(1).clamp_min(1e-4) for m in zip(*maps)]

    def draw(self, step):
        """The batch of a step, a function of only seed and step: images, labels, 1 where a cell is in the image. Negative steps are drawn for evaluation."""
        g = torch.Generator().manual_seed((self.a.seed * 1_000_003 + step) % 2**63)
        ids = np.searchsorted(self.odds, torch.rand(self.a.batch, generator=g).numpy() * self.odds[-1]).clip(max=len(self.pool) - 1)
        size = (self.size, self.size)
        if torch.rand(1, generator=g) < self.a.frames:
            shape = (4, 3) if torch.rand(1, generator=g) < 0.7 else (3, 4)
            size = fitted(self.a.frame_size, *shape)
            ids = self.upright(ids, shape, g)
        x, y, _, _, inside = data.batch(self.pool, ids, size, tuple(cells(self.spec, s) for s in size), self.a.zoom, g, self.a.colour)
        return x.contiguous(**self.last), y, inside

    def upright(self, ids, shape, generator):
        """This many images, preferably of this shape: more are drawn, and those of the other orientation are last."""
        more = np.searchsorted(self.odds, torch.rand(2 * len(ids), generator=generator).numpy() * self.odds[-1]).clip(max=len(self.pool) - 1)
        both = np.concatenate([ids, more])
        width, height = self.pool.stack("V", both).numpy().T
        other = (width < height) != (shape[0] < shape[1])
        return both[np.argsort(other, kind="stable")[: len(ids)]]

    def half(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=not self.a.float32)

    @torch.no_grad()
    def taught(self, x):
        """The teacher's maps, and its logits from a larger window, resampled to the student's map."""
        with self.half():
            maps = answers(self.teacher, x)[1:]
            larger = tuple(round((s - 1) * self.a.teacher_size / self.size / 16) * 16 + 1 for s in x.shape[2:])
            large = F.interpolate(x, larger, mode="bilinear", align_corners=True)
            logits = answers(self.teacher, large.contiguous(**self.last))[-1].float()
        return maps[:-1], F.interpolate(logits, maps[-1].shape[2:], mode="bilinear", align_corners=True)

    def batch(self, step):
        """The batch of a step with the teacher's outputs."""
        x, y, inside = self.draw(step)
        return x, y, inside, *self.taught(x)

    def losses(self, batch):
        """Share of variance left at every unit but the head, divergence from the teacher's logits, cross-entropy on the labels."""
        x, y, inside, maps, logits = batch
        own = [x]
        for index, unit in enumerate(self.ours):
            with self.half(), torch.set_grad_enabled(index >= self.a.freeze):
                own.append(unit(own[-1]))
        answer = own[-1].float()
        return left(own[1:-1], maps, self.variances), divergence(answer, logits, inside), labelled(answer, y)


class Ahead:
    """A second process that prepares batches in advance, with the teacher's outputs; they are the same in either process, so the run is the same with it and without."""

    def __init__(self, run, first, depth):
        self.run, self.depth, self.got = run, depth, {}
        context = mp.get_context("fork")
        self.ready, self.now, self.next = context.Queue(), context.Value("q", first), context.Value("q", first)
        self.other = context.Process(target=self.make, args=(os.getpid(),), daemon=True) if depth else None
        if self.other:
            self.other.start()

    def claim(self):
        """A step whose batch no process has begun."""
        with self.next.get_lock():
            self.next.value = step = max(self.next.value, self.now.value)
            self.next.value += 1
        return step

    def make(self, parent):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # however the caller handles it, this process ends on it
        others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else ()
        if others:
            os.sched_setaffinity(0, others)
        while True:
            while self.next.value > self.now.value + self.depth:
                if os.getppid() != parent:
                    return
                time.sleep(0.01)
            step = self.claim()
            self.ready.put((step, self.run.batch(step)))

    def take(self, step):
        """The batch of a step. If the other process has not finished it, this one computes the next unclaimed batch; if it is still missing then, it computes it itself."""
        self.now.value = step
        self.receive()
        if step not in self.got:
            number = self.claim()
            self.got[number] = self.run.batch(number)
            self.receive()
        batch = self.got.get(step) or self.run.batch(step)
        self.got = {n: b for n, b in self.got.items() if n > step}
        return batch

    def close(self):
        """Ends the other process."""
        if self.other:
            self.other.kill()
            self.other.join()

    def receive(self):
        while not self.ready.empty():
            number, batch = self.ready.get()
            self.got[number] = batch


def main(argv=None):
    a = arguments(argv)
    os.makedirs(a.out, exist_ok=True)
    torch.set_num_threads(1)
    run = Run(a)
    net = run.net
    for unit in run.ours[: a.freeze]:
        unit.requires_grad_(False)
    body, late = ([p for u in part for p in u.parameters()] for part in (run.ours[a.freeze : a.late], run.ours[max(a.freeze, a.late) :]))
    optimizer = torch.optim.AdamW([{"params": body, "share": a.early}, {"params": late, "share": 1.0}], a.lr, betas=(0.9, 0.99), weight_decay=0)
    step, state, resumed = 0, f"{a.out}/checkpoint.pt", None
    if os.path.exists(state):
        resumed = torch.load(state)
        net.load_state_dict(resumed["net"]), optimizer.load_state_dict(resumed["optimizer"])
        step = resumed["step"]
        print(f"resuming at step {step}", flush=True)
    layers = [m for m in net.modules() if isinstance(m, Conv)]
    if resumed:
        for layer, mean in zip(layers, resumed["centres"]):
            layer.centre = mean
    else:
        with run.half():
            centre(net, [run.draw(-1 - i)[0] for i in range(4)])
    average = Average(net, a.ema)
    if resumed:
        average.net.load_state_dict(resumed["average"])
    held = json.load(open(a.held, encoding="utf-8")) if a.held else []
    sums, since, count = np.zeros(3), time.time(), 0
    with contextlib.closing(Ahead(run, step, a.ahead)) as ahead:
        while step < a.steps:
            for group in optimizer.param_groups:
                group["lr"] = a.lr * group["share"] * min(1, (step + 1) / 20) * (1 - step / a.steps)
            maps, kl, hard = run.losses(ahead.take(step))
            optimizer.zero_grad()
            (a.maps * maps.mean() + a.logits * kl + a.labels * hard).backward()
            optimizer.step()
            step += 1
            average.take(net, step)
            sums, count = sums + [maps.mean().item(), kl.item(), hard.item()], count + 1
            if count == 25 or step == a.steps:
                print(f"step {step}/{a.steps}  {count * a.batch / (time.time() - since):.1f} images/s  maps {{:.4f}}  teacher {{:.4f}}  labels {{:.4f}}".format(*sums / count), flush=True)
                sums, since, count = np.zeros(3), time.time(), 0
            if step % a.save_every == 0 or step == a.steps:
                settle(net), settle(average.net)
                whole = {"net": net, "average": average.net, "optimizer": optimizer}
                save_as({"step": step, "centres": [m.centre for m in layers]} | {k: v.state_dict() for k, v in whole.items()}, state)
                save_as(average.net.state_dict(), f"{a.out}/weights.pt")
                if held:
                    print(f"step {step}  mIOU on held-out images {100 * np.nanmean(score.pairs(average.net, run.spec, held, run.size)):.2f}", flush=True)
                    if a.frames:
                        framed = score.pairs(average.net, run.spec, held, a.frame_size, frame=True)
                        print(f"step {step}  in their own shape at {a.frame_size} {100 * np.nanmean(framed):.2f}", flush=True)


if __name__ == "__main__":
    main()
