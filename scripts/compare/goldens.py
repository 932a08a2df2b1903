"""Writes golden values for the Rust tests, which do not need Python: goldens.py [OUT_DIR]

  references.json   for each reference segmenter: logits before the resize at a few points, how many pixels each class has and how many are ties, for images from a
                    formula and for the photos that are PNG (no two JPEG decoders agree to the last bit), resized by nearest neighbour; from the float version by ONNX Runtime, or
                    for float files from LiteRT. For the classifier: LiteRT's best class if it leads by at least 0.1.
  pytorch.json      logits of torchvision's mobilenet_v2 with weights from a formula, by PyTorch

Only numbers are written. The reference models and photos are searched in ../shared or $SILHOUETTE_SHARED. Needs: pip install -r scripts/compare/requirements.txt
"""
import json
import sys
from pathlib import Path

import numpy as np

import references as ref

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else ref.ROOT / "core/import/tests/golden"
POINTS = 8


def inputs(size):
    for which in (1, 2):
        yield f"pattern {which}", ref.pattern(size, size, which)
    for photo in ref.photos():
        if photo.suffix == ".png":
            yield f"photo {photo.name}", ref.sampled(photo, size)


def points(logits):
    """Each: row, column, class, value. Along the diagonals, for the best class and another."""
    _, classes, height, width = logits.shape
    for i in range(POINTS):
        y, x = i * (height - 1) // (POINTS - 1), (i * 3 % POINTS) * (width - 1) // (POINTS - 1)
        best = int(logits[0, :, y, x].argmax())
        for c in {best, (best + 1 + 5 * i) % classes}:
            yield [y, x, c, round(float(logits[0, c, y, x]), 5)]


def segmenter(name, size, mean):
    lite = ref.LiteRt(ref.model(name), keep=True) if mean is not None else None
    float_model = ref.FloatModel(name, size, low=True) if mean is None else None
    for label, pixels in inputs(size):
        tensor = ref.normalised(pixels, mean)
        if float_model:
            logits = float_model.run(tensor)
        else:
            lite.run(np.ascontiguousarray(tensor.transpose(0, 2, 3, 1)))
            logits = lite.map_before_resize()
        ids, counts = np.unique(logits[0].argmax(0), return_counts=True)
        yield {
            "input": label, "points": list(points(logits)), "classes": [[int(i), int(n)] for i, n in zip(ids, counts)],
            "ties": int((~ref.clear(logits)).sum()),
        }


def references():
    models = []
    for name, (size, _, mean) in ref.SEGMENTERS.items():
        models.append({"model": name, "size": size, "mean": mean, "outputs": list(segmenter(name, size, mean))})
    name, size, _ = ref.CLASSIFIER
    lite = ref.LiteRt(ref.model(name))
    best = []
    for label, pixels in inputs(size):
        chances = lite.run(pixels[None])[0]
        second, first = np.argsort(chances)[-2:]
        # Probabilities are bytes. If two are close, integer rounding decides and a float network may choose the other.
        if label.startswith("photo") and int(chances[first]) - int(chances[second]) >= 25:
            best.append({"input": label, "best": int(first)})
    return {"segmenters": models, "classifier": {"model": name, "size": size, "outputs": best}}


def numbers(seed, shape):
    """From -1 to 1, the same as in core/import/src/fixture.rs."""
    count, state, values = int(np.prod(shape)), (seed * 0x9E3779B9 % 2**32) ^ 0x85EBCA6B, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append(np.float32(state >> 8) / np.float32(8388608) - np.float32(1))
    return np.array(values, np.float32).reshape(shape)


def pytorch():
    import torch
    import torchvision
    classes = 5
    network = torchvision.models.mobilenet_v2(width_mult=0.35, num_classes=classes).eval()
    convolutions = [module for module in network.modules() if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))]
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for seed, layer in enumerate(convolutions):
            norm = norms[seed] if seed < len(norms) else None
            parts = [layer.weight] + ([norm.weight, norm.bias, norm.running_mean, norm.running_var] if norm else [layer.bias])
            for part, tensor in enumerate(parts):
                values = numbers(8 * seed + part, tuple(tensor.shape))
                if tensor is layer.weight:
                    values *= np.float32(np.sqrt(3 / values[0].size))
                elif norm and tensor is norm.running_var:
                    values = np.abs(values) + np.float32(0.1)
                tensor.copy_(torch.from_numpy(values))
        outputs = []
        for height, width in ((33, 49), (64, 64), (97, 35)):
            pixels = ref.pattern(height, width, 1).astype(np.float32)
            tensor = torch.from_numpy(((pixels - 128) / 64).transpose(2, 0, 1)[None].copy())
            outputs.append({"height": height, "width": width, "logits": [round(float(v), 6) for v in network(tensor)[0]]})
    return {"width": 0.35, "classes": classes, "torch": torch.__version__.split("+")[0], "outputs": outputs}


def write(name, value):
    OUT.mkdir(parents=True, exist_ok=True)
    # One output per line: short, and a change shows its place.
    text = json.dumps(value, separators=(",", ":")).replace('{"input"', '\n{"input"').replace('{"height"', '\n{"height"')
    (OUT / name).write_text(text + "\n")
    print(f"{OUT / name}: {len(text)} bytes")


if __name__ == "__main__":
    write("pytorch.json", pytorch())
    ref.need_shared()
    write("references.json", references())
