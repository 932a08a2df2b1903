"""Compares our results on foreign models with other engines': compare.py [--silhouette COMMAND] [--engine graph|plan] [--table PATH] [SECTION...]

Sections (all unless some are named):
  segmenters   every reference segmenter on every photo, at the model's own size: logits against the float version (ONNX Runtime) or, for float files, LiteRT; the mask
               that `silhouette segment` writes against the same logits; masks of quantised files against LiteRT's integer run
  classifier   the best class of every photo against LiteRT's
  pytorch      random weights of every implementation of PyTorch that is read, at odd sizes, against PyTorch: logits, and the mask that `silhouette segment` writes
  onnx         what PyTorch exports as ONNX at several opsets, and what ONNX Runtime quantises of it: logits against PyTorch, masks against ONNX Runtime
  tensorflow   Keras networks as TensorFlow's frozen graphs and as tf2onnx's ONNX, against TensorFlow
  formats      the portrait model of ../shared in its three formats: the masks of every photo
  forms        one network as training scripts save it: in dictionaries, under prefixes, averaged, from before PyTorch 1.6; and what is refused

--table PATH writes a Markdown table of what `pytorch`, `forms`, `onnx` and `tensorflow` imported, as in docs/importing.md.

Both sides use identical tensors. Photos and reference models are searched in ../shared or $SILHOUETTE_SHARED. Prints a line for each comparison; the exit code is 1
if any is outside its limits. Needs: pip install -r scripts/compare/requirements.txt, and a `silhouette` (cargo build --release -p silhouette-cli).
"""
import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import references as ref

LOGITS = 1e-3          # against float versions and LiteRT's float run
PYTORCH = 1e-4
AGREE = 0.98           # share of the pixels, averaged over the photos, against LiteRT's integer run


class Ours:
    """Our side: the command line, fed raw tensors."""

    def __init__(self, command, engine, folder):
        self.command, self.engine, self.folder = shlex.split(command), engine, Path(folder)

    def call(self, *arguments):
        result = subprocess.run(self.command + [str(a) for a in arguments], capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"silhouette {' '.join(map(str, arguments))}: {result.stderr.strip()}")

    def refusal(self, *arguments):
        """The message with which a call fails."""
        result = subprocess.run(self.command + [str(a) for a in arguments], capture_output=True, text=True)
        if result.returncode == 0:
            return "not at all"
        return result.stderr.strip()

    def load(self, source, *flags):
        path = self.folder / (Path(source).name.replace(".", "_") + "_imported.safetensors")
        self.call("import", source, "-o", path, *flags)
        return path

    def logits(self, model, tensor):
        x, y = self.folder / "x.npy", self.folder / "y.npy"
        np.save(x, tensor)
        self.call("run", model, "--input", x, "-o", y, "--engine", self.engine)
        return np.load(y)

    def mask(self, model, pixels):
        """The class ids that `segment` writes for an image of the model's own size."""
        from PIL import Image
        photo = self.folder / "photo.png"
        Image.fromarray(pixels).save(photo)
        self.call("segment", photo, "--model", model, "--effect", "mask", "--input-shape", "square", "-o", self.folder)
        return np.asarray(Image.open(self.folder / "photo.mask.png"))


class Report:
    failed = 0

    def __init__(self):
        self.rows = []

    def row(self, kind, made, files, worst, equal):
        """A row of the table: what it is, how it was made, as what it was imported, the largest difference of a logit as a share of the largest logit, equal pixels."""
        self.rows.append((kind, made, files, "" if worst is None else f"{worst:.0e}", "" if equal is None else f"{equal:.2%}"))

    def table(self):
        head = ["kind", "how it was made", "imported from", "largest difference", "equal pixels"]
        lines = [head, ["---"] * len(head), *self.rows]
        return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)

    def line(self, what, ok, text):
        self.failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {what}: {text}", flush=True)


def flags(folder, labels, classes, mean):
    """The import flags for what a file does not store."""
    if labels is None:
        path = Path(folder) / "labels.txt"
        path.write_text("".join(f"class {i}\n" for i in range(classes)))
    else:
        path = ref.SHARED / "models" / labels
    return ["--labels", path] + ([] if mean is None else ["--mean", mean, "--std", mean])


