#!/usr/bin/env python3
"""The paper's inference strategies (section 6.3, table 7) on images with ground truth: output stride 16 and 8, one scale and six, with and without mirror images.

    scripts/bench/strategies.py MODEL VOC WORK [--ours target/release/silhouette] [--every 5]    the scores, then the table
    scripts/bench/strategies.py MODEL VOC WORK --time [--pictures 5]                             first, on an idle machine: the times

MODEL is a model file of the V2* network (513x513, no ASPP), VOC a folder in PASCAL VOC's layout. Rows with one scale are scored on all its images; all rows, because of the slow
ones, also on every EVERYth image of its list, so that they are comparable. Results in WORK are not recomputed; an interrupted run can be resumed.
Rows of the paper without weights here (ASPP) have only costs. Multiply-adds are executed ones, per image; times are those of one thread,
for the fastest image.
Needs only Python.
"""
import argparse
import json
import subprocess
from pathlib import Path

SIX = "0.5,0.75,1,1.25,1.5,1.75"
ROWS = [(stride, scales, flip) for stride in (16, 8) for scales in ("1", SIX) for flip in (False, True)]


def name(stride, scales, flip):
    return f"os{stride}-{'six' if scales == SIX else 'one'}{'-flip' if flip else ''}"


def evaluate(a, row, listed, out, threads):
    """The report of `silhouette eval` for a row on the images of a list."""
    stride, scales, flip = row
    if not out.exists():
        call = [a.ours, "eval", "--voc", a.voc, "--list", listed, "--model", a.model, "--scales", scales, "--output-stride", stride, "--threads", threads, "--input-shape", "square", "--json", out]
        subprocess.run([str(part) for part in call + (["--flip"] if flip else [])], check=True, stdout=subprocess.DEVNULL)
    return json.loads(out.read_text())


def take(a, every, out):
    """A list of every n-th image."""
    names = (a.voc / "val.txt").read_text().split()[::every]
    out.write_text("\n".join(names) + "\n")
    return out.resolve(), len(names)


def published(a):
    """The paper's segmentation rows with our counts, from `silhouette info --table paper`."""
    told = subprocess.run([str(a.ours), "info", "--table", "paper", "--json"], check=True, capture_output=True, text=True).stdout
    return [row for row in json.loads(told)["segmentation"] if row["published"] and row["network"] == "V2*"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("voc", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--ours", type=Path, default=Path("target/release/silhouette"))
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--time", action="store_true", help="measure only the times")
    parser.add_argument("--pictures", type=int, default=5, help="number of images to take the shortest time of")
    a = parser.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    if a.time:
        every = -(-len((a.voc / "val.txt").read_text().split()) // a.pictures)
        listed, _ = take(a, every, a.work / "timed.txt")
        for row in ROWS:
            told = evaluate(a, row, listed, a.work / f"time-{name(*row)}.json", 1)
            print(f"{name(*row):14} {told['min_ms']:8.1f} ms, median {told['median_ms']:.1f}", flush=True)
        return
    pictures = len((a.voc / "val.txt").read_text().split())
    subset, count = take(a, a.every, a.work / "subset.txt")
    both = count < pictures  # otherwise one column suffices
    paper = {(row["output_stride"], row["six_scales_and_flips"]): row["published"]["miou"] for row in published(a) if not row["aspp"]}
    some, whole = {}, {}
    for row in sorted(ROWS, key=lambda row: (row[1] == SIX, row[0], row[2])):
        some[row] = evaluate(a, row, subset, a.work / f"some-{name(*row)}.json", a.threads)
        if row[1] == "1" and both:
            whole[row] = evaluate(a, row, "val.txt", a.work / f"all-{name(*row)}.json", a.threads)
    many = f"mIOU, {pictures} images | " if both else ""
    print(f"| network | OS | scales | mirrored | {many}mIOU, {count} pictures | MACs (B) | ms | paper's mIOU |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |" + (" ---: |" if both else ""))
    for row in ROWS:
        stride, scales, flip = row
        timed = a.work / f"time-{name(*row)}.json"
        ms = f"{json.loads(timed.read_text())['min_ms']:.0f}" if timed.exists() else ""
        # The paper's rows: one scale at output stride 16, everything at 8.
        known = paper.get((stride, scales == SIX)) if flip == (scales == SIX) else None
        all_of_them = "" if not both else f"{whole[row]['miou']:.2f} | " if row in whole else " | "
        print(
            f"| V2* | {stride} | {'six' if scales == SIX else 'one'} | {'yes' if flip else 'no'} | {all_of_them}{some[row]['miou']:.2f} "
            f"| {some[row]['macs'] / 1e9:.2f} | {ms} | {f'{known:.2f}' if known else ''} |"
        )
    for row in published(a):
        if row["aspp"]:
            full = row["six_scales_and_flips"]
            print(
                f"| V2* with ASPP | {row['output_stride']} | {'six' if full else 'one'} | {'yes' if full else 'no'} | {'cost only | ' if both else ''}cost only "
                f"| {row['macs'] / 1e9:.2f} | | {row['published']['miou']:.2f} |"
            )


if __name__ == "__main__":
    main()
