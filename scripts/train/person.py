"""Trains the person network (specs/person.json) on the output of person_data.py; can be stopped and resumed at any point, on CPUs or a CUDA GPU.

person.py POOL --out FOLDER --start DEEPLAB.tflite [--minutes N] [--finish]

FOLDER receives checkpoint.pt (network, average, optimiser, step: everything needed to resume; written atomically), weights.pt (the average, for export.py) and log.
Batches are a function of seed and step. The rate is constant after a warm-up; with --finish it falls to zero towards the end of the run's minutes, by the clock.

Loss: binary cross-entropy of alpha, with more weight at the border; one minus the IoU of alpha, per image; the gradient of alpha at borders; the
difference between two outputs for one image, moved by a few pixels and with other lighting.
"""

import argparse
import json
import os
import signal
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

import person_draw
import person_score
from network import Network, load_spec
from train import Average, save_as, share_gradients


def arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("pool", help="a folder written by person_data.py")
    p.add_argument("--spec", default=os.path.join(os.path.dirname(__file__), "specs", "person.json"))
    p.add_argument("--out", required=True)
    p.add_argument("--start", help="initial weights without a checkpoint: a .tflite whose extractor has the spec's shape, or a state dict")
    p.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    p.add_argument("--minutes", type=float, default=1e9, help="duration of this call")
    p.add_argument("--steps", type=int, default=10**9, help="total number of steps")
    p.add_argument("--finish", type=float, default=0.0, metavar="SHARE", help="last share of this call's minutes, over which the rate falls to zero")
    p.add_argument("--batch", type=int, default=12)
    p.add_argument("--lr", type=float, default=2e-3, help="learning rate of head and decoder")
    p.add_argument("--extractor", type=float, default=0.3, help="the extractor's rate as a share of it")
    p.add_argument("--freeze", type=int, default=0, help="number of first blocks that are frozen, with the stem")
    p.add_argument("--weight-decay", type=float, default=1e-2)
    p.add_argument("--ema", type=float, default=0.998)
    p.add_argument("--steady", type=float, default=2.0, help="weight of the difference between two outputs for one image")
    p.add_argument("--composite", type=float, default=0.45, help="share of composite images")
    p.add_argument("--longer", type=int, default=257, help="longer side of most windows; starting with smaller ones is cheaper")
    p.add_argument("--workers", type=int, default=1, help="processes of one thread each that share every batch (CPU)")
    p.add_argument("--loaders", type=int, default=None, help="processes that draw batches ahead; default: none on a CPU, otherwise the number of cores minus two")
    p.add_argument("--save-minutes", type=float, default=3)
    p.add_argument("--score", nargs="*", default=[], help="tar files whose images for model selection are scored during training")
    p.add_argument("--score-minutes", type=float, default=15)
    p.add_argument("--log-every", type=int, default=50)
    p.add_argument("--bf16", action="store_true", help="bfloat16 on a CPU too (on a GPU it always is)")
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args(argv)
    a.device = ("cuda" if torch.cuda.is_available() else "cpu") if a.device == "auto" else a.device
    a.workers = 1 if a.device == "cuda" else a.workers
    a.loaders = (0 if a.device == "cpu" else max(1, (os.cpu_count() or 4) - 2)) if a.loaders is None else a.loaders
    return a


