//! The imported reference models, compared with golden values from LiteRT and ONNX Runtime
//! (`scripts/compare/goldens.py`). Models and photos are not part of the repository: without them the tests are
//! ignored.

#[path = "common/inputs.rs"]
mod inputs;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use silhouette_engine::engine::Engine;
use silhouette_graph::Graph;
use silhouette_import::{ImportError, ImportFailure, ImportOptions, Imported, import};
use silhouette_network::network::Size;
use silhouette_network::spec::{Extractor, Head, Padding, Resize};
use silhouette_plan::{Plan, PlanOptions};
use silhouette_testkit::{is_emulated, shared_folder};

use inputs::{Rows, input};

/// Maximum difference of logits from the golden ones.
const TOLERANCE: f32 = 1e-3;

#[derive(Deserialize)]
struct Goldens {
    segmenters: Vec<Segmenter>,
    classifier: Classifier,
}

#[derive(Deserialize)]
struct Segmenter {
    model: String,
    size: usize,
    /// Mean and deviation of a pixel, if the file does not store them.
    mean: Option<f32>,
    outputs: Vec<Map>,
}

#[derive(Deserialize)]
struct Map {
    input: String,
    /// Row, column, class, logit.
    points: Vec<(usize, usize, usize, f32)>,
    /// Class, number of pixels.
    classes: Vec<(usize, usize)>,
    /// Number of pixels whose two best logits are too close to call.
    ties: usize,
}

#[derive(Deserialize)]
struct Classifier {
    model: String,
    size: usize,
    outputs: Vec<Best>,
}

#[derive(Deserialize)]
struct Best {
    input: String,
    best: usize,
}

fn goldens() -> Goldens {
    serde_json::from_str(include_str!("golden/references.json")).unwrap()
}

fn model(shared: &Path, name: &str) -> PathBuf {
    shared.join("models").join(format!("{name}.tflite"))
}

fn options(classes: usize, mean: Option<f32>) -> ImportOptions {
    let labels = (0..classes).map(|i| format!("class {i}")).collect();
    let mean = mean.map(|m| [m; 3]);
    ImportOptions { labels: Some(labels), mean, std: mean, ..ImportOptions::default() }
}

/// Both engines for the network.
fn engines(imported: &Imported, size: usize) -> [(&'static str, Arc<dyn Engine>); 2] {
    let model = imported.clone().into_model().unwrap();
    let size = Size::square(size);
    let plan = Plan::of(&model, size, &PlanOptions { threads: 2, ..PlanOptions::default() }).unwrap();
    [("plan", Arc::new(plan)), ("graph", Arc::new(Graph::of(&model, size, 1 << 30).unwrap()))]
}

/// Logits, channels-last.
fn logits(engine: &Arc<dyn Engine>, rows: &Rows) -> Vec<f32> {
    let mut session = Arc::clone(engine).new_session().unwrap();
    session.run(rows).unwrap();
    session.output(0).to_vec()
}

/// All of the golden outputs, or only the first in an emulator: there a network of this size takes seconds to minutes.
fn photos<T>(outputs: &[T]) -> &[T] {
    if is_emulated() { &outputs[..1] } else { outputs }
}

fn best(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a))).unwrap()
}

fn segmenters_give_the_golden_logits() {
    let shared = shared_folder();
    for golden in goldens().segmenters {
        let classes = if golden.model.contains("aiseg") { 2 } else { 21 };
        let imported = import(&model(&shared, &golden.model), &options(classes, golden.mean)).unwrap();
        let mean = imported.spec.input.mean[0];
        let engines = engines(&imported, golden.size);
        let runs = photos(&golden.outputs).iter().flat_map(|output| engines.iter().map(move |engine| (output, engine)));
        for (output, (way, engine)) in runs {
            let place = format!("{}, {}, {way}", golden.model, output.input);
            let rows = Rows { size: golden.size, pixels: input(&shared, &output.input, golden.size), mean };
            let logits = logits(engine, &rows);
            let width = engine.outputs()[0].width;
            for &(y, x, class, expected) in &output.points {
                let found = logits[(y * width + x) * classes + class];
                assert!(
                    (found - expected).abs() <= TOLERANCE,
                    "{place}: ({y}, {x}) of {class} is {found}, not {expected}"
                );
            }
            let mut counts = vec![0usize; classes];
            logits.chunks_exact(classes).for_each(|pixel| counts[best(pixel)] += 1);
            let mut expected = vec![0; classes];
            output.classes.iter().for_each(|&(class, count)| expected[class] = count);
            let moved: usize = counts.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).sum();
            assert!(moved <= 2 * output.ties, "{place}: {counts:?} pixels of each class, not {expected:?}");
        }
    }
}

