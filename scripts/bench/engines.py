"""The peers behind one interface: an engine opens a model file for a number of threads and runs it from an f32 (or uint8) image to logits.

Each runs in a process of its own (`Worker`), so that libraries, thread pools and memory are separate; a worker runs only on request, so that
rounds of different engines can be interleaved. All are configured to compute in f32: bf16 and f16 modes are switched off.
"""
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path


class Onnxruntime:
    """ONNX Runtime, CPU provider."""

    suffix = "onnx"

    def library(self):
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)
        self.ort = onnxruntime

    def open(self, model, threads, size):
        options = self.ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = self.ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def run(self, picture):
        return self.session.run(None, {self.input: picture})[0]


class Openvino:
    """OpenVINO, configured for f32: by default it uses bf16 where the CPU has it."""

    suffix = "onnx"

    def library(self):
        import openvino

        self.ov = openvino

    def open(self, model, threads, size):
        core = self.ov.Core()
        config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        self.request = core.compile_model(core.read_model(model), "CPU", config).create_infer_request()

    def run(self, picture):
        self.request.infer([picture], share_inputs=True)
        return self.request.get_output_tensor(0).data


class Ncnn:
    """ncnn on the file that pnnx creates from the ONNX one."""

    suffix = "ncnn.param"

    def library(self):
        import ncnn

        self.ncnn = ncnn

    def open(self, model, threads, size):
        self.net = self.ncnn.Net()
        options = self.net.opt
        options.num_threads = threads
        options.use_vulkan_compute = False
        for mode in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "bf16_packed"):
            setattr(options, "use_" + mode, False)
        if self.net.load_param(model) or self.net.load_model(model.removesuffix("param") + "bin"):
            raise RuntimeError(f"ncnn cannot load {model}")

    def run(self, picture):
        import numpy as np

        extractor = self.net.create_extractor()
        extractor.input("in0", self.ncnn.Mat(picture[0]))
        _, logits = extractor.extract("out0")
        return np.array(logits)[None]


class Mnn:
    """MNN, precision 'high' (f32)."""

    suffix = "mnn"

    def library(self):
        import MNN

        self.mnn = MNN

    def open(self, model, threads, size):
        self.net = self.mnn.Interpreter(model)
        self.session = self.net.createSession({"numThread": threads, "precision": "high", "backend": "CPU"})
        self.input = self.net.getSessionInput(self.session)
        self.output = self.net.getSessionOutput(self.session)
        self.kind = self.mnn.Tensor_DimensionType_Caffe
        shape = self.output.getShape()
        self.logits = self.mnn.Tensor(shape, self.mnn.Halide_Type_Float, self.zeros(shape), self.kind)

    @staticmethod
    def zeros(shape):
        import numpy as np

        return np.zeros(shape, np.float32)

    def run(self, picture):
        self.input.copyFrom(self.mnn.Tensor(picture.shape, self.mnn.Halide_Type_Float, picture, self.kind))
        self.net.runSession(self.session)
        self.output.copyToHostTensor(self.logits)
        return self.logits.getNumpyData()


class Litert:
    """LiteRT (TensorFlow Lite) with XNNPACK, on an unmodified .tflite file: channels-last."""

    suffix = "tflite"

    def library(self):
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter_of = Interpreter

    def open(self, model, threads, size):
        self.interpreter = self.interpreter_of(model, num_threads=threads)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]
        self.output = self.interpreter.get_output_details()[0]["index"]

    def run(self, picture):
        self.interpreter.set_tensor(self.input["index"], picture)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output)


ENGINES = {"onnxruntime": Onnxruntime, "openvino": Openvino, "ncnn": Ncnn, "mnn": Mnn, "litert": Litert}


def picture_for(engine, model, size):
    """The same generated image for every engine, in the layout and type that its file expects."""
    import numpy as np

    x = np.random.default_rng(7).uniform(-1, 1, (1, 3, size, size)).astype(np.float32)
    if engine == "litert":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        if "quant" in Path(model).name:
            x = ((x + 1) * 127.5).astype(np.uint8)
    return x


def status_mib(field):
    """A field of /proc/self/status in MiB: VmRSS now, VmHWM at its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status lacks {field}")


def serve(engine, model, threads, size):
    """The worker's side: opens the model, reports how long that and the first run took, then answers each line `N` with N run times in ms,
    after a warm-up."""
    import numpy as np

    peer = ENGINES[engine]()
    picture = picture_for(engine, model, size)
    peer.library()
    np.zeros(1).sum()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    before = status_mib("VmRSS")
    t0 = time.perf_counter()
    peer.open(model, threads, size)
    t1 = time.perf_counter()
    logits = np.asarray(peer.run(picture))
    t2 = time.perf_counter()
    growth = status_mib("VmHWM") - before
    sample = [float(v) for v in logits.astype(np.float32).ravel()[:: max(1, logits.size // 1000)]]
    opened = {"open_ms": (t1 - t0) * 1e3, "first_ms": (t2 - t1) * 1e3, "growth_mib": growth, "shape": list(logits.shape), "sample": sample}
    print(json.dumps(opened), flush=True)
    for line in sys.stdin:
        times = []
        time.sleep(0.2)  # until the previous engine's threads have stopped spinning
        peer.run(picture)
        for _ in range(int(line)):
            start = time.perf_counter()
            peer.run(picture)
            times.append((time.perf_counter() - start) * 1e3)
        print(json.dumps(times), flush=True)


class Worker:
    """The parent's side of one engine in its own process."""

    def __init__(self, engine, model, threads, size):
        command = [sys.executable, __file__, engine, str(model), str(threads), str(size)]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), TF_CPP_MIN_LOG_LEVEL="3")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        self.opened = self._answer()

    def _answer(self):
        for line in self.process.stdout:  # libraries may print on their own
            if line.startswith(("{", "[")):
                try:
                    return json.loads(line)
                except json.JSONDecodeError:
                    continue
        raise RuntimeError(self.process.stderr.read().strip().splitlines()[-1:] or "the process ended")

    def run(self, times):
        """Median of `times` runs, in ms."""
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        return statistics.median(self._answer())

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
