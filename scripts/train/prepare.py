"""Reads images with masks and writes the arrays that training reads (see data.py), with the teacher's outputs.

Sources, any number of each: tar files of NAME.jpg|png|webp with NAME.png next to it, folders in PASCAL VOC's layout with a list of names, folders of
images and of masks, and (--paste) objects of thin classes cut out of all these and pasted into others of them.
Masks hold class indices; 254 is 'not labelled', 255 'void': there the teacher is the only target.
"""

import argparse
import glob
import json
import os
import tarfile
import zlib

import numpy as np
import torch
from PIL import Image

import data
import export
import paste
from network import Network, cells, fold, load_spec

PICTURES = (".jpg", ".jpeg", ".webp", ".png")


def tar(path, folder):
    """Pairs from a tar file, unpacked into a folder."""
    out = os.path.join(folder, os.path.splitext(os.path.basename(path))[0])
    if not os.path.isdir(out):
        with tarfile.open(path) as archive:
            archive.extractall(out, filter="data")
    return pairs(out, out)


def voc(folder, names):
    """Pairs from a folder in VOC's layout; `names` is a list file under it or anywhere."""
    inside = os.path.join(folder, names)
    listed = open(inside if os.path.exists(inside) else names).read().split()
    return [(f"{folder}/JPEGImages/{n}.jpg", f"{folder}/SegmentationClass/{n}.png") for n in listed]


def pairs(images, masks):
    """Every image in one folder with the mask of the same name in the other."""
    found = []
    for path in sorted(glob.glob(f"{glob.escape(images)}/**/*", recursive=True)):
        stem, kind = os.path.splitext(os.path.relpath(path, images))
        mask = f"{masks}/{stem}.png"
        if kind.lower() in PICTURES and path != mask and os.path.exists(mask):
            found.append((path, mask))
    return found


def square(image, side, fill, how):
    """The image with its long side resized to `side`, at the top left of a square."""
    k = side / max(image.size)
    w, h = max(1, round(image.width * k)), max(1, round(image.height * k))
    a = np.asarray(image.resize((w, h), how))
    out = np.full((side, side, *a.shape[2:]), fill, np.uint8)
    out[:h, :w] = a
    return out


def load_teacher(spec, path):
    """A teacher's network: a quantised `.tflite` of the spec's shape (whose reader is needed only here), or a model file written by export.py."""
    if path.endswith(".safetensors"):
        return export.read(path)[1]
    import tflite

    return tflite.deeplab(Network(spec), path)


class Teacher:
    """The teacher's logits and its features at the taps."""

    def __init__(self, path, spec, size, taps, float32=False):
        self.float32 = float32
        self.net, self.size, self.seen = fold(load_teacher(spec, path)).to(memory_format=torch.channels_last), size, {}
        self.taps = taps
        for t in taps:
            self.net.blocks[t].register_forward_hook(lambda m, x, y, t=t: self.seen.__setitem__(t, y))

    @torch.no_grad()
    def __call__(self, image):
        """Logits [classes, c, c] and features [channels, c, c] of a PIL image, float32."""
        x = torch.from_numpy(square(image, self.size, 127, Image.BILINEAR)).permute(2, 0, 1)[None].float() / 127.5 - 1
        # bfloat16 is three times as fast, and its rounding errors are smaller than the teacher's own.
        with torch.autocast("cpu", torch.bfloat16, enabled=not self.float32):
            logits = self.net(x.contiguous(memory_format=torch.channels_last))[0]
        return logits.float().numpy(), torch.cat([self.seen[t][0] for t in self.taps]).float().numpy()


def read_pictures(rank, a, files):
    """One process: every a.workers-th image and mask, as squares."""
    classes = load_spec(a.spec)["head"]["classes"]
    x, y, v, p = (np.load(f"{a.out}/{n}.npy", mmap_mode="r+") for n in "XYVP")
    for i in range(rank, len(files), a.workers):
        image, mask = Image.open(files[i][0]).convert("RGB"), Image.open(files[i][1])
        x[i] = square(image, data.SIDE, 127, Image.BILINEAR)
        y[i] = square(mask, data.SIDE, data.VOID, Image.NEAREST)
        v[i] = np.array(image.size) / max(image.size)
        p[i] = np.bincount(y[i][y[i] < classes], minlength=classes) / data.SIDE**2


