"""A tiny training from generated images to a model file that the Rust side loads: run by test.sh, which sets SILHOUETTE to the command.

Each part is checked by its effect: the loss falls, a resumed run equals an uninterrupted one, and for networks of
many shapes the logits of the Rust side agree with PyTorch's.
"""

import contextlib
import io
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import unittest
import unittest.mock

import numpy as np
import torch
from PIL import Image, ImageDraw

import ablation
import blocks
import export
import joint
import network
import person
import person_data
import person_draw
import person_pack
import person_score
import person_score_cases
import prepare
import train

HERE = os.path.dirname(os.path.abspath(__file__))


def small(**changes):
    """A small spec of 3 classes; `changes` by dotted path."""
    spec = network.load_spec(f"{HERE}/specs/voc21.json")
    spec["extractor"]["width"] = 0.35
    spec["head"] |= {"classes": 3, "channels": 32}
    spec["labels"] = ["background", "disc", "square"]
    spec["input"]["size"] = 65
    for path, value in changes.items():
        *way, last = path.split("__")
        at = spec
        for key in way:
            at = at[key]
        at[last] = value
    return spec


def v1(**changes):
    spec = small(**changes)
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (1024, 2), (1024, 1)]
    spec["extractor"] = {
        "kind": "mobilenet_v1",
        "width": 0.25,
        "output_stride": 16,
        "stem_channels": 32,
        "blocks": [{"c": c, "s": s} for c, s in blocks],
    }
    return spec


SPECS = {
    "as trained": small(),
    "output stride 8, even size": small(extractor__output_stride=8, input__size=64),
    "separable ASPP, symmetric padding": small(head__aspp={"kind": "separable", "rates": [2, 3]}, padding="symmetric"),
    "plain ASPP, pooling last, refined": small(head__aspp={"kind": "plain", "rates": [2]}, head__pooling_last=True, head__refine=True),
    "shortcut over the expansion, ReLU6 bottlenecks": small(extractor__shortcut="expansion", extractor__bottleneck_activation="relu6"),
    "blocks left out, channels of any number": small(extractor__dropped_blocks=[2, 9], extractor__divisor=1),
    "last layer, no image pooling": small(extractor__feature="last_layer", head__image_pooling=False),
    "MobileNetV1": v1(),
} | {f"ablation: {name}": ablation.spec_of(name) for name in ablation.VARIANTS}


def with_decoder(**changes):
    """The person network, small and with an alpha, or with classes."""
    spec = network.load_spec(f"{HERE}/specs/person.json")
    spec["input"]["size"] = 65
    spec["head"] |= changes
    return spec


# Which block each skip comes from, and the size of the logits for an input of 65x49.
DECODERS = {
    "strides 8, 4, 2": (with_decoder(), ["5", "2", "0"], (33, 25)),
    "stride 4 alone, half-pixel": (with_decoder(decoder={"skips": [{"stride": 4, "channels": 8}], "channels": 24}, resize="half_pixel"), ["2"], (17, 13)),
    "refined, without pooling": (with_decoder(refine=True, image_pooling=False), ["5", "2", "0"], (33, 25)),
}


def scenes(folder, n, seed):
    """Discs and squares on noise, with their masks."""
    rng = np.random.default_rng(seed)
    os.makedirs(folder)
    for i in range(n):
        image = Image.fromarray(rng.integers(0, 90, (72, 96, 3), np.uint8))
        mask = Image.new("L", image.size)
        kind, x, y, r = 1 + i % 2, *rng.integers(20, 50, 2), int(rng.integers(10, 20))
        box = [x - r, y - r, x + r, y + r]
        for target, color in ((image, (230, 60, 60) if kind == 1 else (70, 90, 240)), (mask, kind)):
            pen = ImageDraw.Draw(target)
            (pen.ellipse if kind == 1 else pen.rectangle)(box, fill=color)
        image.save(f"{folder}/{i:03d}.webp", lossless=True)
        mask.save(f"{folder}/{i:03d}.png")


