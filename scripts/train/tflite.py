"""Weights out of MobileNetV2 `.tflite` files, dequantised if quantised, into a `Network`: the teacher, and the extractor's start.

In such a file batch norm is folded into the convolutions, so a layer's batch norm becomes the identity plus the layer's bias.
"""

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def convolutions(path):
    """Every convolution of the file in execution order: weight (O, I / groups, K, K), bias, and whether its input is a single pixel."""
    lite = Interpreter(path, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    lite.allocate_tensors()
    details = {d["index"]: d for d in lite.get_tensor_details()}

    def floats(index):
        q = details[index]["quantization_parameters"]
        if not len(q["scales"]):  # a float file
            return lite.get_tensor(index)
        return ((lite.get_tensor(index).astype(np.float32) - q["zero_points"][0]) * np.float32(q["scales"][0])).astype(np.float32)

    for op in lite._get_ops_details():
        if "CONV" not in op["op_name"]:
            continue
        x, weight, bias = op["inputs"][:3]
        order = (3, 0, 1, 2) if op["op_name"].startswith("DEPTH") else (0, 3, 1, 2)
        w = np.ascontiguousarray(floats(weight).transpose(order))
        yield torch.from_numpy(w), torch.from_numpy(floats(bias)), tuple(details[x]["shape"][1:3]) == (1, 1)


def fill(layer, weight, bias):
    """Copies a folded convolution into a layer."""
    if layer.weight.shape != weight.shape:
        raise ValueError(f"the file's {tuple(weight.shape)} does not match the network's {tuple(layer.weight.shape)}")
    layer.weight.data = weight
    if not layer.batch_norm:
        layer.bias.data = bias
        return
    layer.bn.weight.data.fill_(1)
    layer.bn.bias.data = bias
    layer.bn.running_mean.zero_()
    layer.bn.running_var.fill_(1 - layer.bn.eps)


def extractor(net, path):
    """Stem and blocks of any MobileNetV2 file; returns the layers filled and the convolutions left over."""
    rest = convolutions(path)
    layers = net.extractor_layers()
    for layer in layers:
        fill(layer, *next(rest)[:2])
    return layers, rest


def deeplab(net, path):
    """The whole network of a DeepLabV3 file without ASPP: the teacher."""
    branches = [net.head.branch, net.head.project, net.head.classifier]
    for weight, bias, pixel in extractor(net, path)[1]:
        fill(net.head.pool if pixel else branches.pop(0), weight, bias)
    return net.eval()


@torch.no_grad()
def restore_batch_norm(net, layers, batches):
    """Restores batch norm where it was folded: statistics from the batches, scale and shift such that the function does not change."""
    sums = {layer: [] for layer in layers}

    def watch(layer):
        def hook(module, inputs, output):
            # The layer's batch norm is the identity plus a bias, so its input is the convolution's output.
            x = inputs[0].double()
            sums[layer].append((x.mean((0, 2, 3)), (x * x).mean((0, 2, 3))))

        return layer.bn.register_forward_hook(hook)

    net.eval()
    hooks = [watch(layer) for layer in layers]
    for x in batches:
        net(x)
    for hook in hooks:
        hook.remove()
    for layer in layers:
        mean = torch.stack([m for m, _ in sums[layer]]).mean(0)
        var = (torch.stack([s for _, s in sums[layer]]).mean(0) - mean * mean).clamp_min(1e-6)
        layer.bn.running_mean.copy_(mean)
        layer.bn.running_var.copy_(var)
        layer.bn.weight.copy_((var + layer.bn.eps).sqrt())
        layer.bn.bias.add_(mean)
