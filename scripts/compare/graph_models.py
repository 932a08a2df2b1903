"""Networks with random weights as graph files: ONNX as PyTorch, tf2onnx and ONNX Runtime's quantiser write it, and TensorFlow's frozen graphs."""
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass
class Graph:
    """A file. `low` and `full` give its logits (1, C, h, w) for an input (1, 3, H, W): before the resize, and at the size of the image (for networks that segment)."""

    name: str
    made: str
    file: Path
    flags: list
    size: int
    low: object
    full: object = None
    pixels: tuple = ((127.5,) * 3, (127.5,) * 3)  # mean and deviation that images are normalised with


def session(model):
    """ONNX Runtime's run of a model (a path or bytes) on one input."""
    import onnxruntime
    runs = onnxruntime.InferenceSession(model if isinstance(model, bytes) else str(model), providers=["CPUExecutionProvider"])
    name = runs.get_inputs()[0].name
    return lambda tensor: runs.run(None, {name: tensor})[0]


def onnx(folder):
    """What PyTorch exports: by TorchScript up to opset 17, by torch.export from 18 on; and what ONNX Runtime quantises of it."""
    import torch

    import torch_models

    class Full(torch.nn.Module):
        def __init__(self, case):
            super().__init__()
            self.network, self.case = case.network, case

        def forward(self, x):
            logits = self.network(x)
            return self.case.full(logits, x.shape[-2:]) if self.case.full else logits

    wanted = {"torchvision mobilenet_v2": 1, "torchvision DeepLabHead on mobilenet_v2": 2, "VainF deeplabv3_mobilenet": 1, "segmentation_models_pytorch DeepLabV3": 3,
              "Hugging Face MobileNetV2ForSemanticSegmentation": 1}
    for case in torch_models.cases(folder):
        if wanted.get(case.name, 0) == 0:
            continue
        wanted[case.name] -= 1
        size, full = case.size or 224, Full(case).eval()
        asked = ("--output-stride", "--rates")  # a graph says these itself
        flags = [flag for before, flag in zip([None, *case.flags], case.flags) if before not in asked and flag not in asked]
        if not flags:
            flags = torch_models.labels(folder, full(torch.zeros(1, 3, size, size)).shape[1]) + ["--mean", "127.5", "--std", "127.5"]
        x = torch.rand(1, 3, size, size)

        def low(tensor, network=case.network):
            with torch.no_grad():
                return network(torch.from_numpy(tensor)).numpy()

        for opset in (11, 13, 17, 18, 20):
            path = Path(folder) / f"{len(list(Path(folder).glob('*.onnx')))}_{opset}.onnx"
            dynamo = {"dynamo": True, "external_data": False, "verbose": False} if opset > 17 else {"dynamo": False}
            torch.onnx.export(full, (x,), str(path), opset_version=opset, **dynamo)
            made = f"{case.made}; torch.onnx.export, opset {opset}{', dynamo' if opset > 17 else ''}"
            yield Graph(f"{case.name} as ONNX", made, path, flags, size, low, session(path) if case.full else None, case.pixels)
            if opset == 17:
                yield from quantised(case, path, flags, size)


def quantised(case, path, flags, size):
    """Quantised by ONNX Runtime (QDQ); to compare with, the float network of its weights."""
    import onnx
    from onnx import numpy_helper
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
    prepared = path.with_suffix(".prepared.onnx")
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    name = onnx.load(str(prepared)).graph.input[0].name

    class Calibration(CalibrationDataReader):
        def __init__(self):
            random = np.random.default_rng(5)
            self.inputs = iter([{name: random.uniform(-2, 2, (1, 3, size, size)).astype(np.float32)} for _ in range(4)])

        def get_next(self):
            return next(self.inputs, None)

    for per_channel in (False, True):
        file = path.with_suffix(f".qdq{int(per_channel)}.onnx")
        activations = QuantType.QInt8 if per_channel else QuantType.QUInt8
        quantize_static(str(prepared), str(file), Calibration(), quant_format=QuantFormat.QDQ, per_channel=per_channel, activation_type=activations, weight_type=QuantType.QInt8)
        twin, weights = onnx.load(str(prepared)), dequantised(onnx.load(str(file)))
        for tensor in twin.graph.initializer:
            if tensor.name in weights:
                tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
        full = session(twin.SerializeToString())
        # Its logits before the resize are not an output: the masks, and for classifiers the logits, are compared.
        made = f"{case.made}; quantize_static (QDQ{', per channel' if per_channel else ''})"
        yield Graph(f"{case.name} as ONNX", made, file, flags, size, None if case.full else full, full if case.full else None, case.pixels)


