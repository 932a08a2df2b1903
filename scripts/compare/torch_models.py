"""PyTorch networks with random weights, saved as their users save them, with the flags to import them."""
import copy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

IMAGENET = ["--mean", "123.675,116.28,103.53", "--std", "58.395,57.12,57.375"]
PIXELS = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@dataclass
class Case:
    """A network. Its logits, of `run`, are those before the resize; `full` resizes them, for networks that segment."""

    name: str
    made: str
    network: nn.Module
    files: list
    flags: list
    sizes: list
    full: object = None
    pixels: tuple = PIXELS  # mean and deviation that images are normalised with
    size: int = 0  # the input of `full`


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


def save(folder, name, network):
    """Its state dict in the three containers."""
    state = network.state_dict()
    paths = [Path(folder) / f"{name}.pth", Path(folder) / f"{name}.before16.pth", Path(folder) / f"{name}.state.safetensors"]
    torch.save(state, paths[0])
    torch.save(state, paths[1], _use_new_zipfile_serialization=False)
    save_file(state, paths[2])
    return paths


def labels(folder, classes):
    path = Path(folder) / f"labels{classes}.txt"
    path.write_text("".join(f"class {i}\n" for i in range(classes)))
    return ["--labels", path]


def resized(align_corners):
    """The network's own resize of its logits to its input."""
    return lambda logits, size: F.interpolate(logits, size=size, mode="bilinear", align_corners=align_corners)


class Pointwise(nn.Module):
    """The low-resolution logits of a segmentation network: the output of `silhouette run`."""

    def __init__(self, features, head):
        super().__init__()
        self.features, self.head = features, head

    def forward(self, x):
        return self.head(self.features(x))


def atrous(features, stride):
    """Strides past the output stride become rates of the blocks after them, as in TensorFlow, torchvision and VainF."""
    reached, rate = 2, 1
    for block in features[1:18]:
        for module in block.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                own = rate
                if module.stride == (2, 2) and reached == stride:
                    module.stride, rate = (1, 1), rate * 2
                elif module.stride == (2, 2):
                    reached *= 2
                module.dilation = module.padding = (own, own)
    return features


class PadsInput(nn.Module):
    """A block whose input is padded before its expansion, and no convolution inside: VainF's."""

    def __init__(self, block):
        super().__init__()
        self.conv, self.shortcut, self.around = block.conv, block.use_res_connect, 0
        for module in self.conv.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                self.around, module.padding = module.padding[0], (0, 0)

    def forward(self, x):
        y = self.conv(F.pad(x, (self.around,) * 4))
        return x + y if self.shortcut else y


def padding_inputs(features, stride):
    """Features with the padding of VainF's: of each block's input, and none in the stem."""
    features = atrous(features, stride)
    features[0][0].padding = (0, 0)
    return nn.Sequential(features[0], *(PadsInput(block) for block in features[1:]))


def vainf(classes, stride, rates):
    """The names and the padding of VainF's deeplabv3_mobilenet."""
    import torchvision
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead
    layers = padding_inputs(torchvision.models.mobilenet_v2().features[:18], stride)
    network = shuffle(Pointwise(layers, DeepLabHead(320, classes, rates)))
    named = nn.ModuleDict({
        "backbone": nn.ModuleDict({
            "low_level_features": nn.ModuleDict({str(i): layers[i] for i in range(4)}),
            "high_level_features": nn.ModuleDict({str(i): layers[i] for i in range(4, 18)}),
        }),
        "classifier": nn.ModuleDict({"classifier": network.head}),
    })
    return network, named