def rust_logits(model, x):
    """The Rust side's logits for an input [1, 3, H, W]."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/x.npy", x.numpy())
        subprocess.run([os.environ["SILHOUETTE"], "run", model, "--input", f"{folder}/x.npy", "-o", f"{folder}/y.npy"], check=True)
        return np.load(f"{folder}/y.npy")


@torch.no_grad()
def stir(net, seed):
    """Batch norm as after training: no statistic is 0 or 1."""
    g = torch.Generator().manual_seed(seed)
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for value, lo, hi in ((layer.weight, 0.6, 1.4), (layer.bias, -0.3, 0.5), (layer.running_mean, -0.3, 0.3), (layer.running_var, 0.5, 2.0)):
                value.uniform_(lo, hi, generator=g)
        if isinstance(layer, network.Conv) and not layer.batch_norm:
            layer.weight.normal_(0, 0.1, generator=g)
            layer.bias.normal_(0, 0.5, generator=g)


class Training(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = tempfile.TemporaryDirectory()
        cls.at = cls.work.name
        scenes(f"{cls.at}/scenes", 16, 1)
        cls.spec = f"{cls.at}/spec.json"
        with open(cls.spec, "w", encoding="utf-8") as file:
            json.dump(small(), file)
        source = ["--folder", f"{cls.at}/scenes", f"{cls.at}/scenes", "--spec", cls.spec, "--workers", "1"]
        prepare.main([f"{cls.at}/labels", *source, "--paste", "4"])

    @classmethod
    def tearDownClass(cls):
        cls.work.cleanup()

    def train(self, prepared, out, steps, *more):
        fixed = ["--spec", self.spec, "--out", f"{self.at}/{out}", "--steps", str(steps), "--batch", "8", "--workers", "1", "--lr", "2e-3"]
        return train.main([f"{self.at}/{prepared}", *fixed, "--freeze", "-1", "--float32", "--save-every", "6", *more])

    def log(self, out):
        with open(f"{self.at}/{out}/log.csv", encoding="utf-8") as file:
            lines = file.read().split()
        return [dict(zip(lines[0].split(","), line.split(","))) for line in lines[1:]]

    def test_learns_exports_and_teaches(self):
        weights = self.train("labels", "first", 100)
        rows = self.log("first")
        self.assertLess(float(rows[-1]["labels"]), 0.8 * float(rows[0]["labels"]), rows)
        model = f"{self.at}/first.safetensors"
        export.main([weights, model, "--spec", self.spec])
        spec, net = export.read(model)
        x = torch.rand(1, 3, 65, 65, generator=torch.Generator().manual_seed(3)) * 2 - 1
        with torch.no_grad():
            expected = net(x).numpy()
        np.testing.assert_allclose(rust_logits(model, x), expected, atol=1e-3, rtol=0)
        for picture in ("curves.png", "samples.png"):
            with Image.open(f"{self.at}/first/{picture}") as image:
                self.assertGreater(image.size[0], 100)
        # The model teaches another one on the same images without labels.
        scenes(f"{self.at}/unlabelled", 8, 2)
        for name in os.listdir(f"{self.at}/unlabelled"):
            if name.endswith(".png"):
                Image.new("L", (96, 72), 254).save(f"{self.at}/unlabelled/{name}")
        source = ["--folder", f"{self.at}/unlabelled", f"{self.at}/unlabelled", "--spec", self.spec, "--workers", "1"]
        prepare.main([f"{self.at}/taught", *source, "--teacher", model, "--teacher-size", "129"])
        self.train("taught", "second", 100)
        rows = self.log("second")
        self.assertLess(float(rows[-1]["teacher"]), 0.8 * float(rows[0]["teacher"]), rows)
        self.assertLess(float(rows[-1]["features"]), float(rows[0]["features"]), rows)

    def test_learns_block_by_block(self):
        spec = small()
        torch.manual_seed(5)
        teacher, start = network.Network(spec), network.Network(spec)
        stir(teacher, 6)
        export.write(teacher, spec, f"{self.at}/teacher.safetensors", half=False)
        torch.save(start.state_dict(), f"{self.at}/random.pt")
        fixed = ["--spec", self.spec, "--start", f"{self.at}/random.pt", "--teacher", f"{self.at}/teacher.safetensors", "--out", f"{self.at}/blocks"]
        short = ["--pictures", "128", "--steps", "40", "--chain", "64", "--workers", "1", "--float32"]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            blocks.main([f"{self.at}/labels", *fixed, *short])
        alone = re.findall(r"unit \d+: ([\d.]+) of the variance left, now ([\d.]+)", said.getvalue())
        self.assertEqual(len(alone), 18, said.getvalue())
        before, after = (sum(float(pair[i]) for pair in alone) for i in range(2))
        self.assertLess(after, 0.9 * before, said.getvalue())
        # The output is closer to the teacher than the least-squares initialisation.
        x = torch.rand(4, 3, 65, 65, generator=torch.Generator().manual_seed(3)) * 2 - 1
        far = []
        for state in ("basis", "weights"):
            start.load_state_dict(torch.load(f"{self.at}/blocks/{state}.pt"))
            with torch.no_grad():
                ours, theirs = network.fold(start)(x), network.fold(teacher)(x)
            far.append(float(((ours - theirs) ** 2).mean()))
        self.assertLess(far[1], far[0])
        # All units together get even closer; a resumed run ends with the same result as an uninterrupted one.
        fixed[3], fixed[-1] = f"{self.at}/blocks/weights.pt", f"{self.at}/joint"
        short = ["--steps", "60", "--batch", "8", "--teacher-size", "97", "--save-every", "20", "--freeze", "1", "--labels", "0", "--ema", "0.8", "--float32", "--frames", "0.4", "--frame-size", "81"]
        batch = joint.Run.batch

        def until_thirty(run, step):
            if step == 30:
                raise KeyboardInterrupt
            return batch(run, step)

        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            joint.main([f"{self.at}/labels", *fixed, *short])
            whole = torch.load(f"{self.at}/joint/weights.pt")
            fixed[-1] = f"{self.at}/joint-halves"
            with unittest.mock.patch.object(joint.Run, "batch", until_thirty), self.assertRaises(KeyboardInterrupt):
                joint.main([f"{self.at}/labels", *fixed, *short])
            # A second process changes nothing, and ends with the run, even if a caller handles the signal to end.
            before = signal.signal(signal.SIGTERM, lambda *_: None)
            joint.main([f"{self.at}/labels", *fixed, *short, "--ahead", "2"])
            signal.signal(signal.SIGTERM, before)
        self.assertEqual(multiprocessing.active_children(), [])
        self.assertIn("resuming at step 20", said.getvalue())
        rows = [float(v) for v in re.findall(r"teacher ([\d.]+)", said.getvalue())]
        self.assertLess(rows[2], 0.9 * rows[0], said.getvalue())
        halves = torch.load(f"{self.at}/joint-halves/weights.pt")
        for name, value in whole.items():
            torch.testing.assert_close(halves[name], value, rtol=1e-3, atol=1e-4, msg=name)

    def test_a_decoder_reads_the_last_block_of_each_stride(self):
        for name, (spec, taps, size) in DECODERS.items():
            with self.subTest(name):
                net = network.Network(spec).eval()
                stir(net, 3)
                self.assertEqual(net.taps, taps)
                x = torch.rand(2, 3, 65, 49, generator=torch.Generator().manual_seed(3)) * 2 - 1
                with torch.no_grad():
                    y = net(x)
                    torch.testing.assert_close(network.fold(net)(x), y, rtol=1e-3, atol=1e-3)
                    # The same computed by hand, from the parts.
                    maps, at = {}, net.stem(x)
                    for block in net.blocks:
                        at = maps[block] = net.blocks[block](at)
                    head = net.head
                    branches = [head.branch(at)]
                    if spec["head"]["image_pooling"]:
                        branches.insert(0, head.pool(at.mean((2, 3), keepdim=True)).expand(-1, -1, *at.shape[2:]))
                    at = head.project(torch.cat(branches, 1))
                    at = head.refine(at) if spec["head"].get("refine") else at
                    for tap, stage in zip(taps, head.decoder):
                        aligned = spec["head"]["resize"] == "align_corners"
                        finer = torch.nn.functional.interpolate(at, maps[tap].shape[2:], mode="bilinear", align_corners=aligned)
                        at = stage.pointwise(stage.depthwise(torch.cat([finer, stage.skip(maps[tap])], 1)))
                    torch.testing.assert_close(head.classifier(at), y)
                self.assertEqual(y.shape, (2, 1, *size))
                with self.assertRaises(ValueError):
                    network.units(net)

    def test_the_person_network_is_within_its_budget(self):
        spec = network.load_spec(f"{HERE}/specs/person.json")
        parameters, macs = network.cost(spec, *network.fitted(257, 400, 300))
        self.assertLess(macs, 150e6)
        self.assertLess(2 * parameters, 1e6)

    def test_inputs_of_a_pictures_shape_are_the_engines(self):
        """The same table as in the segmenter's tests."""
        for width, height, columns, rows in [(160, 120, 129, 97), (120, 160, 97, 129), (160, 90, 129, 81), (100, 100, 129, 129), (129, 65, 129, 65), (300, 1, 129, 33), (1, 300, 33, 129)]:
            self.assertEqual(network.fitted(129, width, height), (rows, columns), f"{width}x{height}")

    def test_a_centred_network_is_the_same_function(self):
        net = network.Network(small())
        stir(net, 7)
        x = torch.rand(2, 3, 65, 65, generator=torch.Generator().manual_seed(3)) * 2 - 1
        with torch.no_grad():
            expected = net.eval()(x)
            network.centre(net, [x])
            torch.testing.assert_close(net(x), expected, rtol=1e-3, atol=1e-3)
            before = net.blocks["3"].project.bn.running_mean.clone()
            for layer in net.modules():
                if isinstance(layer, network.Conv):
                    layer.weight *= 1 + 0.1 * torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(4))
            moved = net(x)
            network.settle(net)
            again = network.Network(small()).eval()
            again.load_state_dict(net.state_dict())
            torch.testing.assert_close(again(x), moved, rtol=1e-3, atol=1e-3)
        self.assertGreater(float((again.blocks["3"].project.bn.running_mean - before).abs().max()), 1e-3)

    def test_a_stopped_run_goes_on_as_if_it_had_not_been(self):
        whole = torch.load(self.train("labels", "whole", 12))
        stop = train.rate
        try:
            # The schedule has 12 steps in both; the first call ends after 6 with an error, as if killed.
            def until_six(a, step):
                if step == 6 and os.path.exists(f"{self.at}/halves/checkpoint.pt"):
                    raise KeyboardInterrupt
                return stop(a, step)

            train.rate = until_six
            with self.assertRaises(KeyboardInterrupt):
                self.train("labels", "halves", 12)
        finally:
            train.rate = stop
        halves = torch.load(self.train("labels", "halves", 12))
        for name, value in whole.items():
            if value.dtype.is_floating_point:
                torch.testing.assert_close(halves[name], value, rtol=1e-4, atol=1e-5, msg=name)

    def test_both_sides_agree_on_every_shape(self):
        decoders = {f"decoder: {name}": spec for name, (spec, _, _) in DECODERS.items()}
        for number, (name, spec) in enumerate((SPECS | decoders).items()):
            with self.subTest(name):
                torch.manual_seed(number)
                net = network.Network(spec)
                stir(net, number)
                if name in decoders:
                    net.head.classifier.weight.data *= 60
                model = f"{self.at}/{number}.safetensors"
                export.write(net, spec, model)
                size = spec["input"]["size"]
                x = torch.rand(1, 3, size, size) * 2 - 1
                with torch.no_grad():
                    expected = export.read(model)[1](x).numpy()
                self.assertGreater(expected.std(), 1e-2, "constant logits test nothing")
                np.testing.assert_allclose(rust_logits(model, x), expected, atol=1e-3 * max(1, np.abs(expected).max()), rtol=0)

    def test_the_ablation_goes_on_and_counts_as_the_rust_side(self):
        out = f"{self.at}/ablation"
        call = [sys.executable, "-B", f"{HERE}/ablation.py", "--out", out, "--seeds", "1", "--steps", "2", "--pictures", "8", "--tests", "4", "--jobs", "1"]

        def run(only):
            return subprocess.run([*call, "--only", only], check=True, capture_output=True, text=True).stdout

        self.assertIn("seed 0", run("base"))
        with open(f"{out}/results.jsonl", "a", encoding="utf-8") as file:
            file.write('{"variant": "aspp-separable", "se')  # killed while it wrote
        again = run("base,aspp-separable")
        self.assertNotIn("base                 seed", again)
        with open(f"{out}/table.md", encoding="utf-8") as file:
            rows = [line for line in file if line.startswith("| ")]
        self.assertEqual(len(rows), 2 + 2, rows)
        spec = ablation.spec_of("aspp-separable")
        parameters, macs = network.cost(spec, ablation.SIZE, ablation.SIZE)
        told = subprocess.run([os.environ["SILHOUETTE"], "info", "--spec", f"{out}/specs/aspp-separable.json", "--json"], check=True, capture_output=True, text=True)
        total = json.loads(told.stdout)["cost"]["total"]
        self.assertEqual((parameters, macs), (total["parameters"], total["macs"]))
        # Three taps in a row of seven, three apart: 4, 7 and 4 of them are inside.
        self.assertEqual(ablation.taps_inside(7, 3), (15 / 21) ** 2)

    def test_a_public_float_file_gives_the_same_logits(self):
        """Width 0.5 with channels of any number, output stride 8: the initial weights of the person network."""
        path = f"{os.environ.get('SILHOUETTE_SHARED', HERE + '/../../../shared')}/models/deeplabv3_257_mv_gpu.tflite"
        if not os.path.exists(path):
            self.skipTest("../shared/models is absent")
        try:
            import tflite
        except ImportError:
            self.skipTest("ai-edge-litert is not installed")
        spec = network.load_spec(f"{HERE}/specs/voc21.json")
        spec["extractor"] |= {"width": 0.5, "divisor": 1, "output_stride": 8}
        net = tflite.deeplab(network.Network(spec), path)
        x = torch.rand(1, 3, 257, 257, generator=torch.Generator().manual_seed(3)) * 2 - 1
        lite = tflite.Interpreter(path)
        lite.allocate_tensors()
        lite.set_tensor(lite.get_input_details()[0]["index"], x.permute(0, 2, 3, 1).numpy())
        lite.invoke()
        expected = lite.get_tensor(lite.get_output_details()[0]["index"]).transpose(0, 3, 1, 2)
        with torch.no_grad():
            np.testing.assert_allclose(network.resized(net(x), (257, 257), spec).numpy(), expected, atol=2e-3, rtol=0)
        # At output stride 16 the same weights match the person network's extractor.
        person_net = network.Network(network.load_spec(f"{HERE}/specs/person.json"))
        layers, rest = tflite.extractor(person_net, path)
        self.assertEqual((len(layers), len(list(rest))), (1 + 2 + 3 * 15, 3 + 4), "left over: the 320 block and the head")

    def test_drawn_scenes_are_the_same_for_the_same_seed(self):
        (x, y), (again, _), (other, _) = ablation.scenes(3, 33, 5), ablation.scenes(2, 33, 5), ablation.scenes(3, 33, 6)
        np.testing.assert_array_equal(x[:2], again)
        self.assertTrue((x != other).any())
        self.assertLess(y.max(), len(ablation.LABELS))
        self.assertGreater((ablation.scenes(40, 33, 1)[1] > 0).mean(), 0.1)

    def test_folding_changes_nothing(self):
        net = network.Network(small()).eval()
        stir(net, 7)
        x = torch.rand(1, 3, 65, 65) * 2 - 1
        with torch.no_grad():
            torch.testing.assert_close(network.fold(net)(x), net(x), rtol=1e-4, atol=1e-4)

    def test_atrous_grids_are_the_atrous_convolution(self):
        g = torch.Generator().manual_seed(0)
        for h, w, rate in ((17, 17, 2), (5, 9, 4), (3, 2, 2)):
            x, k = torch.randn(2, 8, h, w, generator=g), torch.randn(8, 1, 3, 3, generator=g)
            expected = torch.nn.functional.conv2d(x, k, None, 1, rate, rate, 8)
            torch.testing.assert_close(network.atrous(x, k, None, rate, (rate,) * 4), expected)


