//! State dicts written as PyTorch writes them, under the names of each implementation, and read back; and truncated,
//! corrupted and malicious files.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use silhouette_engine::engine::Engine;
use silhouette_graph::Graph;
use silhouette_kernels::rows::RowSource;
use silhouette_network::network::{Network, Size};
use silhouette_network::spec::{Aspp, Extractor, Head, Padding, Resize, Spec, Task};
use silhouette_plan::{Plan, PlanOptions};
use silhouette_weights::Tensor;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::fixture::numbers;
use crate::{ImportError, ImportOptions, import_bytes};

type Tensors = BTreeMap<String, Tensor>;

/// Every tensor of the network with batch norm, by our names; variances are positive.
fn tensors(spec: &Spec) -> Tensors {
    let network = Network::native(spec).unwrap();
    let mut tensors = Tensors::new();
    for (seed, conv) in network.convs().enumerate() {
        let others = if conv.batch_norm { conv.bn().to_vec() } else { vec![conv.bias()] };
        for (part, expected) in std::iter::once(conv.weight()).chain(others).enumerate() {
            let mut data = numbers(8 * seed + part, expected.shape.iter().product());
            if expected.name.ends_with("var") {
                for v in &mut data {
                    *v = v.abs() + 0.1;
                }
            }
            tensors.insert(expected.name, Tensor { shape: expected.shape, data });
        }
    }
    tensors
}

/// The prefixes of a convolution and of its batch norm in another implementation.
fn place(tensors: &Tensors, ours: &str, conv: &str, norm: &str) -> Vec<(String, Tensor)> {
    let parts = [("weight", format!("{conv}.weight")), ("bias", format!("{conv}.bias"))].into_iter().chain(
        ["weight", "bias", "running_mean", "running_var"].map(|tail| (tail, format!("{norm}.{tail}"))).into_iter().map(
            |(tail, theirs)| match tail {
                "weight" => ("bn.weight", theirs),
                "bias" => ("bn.bias", theirs),
                "running_mean" => ("bn.running_mean", theirs),
                _ => ("bn.running_var", theirs),
            },
        ),
    );
    parts.filter_map(|(tail, theirs)| Some((theirs, tensors.get(&format!("{ours}.{tail}"))?.clone()))).collect()
}

/// torchvision's names, with `layers` before an extractor layer's number and `head` before DeepLabV3's head.
fn torchvision(spec: &Spec, layers: impl Fn(usize) -> String, head: &str) -> Tensors {
    let ours = tensors(spec);
    let network = Network::native(spec).unwrap();
    let mut theirs = Vec::new();
    theirs.extend(place(&ours, "stem", &format!("{}.0", layers(0)), &format!("{}.1", layers(0))));
    for block in network.blocks() {
        let prefix = format!("{}.conv", layers(block.index + 1));
        let mut next = 0;
        for part in ["expand", "depthwise"] {
            let placed = place(
                &ours,
                &format!("blocks.{}.{part}", block.index),
                &format!("{prefix}.{next}.0"),
                &format!("{prefix}.{next}.1"),
            );
            next += usize::from(!placed.is_empty());
            theirs.extend(placed);
        }
        let project = format!("blocks.{}.project", block.index);
        theirs.extend(place(&ours, &project, &format!("{prefix}.{next}"), &format!("{prefix}.{}", next + 1)));
    }
    let last = layers(network.blocks().count() + 1);
    theirs.extend(place(&ours, "last", &format!("{last}.0"), &format!("{last}.1")));
    theirs.extend(place(&ours, "classifier", "classifier.1", ""));
    let convs = |i: usize, conv: usize| format!("{head}0.convs.{i}.{conv}");
    theirs.extend(place(&ours, "head.branch", &convs(0, 0), &convs(0, 1)));
    let mut next = 1;
    while ours.contains_key(&format!("head.aspp.{}.weight", next - 1)) {
        theirs.extend(place(&ours, &format!("head.aspp.{}", next - 1), &convs(next, 0), &convs(next, 1)));
        next += 1;
    }
    theirs.extend(place(&ours, "head.pool", &convs(next, 1), &convs(next, 2)));
    theirs.extend(place(&ours, "head.project", &format!("{head}0.project.0"), &format!("{head}0.project.1")));
    theirs.extend(place(&ours, "head.refine", &format!("{head}1"), &format!("{head}2")));
    theirs.extend(place(&ours, "head.classifier", &format!("{head}4"), ""));
    let mut theirs: Tensors = theirs.into_iter().collect();
    if let Some(linear) = theirs.get_mut("classifier.1.weight").filter(|t| t.shape.ends_with(&[1, 1])) {
        linear.shape.truncate(2);
    }
    assert_eq!(theirs.len(), ours.len(), "a tensor has no place in torchvision's names");
    theirs
}

