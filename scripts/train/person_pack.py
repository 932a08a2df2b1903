"""The training of the person network as one archive that needs only Python with torch, numpy and pillow: images, code, checkpoint, and a command that trains.

person_pack.py pack POOL RUN OUT.tar [--limit MB]   POOL is a folder written by person_data.py, RUN the folder of a run of person.py
person_pack.py unpack PICTURES POOL                 the first step of the archive's command

Images with people come first, then others up to the limit; they are WebP, alpha and sureness the two channels of a PNG.
"""

import argparse
import io
import json
import os
import tarfile

import numpy as np
import torch.multiprocessing as mp
from PIL import Image

from person_data import pool_arrays
from person_draw import EMPTY, Pool

HERE = os.path.dirname(os.path.abspath(__file__))
CODE = ("network.py", "train.py", "data.py", "pictures.py", "score.py", "person.py", "person_data.py", "person_draw.py", "person_pack.py", "person_score.py", "specs/person.json")
COMMAND = """#!/usr/bin/env bash
# train MINUTES OUT [arguments of person.py]: continues the training in this archive, on a GPU if there is one, and leaves OUT/checkpoint.pt and OUT/weights.pt.
set -euo pipefail
minutes=${1:?train MINUTES OUT} out=${2:?train MINUTES OUT}
here=$(cd "$(dirname "$0")" && pwd)
python=${SILHOUETTE_PYTHON:-python3}
shift 2
mkdir -p "$out"
[ -e "$here/pool/index.json" ] || "$python" -B "$here/code/person_pack.py" unpack "$here/pictures" "$here/pool"
[ -e "$out/checkpoint.pt" ] || cp "$here/checkpoint.pt" "$out/"
exec "$python" -B "$here/code/person.py" "$here/pool" --spec "$here/code/specs/person.json" --out "$out" --minutes "$minutes" --save-minutes 2 "$@"
"""


def encoded(job):
    """An image and its alpha and sureness as files."""
    folder, i, quality = job
    pool = Pool(folder)
    values = (pool.layers(i) * 255).round().byte().permute(1, 2, 0).numpy()
    picture, rest = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values[..., :3])).save(picture, "webp", quality=quality, method=4)
    Image.fromarray(np.ascontiguousarray(values[..., 3:]), "LA").save(rest, "png", optimize=True)
    return i, picture.getvalue(), rest.getvalue()


def pack(a):
    pool = Pool(a.pool)
    rng = np.random.default_rng(0)
    people = [i for i, entry in enumerate(pool.index) if entry["person"] > 0.002]
    others = [i for i, entry in enumerate(pool.index) if entry["person"] <= 0.002]
    odds = np.array([EMPTY.get(pool.index[i]["source"], 0.25) for i in others])
    others = [others[k] for k in rng.choice(len(others), len(others), replace=False, p=odds / odds.sum())] if others else []
    with tarfile.open(a.out + ".new", "w") as archive, mp.get_context("fork").Pool(a.workers) as processes:

        def add(name, content, mode=0o644):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))

        add("train", COMMAND.encode(), 0o755)
        for name in CODE:
            with open(f"{HERE}/{name}", "rb") as file:
                add(f"code/{name}", file.read())
        with open(f"{a.run}/checkpoint.pt", "rb") as file:
            add("checkpoint.pt", file.read())
        index = []
        for i, picture, rest in processes.imap(encoded, [(a.pool, i, a.quality) for i in people + others], 8):
            if archive.offset + len(picture) + len(rest) > a.limit * 1e6 - 300 * len(index) - 1e6:
                break
            add(f"pictures/{i}.webp", picture), add(f"pictures/{i}.png", rest)
            index.append({"name": i} | pool.index[i])
        add("pictures/index.json", json.dumps(index).encode())
    os.replace(a.out + ".new", a.out)
    print(f"{a.out}: {os.path.getsize(a.out) / 1e6:.1f} MB, {len(index)} pictures of {len(pool.index)}, {sum(e['person'] > 0.002 for e in index)} with people")


def read_some(rank, a, index, spans):
    rgb, alpha, sure = (np.memmap(f"{a.pool}/{n}.bin", np.uint8, "r+") for n in ("rgb", "alpha", "sure"))
    for entry, (at, end) in list(zip(index, spans))[rank :: a.workers]:
        rgb[3 * at : 3 * end] = np.asarray(Image.open(f"{a.pictures}/{entry['name']}.webp").convert("RGB")).ravel()
        rest = np.asarray(Image.open(f"{a.pictures}/{entry['name']}.png"))
        alpha[at:end], sure[at:end] = rest[..., 0].ravel(), rest[..., 1].ravel()


def unpack(a):
    with open(f"{a.pictures}/index.json", encoding="utf-8") as file:
        index = json.load(file)
    spans = pool_arrays(a.pool, [e["size"] for e in index])
    mp.start_processes(read_some, (a, index, spans), a.workers, start_method="fork")
    for entry, (at, _) in zip(index, spans):
        entry["at"] = at
    with open(f"{a.pool}/index.json", "w", encoding="utf-8") as file:
        json.dump(index, file)
    print(f"{len(index)} pictures in {a.pool}", flush=True)


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ways = p.add_subparsers(dest="way", required=True)
    q = ways.add_parser("pack")
    q.add_argument("pool")
    q.add_argument("run")
    q.add_argument("out")
    q.add_argument("--limit", type=float, default=60, help="maximum size of the archive, in MB")
    q.add_argument("--quality", type=int, default=60)
    r = ways.add_parser("unpack")
    r.add_argument("pictures")
    r.add_argument("pool")
    for parser in (q, r):
        parser.add_argument("--workers", type=int, default=os.cpu_count())
    a = p.parse_args(argv)
    (pack if a.way == "pack" else unpack)(a)


if __name__ == "__main__":
    main()
