"""The files to compare, created once and kept in the user's cache: the float version of the reference DeepLabV3-MobileNetV2 as ONNX (whole, and `low`: without
the last resize), in each peer's own format, and imported into ours."""
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SILHOUETTE_SHARED", ROOT.parent / "shared"))
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "silhouette" / "bench"
REFERENCE = "deeplabv3_mnv2_pascal_quant.tflite"
SMALL = "deeplabv3_257_mv_gpu.tflite"
SELFIE = "selfie_segmentation.tflite"
PERSON = ROOT / "core" / "segmenter" / "models" / "silhouette-person.safetensors"


def reference(name=REFERENCE):
    path = SHARED / "models" / name
    if not path.exists():
        sys.exit(f"{path} is missing: the reference models are not part of the repository; set SILHOUETTE_SHARED to their folder")
    return path


def _tool(name):
    """A command from a Python package of this environment."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or sys.exit(f"{name} is missing: pip install -r scripts/bench/requirements.txt")


def _make(path, command, cwd=None):
    if not path.exists():
        result = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd)
        if not path.exists():
            sys.exit(f"{path.name} could not be created by {command[0]}:\n{(result.stdout + result.stderr)[-2000:]}")
    return path


def onnx(size, low=False):
    """The float version: [1, 3, size, size] in -1 to 1, to logits of full size or (low) of the network's own."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"float{size}{'_low' if low else ''}.onnx"
    return _make(path, [sys.executable, SHARED / "tools" / "float_twin.py", reference(), path, size] + ["--low"] * low)


def peer_model(engine, size, low=False):
    """The float version in the peer's own format."""
    source = onnx(size, low)
    if engine == "ncnn":
        path = source.with_suffix(".ncnn.param")
        return _make(path, [_tool("pnnx"), source.name, f"inputshape=[1,3,{size},{size}]", "fp16=0"], cwd=CACHE)
    if engine == "mnn":
        path = source.with_suffix(".mnn")
        return _make(path, [_tool("mnnconvert"), "-f", "ONNX", "--modelFile", source, "--MNNModel", path, "--bizCode", "x"])
    return source


def photo(width, height):
    """A PNG of this size, of pseudorandom blocks of colour."""
    path = CACHE / f"photo{width}x{height}.png"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        random = Random(1)
        blocks = [[random.randbytes(3) for _ in range(width // 16 + 1)] for _ in range(height // 16 + 1)]
        rows = b"".join(b"\0" + b"".join(block * 16 for block in blocks[y // 16])[: 3 * width] for y in range(height))
        part = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))
    return path


# Options for what the float file does not store.
WORDS = {"deeplabv3_257_mv_gpu.tflite": ["--mean", "127.5", "--std", "127.5"]}


def ours(binary, name=REFERENCE):
    """A reference model imported into our format by `binary`, a path or a command line."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / (Path(name).stem + ".safetensors")
    path.unlink(missing_ok=True)
    return _make(path, [*(binary if isinstance(binary, list) else [binary]), "import", reference(name), "-o", path, "--labels", SHARED / "models" / "pascal_voc_labels.txt", *WORDS.get(name, [])])
