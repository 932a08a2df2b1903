#!/usr/bin/env python3
"""Time of one inference: every peer on the same float weights, and ours, interleaved.

    pip install -r scripts/bench/requirements.txt
    scripts/bench/peers.py [--ours target/release/silhouette] [--sizes 513,257] [--threads 1,2] [--rounds 10] [--runs 5] [--json FILE]
    scripts/bench/peers.py --people --ours target/release/silhouette [--threads 1] [--rounds 10] [--runs 20]

Peers: from an image already in f32 to logits of the image's size ("to logits") and to the network's own small logits ("network"). Ours: from a photo in
memory to the category mask, and `network_ms`. A round runs every engine `--runs` times, one engine after the other, and takes each one's median; the ratio to the best f32 peer
is computed per round. --people: the built-in model of people in the photo's own shape and MediaPipe's selfie model (256x256, through LiteRT), networks alone;
and ours from the photo to its refined alpha, both at the photo's size. `litert int8` (the unmodified quantised file, to the mask) is shown, but is not an f32 peer. Without --ours only peers are timed.
"""
import argparse
import json
import platform
import statistics
import subprocess
import time
from pathlib import Path

import models
from engines import Worker

F32 = ("onnxruntime", "openvino", "mnn", "ncnn")


def cpu():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def bench_ours(binary, model, size, threads, runs, *more):
    """The last line of `silhouette bench`, as a dictionary."""
    time.sleep(0.2)  # as for the peers
    command = [binary, "bench", model, "--size", size, "--threads", threads, "--runs", runs, "--json", *more]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"silhouette bench failed: {result.stderr.strip()}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def compare(size, threads, rounds, runs, binary, our_model):
    """All engines at one size and thread count: {name: [median of each round]}."""
    workers = {}
    for engine in F32:
        workers[engine] = Worker(engine, models.peer_model(engine, size), threads, size)
        workers[engine + " network"] = Worker(engine, models.peer_model(engine, size, low=True), threads, size)
    if size == 513:
        workers["litert int8"] = Worker("litert", models.reference(), threads, size)
    for worker in workers.values():
        worker.run(2)
    times = {name: [] for name in workers}
    if binary:
        times |= {"silhouette": [], "silhouette network": []}
    for _ in range(rounds):
        for name, worker in workers.items():
            times[name].append(worker.run(runs))
        if binary:
            told = bench_ours(binary, our_model, size, threads, runs)
            times["silhouette"].append(told["median_ms"])
            times["silhouette network"].append(told["network_ms"])
    for worker in workers.values():
        worker.close()
    return times


def small_model(threads, rounds, runs, binary):
    """The float width-0.5 model at 257: LiteRT (to its small logits' own upsampling) and ours."""
    worker = Worker("litert", models.reference(models.SMALL), threads, 257)
    worker.run(2)
    if arguments.people and not arguments.ours:
        parser.error("--people needs --ours")
    our_model = models.ours(binary, models.SMALL) if binary else None
    times = {"litert f32": []} | ({"silhouette": [], "silhouette network": []} if binary else {})
    for _ in range(rounds):
        times["litert f32"].append(worker.run(runs))
        if binary:
            told = bench_ours(binary, our_model, 257, threads, runs)
            times["silhouette"].append(told["median_ms"])
            times["silhouette network"].append(told["network_ms"])
    worker.close()
    return times


def people(shape, threads, rounds, runs, binary):
    """MediaPipe's network and ours on a photo of a shape; ours also from the photo to its refined alpha."""
    worker = Worker("litert", models.reference(models.SELFIE), threads, 256)
    worker.run(2)
    photo = models.photo(*shape)
    times = {"litert network": [], "silhouette network": [], "silhouette to alpha": []}
    for _ in range(rounds):
        times["litert network"].append(worker.run(runs))
        told = bench_ours(binary, models.PERSON, 257, threads, runs, "--input-shape", "frame", "--photo", photo, "--effects")
        times["silhouette network"].append(told["network_ms"])
        times["silhouette to alpha"].append(told["stages"]["input_ms"] + told["network_ms"] + told["stages"]["refined_alpha_ms"])
    worker.close()
    return times


def rows_of(title, threads, times, peers):
    """Markdown rows, ratio of ours to the best of `peers` if both exist, and the JSON entry."""
    median = {name: statistics.median(values) for name, values in times.items()}
    entry = {"what": title, "threads": threads, "median_ms": median, "rounds": times}
    rows = []
    for name, values in sorted(times.items(), key=lambda item: (item[0].endswith(" network"), median[item[0]])):
        ratio = ""
        kind = " network" if name.endswith(" network") or peers == ("litert",) else ""
        best = min((peer + kind for peer in peers if peer + kind in times), key=median.get, default=None)
        if name.startswith("silhouette") and best:
            ratios = sorted(own / other for own, other in zip(values, times[best]))
            entry["ratio" + ("_network" if name.endswith(" network") else "")] = {"to": best, "min": ratios[0], "median": statistics.median(ratios), "max": ratios[-1]}
            ratio = f"{ratios[0]:.2f} / **{statistics.median(ratios):.2f}** / {ratios[-1]:.2f} of {best}"
        rows.append(f"| {title} | {threads} | {name} | {min(values):.1f} | {median[name]:.1f} | {max(values):.1f} | {ratio} |")
    return rows, entry


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", type=Path, help="the silhouette command, built with --release")
    parser.add_argument("--people", action="store_true", help="the model of people beside MediaPipe's, instead of the networks of 21 classes")
    parser.add_argument("--sizes", default="513,257")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write all measurements here")
    arguments = parser.parse_args()

    our_model = models.ours(arguments.ours) if arguments.ours and not arguments.people else None
    print(f"{cpu()}, {arguments.rounds} rounds of {arguments.runs} runs, ms\n")
    print("| network and size | threads | engine | min | median | max | ratio min / median / max |")
    print("| --- | ---: | --- | ---: | ---: | ---: | --- |")
    entries = []

    def report(title, threads, times, peers):
        rows, entry = rows_of(title, threads, times, peers)
        print("\n".join(rows), flush=True)
        entries.append(entry)

    for shape in ((960, 720), (1280, 720)) if arguments.people else ():
        for threads in map(int, arguments.threads.split(",")):
            times = people(shape, threads, arguments.rounds, arguments.runs, arguments.ours)
            report("people, {}x{}".format(*shape), threads, times, ("litert",))
    for size in map(int, arguments.sizes.split(",")) if not arguments.people else ():
        for threads in map(int, arguments.threads.split(",")):
            times = compare(size, threads, arguments.rounds, arguments.runs, arguments.ours, our_model)
            report(f"width 1.0, {size}x{size}", threads, times, F32)
            if size == 257:
                report("width 0.5, 257x257", threads, small_model(threads, arguments.rounds, arguments.runs, arguments.ours), ("litert f32",))
    if arguments.json:
        arguments.json.write_text(json.dumps({"cpu": cpu(), "measured": entries}, indent=1))


if __name__ == "__main__":
    main()