def segmenters(ours, report):
    for name, (size, labels, mean) in ref.SEGMENTERS.items():
        quantised = mean is None
        model = ours.load(ref.model(name), *flags(ours.folder, labels, 2, mean))
        lite = ref.LiteRt(ref.model(name))
        float_model = ref.FloatModel(name, size) if quantised else None
        agreement = []
        for photo in ref.photos():
            pixels = ref.stretched(photo, size)
            tensor = ref.normalised(pixels, mean)
            low = ours.logits(model, tensor)
            logits = ref.aligned_corners(low, size)
            theirs = lite.run(pixels[None] if quantised else np.ascontiguousarray(tensor.transpose(0, 2, 3, 1)))
            expected = float_model.run(tensor) if quantised else theirs.transpose(0, 3, 1, 2)
            worst = float(np.abs(logits - expected).max())
            clear, truth = ref.clear(expected), expected[0].argmax(0)
            wrong = int((logits[0].argmax(0) != truth)[clear].sum())
            drawn = int((ours.mask(model, pixels) != truth)[clear].sum())
            text = f"logits off by {worst:.2e}, {wrong} pixels of other classes, {drawn} in the mask drawn, {(~clear).sum()} ties"
            if quantised:
                agreement.append(float((logits[0].argmax(0) == theirs[0]).mean()))
                text += f"; {agreement[-1]:.2%} agree with the integer run"
            report.line(f"{name} {photo.name}", worst <= LOGITS and wrong == 0 and drawn == 0, text)
        if quantised:
            mean_agreement = float(np.mean(agreement))
            report.line(name, mean_agreement >= AGREE, f"{mean_agreement:.2%} of the pixels agree with LiteRT's integer run, on average over {len(agreement)} photos")


def classifier(ours, report):
    name, size, labels = ref.CLASSIFIER
    names = (ref.SHARED / "models" / labels).read_text().splitlines()
    model = ours.load(ref.model(name), "--labels", ref.SHARED / "models" / labels)
    lite = ref.LiteRt(ref.model(name))
    for photo in ref.photos():
        pixels = ref.stretched(photo, size)
        mine = ours.logits(model, ref.normalised(pixels, None))[0, :, 0, 0]
        theirs = lite.run(pixels[None])[0]
        # Probabilities are multiples of 1/256: several classes may share the best one.
        best = np.flatnonzero(theirs == theirs.max())
        text = f"'{names[mine.argmax()].strip()}', LiteRT '{names[best[0]].strip()}' ({theirs.max() / 256:.0%})"
        report.line(f"{name} {photo.name}", mine.argmax() in best, text)


def pytorch(ours, report):
    import torch

    import torch_models
    torch.manual_seed(20260101)
    for case in torch_models.cases(ours.folder):
        network = case.network
        worst, equal, files = 0.0, [], []
        for source in case.files:
            model = ours.load(source, *case.flags)
            inside = next((f" of {path.suffix}" for path in source.glob("*") if path.suffix in (".safetensors", ".bin")), None) if source.is_dir() else None
            files.append(f"folder{inside}" if inside else source.suffix + (" before 1.6" if "before16" in source.name else ""))
            for height, width in case.sizes:
                tensor = np.random.default_rng(height * width).uniform(-2, 2, (1, 3, height, width)).astype(np.float32)
                with torch.no_grad():
                    expected = network(torch.from_numpy(tensor)).numpy()
                    other = network(torch.from_numpy(tensor[:, :, ::-1].copy())).numpy()
                # The influence of the input: the same image upside down.
                span, largest = float(np.abs(expected - other).max()), float(np.abs(expected).max())
                mine = ours.logits(model, tensor).reshape(expected.shape)
                off = float(np.abs(mine - expected).max()) / largest
                worst = max(worst, off)
                report.line(f"{case.name} {files[-1]} {height}x{width}", off <= PYTORCH < span / largest / 100, f"{off:.1e} of the largest logit ({largest:.2f}; a range of {span:.2f} over inputs)")
            if case.full:
                share = same_pixels(ours, model, case)
                equal.append(share)
                report.line(f"{case.name} {files[-1]} mask", share == 1, f"{share:.4%} of the pixels are equal but for ties")
        report.row(case.name, case.made, ", ".join(files), worst, min(equal, default=None))


def same_pixels(ours, model, case):
    """The share of the mask's pixels that are the network's best class, but for ties."""
    import torch
    pixels = ref.pattern(case.size, case.size, 1)
    mean, std = (np.array(values, np.float32) for values in case.pixels)
    tensor = np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1)[None])
    with torch.no_grad():
        logits = case.full(case.network(torch.from_numpy(tensor)), (case.size, case.size)).numpy()
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], 1)
    clear = ref.clear(logits)
    return float((ours.mask(model, pixels) == logits[0].argmax(0))[clear].mean())