fn the_classifier_names_what_litert_names() {
    let shared = shared_folder();
    let golden = goldens().classifier;
    assert!(golden.outputs.len() >= 3);
    let imported = import(&model(&shared, &golden.model), &options(1001, None)).unwrap();
    for (way, engine) in engines(&imported, golden.size) {
        for output in photos(&golden.outputs) {
            let pixels = input(&shared, &output.input, golden.size);
            let rows = Rows { size: golden.size, pixels, mean: imported.spec.input.mean[0] };
            assert_eq!(best(&logits(&engine, &rows)), output.best, "{}, {way}", output.input);
        }
    }
}

/// The structure of the files, according to their graphs.
fn the_graphs_are_recognised() {
    let shared = shared_folder();
    let read = |name: &str, classes, mean| import(&model(&shared, name), &options(classes, mean)).unwrap();
    let structure = |imported: &Imported| match &imported.spec.extractor {
        Extractor::MobilenetV2(v2) => ((v2.width * 100.0) as usize, v2.divisor, v2.output_stride, v2.bottlenecks.len()),
        Extractor::MobilenetV1(_) => panic!("MobileNetV1"),
    };
    for (name, classes, mean, expected, size) in [
        ("deeplabv3_mnv2_pascal_quant", 21, None, (100, 8, 16, 7), 513),
        ("deeplabv3_mnv2_dm05_pascal_quant", 21, None, (50, 1, 16, 7), 513),
        // Its atrous convolutions are stored as larger kernels with zeros in them.
        ("deeplabv3_257_mv_gpu", 21, Some(127.5), (50, 1, 8, 7), 257),
        ("deeplab_aiseg513_dm05_float", 2, Some(127.5), (50, 1, 8, 7), 513),
    ] {
        let imported = read(name, classes, mean);
        assert_eq!((structure(&imported), imported.spec.input.size), (expected, size), "{name}");
        assert_eq!(imported.spec.padding, Padding::Same, "{name}");
        let Head::DeeplabV3(head) = &imported.spec.head else { panic!("{name}: a classifier") };
        assert!(head.image_pooling && !head.pooling_last && !head.refine, "{name}: {head:?}");
        assert_eq!((head.classes, head.channels, head.resize), (classes, 256, Resize::AlignCorners), "{name}");
        let pixel = mean.unwrap_or(128.0);
        assert_eq!((imported.spec.input.mean, imported.spec.input.std), ([pixel; 3], [pixel; 3]), "{name}");
    }
    let classifier = read("mobilenet_v2_1.0_224_quant", 1001, None);
    assert_eq!((structure(&classifier), classifier.spec.input.size), ((100, 8, 32, 7), 224));
}