class Batches(torch.utils.data.Dataset):
    """A rank's part of the batch of each step."""

    def __init__(self, a, rank):
        self.a, self.rank, self.pool = a, rank, None

    def __getitem__(self, step):
        torch.set_num_threads(1)
        self.pool = self.pool or person_draw.Pool(self.a.pool)
        return person_draw.batch(self.pool, self.a.seed, step, self.a.batch // self.a.workers, self.a.composite, self.a.longer, self.rank)


class Steps:
    """The steps starting at `first`, without end."""

    def __init__(self, first):
        self.first = first

    def __iter__(self):
        step = self.first
        while True:
            yield step
            step += 1


def begin(a, pool):
    """The initial network of a run without checkpoint."""
    torch.manual_seed(a.seed)
    net = Network(load_spec(a.spec))
    if a.start and a.start.endswith(".tflite"):
        import tflite  # its reader is needed only here

        layers, _ = tflite.extractor(net, a.start)
        tflite.restore_batch_norm(net, layers, (person_draw.batch(pool, a.seed, -1 - i, 12, a.composite)[0] for i in range(8)))
    elif a.start:
        net.load_state_dict(torch.load(a.start, map_location="cpu"))
    return net


def border(alpha, reach):
    """1 within `reach` pixels of where alpha crosses one half."""
    person = (alpha > 0.5).float()
    grow = lambda v: F.max_pool2d(v, 2 * reach + 1, 1, reach)
    return grow(person) * grow(1 - person)


def losses(logits, alpha, weight):
    """Cross-entropy, one minus the IoU, and the difference of alpha's gradients at borders; means over known pixels. All at the size of the logits (a fraction of the cost of
    full size): inputs are 16 n + 1, so with aligned corners each logit is on a pixel."""
    step = (alpha.shape[2] - 1) // (logits.shape[2] - 1)
    alpha, weight = alpha[:, :, ::step, ::step], weight[:, :, ::step, ::step]
    at = border(alpha, max(1, 4 // step))
    weighted = weight * (1 + 3 * at)
    entropy = (F.binary_cross_entropy_with_logits(logits, alpha, reduction="none") * weighted).sum() / weighted.sum().clamp_min(1)
    ours, sums = logits.sigmoid(), lambda v: (v * weight).sum((1, 2, 3))
    both, either = sums(ours * alpha), sums(ours + alpha - ours * alpha)
    present = (sums(alpha) > 30).float()
    overlap = ((1 - (both + 10) / (either + 10)) * present).sum() / present.sum().clamp_min(1)
    steps = logits.new_zeros(())
    for axis in (2, 3):
        difference = (ours - alpha).diff(dim=axis).abs()
        pair = (at * weight).narrow(axis, 1, at.shape[axis] - 1)
        steps = steps + (difference * pair).sum() / pair.sum().clamp_min(1)
    return entropy, overlap, steps


def unsteady(logits, size, moved):
    """Mean difference between the alpha of the last image and that of the first, which shows the same `moved` pixels further, over their common part."""
    (x, y), (rows, columns) = moved.tolist(), size
    theta = logits.new_tensor([[[1, 0, 2 * x / (columns - 1)], [0, 1, 2 * y / (rows - 1)]]])
    ours = logits[[0, -1]].sigmoid()
    first = F.grid_sample(ours[:1], F.affine_grid(theta, ours[:1].shape, align_corners=True), padding_mode="border", align_corners=True)
    return (first - ours[1:])[:, :, 2:-2, 2:-2].abs().mean()


def score(net, spec, held, say):
    rows = person_score.by_source(person_score.Predictor(net, spec), held)
    for name, some in sorted(rows.items()):
        say(person_score.line(f"  {name}", person_score.summary(some)))
    say(person_score.line("  all", person_score.summary([r for some in rows.values() for r in some])))


def cores():
    """Number of cores that this process may use: fewer than the machine has, if it is bound to some."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def train(rank, a):
    torch.set_num_threads(1 if a.workers > 1 else cores())
    if a.workers > 1:
        dist.init_process_group("gloo", init_method=f"file://{os.path.abspath(a.out)}/.meeting-{os.getppid()}", rank=rank, world_size=a.workers)
    os.makedirs(a.out, exist_ok=True)

    def say(text):
        if rank == 0:
            print(text, flush=True)
            with open(f"{a.out}/log", "a", encoding="utf-8") as log:
                print(text, file=log)

    stop, parent = [], os.getppid()
    before = signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    try:
        learn(rank, a, say, stop, parent)
    finally:
        signal.signal(signal.SIGTERM, before)


def mortal(_):
    """Initialises a process that loads batches: the inherited handler would keep SIGTERM from ending it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def learn(rank, a, say, stop, parent):
    """The training itself, until its time is up, its steps are done, or `stop` is no longer empty."""
    device, spec = torch.device(a.device), load_spec(a.spec)
    pool = person_draw.Pool(a.pool)
    held = []
    if rank == 0 and a.score:
        from person_data import of_split

        held = of_split(a.score, "choosing")
    path = f"{a.out}/checkpoint.pt"
    state = torch.load(path, map_location="cpu") if os.path.exists(path) else None
    net = Network(spec) if state else begin(a, pool)
    if state:
        net.load_state_dict(state["net"])
    net = net.to(device, memory_format=torch.channels_last)
    average = Average(net, a.ema)
    frozen = [net.stem, *list(net.blocks.values())[: a.freeze]] if a.freeze else []
    for module in frozen:
        module.requires_grad_(False)
    fixed = frozen + [net.head.pool] * hasattr(net.head, "pool")  # the pooled branch has one value per image: too few for statistics
    groups = ([p for n, p in net.named_parameters() if n.startswith("head") == head and p.requires_grad] for head in (False, True))
    optimizer = torch.optim.AdamW(
        [{"params": params, "share": share} for params, share in zip(groups, (a.extractor, 1.0)) if params], a.lr, betas=(0.9, 0.99), weight_decay=a.weight_decay
    )
    step = 0
    if state:
        step = state["step"]
        average.net.load_state_dict(state["average"])
        try:
            optimizer.load_state_dict(state["optimizer"])
        except ValueError:
            say("other blocks are trained than before: the optimiser is reset")
        shares = (a.extractor, 1.0)[-len(optimizer.param_groups) :]
        for group, share in zip(optimizer.param_groups, shares):
            group["share"], group["weight_decay"] = share, a.weight_decay
        say(f"resuming at step {step}")
    params = [p for group in optimizer.param_groups for p in group["params"]]
    half = torch.autocast(a.device, torch.bfloat16, enabled=a.device == "cuda" or a.bf16)
    loader = iter(
        torch.utils.data.DataLoader(
            Batches(a, rank),
            None,
            sampler=Steps(step),
            num_workers=a.loaders,
            pin_memory=a.device == "cuda",
            prefetch_factor=4 if a.loaders else None,
            worker_init_fn=mortal,
        )
    )

    def save():
        if rank == 0:
            whole = {"net": net.state_dict(), "average": average.net.state_dict(), "optimizer": optimizer.state_dict()}
            save_as({"step": step} | whole, path)
            save_as({k: v.cpu() for k, v in average.net.state_dict().items()}, f"{a.out}/weights.pt")

    begun = saved = scored = told = time.monotonic()
    sums, count, warm = torch.zeros(4, device=device), 0, step
    while step < a.steps:
        share = (time.monotonic() - begun) / 60 / a.minutes
        signals = torch.tensor([min(share, 1.0), float(bool(stop) or a.workers > 1 and os.getppid() != parent)]) * (rank == 0)  # the first reports for all
        x, alpha, weight, moved = (v.to(device, non_blocking=True) for v in next(loader))
        net.train()
        for module in fixed:
            module.eval()
        with half:
            logits = net(x.contiguous(memory_format=torch.channels_last))
        logits = logits.float()
        parts = (*losses(logits, alpha, weight), unsteady(logits, x.shape[2:], moved))
        optimizer.zero_grad()
        (parts[0] + 0.5 * parts[1] + 0.25 * parts[2] + a.steady * parts[3]).backward()
        if a.workers > 1:
            share_gradients(optimizer, a.workers)
            dist.all_reduce(signals)
        share, stopped = signals.tolist()
        if share >= 1 or stopped:
            break  # a resumed run repeats this step
        torch.nn.utils.clip_grad_norm_(params, 2.0)
        fall = min(1.0, (1 - share) / a.finish) if a.finish else 1.0
        for group in optimizer.param_groups:
            group["lr"] = a.lr * group["share"] * fall * min(1, (step - warm + 1) / 50)
        optimizer.step()
        step += 1
        average.take(net, step)
        sums, count = sums + torch.stack([p.detach() for p in parts]), count + 1
        now = time.monotonic()
        if step % a.log_every == 0:
            entropy, overlap, steps, difference = (sums / count).tolist()
            say(f"step {step}  {count * a.batch / (now - told):.1f} pictures/s  entropy {entropy:.4f}  overlap {overlap:.4f}  steps {steps:.4f}  unsteady {difference:.4f}  rate {optimizer.param_groups[-1]['lr']:.2e}")
            sums, count, told = sums * 0, 0, now
        if now - saved > 60 * a.save_minutes:
            save()
            saved = now
        if held and now - scored > 60 * a.score_minutes:
            say(f"step {step}, images for model selection:")
            score(average.net, spec, held, say)
            scored = told = time.monotonic()
    save()
    if held:
        say(f"step {step}, at the end, images for model selection:")
        score(average.net, spec, held, say)


def main(argv=None):
    a = arguments(argv)
    os.makedirs(a.out, exist_ok=True)
    with open(f"{a.out}/arguments.json", "w", encoding="utf-8") as file:
        json.dump(vars(a), file, indent=1)
    if a.workers > 1:
        workers = mp.spawn(train, (a,), a.workers, join=False)
        before = signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in workers.processes])
        try:
            while not workers.join():
                pass
        finally:
            signal.signal(signal.SIGTERM, before)
    else:
        train(0, a)


if __name__ == "__main__":
    main()
