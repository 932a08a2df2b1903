"""Compares our model with public models: mIOU on a folder in VOC's layout, by one protocol, each in the engine named.

references.py SHARED SILHOUETTE WORK [--model OURS.safetensors] [--only TEXT]

SHARED contains models/, data/voc-val and tools/float_twin.py; SILHOUETTE is the command, built for release. The protocol: long side to N, grey 127 at the bottom
and right, argmax at NxN, cropped, resized back by nearest neighbour; "own shapes": N for the long side of the input, the next 16 n + 1 for the short one. The first three rows must agree: our engine on the imported model, its float version in ONNX Runtime
(within 0.2 points), and LiteRT's integer run (which rounds; about 0.5 apart).
Needs Python with numpy pillow onnx onnxruntime ai-edge-litert.
"""

import argparse
import json
import os
import subprocess
import sys

import numpy as np
from PIL import Image


def score(voc, size, run):
    """mIOU in percent of `run`: an image [size, size, 3] uint8 to a mask [size, size]."""
    confusion = np.zeros((21, 21), np.int64)
    for name in open(f"{voc}/val.txt").read().split():
        image = Image.open(f"{voc}/JPEGImages/{name}.jpg").convert("RGB")
        truth = np.asarray(Image.open(f"{voc}/SegmentationClass/{name}.png"))
        k = size / max(image.size)
        w, h = round(image.width * k), round(image.height * k)
        square = np.full((size, size, 3), 127, np.uint8)
        square[:h, :w] = np.asarray(image.resize((w, h), Image.BILINEAR))
        mask = Image.fromarray(run(square)[:h, :w].astype(np.uint8)).resize(image.size, Image.NEAREST)
        valid = truth < 21
        confusion += np.bincount(truth[valid].astype(int) * 21 + np.asarray(mask)[valid], minlength=441).reshape(21, 21)
    hit = np.diag(confusion)
    return 100 * (hit / (confusion.sum(0) + confusion.sum(1) - hit)).mean()


def onnx_runtime(shared, work, size):
    """The float version of the quantised model in ONNX Runtime."""
    import onnxruntime

    float_model = f"{work}/float-{size}.onnx"
    model = f"{shared}/models/deeplabv3_mnv2_pascal_quant.tflite"
    subprocess.run([sys.executable, f"{shared}/tools/float_twin.py", model, float_model, str(size)], check=True)
    session = onnxruntime.InferenceSession(float_model)

    def run(square):
        x = (square.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        return session.run(None, {"input": x})[0][0].argmax(0)

    return run


def litert(path):
    """A .tflite in LiteRT: quantised with an argmax at its end, or float with logits."""
    from ai_edge_litert.interpreter import Interpreter

    lite = Interpreter(path, num_threads=2)
    lite.allocate_tensors()
    x, y = lite.get_input_details()[0], lite.get_output_details()[0]

    def run(square):
        lite.set_tensor(x["index"], (square if x["dtype"] == np.uint8 else square.astype(np.float32) / 127.5 - 1)[None].astype(x["dtype"]))
        lite.invoke()
        out = lite.get_tensor(y["index"])[0]
        return out if out.ndim == 2 or out.shape[-1] == 1 else out.argmax(-1)

    return lambda square: run(square).reshape(square.shape[:2])


def silhouette(command, work, voc, size, model=None, shape="square"):
    """mIOU, multiply-accumulates (MACs) and milliseconds reported by `silhouette eval`."""
    out = f"{work}/eval-{size}-{shape}-{'given' if model else 'built-in'}.json"
    call = [command, "eval", "--voc", voc, "--list", "val.txt", "--size", str(size), "--input-shape", shape, "--json", out]
    subprocess.run(call + (["--model", model] if model else []), check=True, stdout=subprocess.DEVNULL)
    report = json.load(open(out))
    return report["miou"], report["macs"], report["median_ms"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("shared")
    p.add_argument("silhouette")
    p.add_argument("work")
    p.add_argument("--model", help="our model; default: the built-in one")
    p.add_argument("--only", default="", help="only rows whose name contains this")
    a = p.parse_args()
    voc, models = f"{a.shared}/data/voc-val", f"{a.shared}/models"
    os.makedirs(a.work, exist_ok=True)
    quantised, imported = f"{models}/deeplabv3_mnv2_pascal_quant.tflite", f"{a.work}/public.safetensors"
    if not os.path.exists(imported):
        subprocess.run([a.silhouette, "import", quantised, "-o", imported, "--labels", f"{models}/pascal_voc_labels.txt"], check=True)
    half = f"{models}/deeplabv3_257_mv_gpu.tflite"

    def ours(size, model=None, shape="square"):
        return lambda: silhouette(a.silhouette, a.work, voc, size, model, shape)

    def float_model(size):
        return lambda: (score(voc, size, onnx_runtime(a.shared, a.work, size)), None, None)

    rows = [
        ("public 1.0 at 513, imported, silhouette", ours(513, imported)),
        ("public 1.0 at 513, dequantised, ONNX Runtime", float_model(513)),
        ("public 1.0 at 513, integer, LiteRT", lambda: (score(voc, 513, litert(quantised)), None, None)),
        ("public 1.0 at 257, imported, silhouette", ours(257, imported)),
        ("public 1.0 at 257, dequantised, ONNX Runtime", float_model(257)),
        ("public 1.0 at 321, own shapes, silhouette", ours(321, imported, "frame")),
        ("public 0.5 at 257, float, LiteRT", lambda: (score(voc, 257, litert(half)), None, None)),
        ("ours at 257", ours(257, a.model)),
        ("ours at 273", ours(273, a.model)),
        ("ours at 321", ours(321, a.model)),
        ("ours at 321, own shapes", ours(321, a.model, "frame")),
    ]
    print(f"{'':<46} {'mIOU':>6} {'M MACs':>8} {'ms':>7}")
    for name, measure in rows:
        if a.only in name:
            miou, macs, ms = measure()
            print(f"{name:<46} {miou:6.2f} {'' if macs is None else f'{macs / 1e6:8.0f}'} {'' if ms is None else f'{ms:7.1f}'}", flush=True)


if __name__ == "__main__":
    main()