fn what_the_files_do_not_say_names_the_flag() {
    let shared = shared_folder();
    let flag = |name: &str, options: &ImportOptions| match import(&model(&shared, name), options) {
        Err(ImportFailure { source: ImportError::NotSaid { missing }, .. }) => {
            missing.iter().map(|missing| missing.flag).collect::<Vec<_>>()
        }
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(flag("mobilenet_v2_1.0_224_quant", &ImportOptions::default()), ["--labels"]);
    assert_eq!(flag("deeplabv3_257_mv_gpu", &options(21, None)), ["--mean", "--std"]);
    assert_eq!(flag("deeplab_aiseg513_dm05_float", &ImportOptions::default()), ["--labels", "--mean", "--std"]);
}

/// One network in three formats: the same specification, and on every photo the same logits, but for rounding, and so the same
/// classes, but for ties.
fn one_network_in_three_formats_is_one() {
    let shared = shared_folder();
    let read = |file: &str, mean| import(&shared.join("models").join(file), &options(2, mean)).unwrap();
    let reference = read("deeplab_aiseg513_dm05_float.tflite", Some(127.5));
    let others = [
        read("deeplab_aiseg513_dm05.onnx", Some(127.5)),
        // The graph contains the normalisation.
        read("deeplab_aiseg513_dm05_frozen.pb", None),
    ];
    let plan = |imported: &Imported| {
        let [(_, plan), _] = engines(imported, 513);
        plan
    };
    let ours = plan(&reference);
    for other in &others {
        let spec = &other.spec;
        assert_eq!((&spec.extractor, &spec.head), (&reference.spec.extractor, &reference.spec.head), "{}", spec.name);
        assert_eq!((spec.padding, spec.input.size), (Padding::Same, 513), "{}", spec.name);
        let pixel = spec.input.mean.iter().chain(&spec.input.std);
        assert!(pixel.clone().all(|value| (value - 127.5).abs() < 1e-3), "{}: {:?}", spec.name, spec.input);
    }
    let files = std::fs::read_dir(shared.join("photos")).unwrap();
    let mut photos: Vec<String> = files
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "png"))
        .map(|name| format!("photo {name}"))
        .collect();
    photos.sort();
    assert!(photos.len() >= 4);
    photos.push("pattern 1".into());
    let photos = if is_emulated() { &photos[..1] } else { &photos[..] };
    for photo in photos {
        let rows = || Rows { size: 513, pixels: input(&shared, photo, 513), mean: 127.5 };
        let expected = logits(&ours, &rows());
        for other in &others {
            let found = logits(&plan(other), &rows());
            let worst = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= TOLERANCE, "{}, {photo}: off by {worst}", other.spec.name);
            for (a, b) in expected.chunks_exact(2).zip(found.chunks_exact(2)) {
                assert!(best(a) == best(b) || (a[0] - a[1]).abs() < 2.0 * TOLERANCE, "{}, {photo}", other.spec.name);
            }
        }
    }
}

/// The real files, truncated, and with bits of their tables flipped.
fn damaged_reference_files_never_panic() {
    let shared = shared_folder();
    for name in ["deeplabv3_mnv2_dm05_pascal_quant", "deeplabv3_257_mv_gpu", "mobilenet_v2_1.0_224_quant"] {
        let file = std::fs::read(model(&shared, name)).unwrap();
        let options = options(21, Some(127.5));
        let import = |bytes: &[u8]| silhouette_import::import_bytes(bytes, name, &options);
        for length in (0..256).chain((0..file.len()).step_by(file.len() / 97)) {
            assert!(import(&file[..length]).is_err(), "{name}: {length} of {} bytes", file.len());
        }
        // The position of the tables depends on the converter.
        for (from, to) in [(0, 4096), (file.len() - 60_000, file.len())] {
            for (step, bit) in [(13, 0), (29, 3), (31, 7), (4, 6)] {
                let mut damaged = file.clone();
                (from..to).step_by(step * 17).for_each(|at| damaged[at] ^= 1 << bit);
                let _ = import(&damaged);
                let mut once = file.clone();
                for at in (from..to).step_by(step * 101) {
                    once[at] ^= 1 << bit;
                    let _ = import(&once);
                    once[at] ^= 1 << bit;
                }
            }
        }
    }
}

/// The same for the formats of protocol buffers.
fn damaged_graph_files_never_panic() {
    let shared = shared_folder();
    for name in ["deeplab_aiseg513_dm05.onnx", "deeplab_aiseg513_dm05_frozen.pb"] {
        let file = std::fs::read(shared.join("models").join(name)).unwrap();
        let options = options(2, Some(127.5));
        let import = |bytes: &[u8]| silhouette_import::import_bytes(bytes, name, &options);
        for length in (0..256).chain((0..file.len() - 8).step_by(file.len() / 97)) {
            let error = import(&file[..length]).map(|_| ()).unwrap_err().to_string();
            assert_eq!(error.lines().count(), 1, "{name}: {length} of {} bytes: {error}", file.len());
        }
        let mut once = file.clone();
        for at in (0..4096).step_by(67).chain((4096..file.len()).step_by(file.len() / 100)) {
            let bits = 1 << (at % 8);
            once[at] ^= bits;
            if let Err(error) = import(&once) {
                assert_eq!(error.to_string().lines().count(), 1, "{name}: {at}: {error}");
            }
            once[at] ^= bits;
        }
    }
}