def dequantised(model):
    """The float weights of a QDQ model, by the names that they had."""
    from onnx import numpy_helper
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weights = {}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            q, scale = constants[node.input[0]], np.asarray(constants[node.input[1]])
            zero = np.asarray(constants[node.input[2]]) if len(node.input) > 2 else np.zeros_like(scale)
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            if scale.size > 1:
                shape = [-1 if i == axis else 1 for i in range(q.ndim)]
                scale, zero = scale.reshape(shape), zero.reshape(shape)
            weights[node.input[0].removesuffix("_quantized")] = ((q.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)
    return weights


def keras_networks(random):
    """Name, network from an image to its logits before the resize, the same with the resize and an end, size, whether it normalises the image itself."""
    from tensorflow import keras
    layers = keras.layers

    def shuffled(network, size):
        for layer in network.layers:
            if isinstance(layer, layers.BatchNormalization):
                gamma, beta, *statistics = layer.get_weights()
                layer.set_weights([random.uniform(0.7, 1.5, gamma.shape), random.uniform(-0.3, 0.3, beta.shape), *statistics])
                layer.momentum = 0.0  # the statistics become those of the next images
        network(random.uniform(-1, 1, (4, size, size, 3)).astype(np.float32), training=True)
        return network

    classifier = shuffled(keras.applications.MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, weights=None, classes=7, classifier_activation=None), 96)
    yield "Keras MobileNetV2", "alpha=0.35", classifier, classifier, 96, False
    for classes, end, normalises in ((5, "softmax", True), (1, "sigmoid", False)):
        size = 128
        base = keras.applications.MobileNetV2(input_shape=(size, size, 3), alpha=0.35, include_top=False, weights=None)
        extractor = shuffled(keras.Model(base.input, base.get_layer("block_16_project_BN").output), size)
        image = keras.Input((size, size, 3), batch_size=1)
        features = extractor(layers.Rescaling(1 / 127.5, -1.0)(image) if normalises else image)
        side = features.shape[1]

        def conv(x, channels, kernel, rate=1):
            return layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(channels, kernel, padding="same", dilation_rate=rate, use_bias=False)(x)))

        pooled = conv(layers.GlobalAveragePooling2D(keepdims=True)(features), 32, 1)
        branches = [layers.UpSampling2D(side, interpolation="bilinear")(pooled), conv(features, 32, 1), conv(features, 32, 3, 6), conv(features, 32, 3, 12)]
        low = layers.Conv2D(classes, 1)(conv(layers.Concatenate()(branches), 32, 1))
        full = layers.UpSampling2D(size // side, interpolation="bilinear")(low)
        network = shuffled(keras.Model(image, [low, full, layers.Activation(end)(full)]), size)
        low_only, ending = keras.Model(image, low), keras.Model(image, network.outputs[2])
        yield "Keras DeepLabV3 on MobileNetV2", f"{classes} classes, {end}{', Rescaling' if normalises else ''}", low_only, ending, size, normalises


def tensorflow(folder):
    """Keras networks frozen by TensorFlow, and converted by tf2onnx."""
    import tensorflow as tf
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    random = np.random.default_rng(20260103)
    for name, made, low, ending, size, normalises in keras_networks(random):
        run = tf.function(lambda x, ending=ending: ending(x, training=False))
        signature = tf.TensorSpec((1, size, size, 3), tf.float32, name="image")
        classes = low.output.shape[-1]
        labels = Path(folder) / f"labels_{classes}.txt"
        labels.write_text("".join(f"class {i}\n" for i in range(max(classes, 2))))
        flags = ["--labels", labels] + ([] if normalises else ["--mean", "127.5", "--std", "127.5"])
        frozen = convert_variables_to_constants_v2(run.get_concrete_function(signature)).graph.as_graph_def()
        path = Path(folder) / f"{len(list(Path(folder).glob('*.pb')))}.pb"
        path.write_bytes(frozen.SerializeToString())
        files = [(path, "frozen")]
        for opset in (11, 13, 15, 18):
            onnx_path = path.with_suffix(f".{opset}.onnx")
            tf2onnx.convert.from_function(run, input_signature=(signature,), opset=opset, output_path=str(onnx_path))
            files.append((onnx_path, f"tf2onnx, opset {opset}"))

        def logits(tensor, network=low, normalises=normalises):
            image = tensor.transpose(0, 2, 3, 1)
            values = network((image + 1) * 127.5 if normalises else image, training=False).numpy()
            return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values

        for file, how in files:
            kind = "a frozen graph" if file.suffix == ".pb" else "ONNX"
            yield Graph(f"{name} as {kind}", f"{made}; {how}", file, flags, size, logits)
