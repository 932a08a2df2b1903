"""Writes golden values for the Rust tests, which do not need Python: goldens.py [OUT_DIR]

  references.json   for each reference segmenter: logits before the resize at a few points, how many pixels each class has and how many are ties, for images from a
                    formula and for the photos that are PNG (no two JPEG decoders agree to the last bit), resized by nearest neighbour; from the float version by ONNX Runtime, or
                    for float files from LiteRT. For the classifier: LiteRT's best class if it leads by at least 0.1.
  integers.json     for each quantised reference model: a hash of the bytes of LiteRT's logits before the resize, with its reference kernels, for the same inputs
  pytorch.json      logits of PyTorch's networks with weights from a formula: torchvision's, VainF's padding, segmentation_models_pytorch's dilation, Hugging Face's epsilons

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


def fnv1a(values):
    """The 64-bit FNV-1a hash."""
    state = 0xCBF29CE484222325
    for value in values:
        state = (state ^ value) * 0x100000001B3 % 2**64
    return state


def integers():
    """Logits of quantised files in their own integers."""
    files = [(name, size, 21) for name, (size, _, mean) in ref.SEGMENTERS.items() if mean is None]
    name, size, _ = ref.CLASSIFIER
    for name, size, classes in [*files, (name, size, 1001)]:
        lite = ref.LiteRt(ref.model(name), keep=True, reference=True)
        outputs = []
        for label, pixels in inputs(size):
            lite.run(pixels[None])
            logits = lite.map_before_resize().transpose(0, 2, 3, 1)
            outputs.append([label, fnv1a(logits.tobytes())])
        yield {"model": name, "size": size, "classes": classes, "outputs": outputs}


def numbers(seed, shape):
    """From -1 to 1, the same as in core/import/src/fixture.rs."""
    count, state, values = int(np.prod(shape)), (seed * 0x9E3779B9 % 2**32) ^ 0x85EBCA6B, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append(np.float32(state >> 8) / np.float32(8388608) - np.float32(1))
    return np.array(values, np.float32).reshape(shape)


def filled(layers):
    """Writes numbers from the formula into layers, in our order of convolutions: pairs of a convolution and its batch norm (or None)."""
    import torch
    with torch.no_grad():
        for seed, (layer, norm) in enumerate(layers):
            parts = [layer.weight] + ([norm.weight, norm.bias, norm.running_mean, norm.running_var] if norm else [layer.bias])
            for part, tensor in enumerate(parts):
                values = numbers(8 * seed + part, tuple(tensor.shape))
                if tensor is layer.weight:
                    values *= np.float32(np.sqrt(3 / values[0].size))
                elif norm and tensor is norm.running_var:
                    values = np.abs(values) + np.float32(0.1)
                tensor.copy_(torch.from_numpy(values))


def layers(module):
    """The module's convolutions with the batch norm after each, in the order in which they were made."""
    import torch
    kinds = (torch.nn.Conv2d, torch.nn.Linear, torch.nn.BatchNorm2d)
    found = [layer for layer in module.modules() if isinstance(layer, kinds)]
    after = dict(zip(found, found[1:]))
    return [(layer, norm if isinstance(norm := after.get(layer), torch.nn.BatchNorm2d) else None) for layer in found if not isinstance(layer, torch.nn.BatchNorm2d)]


def deeplab_layers(features, aspp, rest):
    """In our order: image pooling before the other branches."""
    *branches, pool = aspp.convs
    return layers(features) + [pair for part in (pool, *branches, aspp.project, *rest) for pair in layers(part)]


def golden(name, network, sizes, **about):
    import torch
    network.eval()
    outputs = []
    for height, width in sizes:
        pixels = ref.pattern(height, width, 1).astype(np.float32)
        tensor = torch.from_numpy(((pixels - 128) / 64).transpose(2, 0, 1)[None].copy())
        with torch.no_grad():
            logits = network(tensor)[0].numpy()
        logits = logits.transpose(1, 2, 0) if logits.ndim == 3 else logits
        outputs.append({"height": height, "width": width, "logits": [float(f"{v:.6g}") for v in logits.flatten()]})
    return {"name": name, **about, "outputs": outputs}


def pytorch():
    """Logits of networks whose weights are from the formula, by PyTorch."""
    import segmentation_models_pytorch as smp
    import torch
    import torchvision
    import transformers
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead

    import torch_models
    network = torchvision.models.mobilenet_v2(width_mult=0.35, num_classes=5)
    filled(layers(network))
    yield golden("torchvision", network, ((33, 49), (64, 64), (97, 35)), torch=torch.__version__.split("+")[0])
    rates, sizes = (2, 4, 6), ((65, 65), (50, 71))
    for stride in (16, 8):
        network = torch_models.padding_inputs(torchvision.models.mobilenet_v2(width_mult=0.35).features[:18], stride)
        head = DeepLabHead(112, 3, rates)
        filled(deeplab_layers(network, head[0], [torch.nn.Sequential(*list(head)[1:])]))
        yield golden(f"vainf {stride}", torch.nn.Sequential(network, head), sizes)
    for stride in (16, 8):
        network = smp.DeepLabV3(
            "mobilenet_v2", encoder_weights=None, classes=3, encoder_output_stride=stride, decoder_channels=8, decoder_atrous_rates=rates)
        aspp, *rest = network.decoder.children()
        rest = [torch.nn.Sequential(*rest), network.segmentation_head[0]]
        filled(deeplab_layers(network.encoder.features, aspp, rest))
        yield golden(f"smp {stride}", torch_models.Smp(network), ((64, 64), (48, 80)), segmentation_models_pytorch=smp.__version__)
    for padding in (True, False):
        config = transformers.MobileNetV2Config(depth_multiplier=0.35, num_labels=3, output_stride=8, tf_padding=padding, layer_norm_eps=0.02, finegrained_output=True)
        network = transformers.MobileNetV2ForSemanticSegmentation(config)
        head = network.segmentation_head
        body = network.mobilenet_v2
        parts = [body.conv_stem, body.layer, head.conv_pool, head.conv_aspp, head.conv_projection, head.classifier]
        filled([pair for part in parts for pair in layers(part)])
        name = "hugging face" + ("" if padding else " symmetric")
        yield golden(name, torch_models.HuggingFace(network), sizes, transformers=transformers.__version__)


def write(name, value):
    OUT.mkdir(parents=True, exist_ok=True)
    # One output per line: short, and a change shows its place.
    text = json.dumps(value, separators=(",", ":")).replace('{"input"', '\n{"input"').replace('{"height"', '\n{"height"').replace('{"name"', '\n{"name"')
    (OUT / name).write_text(text + "\n")
    print(f"{OUT / name}: {len(text)} bytes")


if __name__ == "__main__":
    write("pytorch.json", list(pytorch()))
    ref.need_shared()
    write("references.json", references())
    write("integers.json", list(integers()))