def ask_teacher(rank, a, files, scale):
    """One process: the teacher's outputs for every a.workers-th image."""
    torch.set_num_threads(1)
    teacher = Teacher(a.teacher, load_spec(a.spec), a.teacher_size, a.taps.split(","), a.float32)
    t, f = (np.load(f"{a.out}/{n}.npy", mmap_mode="r+") for n in "TF")
    for i in range(rank, len(files), a.workers):
        t[i], features = teacher(Image.open(files[i][0]).convert("RGB"))
        f[i] = np.clip(np.rint(features / scale[:, None, None]), -127, 127)
        if rank == 0 and i // a.workers % 250 == 0:
            print(f"{i} of {len(files)}", flush=True)


def side_by_side(work, a, *more):
    """Runs `work` in every process."""
    if a.workers == 1:
        work(0, a, *more)
    else:
        torch.multiprocessing.spawn(work, (a, *more), a.workers)


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--tar", nargs="*", default=[])
    p.add_argument("--voc", nargs=2, action="append", default=[], metavar=("FOLDER", "LIST"))
    p.add_argument("--folder", nargs=2, action="append", default=[], metavar=("IMAGES", "MASKS"))
    p.add_argument("--paste", type=int, default=0, help="number of images to create by pasting")
    p.add_argument("--teacher", help="a quantised DeepLabV3 .tflite of the spec's shape, or a model file written by export.py")
    p.add_argument("--teacher-size", type=int, default=513)
    p.add_argument("--taps", default="12,16")
    p.add_argument("--float32", action="store_true", help="run the teacher in float32 instead of bfloat16")
    p.add_argument("--hold-out", type=int, default=0, help="N: one image in N is not trained on; held.json lists these, for choosing between trainings")
    p.add_argument("--spec", default=os.path.join(os.path.dirname(__file__), "specs", "voc21.json"))
    p.add_argument("--workers", type=int, default=os.cpu_count())
    a = p.parse_args(argv)
    spec = load_spec(a.spec)
    os.makedirs(a.out, exist_ok=True)
    files = [f for path in a.tar for f in tar(path, f"{a.out}/unpacked")]
    files += [f for source in a.voc for f in voc(*source)] + [f for source in a.folder for f in pairs(*source)]
    if not files:
        raise SystemExit("no images found; pass some with --tar, --voc or --folder")
    # By name, so that the same images are held out whatever else is read.
    held = [f for f in files if a.hold_out and zlib.crc32(os.path.basename(f[0]).encode()) % a.hold_out == 0]
    with open(f"{a.out}/held.json", "w", encoding="utf-8") as file:
        json.dump([[os.path.abspath(f) for f in pair] for pair in held], file)
    files = [f for f in files if f not in held]
    files += paste.make(files, a.paste, spec["head"]["classes"], f"{a.out}/pasted")
    n, classes = len(files), spec["head"]["classes"]
    allocate = lambda name, kind, *shape: np.lib.format.open_memmap(f"{a.out}/{name}.npy", "w+", kind, (n, *shape))
    allocate("X", np.uint8, data.SIDE, data.SIDE, 3), allocate("Y", np.uint8, data.SIDE, data.SIDE)
    allocate("V", np.float32, 2), allocate("P", np.float32, classes)
    side_by_side(read_pictures, a, files)
    print(f"{n} pictures in {a.out}", flush=True)
    if a.teacher:
        teacher = Teacher(a.teacher, spec, a.teacher_size, a.taps.split(","), a.float32)
        some = [teacher(Image.open(f[0]).convert("RGB"))[1] for f in files[:: max(1, n // 60)]]
        scale = (np.stack(some).std((0, 2, 3)) + 1e-3) * 6 / 127
        side = cells(spec, a.teacher_size)
        allocate("T", np.float16, classes, side, side), allocate("F", np.int8, len(scale), side, side)
        side_by_side(ask_teacher, a, files, scale)
        np.savez(f"{a.out}/taps.npz", scale=scale)  # last: it marks the teacher's outputs as complete


if __name__ == "__main__":
    main()
