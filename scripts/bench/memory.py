#!/usr/bin/env python3
"""Memory and cold start: every peer in a process of its own on the same float weights, and ours.

    pip install -r scripts/bench/requirements.txt
    scripts/bench/memory.py [--ours target/release/silhouette] [--repeats 5] [--threads 1] [--json FILE]

growth: the process's peak at the end of loading and one 513x513 inference, minus its size before the model is opened (with the library loaded and the image generated).
cold start, at 257x257: opening the model and computing the first result, minus the steady median; with the library loaded. Medians over fresh processes.
Ours from `silhouette bench --json`: growth_mib, open_ms, first_ms, median_ms; and also process_ms: from the start of the process to its first mask. Three variants: the model
file mapped without a cache, mapped with packed weights cached by an earlier run (--weight-cache), and read.
Linux only (/proc).
"""
import argparse
import json
import statistics
import tempfile
from pathlib import Path

import models
from engines import Worker
from peers import F32, bench_ours, cpu


def peer(engine, size, threads, model=None):
    """Growth in MiB and cold start in ms of one fresh process."""
    worker = Worker(engine, model or models.peer_model(engine, size), threads, size)
    steady = worker.run(5)
    worker.close()
    opened = worker.opened
    return opened["growth_mib"], opened["open_ms"] + opened["first_ms"] - steady


def ours(binary, model, size, threads, *more):
    told = bench_ours(binary, model, size, threads, 1 if size == 513 else 6, *more)
    return told["growth_mib"], told["open_ms"] + told["first_ms"] - told["median_ms"], told.get("process_ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", type=Path, help="the silhouette command, built with --release")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write all measurements here")
    arguments = parser.parse_args()

    measured = {}
    for engine in F32:
        grown = [peer(engine, 513, arguments.threads)[0] for _ in range(arguments.repeats)]
        cold = [peer(engine, 257, arguments.threads)[1] for _ in range(arguments.repeats)]
        measured[engine] = {"growth_mib": grown, "cold_ms": cold}
    quantised = [peer("litert", 513, arguments.threads, models.reference())[0] for _ in range(arguments.repeats)]
    measured["litert int8"] = {"growth_mib": quantised, "cold_ms": []}
    if arguments.ours:
        model = models.ours(arguments.ours)
        with tempfile.TemporaryDirectory() as cache:
            for name, more in (("silhouette", ("--mapped",)), ("silhouette, weights cached", ("--mapped", "--weight-cache", cache)), ("silhouette, model read", ())):
                for size in (513, 257) if "--weight-cache" in more else ():
                    ours(arguments.ours, model, size, arguments.threads, *more)  # keeps them
                grown = [ours(arguments.ours, model, 513, arguments.threads, *more)[0] for _ in range(arguments.repeats)]
                small = [ours(arguments.ours, model, 257, arguments.threads, *more) for _ in range(arguments.repeats)]
                measured[name] = {"growth_mib": grown, "cold_ms": [cold for _, cold, _ in small]}
                process = [whole for _, _, whole in small if whole is not None]
                if process:
                    measured[name]["process_ms"] = process

    print(f"{cpu()}, {arguments.threads} thread(s), width 1.0, medians of {arguments.repeats} fresh processes\n")
    print("| engine | growth at 513, MiB | cold start at 257, ms |")
    print("| --- | ---: | ---: |")
    for name, values in sorted(measured.items(), key=lambda item: statistics.median(item[1]["growth_mib"])):
        cold = f"{statistics.median(values['cold_ms']):.1f}" if values["cold_ms"] else ""
        print(f"| {name} | {statistics.median(values['growth_mib']):.1f} | {cold} |")
    for name, values in measured.items():
        if "process_ms" in values:
            print(f"\n{name}: from the start of the process to its first mask at 257 {statistics.median(values['process_ms']):.1f} ms")
    if arguments.json:
        arguments.json.write_text(json.dumps({"cpu": cpu(), "threads": arguments.threads, "measured": measured}, indent=1))


if __name__ == "__main__":
    main()
