"""PyTorch networks with random weights, saved as their users save them, with the flags to import them."""
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

IMAGENET = ["--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375"]


@dataclass
class Case:
    name: str
    network: nn.Module
    files: list
    flags: list
    sizes: list


def shuffle(network):
    """Random batch norms around the statistics of real activations: otherwise they vanish, and the logits barely depend on the input."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.7, 1.5)
        nn.init.uniform_(norm.bias, -0.3, 0.3)
        norm.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 161, 161))
    for norm in norms:
        norm.running_mean += 0.1 * torch.randn_like(norm.running_mean) * norm.running_var.sqrt()
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.8, 1.25)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.05)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


def save(folder, name, network, checkpoint=False):
    state = network.state_dict()
    paths = [Path(folder) / f"{name}.pth", Path(folder) / f"{name}.state.safetensors"]
    torch.save({"model_state": state, "cur_itrs": 1, "best_score": 0.5} if checkpoint else state, paths[0])
    save_file(state, paths[1])
    return paths


def labels(folder, classes):
    path = Path(folder) / f"labels{classes}.txt"
    path.write_text("".join(f"class {i}\n" for i in range(classes)))
    return ["--labels", path]


class Pointwise(nn.Module):
    """The low-resolution logits of a segmentation network: the output of `silhouette run`."""

    def __init__(self, features, head):
        super().__init__()
        self.features, self.head = features, head

    def forward(self, x):
        return self.head(self.features(x))


def atrous(features):
    """Output stride 16: the last stride becomes rate 2 for the blocks after it."""
    for index in range(14, 18):
        for module in features[index].modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                if index == 14:
                    module.stride = (1, 1)
                else:
                    module.dilation, module.padding = (2, 2), (2, 2)
    return features


def deeplab_spec(folder, classes, rates):
    """What a state dict does not store, as a specification."""
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    spec = {
        "format": 1, "name": "deeplab", "padding": "symmetric", "batch_norm_epsilon": 1e-5,
        "extractor": {
            "kind": "mobilenet_v2", "width": 1.0, "divisor": 8, "output_stride": 16, "stem_channels": 32,
            "bottlenecks": [{"t": t, "c": c, "n": n, "s": s} for t, c, n, s in rows],
            "feature": "last_bottleneck", "last_channels": 1280, "bottleneck_activation": "linear", "shortcut": "bottleneck",
        },
        "head": {
            "kind": "deeplab_v3", "classes": classes, "channels": 256, "image_pooling": True, "aspp": {"kind": "plain", "rates": rates},
            "pooling_last": True, "refine": True, "resize": "half_pixel",
        },
        "input": {"size": 129, "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "fit": {"kind": "stretch"}},
        "labels": [f"class {i}" for i in range(classes)],
    }
    path = Path(folder) / "deeplab.json"
    path.write_text(json.dumps(spec))
    return ["--spec", path]


def cases(folder):
    import timm
    import torchvision
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead
    for width in (0.35, 1.0, 1.4):
        network = shuffle(torchvision.models.mobilenet_v2(width_mult=width, num_classes=37))
        flags = labels(folder, 37) + IMAGENET + ["--size", "224"]
        yield Case(f"torchvision mobilenet_v2 {width}", network, save(folder, f"mv2_{width}", network), flags, [(224, 224), (97, 97), (131, 75), (33, 225)])
    network = shuffle(timm.create_model("mobilenetv2_050", num_classes=37))
    yield Case("timm mobilenetv2_050", network, save(folder, "timm", network), labels(folder, 37) + IMAGENET + ["--size", "224"], [(224, 224), (97, 131)])

    # torchvision's head on its MobileNetV2: names backbone.N, classifier.N.
    features = atrous(torchvision.models.mobilenet_v2().features[:18])
    head = DeepLabHead(320, 21)
    rates = [12, 24, 36]
    network = shuffle(Pointwise(features, head))
    named = nn.ModuleDict({"backbone": features, "classifier": head})
    yield Case("torchvision DeepLabHead on mobilenet_v2", network, save(folder, "deeplab", named), deeplab_spec(folder, 21, rates), [(129, 129), (97, 161)])