/// Files as people have them (`../shared/cases`): what failed or misled.
fn cases_are_imported_or_called_by_their_names() {
    let cases = shared_folder().join("cases");
    // Hugging Face: the folder, and the file with its configuration beside it.
    let folder = import(&cases.join("import_hf"), &ImportOptions::default()).unwrap();
    let file = import(&cases.join("import_hf/model.safetensors"), &ImportOptions::default()).unwrap();
    assert_eq!(folder.tensors, file.tensors);
    let spec = &folder.spec;
    assert_eq!((spec.name.as_str(), spec.padding, spec.extractor.output_stride()), ("import_hf", Padding::Same, 16));
    assert_eq!((spec.batch_norm_epsilon, spec.head_batch_norm_epsilon), (0.001, Some(1e-5)));
    assert_eq!((spec.labels[20].as_str(), spec.input.size), ("LABEL_20", 224));
    folder.into_model().unwrap();

    let lightning = import(&cases.join("import_prefix/lightning.ckpt"), &small(2)).unwrap();
    let plain = import(&cases.join("import_prefix/plain_works.pth"), &small(2)).unwrap();
    assert_eq!((lightning.spec.head, lightning.tensors), (plain.spec.head, plain.tensors));

    // segmentation_models_pytorch: a file with the tensors that are listed.
    let names = std::fs::read_to_string(cases.join("import_smp/names.txt")).unwrap();
    let file = safetensors_of_names(&names);
    let options = ImportOptions { output_stride: Some(8), rates: Some(vec![12, 24, 36]), ..small(2) };
    let imported = silhouette_import::import_bytes(&file, "smp", &options).unwrap();
    let Head::DeeplabV3(head) = &imported.spec.head else { panic!("a classifier") };
    assert!(head.refine && head.pooling_last && head.image_pooling, "{head:?}");
    assert_eq!((head.classes, head.channels, head.resize), (2, 256, Resize::AlignCorners));
    imported.into_model().unwrap();

    let error = import(&cases.join("import_misnamed/saved_model_head.pb"), &ImportOptions::default()).unwrap_err();
    assert!(error.to_string().contains("SavedModel"), "{error}");
}

fn small(classes: usize) -> ImportOptions {
    ImportOptions { size: Some(65), ..options(classes, Some(127.5)) }
}

/// A file of zeros, with the names and shapes of lines such as `a.weight (32, 3, 3, 3)`.
fn safetensors_of_names(lines: &str) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut at = 0;
    for line in lines.lines() {
        let (name, shape) = line.split_once(' ').unwrap();
        let sizes = shape.trim_matches(['(', ')']).split(',').map(str::trim).filter(|size| !size.is_empty());
        let sizes: Vec<usize> = sizes.map(|size| size.parse().unwrap()).collect();
        let (kind, bytes) = if sizes.is_empty() { ("I64", 8) } else { ("F32", 4) };
        let end = at + bytes * sizes.iter().product::<usize>();
        entries.push(format!(r#""{name}":{{"dtype":"{kind}","shape":{sizes:?},"data_offsets":[{at},{end}]}}"#));
        at = end;
    }
    let header = format!("{{{}}}", entries.join(","));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.resize(file.len() + at, 0);
    file
}

silhouette_testkit::tests_with_shared!(
    cases_are_imported_or_called_by_their_names,
    segmenters_give_the_golden_logits,
    the_classifier_names_what_litert_names,
    the_graphs_are_recognised,
    what_the_files_do_not_say_names_the_flag,
    one_network_in_three_formats_is_one,
    damaged_graph_files_never_panic,
    damaged_reference_files_never_panic,
);
