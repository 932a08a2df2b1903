"""The references for the importer's results: the reference models, run by LiteRT and (as float versions) by ONNX Runtime, and the inputs of both sides.

Nothing here uses our engine."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SILHOUETTE_SHARED", ROOT.parent / "shared"))
PICTURES = (".jpg", ".jpeg", ".png")

# File, input size, labels; and for float files, which do not store it, mean and standard deviation of a pixel.
SEGMENTERS = {
    "deeplabv3_mnv2_pascal_quant": (513, "pascal_voc_labels.txt", None),
    "deeplabv3_mnv2_dm05_pascal_quant": (513, "pascal_voc_labels.txt", None),
    "deeplabv3_257_mv_gpu": (257, "pascal_voc_labels.txt", 127.5),
    "deeplab_aiseg513_dm05_float": (513, None, 127.5),
}
CLASSIFIER = ("mobilenet_v2_1.0_224_quant", 224, "imagenet_labels.txt")


def need_shared():
    if not (SHARED / "models").is_dir():
        sys.exit(f"{SHARED}/models is missing: the reference models are not part of the repository; set SILHOUETTE_SHARED to their folder")


def model(name):
    return SHARED / "models" / f"{name}.tflite"


def photos():
    return sorted(path for path in (SHARED / "photos").iterdir() if path.suffix in PICTURES)


def stretched(path, size):
    """A photo at the model's own size: uint8 (size, size, 3)."""
    from PIL import Image, ImageOps
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))


def sampled(path, size):
    """A photo by its nearest pixels, in integers, so that any language selects the same ones: uint8 (size, size, 3)."""
    from PIL import Image
    picture = np.asarray(Image.open(path).convert("RGB"))
    rows = (2 * np.arange(size) + 1) * picture.shape[0] // (2 * size)
    columns = (2 * np.arange(size) + 1) * picture.shape[1] // (2 * size)
    return np.ascontiguousarray(picture[rows][:, columns])


def pattern(height, width, which):
    """An image by a formula in integers: uint8 (height, width, 3)."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    values = (x * x * (which + 3) + y * y * 5 + x * y * (c + 1) + 4000 * c) // 97 % 256
    return values.astype(np.uint8)


def normalised(pixels, float_mean):
    """The network's input (1, 3, H, W) as float32: quantised files use (q - 128) / 128."""
    mean = 128.0 if float_mean is None else float_mean
    values = (pixels.astype(np.float32) - np.float32(mean)) / np.float32(mean)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


class LiteRt:
    """A .tflite file run by LiteRT. `keep`: every tensor can be read, without the delegate that fuses them. `reference`: by the reference kernels."""

    def __init__(self, path, keep=False, reference=False):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
        resolver = OpResolverType.BUILTIN_REF if reference else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        plain = {"experimental_op_resolver_type": resolver, "experimental_preserve_all_tensors": True}
        self.lite = Interpreter(str(path), **(plain if keep else {}))
        self.lite.allocate_tensors()
        self.keep = keep

    def run(self, values):
        """`values`: (1, H, W, 3) in the file's own type. Returns the file's output."""
        self.lite.set_tensor(self.lite.get_input_details()[0]["index"], values)
        self.lite.invoke()
        return self.lite.get_tensor(self.lite.get_output_details()[0]["index"])

    def map_before_resize(self):
        """The logits before any resize, (1, C, h, w): the last convolution's output."""
        assert self.keep
        last = [op for op in self.lite._get_ops_details() if op["op_name"] == "CONV_2D"][-1]
        return self.lite.get_tensor(last["outputs"][0]).transpose(0, 3, 1, 2)


class FloatModel:
    """The float version of a quantised file, run by ONNX Runtime."""

    def __init__(self, name, size, low=False):
        import onnxruntime
        with tempfile.TemporaryDirectory() as folder:
            onnx = Path(folder) / "float.onnx"
            command = [sys.executable, SHARED / "tools" / "float_twin.py", model(name), onnx, str(size)] + ["--low"] * low
            result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
            if result.returncode != 0:
                sys.exit(f"float_twin.py {name}: {result.stderr[-2000:]}")
            self.session = onnxruntime.InferenceSession(onnx.read_bytes(), providers=["CPUExecutionProvider"])

    def run(self, tensor):
        return self.session.run(None, {"input": tensor})[0]


def aligned_corners(logits, size):
    """Logits (1, C, h, w) resized to (1, C, size, size) with aligned corners, in float64."""
    def weights(n):
        at = np.arange(size) * (n - 1) / (size - 1)
        low = np.minimum(at.astype(int), n - 2)
        matrix = np.zeros((size, n))
        matrix[np.arange(size), low] = 1 - (at - low)
        matrix[np.arange(size), low + 1] = at - low
        return matrix
    rows, columns = weights(logits.shape[2]), weights(logits.shape[3])
    return np.einsum("yh,nchw,xw->ncyx", rows, logits.astype(np.float64), columns, optimize=True)


def clear(logits, gap=2e-3):
    """Where the two best logits (1, C, H, W) differ by more than `gap`: elsewhere either class is accepted."""
    best = np.sort(logits, axis=1)
    return best[0, -1] - best[0, -2] > gap