class Smp(nn.Module):
    """segmentation_models_pytorch's network without its last resize."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network.segmentation_head[0](self.network.decoder(self.network.encoder(x)))


class HuggingFace(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(pixel_values=x).logits


def hugging_face(folder, name, kind, **config):
    import transformers
    settings = transformers.MobileNetV2Config(**config)
    network = shuffle(HuggingFace(getattr(transformers, kind)(settings)))
    network.network.save_pretrained(Path(folder) / name)
    old = Path(folder) / f"{name}_bin"
    old.mkdir()
    torch.save(network.network.state_dict(), old / "pytorch_model.bin")
    settings.save_pretrained(old)
    # The folders, and a file with its configuration beside it.
    return network, [Path(folder) / name, old, Path(folder) / name / "model.safetensors"]


def cases(folder):
    import segmentation_models_pytorch as smp
    import timm
    import torchvision
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead
    for width in (0.35, 1.0, 1.4):
        network = shuffle(torchvision.models.mobilenet_v2(width_mult=width, num_classes=37))
        flags = labels(folder, 37) + IMAGENET + ["--size", "224"]
        yield Case("torchvision mobilenet_v2", f"width_mult={width}", network, save(folder, f"mv2_{width}", network), flags, [(224, 224), (97, 97), (131, 75), (33, 225)])
    network = shuffle(timm.create_model("mobilenetv2_050", num_classes=37))
    yield Case("timm mobilenetv2_050", "create_model", network, save(folder, "timm", network), labels(folder, 37) + IMAGENET + ["--size", "224"], [(224, 224), (97, 131)])
    for width, stride, padding in ((0.35, 32, True), (1.4, 32, False), (1.0, 16, True)):
        network, files = hugging_face(
            folder, f"hf_classifier_{width}", "MobileNetV2ForImageClassification", depth_multiplier=width, output_stride=stride, tf_padding=padding, finegrained_output=width < 1,
            num_labels=11)
        made = f"depth_multiplier={width}, output_stride={stride}, tf_padding={padding}"
        yield Case("Hugging Face MobileNetV2ForImageClassification", made, network, files, [], [(224, 224), (97, 131)])

    for classes, stride, rates in ((21, 16, [12, 24, 36]), (5, 8, [6, 12, 18])):
        # torchvision's head on its MobileNetV2: names backbone.N, classifier.N.
        features = atrous(torchvision.models.mobilenet_v2().features[:18], stride)
        network = shuffle(Pointwise(features, DeepLabHead(320, classes, rates)))
        named = nn.ModuleDict({"backbone": features, "classifier": network.head})
        flags = labels(folder, classes) + IMAGENET + ["--size", "129", "--output-stride", stride, "--rates", ",".join(map(str, rates))]
        made = f"{classes} classes, output stride {stride}, rates {rates}"
        files = save(folder, f"deeplab{stride}", named)
        yield Case("torchvision DeepLabHead on mobilenet_v2", made, network, files, flags, [(129, 129), (97, 161)], resized(False), size=129)
        network, named = vainf(classes, stride, rates)
        files = save(folder, f"vainf{stride}", named)
        yield Case("VainF deeplabv3_mobilenet", made, network, files, flags, [(129, 129), (97, 161), (130, 100)], resized(False), size=129)
    for classes, stride, rates in ((2, 8, (12, 24, 36)), (5, 16, (6, 12, 18)), (1, 16, (6, 12, 18))):
        network = smp.DeepLabV3("mobilenet_v2", encoder_weights=None, classes=classes, encoder_output_stride=stride, decoder_atrous_rates=rates)
        network = shuffle(Smp(network))
        flags = (labels(folder, classes) if classes > 1 else []) + IMAGENET + ["--size", "128", "--output-stride", stride, "--rates", ",".join(map(str, rates))]
        made = f"{classes} classes, encoder_output_stride={stride}, decoder_atrous_rates={rates}"
        yield Case("segmentation_models_pytorch DeepLabV3", made, network, save(folder, f"smp{stride}_{classes}", network.network), flags, [(128, 128), (96, 160)], resized(True), size=128)
    for width, stride, padding, classes in ((0.35, 16, True, 21), (1.0, 8, True, 5), (1.4, 16, False, 2), (0.75, 32, True, 150)):
        network, files = hugging_face(
            folder, f"hf_deeplab_{width}", "MobileNetV2ForSemanticSegmentation", depth_multiplier=width, output_stride=stride, tf_padding=padding, finegrained_output=width < 1,
            num_labels=classes, image_size=129)
        made = f"{classes} classes, depth_multiplier={width}, output_stride={stride}, tf_padding={padding}"
        yield Case("Hugging Face MobileNetV2ForSemanticSegmentation", made, network, files, [], [(129, 129), (98, 161)], resized(False), pixels=((127.5,) * 3, (127.5,) * 3), size=129)


@dataclass
class Form:
    """A way to save one network: `says` is a part of the message with which it is refused."""

    name: str
    file: Path
    flags: list
    says: str = ""


def forms(folder):
    """A network, the flags to import it, and the forms in which training scripts save it."""
    import torchvision
    from torch.optim.swa_utils import AveragedModel
    network = shuffle(torchvision.models.mobilenet_v2(width_mult=0.35, num_classes=7))
    state, other = network.state_dict(), {name: torch.zeros_like(tensor) for name, tensor in network.state_dict().items()}

    def under(prefix, tensors=state):
        return {prefix + name: tensor for name, tensor in tensors.items()}

    optimiser = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(5)}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}
    averaged = AveragedModel(network)
    script = torch.jit.script(network)
    compiled = copy.copy(torch.compile(network))
    objects = {
        "Lightning": {"epoch": 3, "state_dict": {**under("model."), "criterion.weight": torch.ones(7)}, "optimizer_states": [optimiser], "hyper_parameters": {"lr": 0.1}},
        "DataParallel": nn.DataParallel(network).state_dict(),
        "torch.compile": compiled.state_dict(),
        "averaged": averaged.state_dict(),
        "EMA alone": {"ema_state_dict": under("module."), "updates": 12},
        "model and its EMA": {"model": state, "model_ema": other, "optimizer": optimiser, "epoch": 3},
        "nested": {"checkpoint": {"networks": [{"student": {"weights": under("module._orig_mod.")}}]}, "args": {"a": (1, 2)}},
        "parts apart": {"net": {"features": under("", network.features.state_dict()), "classifier": under("", network.classifier.state_dict())}},
        "parameters": {"params": dict(network.named_parameters()) | dict(network.named_buffers())},
        "with the key": {"student": state, "teacher": other},
        "several": {"student": state, "teacher": other},
        "whole module": network,
        "whole module inside": {"model": network, "epoch": 1},
    }
    flags = labels(folder, 7) + IMAGENET + ["--size", "224"]
    refused = {"several": "pass --key", "whole module": ".state_dict()", "whole module inside": '["model"].state_dict()'}
    made = []
    for name, content in objects.items():
        for container, new in ((".pth", True), (".before16.pth", False)):
            path = Path(folder) / f"{name.replace(' ', '_')}{container}"
            torch.save(content, path, _use_new_zipfile_serialization=new)
            key = ["--key", "student"] if name == "with the key" else []
            made.append(Form(name + ("" if new else ", before 1.6"), path, flags + key, refused.get(name, "")))
    path = Path(folder) / "script.pt"
    script.save(path)
    made.append(Form("TorchScript", path, flags, "torch.jit.load"))
    return network, made