def graphs(ours, report, cases):
    """Graph files: logits, and masks, against the frameworks that they come from."""
    for case in cases:
        model = ours.load(case.file, *case.flags)
        worst = equal = None
        if case.low:
            tensor = np.random.default_rng(case.size).uniform(-1, 1, (1, 3, case.size, case.size)).astype(np.float32)
            expected, other = case.low(tensor), case.low(np.ascontiguousarray(tensor[:, :, ::-1]))
            span, largest = float(np.abs(expected - other).max()), float(np.abs(expected).max())
            worst = float(np.abs(ours.logits(model, tensor).reshape(expected.shape) - expected).max()) / largest
            report.line(f"{case.name}, {case.made}", worst <= PYTORCH < span / largest / 100, f"{worst:.1e} of the largest logit ({largest:.2f}; a range of {span:.2f} over inputs)")
        if case.full:
            mean, std = (np.array(values, np.float32) for values in case.pixels)
            pixels = ref.pattern(case.size, case.size, 1)
            logits = case.full(np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1)[None]))
            if logits.shape[1] == 1:
                logits = np.concatenate([np.zeros_like(logits), logits], 1)
            clear = ref.clear(logits)
            equal = float((ours.mask(model, pixels) == logits[0].argmax(0))[clear].mean())
            report.line(f"{case.name}, {case.made}, mask", equal == 1, f"{equal:.4%} of the pixels are equal but for ties")
        report.row(case.name, case.made, case.file.suffix, worst, equal)


def onnx(ours, report):
    import torch

    import graph_models
    torch.manual_seed(20260104)
    graphs(ours, report, graph_models.onnx(ours.folder))


def tensorflow(ours, report):
    import graph_models
    graphs(ours, report, graph_models.tensorflow(ours.folder))


def formats(ours, report):
    """The same portrait model as TensorFlow Lite, ONNX and a frozen graph: the masks that `segment` writes."""
    files = ["deeplab_aiseg513_dm05_float.tflite", "deeplab_aiseg513_dm05.onnx", "deeplab_aiseg513_dm05_frozen.pb"]
    models = [ours.load(ref.SHARED / "models" / file, *flags(ours.folder, None, 2, 127.5)) for file in files]
    for photo in ref.photos():
        pixels = ref.stretched(photo, 513)
        logits = ref.aligned_corners(ours.logits(models[0], ref.normalised(pixels, 127.5)), 513)
        clear = ref.clear(logits)
        masks = [ours.mask(model, pixels) for model in models]
        for file, mask in zip(files[1:], masks[1:]):
            wrong = int((mask != masks[0])[clear].sum())
            report.line(f"{file} {photo.name}", wrong == 0, f"{wrong} pixels of other classes than from .tflite, but for {(~clear).sum()} ties")


def forms(ours, report):
    import torch

    import torch_models
    torch.manual_seed(20260102)
    network, forms = torch_models.forms(ours.folder)
    tensor = np.random.default_rng(7).uniform(-2, 2, (1, 3, 97, 131)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(tensor)).numpy()
    rows = {}
    for form in forms:
        if form.says:
            message = ours.refusal("import", form.file, "-o", ours.folder / "refused.safetensors", *form.flags)
            report.line(form.name, form.says in message and len(message.splitlines()) == 1, f"refused: {message}")
            continue
        model = ours.load(form.file, *form.flags)
        off = float(np.abs(ours.logits(model, tensor).reshape(expected.shape) - expected).max() / np.abs(expected).max())
        report.line(form.name, off <= PYTORCH, f"{off:.1e} of the largest logit")
        name, _, before = form.name.partition(", ")
        files, worst = rows.get(name, ((), 0.0))
        rows[name] = ((*files, f"{form.file.suffix} {before}".strip()), max(worst, off))
    for name, (files, worst) in rows.items():
        report.row("torchvision mobilenet_v2", name, ", ".join(files), worst, None)


SECTIONS = {"segmenters": segmenters, "classifier": classifier, "pytorch": pytorch, "forms": forms, "onnx": onnx, "tensorflow": tensorflow, "formats": formats}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--silhouette", default=str(ref.ROOT / "target/release/silhouette"), help="the command (default: %(default)s)")
    parser.add_argument("--engine", choices=("graph", "plan"), default="graph")
    parser.add_argument("--table", type=Path, help="the Markdown file to write")
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}")
    if set(options.sections or SECTIONS) & {"segmenters", "classifier", "formats"}:
        ref.need_shared()
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.sections or SECTIONS:
            SECTIONS[name](Ours(options.silhouette, options.engine, folder), report)
    if options.table:
        options.table.write_text(report.table())
    if report.failed:
        sys.exit(f"{report.failed} comparisons are outside their limits")


if __name__ == "__main__":
    main()