/// A pickle of protocol 2, as `torch.save` writes it.
struct Pickle(Vec<u8>);

impl Pickle {
    fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.bytes());
    }

    fn int(&mut self, n: usize) {
        self.0.push(b'J');
        self.0.extend((n as i32).to_le_bytes());
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.0.push(b'(');
        for &n in sizes {
            self.int(n);
        }
        self.0.push(b't');
    }

    /// `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
    fn tensor(&mut self, class: &str, key: usize, shape: &[usize], strides: &[usize], count: usize) {
        self.0.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.0.extend(format!("ctorch\n{class}\n").bytes());
        self.text(&key.to_string());
        self.text("cpu");
        self.int(count);
        self.0.extend(b"tQ");
        self.int(0);
        self.sizes(shape);
        self.sizes(strides);
        self.0.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
}

/// How a file is written.
#[derive(Clone, Copy, PartialEq)]
enum Layout {
    Plain,
    /// Under `model_state`, next to counters, every name with the prefix `module.`.
    Checkpoint,
    /// Weights with the channels last in memory.
    ChannelsLast,
}

fn pth(tensors: &Tensors, layout: Layout) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut pickle = Pickle(b"\x80\x02".to_vec());
    if layout == Layout::Checkpoint {
        pickle.0.extend(b"}(");
        pickle.text("cur_itrs");
        pickle.int(30000);
        pickle.text("optimizer_state");
        pickle.0.extend(b"}");
        pickle.text("best_score");
        pickle.0.extend(b"G?\xe6ffffff");
        pickle.text("model_state");
    }
    pickle.0.extend(b"ccollections\nOrderedDict\n)R(");
    let prefix = if layout == Layout::Checkpoint { "module." } else { "" };
    let mut storages = Vec::new();
    for (name, tensor) in tensors {
        pickle.text(&format!("{prefix}{name}"));
        let mut strides = vec![1; tensor.shape.len()];
        for i in (1..tensor.shape.len()).rev() {
            strides[i - 1] = strides[i] * tensor.shape[i];
        }
        let mut data = tensor.data.clone();
        if let (Layout::ChannelsLast, &[_, i, h, w]) = (layout, tensor.shape.as_slice()) {
            strides = vec![h * w * i, 1, w * i, i];
            for (at, value) in tensor.data.iter().enumerate() {
                let x = at % w;
                let y = at / w % h;
                let c = at / w / h % i;
                let o = at / w / h / i;
                data[o * h * w * i + c + y * w * i + x * i] = *value;
            }
        }
        pickle.tensor("FloatStorage", storages.len(), &tensor.shape, &strides, data.len());
        storages.push(data.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        if let Some(norm) = name.strip_suffix("running_var") {
            pickle.text(&format!("{prefix}{norm}num_batches_tracked"));
            pickle.tensor("LongStorage", storages.len(), &[], &[], 1);
            storages.push(7i64.to_le_bytes().to_vec());
        }
    }
    pickle.0.extend(if layout == Layout::Checkpoint { &b"uu."[..] } else { b"u." });
    zip.start_file("archive/data.pkl", stored).unwrap();
    zip.write_all(&pickle.0).unwrap();
    zip.start_file("archive/byteorder", stored).unwrap();
    zip.write_all(b"little").unwrap();
    for (key, data) in storages.iter().enumerate() {
        zip.start_file(format!("archive/data/{key}"), stored).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn classifier() -> Spec {
    let mut spec = Spec::preset("torchvision_mobilenet_v2").unwrap();
    if let (Extractor::MobilenetV2(v2), Head::Classifier(head)) = (&mut spec.extractor, &mut spec.head) {
        (v2.width, head.classes) = (0.35, 5);
    }
    spec.labels = (0..5).map(|i| format!("class {i}")).collect();
    spec
}

fn deeplab() -> Spec {
    let mut spec = Spec::preset("fixture").unwrap();
    let Head::DeeplabV3(head) = &mut spec.head else { panic!("a classifier") };
    (head.aspp, head.channels) = (Aspp::Plain { rates: vec![6, 12, 18] }, 16);
    (head.pooling_last, head.refine, head.resize) = (true, true, Resize::HalfPixel);
    spec.padding = Padding::Symmetric;
    spec
}

fn with_spec(spec: &Spec) -> ImportOptions {
    ImportOptions { spec: Some(spec.clone()), ..ImportOptions::default() }
}

#[test]
fn classifiers_need_no_spec() {
    let spec = classifier();
    let theirs = torchvision(&spec, |i| format!("features.{i}"), "");
    let options = ImportOptions {
        labels: Some(spec.labels.clone()),
        mean: Some(spec.input.mean),
        std: Some(spec.input.std),
        size: Some(spec.input.size),
        ..ImportOptions::default()
    };
    for layout in [Layout::Plain, Layout::Checkpoint, Layout::ChannelsLast] {
        let file = pth(&theirs, layout);
        let imported = import_bytes(&file, "state", &options).unwrap();
        assert_eq!(Network::native(&imported.spec).unwrap(), Network::native(&spec).unwrap());
        assert_eq!(imported.tensors, tensors(&spec));
        assert!((imported.spec.batch_norm_epsilon - 1e-5).abs() < 1e-12);
    }
    let file = pth(&theirs, Layout::Plain);
    for (options, flag) in [
        (ImportOptions { labels: None, ..options.clone() }, "--labels"),
        (ImportOptions { mean: None, ..options.clone() }, "--mean"),
        (ImportOptions { std: None, ..options.clone() }, "--std"),
        (ImportOptions { size: None, ..options.clone() }, "--size"),
    ] {
        let error = import_bytes(&file, "state", &options).unwrap_err();
        assert!(matches!(&error, ImportError::NotSaid { flag: f, .. } if *f == flag), "{error}");
    }
}

#[test]
fn deeplab_names_of_torchvision_and_vainf() {
    let spec = deeplab();
    #[allow(clippy::type_complexity, reason = "read once, right here")]
    let ways: [(fn(usize) -> String, &str); 3] = [
        (|i| format!("backbone.{i}"), "classifier."),
        (|i| format!("backbone.features.{i}"), "classifier."),
        (|i| format!("backbone.{}_level_features.{i}", if i < 4 { "low" } else { "high" }), "classifier.classifier."),
    ];
    for (layers, head) in ways {
        let theirs = torchvision(&spec, layers, head);
        for layout in [Layout::Plain, Layout::Checkpoint] {
            let imported = import_bytes(&pth(&theirs, layout), "state", &with_spec(&spec)).unwrap();
            assert_eq!(imported.tensors, tensors(&spec));
        }
        let error = import_bytes(&pth(&theirs, Layout::Plain), "state", &ImportOptions::default()).unwrap_err();
        assert!(matches!(&error, ImportError::NotSaid { flag: "--spec", .. }), "{error}");
    }
}

#[test]
fn what_the_tensors_say_of_a_head_is_not_asked() {
    // TensorFlow's, 21 classes, 256 channels, no 3x3 layer before the classifier; and PyTorch's own.
    for (name, classes) in [("deeplabv3_mnv2_aspp", 1), ("deeplabv3_mnv2_aspp", 2), ("pytorch_deeplabv3_mnv2", 2)] {
        let preset = Spec::preset(name).unwrap();
        let mut spec = preset.clone().pytorch();
        let Head::DeeplabV3(head) = &mut spec.head else { panic!("a classifier") };
        (head.classes, head.channels, head.refine) = (classes, 24, true);
        spec.labels = vec!["background".into(), "person".into()];
        spec.task = (classes == 1).then_some(Task::Alpha);
        let file = pth(&torchvision(&spec, |i| format!("backbone.features.{i}"), "classifier."), Layout::Plain);
        let options = ImportOptions { labels: Some(spec.labels.clone()), ..with_spec(&preset) };
        let imported = import_bytes(&file, "state", &options).unwrap();
        assert_eq!((&imported.spec.head, &imported.spec.labels), (&spec.head, &spec.labels));
        assert_eq!((imported.spec.task, imported.tensors.clone()), (spec.task, tensors(&spec)));
        assert_eq!((imported.spec.padding, &imported.spec.input), (Padding::Symmetric, &spec.input));
        assert!((imported.spec.batch_norm_epsilon - 1e-5).abs() < 1e-12);
        imported.into_model().unwrap();
        // Its labels are for other classes.
        let alone = import_bytes(&file, "state", &with_spec(&preset));
        match alone {
            Ok(alone) => {
                assert_eq!((classes, &alone.spec.labels[..]), (1, &["background", "foreground"].map(String::from)[..]));
            }
            Err(ImportError::NotSaid { flag, what }) => {
                assert!(classes == 2 && flag == "--labels" && what.contains("2 classes"), "{what}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    // A specification written for the file is left unchanged.
    let same = Spec { name: "mine".into(), ..Spec::preset("deeplabv3_mnv2_aspp").unwrap() };
    let mut theirs = same.clone();
    let Head::DeeplabV3(head) = &mut theirs.head else { panic!("a classifier") };
    head.pooling_last = true;
    let file = pth(&torchvision(&theirs, |i| format!("backbone.features.{i}"), "classifier."), Layout::Plain);
    let kept = import_bytes(&file, "state", &with_spec(&same)).unwrap().spec;
    assert_eq!((kept.padding, kept.head), (Padding::Same, theirs.head));
    // A classifier with a single logit would be certain of its only class, whatever it sees.
    let mut single = classifier();
    single.head = Head::Classifier(silhouette_network::spec::Classifier { classes: 1 });
    single.labels.truncate(1);
    let file = pth(&torchvision(&single, |i| format!("features.{i}"), ""), Layout::Plain);
    let error = import_bytes(&file, "state", &with_spec(&single)).unwrap_err().to_string();
    assert!(error.contains("single logit") && error.contains("two logits"), "{error}");
}

#[test]
fn safetensors_with_the_same_names() {
    let spec = classifier();
    let theirs = torchvision(&spec, |i| format!("features.{i}"), "");
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = theirs
        .iter()
        .map(|(name, t)| (name.clone(), t.shape.clone(), t.data.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, shape, data)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap();
        (name.as_str(), view)
    });
    let file = safetensors::serialize(views, None).unwrap();
    let imported = import_bytes(&file, "state", &with_spec(&spec)).unwrap();
    assert_eq!(imported.tensors, tensors(&spec));
}

#[test]
fn every_tensor_is_accounted_for() {
    let spec = classifier();
    let whole = torchvision(&spec, |i| format!("features.{i}"), "");
    let import = |tensors: &Tensors| import_bytes(&pth(tensors, Layout::Plain), "state", &with_spec(&spec));

    let mut extra = whole.clone();
    extra.insert("features.3.se.fc1.weight".into(), Tensor { shape: vec![2], data: vec![0.0; 2] });
    extra.insert("fc.bias".into(), Tensor { shape: vec![1], data: vec![0.0] });
    let error = import(&extra).unwrap_err().to_string();
    assert!(
        error.contains("left over: fc.bias, features.3.se.fc1.weight")
            || error.contains("features.3.se.fc1.weight, fc.bias"),
        "{error}"
    );

    let mut less = whole.clone();
    less.remove("features.4.conv.1.1.running_var");
    let error = import(&less).unwrap_err().to_string();
    assert!(error.contains("missing: blocks.3.depthwise.bn.running_var"), "{error}");

    let mut wrong = whole.clone();
    wrong.insert("features.0.1.bias".into(), Tensor { shape: vec![3], data: vec![0.0; 3] });
    let error = import(&wrong).unwrap_err().to_string();
    assert!(error.contains("stem.bn.bias is [3]"), "{error}");

    let mut nan = whole;
    nan.get_mut("classifier.1.bias").unwrap().data[1] = f32::NAN;
    let error = import(&nan).unwrap_err().to_string();
    assert!(error.contains("classifier.bias") && error.contains("finite"), "{error}");
}

#[test]
fn what_is_no_state_dict_says_so() {
    let options = ImportOptions::default();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("readme.txt", SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
    let error = import_bytes(&zip.finish().unwrap().into_inner(), "x", &options).unwrap_err().to_string();
    assert!(error.contains("data.pkl"), "{error}");
    let stranger = Tensors::from([("layer1.0.conv1.weight".into(), Tensor { shape: vec![1], data: vec![0.0] })]);
    let error = import_bytes(&pth(&stranger, Layout::Plain), "x", &options).unwrap_err().to_string();
    assert!(error.contains("layer1.0.conv1.weight"), "{error}");
    for (begins, what) in [(&b"\x80\x02\x8a\x0a\x6c\xfc\x9c"[..], "before version 1.6"), (b"\x89HDF\r\n", "Keras")] {
        let error = import_bytes(begins, "x", &options).unwrap_err();
        assert!(matches!(error, ImportError::Unsupported { .. }) && error.to_string().contains(what), "{error}");
    }
    for bytes in [&b""[..], b"x", b"PK", b"a text file, and a long one at that"] {
        let error = import_bytes(bytes, "x", &options).unwrap_err();
        assert!(matches!(error, ImportError::UnknownFormat { .. }), "{error}");
    }
}

/// Tensors that claim more than their storage holds, or reuse the same storage many times.
#[test]
fn sizes_are_held_against_the_file() {
    let file = |shape: &[usize], strides: &[usize], times: usize| {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let mut pickle = Pickle(b"\x80\x02}(".to_vec());
        for i in 0..times {
            pickle.text(&format!("features.{i}.0.weight"));
            pickle.tensor("FloatStorage", 0, shape, strides, 1);
        }
        pickle.0.extend(b"u.");
        zip.start_file("a/data.pkl", stored).unwrap();
        zip.write_all(&pickle.0).unwrap();
        zip.start_file("a/data/0", stored).unwrap();
        zip.write_all(&[0; 4096]).unwrap();
        import_bytes(&zip.finish().unwrap().into_inner(), "x", &ImportOptions::default()).unwrap_err().to_string()
    };
    for (shape, strides, times, problem) in [
        (&[1025][..], &[1][..], 1, "reach beyond"),
        (&[2_147_483_647, 2_147_483_647, 2_147_483_647], &[1, 1, 1], 1, "reach beyond"),
        (&[2_147_483_647], &[0], 1, "reach beyond"),
        (&[2, 2], &[1024, 1], 1, "reach beyond"),
        (&[2], &[1, 1], 1, "description is invalid"),
        (&[1024], &[1], 1000, "larger than the file"),
    ] {
        let error = file(shape, strides, times);
        assert!(error.contains(problem), "{shape:?}: {error}");
    }
}

/// A small file, created once for all the corruption tests.
fn sample() -> (Vec<u8>, ImportOptions) {
    static SAMPLE: LazyLock<(Vec<u8>, ImportOptions)> = LazyLock::new(make_sample);
    SAMPLE.clone()
}

fn make_sample() -> (Vec<u8>, ImportOptions) {
    let mut spec = classifier();
    if let Extractor::MobilenetV2(v2) = &mut spec.extractor {
        v2.bottlenecks.truncate(3);
        (v2.output_stride, v2.last_channels) = (8, 8);
    }
    let spec = Spec { padding: Padding::Symmetric, ..spec };
    let file = pth(&torchvision(&spec, |i| format!("features.{i}"), ""), Layout::Plain);
    (file, with_spec(&spec))
}

#[test]
fn files_cut_off_anywhere_are_refused() {
    let (file, options) = sample();
    import_bytes(&file, "whole", &options).unwrap();
    for length in (0..file.len()).step_by(7).chain(file.len() - 100..file.len()) {
        assert!(import_bytes(&file[..length], "cut", &options).is_err(), "{length} of {} bytes", file.len());
    }
}

/// Golden logits, computed by PyTorch with weights from the same formula (`scripts/compare/goldens.py`).
#[test]
fn logits_are_pytorchs() {
    #[derive(serde::Deserialize)]
    struct Golden {
        width: f64,
        classes: usize,
        outputs: Vec<Output>,
    }
    #[derive(serde::Deserialize)]
    struct Output {
        height: usize,
        width: usize,
        logits: Vec<f32>,
    }
    let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/pytorch.json")).unwrap();
    let spec = classifier();
    let Extractor::MobilenetV2(v2) = &spec.extractor else { panic!("not MobileNetV2") };
    assert!((v2.width - golden.width).abs() < 1e-9 && spec.labels.len() == golden.classes);
    let mut theirs = torchvision(&spec, |i| format!("features.{i}"), "");
    for tensor in theirs.values_mut().filter(|t| t.shape.len() > 1) {
        let scale = (3.0 / tensor.shape[1..].iter().product::<usize>() as f64).sqrt() as f32;
        tensor.data.iter_mut().for_each(|v| *v *= scale);
    }
    let imported = import_bytes(&pth(&theirs, Layout::Plain), "golden", &with_spec(&spec)).unwrap();
    let model = imported.into_model().unwrap();
    for Output { height, width, logits } in golden.outputs {
        let size = Size { height, width };
        let plan = Plan::of(&model, size, &PlanOptions::default()).unwrap();
        let engines: [Arc<dyn Engine>; 2] = [Arc::new(plan), Arc::new(Graph::of(&model, size, 1 << 30).unwrap())];
        for engine in engines {
            let mut session = engine.new_session().unwrap();
            session.run(&Pattern { height, width }).unwrap();
            let found = session.output(0);
            let worst = found.iter().zip(&logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= 1e-4, "{height}x{width}: {found:?}, not {logits:?}");
        }
    }
}

/// The image that `goldens.py` computes from a formula.
struct Pattern {
    height: usize,
    width: usize,
}

impl RowSource for Pattern {
    fn width(&self) -> usize {
        self.width
    }

    fn height(&self) -> usize {
        self.height
    }

    fn scratch_len(&self) -> usize {
        0
    }

    fn row(&self, y: usize, _: &mut [f32], out: &mut [f32]) {
        for (i, value) in out.iter_mut().enumerate() {
            let x = i / 3;
            let c = i % 3;
            let pixel = (x * x * 4 + y * y * 5 + x * y * (c + 1) + 4000 * c) / 97 % 256;
            *value = (pixel as f32 - 128.0) / 64.0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..16)) {
        let (mut file, options) = sample();
        for (index, bit) in flips {
            let at = index.index(file.len());
            file[at] ^= 1 << bit;
        }
        if let Ok(imported) = import_bytes(&file, "flipped", &options) {
            prop_assert!(imported.into_model().is_ok());
        }
    }

    #[test]
    fn pickles_of_noise_never_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = b"\x80\x02".to_vec();
        bytes.extend(noise);
        let _ = super::pickle::Pickle::read(&bytes);
    }

    #[test]
    fn noise_after_a_header_is_refused(noise in prop::collection::vec(any::<u8>(), 0..400), which in 0usize..3) {
        let mut file = [&b"PK\x03\x04"[..], b"\x10\x00\x00\x00\x00\x00\x00\x00{", b"\x08\x07\x12"][which].to_vec();
        file.extend(noise);
        prop_assert!(import_bytes(&file, "noise", &ImportOptions::default()).is_err());
    }
}

#[test]
fn headers_and_directories_longer_than_any_networks_are_refused_before_they_are_read() {
    let import = |bytes: &[u8]| import_bytes(bytes, "x", &ImportOptions::default()).unwrap_err().to_string();
    // Two million empty tensors, like a header of 90 MB; here only its length matters.
    let header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}";
    let length = silhouette_weights::MAX_HEADER as usize + 8;
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(8 + length, b' ');
    let error = import(&bytes);
    assert!(error.contains(&format!("{length} bytes long")), "{error}");

    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for number in 0..20_000 {
        zip.start_file(format!("x/{number}"), stored).unwrap();
    }
    let mut bytes = zip.finish().unwrap().into_inner();
    let error = import(&bytes);
    assert!(error.contains("more than 16384 entries"), "{error}");
    // The directory's end in large archives: it claims two million entries.
    bytes.truncate(100);
    bytes.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0");
    bytes.extend(2_000_000_u64.to_le_bytes().repeat(2));
    bytes.resize(1 << 16, 0);
    let error = import(&bytes);
    assert!(error.contains("claims 2000000 entries"), "{error}");
}
