"""Writes trained weights as a model file of Silhouette: batch norm folded, weights as float16, biases as float32, the spec in the metadata.

export.py WEIGHTS.pt MODEL.safetensors [--size N] [--name NAME] [--provenance TEXT]
"""

import argparse
import json
import os

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from network import Network, fold, load_spec

SPEC_KEY = "silhouette.spec"
QUANTISATION_KEY = "silhouette.quantisation"


def write(net, spec, path, half=True):
    """Folds and writes; weights that would overflow float16 are an error, not an infinity."""
    tensors = {}
    for name, value in fold(net).state_dict().items():
        kind = torch.float16 if half and name.endswith(".weight") else torch.float32
        tensors[name] = value.to(kind).contiguous()
        if not tensors[name].isfinite().all():
            raise ValueError(f"{name} is out of range for {kind}: largest value {value.abs().max().item()}")
    save_file(tensors, path, {SPEC_KEY: json.dumps(spec)})


def read(path):
    """Spec and folded network (float32) of a model file."""
    with safe_open(path, "pt") as f:
        spec = json.loads(f.metadata()[SPEC_KEY])
        net = fold(Network(spec))
        known = json.loads(f.metadata().get(QUANTISATION_KEY, "{}"))
        net.load_state_dict({k: floats(f.get_tensor(k), known.get(k)) for k in f.keys()})
    return spec, net


def floats(tensor, quantisation=None):
    """The values of a tensor of a model file; for a quantised one `(q - zero_point) * scale`."""
    if quantisation is None:
        return tensor.float()
    shape = [1] * tensor.dim()
    if len(quantisation["scale"]) > 1:
        shape[quantisation.get("axis", 0)] = -1
    scale = torch.tensor(quantisation["scale"]).reshape(shape)
    zero = torch.tensor(quantisation.get("zero_point") or [0] * scale.numel()).float().reshape(shape)
    return (tensor.float() - zero) * scale


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weights")
    p.add_argument("out")
    p.add_argument("--spec", default=os.path.join(os.path.dirname(__file__), "specs", "voc21.json"))
    p.add_argument("--size", type=int, help="default input size of the model")
    p.add_argument("--name")
    p.add_argument("--provenance")
    p.add_argument("--licence")
    p.add_argument("--gain", type=float, default=1.0, help="factor of the logits: a larger one makes an alpha steeper and moves no border")
    p.add_argument("--float32", action="store_true")
    a = p.parse_args(argv)
    spec = load_spec(a.spec)
    for key in ("name", "provenance", "licence"):
        spec[key] = getattr(a, key) or spec[key]
    spec["input"]["size"] = a.size or spec["input"]["size"]
    net = Network(spec)
    net.load_state_dict(torch.load(a.weights, map_location="cpu"))
    with torch.no_grad():
        for value in net.head.classifier.parameters():
            value.mul_(a.gain)
    write(net, spec, a.out, half=not a.float32)
    print(f"{a.out}: {os.path.getsize(a.out)} bytes")


if __name__ == "__main__":
    main()