class People(unittest.TestCase):
    """The person network's training, on drawn images: figures on noise, some of them not labelled."""

    @classmethod
    def setUpClass(cls):
        cls.work = tempfile.TemporaryDirectory()
        cls.at = cls.work.name
        cls.tars = [cls.tar("picsart", 150, 1), cls.tar("voc", 20, 2), cls.tar("pets", 4, 3, people=False)]
        with contextlib.redirect_stdout(io.StringIO()):
            person_data.main([f"{cls.at}/pool", "--tar", *cls.tars, "--workers", "1"])
        spec = network.load_spec(f"{HERE}/specs/person.json")
        spec["extractor"]["width"] = 0.25
        cls.spec = f"{cls.at}/spec.json"
        with open(cls.spec, "w", encoding="utf-8") as file:
            json.dump(spec, file)

    @classmethod
    def tearDownClass(cls):
        cls.work.cleanup()

    @classmethod
    def tar(cls, source, n, seed, people=True):
        rng = np.random.default_rng(seed)
        with tarfile.open(f"{cls.at}/{source}.tar", "w") as archive:
            for i in range(n):
                image = Image.fromarray(rng.integers(0, 90, (64, 48, 3), np.uint8))
                mask = Image.new("L", image.size)
                x, y, r = *rng.integers(14, 34, 2), int(rng.integers(8, 13))
                for target, color in ((image, (230, 60, 60)), (mask, 15)) if people else ():
                    ImageDraw.Draw(target).ellipse([x - r, y - r, x + r, y + 2 * r], fill=color)
                if people:
                    mask.paste(254, (0, 0, 6, 6))
                for kind, content in ((".webp", image), (".png", mask)):
                    file = io.BytesIO()
                    content.save(file, kind[1:], **({"lossless": True} if kind == ".webp" else {}))
                    info = tarfile.TarInfo(f"{source}/{source}_{i:04}{kind}")
                    info.size = file.tell()
                    file.seek(0)
                    archive.addfile(info, file)
        return f"{cls.at}/{source}.tar"

    def test_what_is_held_out_is_not_trained_on(self):
        final, choosing = (person_data.of_split(self.tars[:1], s) for s in ("final", "choosing"))
        self.assertEqual((len(final), len(choosing)), (100, 50), "60 are for model selection, of the 50 left")
        self.assertFalse({n for _, n, *_ in final} & {n for _, n, *_ in choosing})
        with open(f"{self.at}/pool/index.json", encoding="utf-8") as file:
            index = json.load(file)
        self.assertEqual([i["source"] for i in index], ["pets"] * 4, "all 150 of picsart and all 20 of voc are held out")

    def test_batches_are_the_same_for_the_same_step(self):
        pool = self.pool()
        for step in range(12):
            x, alpha, weight, moved = person_draw.batch(pool, 1, step, 3, 0.6)
            self.assertTrue(all(v.isfinite().all() for v in (x, alpha, weight)))
            self.assertTrue(0 <= float(alpha.min()) and float(alpha.max()) <= 1)
            again = person_draw.batch(pool, 1, step, 3, 0.6)
            torch.testing.assert_close((x, alpha, weight, moved), again)
            # The last is the first, moved.
            dx, dy = moved.tolist()
            rows, columns = alpha.shape[2:]
            here = alpha[-1][:, 4 : rows - 4, 4 : columns - 4]
            torch.testing.assert_close(here, alpha[0][:, 4 + dy : rows - 4 + dy, 4 + dx : columns - 4 + dx])
            answer = torch.logit(alpha.clamp(0.01, 0.99))
            self.assertLess(float(person.unsteady(answer, (rows, columns), moved)), 1e-4)
            if moved.any() and alpha[0].std() > 0.1:
                self.assertGreater(float(person.unsteady(answer, (rows, columns), torch.zeros(2))), 1e-4)
            self.assertTrue((x != person_draw.batch(pool, 1, step, 3, 0.6, part=1)[0]).any())

    def pool(self):
        """Images of the first tar under a source without held-out images."""
        if not os.path.isdir(f"{self.at}/people"):
            with contextlib.redirect_stdout(io.StringIO()):
                person_data.main([f"{self.at}/people", "--tar", self.tar("duts", 24, 4), self.tars[2], "--workers", "1"])
        return person_draw.Pool(f"{self.at}/people")

    def test_learns_stops_and_goes_on(self):
        self.pool()
        fixed = ["--spec", self.spec, "--device", "cpu", "--batch", "4", "--lr", "5e-3", "--extractor", "1", "--log-every", "8", "--composite", "0.2", "--longer", "65", "--steady", "0.2"]
        said = io.StringIO()
        with contextlib.redirect_stdout(said), unittest.mock.patch.object(person_draw, "LONGER", ((0, 1.0),)):
            person.main([f"{self.at}/people", "--out", f"{self.at}/whole", *fixed, "--steps", "48"])
            person.main([f"{self.at}/people", "--out", f"{self.at}/halves", *fixed, "--steps", "16"])
            person.main([f"{self.at}/people", "--out", f"{self.at}/halves", *fixed, "--steps", "18"])
        self.assertEqual(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)  # training leaves no handler behind
        rows = [float(v) for v in re.findall(r"entropy ([\d.]+)", said.getvalue())]
        self.assertLess(rows[5], 0.8 * rows[0], said.getvalue())
        self.assertIn("resuming at step 16", said.getvalue())
        self.assertEqual(torch.load(f"{self.at}/halves/checkpoint.pt")["step"], 18)
        model = f"{self.at}/person.safetensors"
        with contextlib.redirect_stdout(said):
            export.main([f"{self.at}/whole/weights.pt", model, "--spec", self.spec])
        spec, net = export.read(model)
        dark = np.zeros((40, 60, 3), np.uint8)
        alpha = person_score.Predictor(net, spec, 65)(dark)
        self.assertEqual(alpha.shape, (40, 60))
        with contextlib.redirect_stdout(said):
            export.main([f"{self.at}/whole/weights.pt", model, "--spec", self.spec, "--gain", "3"])
        logit = lambda a: np.log(a / (1 - a))
        steep = person_score.Predictor(export.read(model)[1], spec, 65)(dark)
        # (Where alphas are averaged in resizing, neighbours may differ a little more.)
        self.assertLess(np.median(np.abs(logit(steep) - 3 * logit(alpha))), 0.02)

    def test_the_archive_trains_by_itself(self):
        pool = self.pool()
        run = f"{self.at}/packed"
        with contextlib.redirect_stdout(io.StringIO()):
            person.main([f"{self.at}/people", "--out", run, "--device", "cpu", "--batch", "2", "--longer", "65", "--steps", "1"])
            person_pack.main(["pack", f"{self.at}/people", run, f"{self.at}/train.tar", "--limit", "60", "--quality", "90", "--workers", "1"])
        self.assertLess(os.path.getsize(f"{self.at}/train.tar"), 60e6)
        with tarfile.open(f"{self.at}/train.tar") as archive:
            archive.extractall(f"{self.at}/elsewhere", filter="data")
        call = [f"{self.at}/elsewhere/train", "1", f"{self.at}/elsewhere/run", "--device", "cpu", "--batch", "2", "--longer", "65", "--steps", "2"]
        told = subprocess.run(call, check=True, capture_output=True, text=True, env=os.environ | {"SILHOUETTE_PYTHON": sys.executable, "PYTHONPATH": ""}).stdout
        self.assertIn("resuming at step 1", told)
        state = f"{self.at}/elsewhere/run/checkpoint.pt"
        self.assertLess(os.path.getsize(state), 16e6)
        self.assertEqual(torch.load(state)["step"], 2)
        there = person_draw.Pool(f"{self.at}/elsewhere/pool")
        self.assertEqual(len(there.index), len(pool.index))
        first, same = ({i["source"] for i in p.index} for p in (pool, there))
        self.assertEqual(first, same)
        for kind in ("alpha", "sure"):
            self.assertEqual(sorted(np.unique(getattr(there, kind), return_counts=True)[1].tolist()), sorted(np.unique(getattr(pool, kind), return_counts=True)[1].tolist()))

    def test_measures_of_a_known_mask(self):
        mask = np.zeros((40, 40), np.uint8)
        mask[10:30, 10:30] = 15
        perfect = person_score.of_picture(np.float32(mask == 15), mask)
        self.assertEqual((perfect["iou"], perfect["f2"], perfect["error"]), (1, 1, 0))
        moved = np.zeros((40, 40), np.float32)
        moved[10:30, 14:34] = 1
        shifted = person_score.of_picture(moved, mask)
        self.assertAlmostEqual(shifted["iou"], 16 / 24)
        self.assertAlmostEqual(shifted["error"], 160 / 1600)
        # Only the two long edges, and the short ones' ends, are further than 2 px.
        self.assertLess(shifted["f2"], 0.6)
        mask[:, 30:34] = 255
        self.assertEqual(person_score.label(mask, fill_void=True)[20, 30:34].tolist(), [1, 1, 0, 0])
        unknown = person_score.of_picture(moved, np.where(mask == 255, 254, mask).astype(np.uint8))
        self.assertAlmostEqual(unknown["iou"], 16 / 20)
        matte = np.full((40, 40), 0.6, np.float32)
        self.assertAlmostEqual(person_score.of_picture(matte + 0.1, np.full((40, 40), 15, np.uint8), matte=matte)["error"], 0.1, places=6)

    def test_the_cases_of_the_rust_side_are_of_these_measures(self):
        with open(f"{HERE}/../../core/segmenter/tests/alpha_scores.txt", encoding="utf-8") as file:
            self.assertEqual(file.read(), person_score_cases.text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
