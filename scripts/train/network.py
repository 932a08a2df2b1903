"""The network that a spec describes, in PyTorch. Only the spec determines its shape; names of modules are the names of tensors in a model file.

network.py SPEC.json [--size N] [--picture WIDTH HEIGHT] prints its parameters and multiply-accumulates (MACs).
"""

import argparse
import copy
import json

import torch
import torch.nn.functional as F
from torch import nn


def load_spec(path):
    """A spec from a file."""
    with open(path, encoding="utf-8") as file:
        spec = json.load(file)
    imported = {"padding": spec["padding"] == "block_input", "head_batch_norm_epsilon": "head_batch_norm_epsilon" in spec, "dilate_first": spec["extractor"].get("dilate_first")}
    if any(imported.values()):  # what only other implementations' weights need
        raise ValueError(f"{path}: not for training here: {', '.join(field for field, there in imported.items() if there)}")
    return spec


def divisible(channels: float, divisor: int = 8) -> int:
    """Channels, rounded as in the paper's code: to a multiple of the divisor, never down by more than 10 %."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class Conv(nn.Module):
    """Convolution, batch norm (or a bias), activation: `network::Conv` of the Rust side."""

    def __init__(self, spec, c_in, c_out, kernel=1, stride=1, rate=1, depthwise=False, act="relu6", batch_norm=True):
        super().__init__()
        self.groups = c_in if depthwise else 1
        self.weight = nn.Parameter(torch.empty(c_out, c_in // self.groups, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_out" if depthwise else "fan_in", nonlinearity="relu")
        if batch_norm:
            self.bn = nn.BatchNorm2d(c_out, eps=spec["batch_norm_epsilon"], momentum=0.03)
        else:
            self.bias = nn.Parameter(torch.zeros(c_out))
        self.batch_norm, self.kernel, self.stride, self.rate, self.act = batch_norm, kernel, stride, rate, act
        self.same = spec["padding"] == "same"
        self.centre = None  # mean of the input per channel, once `centre` has set it: batch norm is then part of the weight, a pass over the map less

    def forward(self, x):
        weight, bias = self.weight, None if self.batch_norm else self.bias
        if self.centre is not None:
            weight, bias = folded(self)
        top, bottom, left, right = (*self.around(x.shape[2]), *self.around(x.shape[3]))
        if x.device.type == "cpu" and self.groups > 1 and self.rate > 1:
            x = atrous(x, weight, bias, self.rate, (top, bottom, left, right))
        else:
            if top != bottom or left != right or top != left:
                x, top = F.pad(x, (left, right, top, bottom)), 0
            slow = x.device.type == "cpu" and self.groups > 1 and self.stride > 1 and torch.is_grad_enabled()
            if slow:  # oneDNN's bfloat16 backward pass of strided depthwise convolutions is several times slower than its float32 one
                x = x.float()
            with torch.autocast("cpu", enabled=torch.is_autocast_enabled("cpu") and not slow):
                x = F.conv2d(x, weight, bias, self.stride, top, self.rate, self.groups)
        x = self.bn(x) if self.batch_norm and self.centre is None else x
        return F.relu6(x) if self.act == "relu6" else F.relu(x) if self.act == "relu" else x

    def around(self, n):
        """Zeros before and after a row (or column) of n: TensorFlow's SAME pads the odd one after it."""
        if not self.same:
            return (self.rate * (self.kernel - 1) // 2,) * 2
        missing = max((-(-n // self.stride) - 1) * self.stride + (self.kernel - 1) * self.rate + 1 - n, 0)
        return missing // 2, missing - missing // 2


def atrous(x, weight, bias, rate, around):
    """A depthwise convolution of stride 1 at an atrous rate, as one of rate 1 on each of the rate x rate independent grids of
    pixels: the backward pass of an atrous one is several times slower in oneDNN."""
    n, c, height, width = x.shape
    top, bottom, left, right = around
    rows, columns = -(-(height + top + bottom) // rate), -(-(width + left + right) // rate)
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, left, rate * columns - width - left, top, rate * rows - height - top))
    grids = x.view(n, rows, rate, columns, rate, c).permute(2, 4, 0, 1, 3, 5).reshape(rate * rate * n, rows, columns, c)
    y = F.conv2d(grids.permute(0, 3, 1, 2), weight, bias, groups=c).permute(0, 2, 3, 1)
    rows, columns = y.shape[1:3]
    y = y.reshape(rate, rate, n, rows, columns, c).permute(2, 3, 0, 4, 1, 5).reshape(n, rate * rows, rate * columns, c)
    taken = rate * (weight.shape[2] - 1)
    return y.permute(0, 3, 1, 2)[:, :, : height + top + bottom - taken, : width + left + right - taken]


def folded(layer):
    """Weight and bias of a convolution with its batch norm's statistics folded in."""
    bn = layer.bn
    gain = bn.weight / (bn.running_var + bn.eps).sqrt()
    mean = bn.running_mean if layer.centre is None else centred(layer)
    return layer.weight * gain[:, None, None, None], bn.bias - mean * gain


def centred(layer):
    """The weight's output for the mean of its input: batch norm's mean, as long as `centre` is set."""
    weight = layer.weight.sum((2, 3))
    return weight[:, 0] * layer.centre if layer.groups > 1 else weight @ layer.centre


@torch.no_grad()
def centre(net, batches):
    """For training with fixed statistics: from now on batch norm's mean follows each weight, so that a weight affects deviations from the mean of its
    input, and not the mean of its output. The function does not change. The means are those of the batches."""
    net.eval()
    means = {layer: [] for layer in net.modules() if isinstance(layer, Conv) and layer.batch_norm}
    for layer in means:
        layer.centre = None  # the state, which must be settled, determines everything
    hooks = [m.register_forward_hook(lambda m, x, y: means[m].append(x[0].float().mean((0, 2, 3)))) for m in means]
    for x in batches:
        net(x)
    for hook in hooks:
        hook.remove()
    for layer, seen in means.items():
        layer.centre = torch.stack(seen).mean(0)
        gain = layer.bn.weight / (layer.bn.running_var + layer.bn.eps).sqrt()
        layer.bn.bias += gain * (centred(layer) - layer.bn.running_mean)
        layer.bn.running_mean.copy_(centred(layer))


@torch.no_grad()
def settle(net):
    """Writes the means of `centre` into batch norm, so that the state is complete without them."""
    for layer in net.modules():
        if isinstance(layer, Conv) and layer.centre is not None:
            layer.bn.running_mean.copy_(centred(layer))


@torch.no_grad()
def fold(net):
    """A copy of a module with batch norm folded into weights and biases; for running, not for training."""
    net = copy.deepcopy(net).eval()
    for layer in net.modules():
        if isinstance(layer, Conv) and layer.batch_norm:
            weight, bias = folded(layer)
            layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
            layer.batch_norm, layer.centre = False, None
            del layer.bn
    return net.requires_grad_(False)


class Block(nn.Module):
    """An inverted residual block, or MobileNetV1's depthwise-separable one (no expansion)."""

    def __init__(self, spec, c_in, c_out, t, stride, rate, project_act, shortcut):
        super().__init__()
        wide = c_in * t
        if t > 1:
            self.expand = Conv(spec, c_in, wide)
        self.depthwise = Conv(spec, wide, wide, 3, stride, rate, depthwise=True)
        self.project = Conv(spec, wide, c_out, act=project_act)
        narrow = shortcut == "bottleneck" and stride == 1 and c_in == c_out
        self.shortcut = "bottleneck" if narrow else "expansion" if shortcut == "expansion" and stride == 1 else "none"

    def forward(self, x):
        wide = self.expand(x) if hasattr(self, "expand") else x
        y = self.depthwise(wide)
        if self.shortcut == "expansion":
            y = y + wide
        y = self.project(y)
        return x + y if self.shortcut == "bottleneck" else y


class Aspp(nn.Module):
    """One atrous branch whose 3x3 is split into depthwise and pointwise."""

    def __init__(self, spec, c_in, c_out, rate):
        super().__init__()
        self.depthwise = Conv(spec, c_in, c_in, 3, 1, rate, depthwise=True, act="relu")
        self.pointwise = Conv(spec, c_in, c_out, act="relu")

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


def resized(x, size, spec):
    """Bilinear, by the spec's rule."""
    return F.interpolate(x, size, mode="bilinear", align_corners=spec["head"]["resize"] == "align_corners")


class DecoderStage(nn.Module):
    """A step of DeepLabV3+'s decoder (arXiv 1802.02611): the lower map is resized to a finer map of the extractor, that map's channels are reduced and
    concatenated, and a separable 3x3 mixes them."""

    def __init__(self, spec, c_in, c_skip, reduced, c_out):
        super().__init__()
        self.skip = Conv(spec, c_skip, reduced)
        self.depthwise = Conv(spec, c_in + reduced, c_in + reduced, 3, depthwise=True)
        self.pointwise = Conv(spec, c_in + reduced, c_out)
        self.spec = spec

    def forward(self, x, skip):
        x = torch.cat([resized(x, skip.shape[2:], self.spec), self.skip(skip)], 1)
        return self.pointwise(self.depthwise(x))


class DeeplabHead(nn.Module):
    """DeepLabV3: [N, C, h, w] -> logits [N, classes, h, w]; with a decoder the logits have the size of its last skip."""

    def __init__(self, spec, c_in, c_skips=()):
        super().__init__()
        head = spec["head"]
        wide, kind = head["channels"], head["aspp"]["kind"]
        if head["image_pooling"]:
            self.pool = Conv(spec, c_in, wide, act="relu")
        self.branch = Conv(spec, c_in, wide, act="relu")
        if kind != "none":
            rates = head["aspp"]["rates"]
            self.aspp = nn.ModuleList(
                Conv(spec, c_in, wide, 3, 1, r, act="relu") if kind == "plain" else Aspp(spec, c_in, wide, r) for r in rates
            )
        branches = 1 + head["image_pooling"] + len(getattr(self, "aspp", ()))
        self.project = Conv(spec, branches * wide, wide, act="relu")
        if head.get("refine"):
            self.refine = Conv(spec, wide, wide, 3, act="relu")
        if head.get("decoder"):
            self.decoder = nn.ModuleList()
            for skip, c_skip in zip(head["decoder"]["skips"], c_skips):
                out = skip.get("out", head["decoder"]["channels"])
                self.decoder.append(DecoderStage(spec, wide, c_skip, skip["channels"], out))
                wide = out
        self.classifier = Conv(spec, wide, head["classes"], act="linear", batch_norm=False)
        nn.init.normal_(self.classifier.weight, std=0.01)
        self.pooling_last, self.drop = head.get("pooling_last", False), nn.Dropout(0.1)

    def forward(self, x, skips=()):
        branches = [self.branch(x), *(a(x) for a in getattr(self, "aspp", ()))]
        if hasattr(self, "pool"):
            pooled = self.pool(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
            branches.insert(len(branches) if self.pooling_last else 0, pooled)
        x = self.drop(self.project(torch.cat(branches, 1)))
        x = self.refine(x) if hasattr(self, "refine") else x
        for stage, skip in zip(getattr(self, "decoder", ()), skips):
            x = stage(x, skip)
        return self.classifier(x)


class ClassifierHead(nn.Module):
    """Average and one linear layer: [N, C, h, w] -> [N, classes, 1, 1]."""

    def __init__(self, spec, c_in):
        super().__init__()
        self.classifier = Conv(spec, c_in, spec["head"]["classes"], act="linear", batch_norm=False)

    def forward(self, x):
        return self.classifier(x.mean((2, 3), keepdim=True))


class Network(nn.Module):
    """[N, 3, H, W], normalised as the spec's input says -> logits at the resolution of the feature map, or of the decoder's last skip."""

    def __init__(self, spec):
        super().__init__()
        self.spec = spec
        extractor = spec["extractor"]
        width, limit, divisor = extractor["width"], extractor["output_stride"], extractor.get("divisor", 8)
        c = divisible(extractor["stem_channels"] * width, divisor)
        self.stem = Conv(spec, 3, c, 3, 2)
        self.blocks = nn.ModuleDict()
        v2, stride, rate = extractor["kind"] == "mobilenet_v2", 2, 1
        dropped, last_at = extractor.get("dropped_blocks", ()), {}
        for index, (t, channels, first) in enumerate(chain(extractor)):
            step, own_rate = first, rate
            if step == 2 and stride >= limit:  # beyond the output stride, a stride becomes a rate for the layers after it
                step, rate = 1, rate * 2
            stride *= step
            out = divisible(channels * width, divisor)
            if index not in dropped:
                act, shortcut = (extractor["bottleneck_activation"], extractor["shortcut"]) if v2 else ("relu6", "none")
                self.blocks[str(index)] = Block(spec, c, out, t, step, own_rate, act, shortcut)
                c = out
                last_at[stride] = (str(index), c)
        if v2 and (extractor["feature"] == "last_layer" or spec["head"]["kind"] == "classifier"):
            wide = divisible(extractor["last_channels"] * max(1.0, width), divisor)
            self.last, c = Conv(spec, c, wide), wide
        if spec["head"]["kind"] == "classifier":
            self.taps, self.head = (), ClassifierHead(spec, c)
            return
        skips = [last_at[s["stride"]] for s in (spec["head"].get("decoder") or {"skips": ()})["skips"]]
        self.taps, self.head = [block for block, _ in skips], DeeplabHead(spec, c, [channels for _, channels in skips])

    def start(self, blocks):
        """The stem and the first blocks, as a module."""
        return nn.Sequential(self.stem, *list(self.blocks.values())[:blocks])

    def forward(self, x, skip=None):
        """With `skip`, x is the output of `start(skip)` (not with a decoder, which reads the first blocks too)."""
        if self.taps and skip is not None:
            raise ValueError("a decoder reads the maps of the first blocks: they cannot be skipped")
        x, maps = self.stem(x) if skip is None else x, {}
        for name, block in list(self.blocks.items())[skip:]:
            x = maps[name] = block(x)
        maps = [maps[name] for name in self.taps]  # the others are released
        x = self.last(x) if hasattr(self, "last") else x
        return self.head(x, maps) if maps else self.head(x)

    def extractor_layers(self):
        """Stem and blocks, convolution by convolution, in the order in which they run."""
        names = ("expand", "depthwise", "project")
        return [self.stem, *(getattr(b, n) for b in self.blocks.values() for n in names if hasattr(b, n))]


def chain(extractor):
    """The extractor's blocks one by one: expansion, channels at width 1.0, stride."""
    if extractor["kind"] == "mobilenet_v1":
        return [(1, b["c"], b["s"]) for b in extractor["blocks"]]
    return [(b["t"], b["c"], b["s"] if i == 0 else 1) for b in extractor["bottlenecks"] for i in range(b["n"])]


def cells(spec, size: int) -> int:
    """Side of the feature map for an input of `size`."""
    return -(-size // spec["extractor"]["output_stride"])


def fitted(size: int, width: int, height: int) -> tuple[int, int]:
    """Rows and columns of an input with an image's shape: `size` the longer side, the next 16 n + 1 the shorter one (`InputShape::Frame` of the Rust side)."""
    short = min(size, max(33, -(-(int(size * min(width, height) / max(width, height) + 0.5) - 1) // 16) * 16 + 1))
    return (size, short) if width < height else (short, size)


def units(net):
    """The units that are trained separately: the stem with the first block (there is no narrow map between them), every other block, and the head. Not with a decoder, which is not a chain."""
    if net.taps:
        raise ValueError("a network with a decoder cannot be trained unit by unit")
    blocks = list(net.blocks.values())
    return [nn.Sequential(net.stem, blocks[0]), *blocks[1:], net.head]


def answers(parts, x):
    """The inputs of all units and the output of the last: images, every narrow map, the logits."""
    maps = [x]
    for part in parts:
        maps.append(part(maps[-1]))
    return maps


@torch.no_grad()
def cost(spec, rows, columns):
    """Parameters (as the paper counts them, batch norm's gamma and beta included) and multiply-accumulates (MACs) per image."""
    net, macs = Network(spec).eval(), 0

    def count(layer, _, out):
        nonlocal macs
        macs += layer.weight.numel() * out.shape[2] * out.shape[3]

    for layer in net.modules():
        if isinstance(layer, Conv):
            layer.register_forward_hook(count)
    net(torch.zeros(1, 3, rows, columns))
    return sum(p.numel() for p in net.parameters()), macs


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("spec")
    p.add_argument("--size", type=int, help="longer side of the input; default: the spec's")
    p.add_argument("--picture", type=int, nargs=2, default=(4, 3), metavar=("WIDTH", "HEIGHT"), help="shape of the image")
    a = p.parse_args(argv)
    spec = load_spec(a.spec)
    rows, columns = fitted(a.size or spec["input"]["size"], *(100 * side for side in a.picture))
    parameters, macs = cost(spec, rows, columns)
    print(f"{spec['name']} at {columns}x{rows}: {parameters / 1e6:.3f} M parameters, {macs / 1e6:.1f} M MACs")


if __name__ == "__main__":
    main()
