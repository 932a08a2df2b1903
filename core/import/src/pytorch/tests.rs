//! State dicts of every implementation, in every container and under any key; and truncated, corrupted and malicious
//! files.

use std::io::{Cursor, Write as _};
use std::sync::LazyLock;

use proptest::prelude::*;
use silhouette_network::network::Network;
use silhouette_network::spec::{Extractor, Feature, Head, Padding, Resize, Spec, Task, VOC_LABELS};
use silhouette_weights::Tensor;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::written::{
    Layout, Pickle, Tensors, Value, classifier, deeplab, hugging_face, legacy, pth, safetensors_of, smp, state,
    tensors, torchvision, with_spec, zipped,
};
use crate::{ImportError, ImportOptions, Imported, import_bytes};

/// The flags that an error asks for.
fn missing(error: &ImportError) -> Vec<&'static str> {
    match error {
        ImportError::NotSaid { missing } => missing.iter().map(|missing| missing.flag).collect(),
        other => panic!("{other}"),
    }
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
    for (options, flags) in [
        (ImportOptions { labels: None, ..options.clone() }, &["--labels"][..]),
        (ImportOptions { mean: None, ..options.clone() }, &["--mean"]),
        (ImportOptions { std: None, ..options.clone() }, &["--std"]),
        (ImportOptions { size: None, ..options.clone() }, &["--size"]),
        (ImportOptions::default(), &["--labels", "--size", "--mean", "--std"]),
    ] {
        let error = import_bytes(&file, "state", &options).unwrap_err();
        assert_eq!(missing(&error), flags, "{error}");
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
        assert_eq!(missing(&error), ["--rates", "--output-stride", "--size", "--mean", "--std"], "{error}");
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
            Err(error) => {
                assert_eq!((classes, missing(&error)), (2, vec!["--labels"]), "{error}");
                assert!(error.to_string().contains("2 classes"), "{error}");
            }
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
    let file = safetensors_of(&theirs);
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
        for i in 0..times + 2 {
            let name = match i {
                1 => "features.1.conv.0.0.weight".to_owned(),
                2 => "classifier.1.weight".to_owned(),
                _ => format!("features.{i}.0.weight"),
            };
            pickle.text(&name);
            pickle.tensor("FloatStorage", 0, shape, strides, 1, false);
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

/// A network under any keys and prefixes, in both containers of pickles.
#[test]
fn any_nesting_and_any_prefix() {
    let spec = classifier();
    let theirs = torchvision(&spec, |i| format!("features.{i}"), "");
    let expected = tensors(&spec);
    let zeros: Tensors = theirs
        .iter()
        .map(|(name, t)| (name.clone(), Tensor { shape: t.shape.clone(), data: vec![0.0; t.data.len()] }))
        .collect();
    let part = |prefix: &str| {
        let part =
            theirs.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone())));
        state(&part.collect(), "")
    };
    let pair = |entries: Vec<(&str, Value)>| Value::Dict(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect());
    let beside = |name: &str, prefix: &str| {
        let Value::Dict(mut entries) = state(&theirs, prefix) else { unreachable!() };
        entries.push((name.into(), Value::Tensor(Tensor { shape: vec![5], data: vec![1.0; 5] })));
        Value::Dict(entries)
    };
    let forms: Vec<(Value, Option<&str>)> = vec![
        (state(&theirs, "model."), None),
        (state(&theirs, "_orig_mod.module."), None),
        (beside("n_averaged", "module."), None),
        (pair(vec![("epoch", Value::Int(3)), ("state_dict", beside("criterion.weight", "model."))]), None),
        (pair(vec![("ema_state_dict", state(&theirs, "module.")), ("updates", Value::Int(9))]), None),
        // The plain network, whichever comes first.
        (pair(vec![("model_ema", state(&zeros, "")), ("model", state(&theirs, ""))]), None),
        (pair(vec![("state_dict", state(&theirs, "")), ("state_dict_ema", state(&zeros, ""))]), None),
        (pair(vec![("model", state(&zeros, "")), ("model_ema", state(&theirs, "module."))]), Some("model_ema")),
        (pair(vec![("student", state(&zeros, "")), ("teacher", state(&theirs, "net."))]), Some("teacher")),
        (pair(vec![("student", state(&zeros, "")), ("teacher", state(&theirs, "net."))]), Some("teacher.net.")),
        (Value::List(vec![Value::Int(3), state(&theirs, "")]), None),
        (Value::List(vec![state(&theirs, "").under("weights").under("networks")]).under("checkpoint"), None),
        (pair(vec![("features", part("features.")), ("classifier", part("classifier."))]).under("net"), None),
        (pair(vec![("model", Value::Object("some.module", "Args")), ("state", state(&theirs, ""))]), None),
    ];
    for (index, (value, key)) in forms.iter().enumerate() {
        let options = ImportOptions { key: key.map(String::from), ..with_spec(&spec) };
        for file in [zipped(value), legacy(value)] {
            let imported = import_bytes(&file, "state", &options).unwrap_or_else(|error| panic!("{index}: {error}"));
            assert!(imported.tensors == expected, "{index}: other tensors");
        }
    }
    let flat: Tensors = theirs.iter().map(|(name, tensor)| (format!("net.model.{name}"), tensor.clone())).collect();
    assert!(import_bytes(&safetensors_of(&flat), "state", &with_spec(&spec)).unwrap().tensors == expected);

    // Several that nothing tells apart, and keys under which there is none.
    let several = zipped(&pair(vec![("student", state(&zeros, "")), ("teacher", state(&theirs, "net."))]));
    let error = import_bytes(&several, "state", &with_spec(&spec)).unwrap_err();
    assert_eq!(missing(&error), ["--key"]);
    assert!(error.to_string().contains("'student', 'teacher.net'"), "{error}");
    let options = ImportOptions { key: Some("students".into()), ..with_spec(&spec) };
    let error = import_bytes(&several, "state", &options).unwrap_err();
    assert!(matches!(error, ImportError::DoesNotFit { flag: "--key", .. }), "{error}");
}

#[test]
fn what_holds_modules_is_refused_with_the_line_that_saves_tensors() {
    let module = || Value::Object("torchvision.models.mobilenetv2", "MobileNetV2");
    let inside = Value::Dict(vec![("epoch".into(), Value::Int(1)), ("model".into(), module())]);
    for (value, line) in [
        (module(), "torch.load(\"FILE\", weights_only=False).state_dict()"),
        (inside, "torch.load(\"FILE\", weights_only=False)[\"model\"].state_dict()"),
    ] {
        for file in [zipped(&value), legacy(&value)] {
            let error = import_bytes(&file, "x", &ImportOptions::default()).unwrap_err().to_string();
            assert!(error.contains("torchvision.models.mobilenetv2.MobileNetV2") && error.contains(line), "{error}");
        }
    }
    for value in [Value::Dict(Vec::new()), Value::Int(3), Value::Int(3).under("epoch")] {
        let error = import_bytes(&zipped(&value), "x", &ImportOptions::default()).unwrap_err().to_string();
        assert!(error.contains("no tensors"), "{error}");
    }
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let packed = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for name in ["m/data.pkl", "m/constants.pkl", "m/code/__torch__.py"] {
        zip.start_file(name, packed).unwrap();
    }
    let error = import_bytes(&zip.finish().unwrap().into_inner(), "x", &ImportOptions::default()).unwrap_err();
    assert!(error.to_string().contains("torch.jit.load(\"FILE\", \"cpu\").state_dict()"), "{error}");
}

/// Nested deeper than anyone nests, in circles, with names longer than the file; storages that lie.
#[test]
fn hostile_dictionaries_and_storages_are_refused() {
    let error = |file: &[u8]| import_bytes(file, "x", &ImportOptions::default()).unwrap_err().to_string();
    let tensor = || Value::Tensor(Tensor { shape: vec![1], data: vec![0.0] });
    let deep = (0..40).fold(tensor().under("features.0.0.weight"), |value, _| value.under("a"));
    assert!(error(&zipped(&deep)).contains("nested in more than 16"), "{}", error(&zipped(&deep)));
    // A megabyte before the names of a thousand tensors.
    let long = Value::Dict((0..1000).map(|i| (i.to_string(), tensor())).collect()).under(&"k".repeat(1 << 20));
    assert!(error(&zipped(&long)).contains("bytes of names"), "{}", error(&zipped(&long)));
    // A dictionary that holds itself, and a list that holds it.
    let circle = b"\x80\x02}q\x00(X\x01\0\0\0ah\x00X\x01\0\0\0b]q\x01(h\x00h\x01eu.";
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file("a/data.pkl", stored).unwrap();
    zip.write_all(circle).unwrap();
    let text = error(&zip.finish().unwrap().into_inner());
    assert!(text.contains("no tensors"), "{text}");

    let spec = classifier();
    let theirs = torchvision(&spec, |i| format!("features.{i}"), "");
    let file = legacy(&state(&theirs, ""));
    assert!(import_bytes(&file, "x", &with_spec(&spec)).is_ok());
    for length in (0..file.len()).step_by(file.len() / 400) {
        let error = import_bytes(&file[..length], "x", &with_spec(&spec)).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1);
    }
    // The first storage claims to be as long as can be.
    let first: Vec<u8> = theirs.values().next().unwrap().data.iter().flat_map(|v| v.to_le_bytes()).take(64).collect();
    let at = file.windows(first.len()).position(|bytes| bytes == first).unwrap() - 8;
    for count in [u64::MAX, u64::MAX / 4, 1 << 40] {
        let mut lying = file.clone();
        lying[at..at + 8].copy_from_slice(&count.to_le_bytes());
        assert!(error(&lying).contains("reaches beyond the file"), "{}", error(&lying));
    }
    let mut random = file.clone();
    let mut state = 1u32;
    for _ in 0..300 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let at = state as usize % 20_000;
        let before = random[at];
        random[at] ^= 1 << (state >> 29);
        let _ = import_bytes(&random, "x", &with_spec(&spec));
        random[at] = before;
    }
}

fn smp_spec(classes: usize) -> Spec {
    let mut spec = deeplab();
    let (Extractor::MobilenetV2(v2), Head::DeeplabV3(head)) = (&mut spec.extractor, &mut spec.head) else {
        panic!("another network")
    };
    (v2.feature, v2.dilate_first, v2.output_stride) = (Feature::LastLayer, true, 8);
    (head.classes, head.resize) = (classes, Resize::AlignCorners);
    spec.labels = (0..classes.max(2)).map(|i| format!("class {i}")).collect();
    spec.task = (classes == 1).then_some(Task::Alpha);
    (spec.batch_norm_epsilon, spec.input.size) = (1e-5, 65);
    spec
}

/// Flags instead of a specification: each implementation's conventions, and what the tensors say.
#[test]
fn flags_are_enough_for_every_implementation() {
    let import = |file: &[u8], options: &ImportOptions| import_bytes(file, "state", options).unwrap();
    let same = |imported: &Imported, spec: &Spec| {
        assert_eq!((&imported.spec.extractor, &imported.spec.head), (&spec.extractor, &spec.head));
        assert_eq!((imported.spec.padding, imported.spec.task), (spec.padding, spec.task));
        assert!((imported.spec.batch_norm_epsilon - 1e-5).abs() < 1e-12);
        assert_eq!(imported.tensors, tensors(spec));
        imported.clone().into_model().unwrap();
    };
    let options = |spec: &Spec, stride| ImportOptions {
        labels: Some(spec.labels.clone()),
        output_stride: Some(stride),
        rates: Some(vec![6, 12, 18]),
        mean: Some([127.5; 3]),
        std: Some([127.5; 3]),
        size: Some(65),
        ..ImportOptions::default()
    };
    for classes in [1, 2, 5] {
        let spec = smp_spec(classes);
        same(&import(&pth(&smp(&spec), Layout::Checkpoint), &options(&spec, 8)), &spec);
    }
    let spec = smp_spec(2);
    let few = ImportOptions { rates: Some(vec![6]), ..options(&spec, 8) };
    let error = import_bytes(&pth(&smp(&spec), Layout::Plain), "state", &few).unwrap_err();
    assert!(matches!(error, ImportError::DoesNotFit { flag: "--rates", .. }), "{error}");
    let error = import_bytes(&pth(&smp(&spec), Layout::Plain), "state", &ImportOptions::default()).unwrap_err();
    let all = ["--rates", "--output-stride", "--labels", "--size", "--mean", "--std"];
    assert_eq!(missing(&error), all, "{error}");
    assert!(all.iter().all(|flag| error.to_string().contains(flag)) && error.to_string().lines().count() == 1);

    let mut vainf = Spec { padding: Padding::BlockInput, ..deeplab() };
    vainf.input.size = 65;
    let names = |i| format!("backbone.{}_level_features.{i}", if i < 4 { "low" } else { "high" });
    let theirs = torchvision(&vainf, names, "classifier.classifier.");
    same(&import(&pth(&theirs, Layout::Checkpoint), &options(&vainf, 16)), &vainf);
    let symmetric = ImportOptions { padding: Some(Padding::Symmetric), ..options(&vainf, 16) };
    same(&import(&pth(&theirs, Layout::Plain), &symmetric), &Spec { padding: Padding::Symmetric, ..vainf.clone() });

    // 21 classes without names are VOC's; a preset gives rates and stride, and the tensors the rest.
    let preset = Spec::preset("pytorch_deeplabv3_mnv2_os8").unwrap();
    let unnamed = import(&pth(&theirs, Layout::Plain), &ImportOptions { labels: None, ..options(&vainf, 16) });
    assert_eq!(unnamed.spec.labels, VOC_LABELS);
    let by_preset = import(&pth(&theirs, Layout::Plain), &with_spec(&preset));
    let Extractor::MobilenetV2(v2) = &by_preset.spec.extractor else { panic!("another network") };
    assert_eq!((v2.output_stride, (v2.width * 100.0) as usize, by_preset.spec.padding), (8, 35, Padding::BlockInput));

    // A last layer that the head does not read.
    let mut more = torchvision(&deeplab(), |i| format!("backbone.{i}"), "classifier.");
    let wide = smp_spec(21);
    for (name, tensor) in torchvision(&wide, |i| format!("backbone.{i}"), "classifier.") {
        if name.starts_with("backbone.18.") {
            more.insert(name, tensor);
        }
    }
    same(&import(&pth(&more, Layout::Plain), &options(&deeplab(), 16)), &deeplab());
}

fn hugging_face_spec() -> Spec {
    let mut spec = Spec::preset("fixture").unwrap();
    let (Extractor::MobilenetV2(v2), Head::DeeplabV3(head)) = (&mut spec.extractor, &mut spec.head) else {
        panic!("another network")
    };
    v2.output_stride = 8;
    (head.classes, head.resize) = (3, Resize::HalfPixel);
    spec.labels = ["wall", "floor", "cat"].map(String::from).to_vec();
    (spec.batch_norm_epsilon, spec.head_batch_norm_epsilon) = (2e-3, Some(1e-5));
    spec
}

const CONFIG: &str = r#"{"model_type": "mobilenet_v2", "architectures": ["MobileNetV2ForSemanticSegmentation"],
    "output_stride": 8, "tf_padding": true, "layer_norm_eps": 0.002, "image_size": 65, "depth_multiplier": 0.35,
    "finegrained_output": true, "id2label": {"0": "wall", "1": "floor", "2": "cat"}}"#;

#[test]
fn hugging_face_files_with_their_configuration() {
    let spec = hugging_face_spec();
    let mut theirs = hugging_face(&spec);
    // The bare network always has its last layer.
    let mut whole = spec.clone();
    if let Extractor::MobilenetV2(v2) = &mut whole.extractor {
        v2.feature = Feature::LastLayer;
    }
    theirs.extend(hugging_face(&whole).into_iter().filter(|(name, _)| name.contains("conv_1x1")));
    let options = ImportOptions { config: Some(CONFIG.into()), ..ImportOptions::default() };
    for file in [safetensors_of(&theirs), pth(&theirs, Layout::Plain), legacy(&state(&theirs, "model."))] {
        let imported = import_bytes(&file, "state", &options).unwrap();
        assert_eq!((&imported.spec.extractor, &imported.spec.head), (&spec.extractor, &spec.head));
        assert_eq!((&imported.spec.labels, imported.spec.padding), (&spec.labels, Padding::Same));
        let epsilons = (imported.spec.batch_norm_epsilon, imported.spec.head_batch_norm_epsilon);
        assert_eq!(epsilons, (spec.batch_norm_epsilon, spec.head_batch_norm_epsilon));
        assert_eq!((imported.spec.input.size, imported.spec.input.mean), (65, [127.5; 3]));
        assert_eq!(imported.tensors, tensors(&spec));
        // What a model file stores is what was imported.
        let again = Spec::from_json(&imported.spec.to_json()).unwrap();
        assert_eq!(again, imported.spec);
    }
    let file = safetensors_of(&theirs);
    let processor = r#"{"image_mean": [0, 0, 0.5], "image_std": [1, 1, 1], "size": {"height": 97, "width": 97}}"#;
    let with_processor = ImportOptions { preprocessor: Some(processor.into()), ..options.clone() };
    let input = import_bytes(&file, "state", &with_processor).unwrap().spec.input;
    assert_eq!((input.mean, input.std, input.size), ([0.0, 0.0, 127.5], [255.0; 3], 97));
    // Options before the configuration; labels of another number of classes are none.
    let given = ImportOptions {
        labels: Some(["a", "b", "c"].map(String::from).to_vec()),
        output_stride: Some(16),
        padding: Some(Padding::Symmetric),
        size: Some(33),
        ..options.clone()
    };
    let imported = import_bytes(&file, "state", &given).unwrap().spec;
    assert_eq!((imported.labels[0].as_str(), imported.padding, imported.input.size), ("a", Padding::Symmetric, 33));
    assert_eq!(imported.extractor.output_stride(), 16);
    let few = ImportOptions { config: Some(CONFIG.replace(", \"2\": \"cat\"", "")), ..options.clone() };
    assert_eq!(missing(&import_bytes(&file, "state", &few).unwrap_err()), ["--labels"]);
    // Without it, everything that it would say is missing.
    let error = import_bytes(&file, "state", &ImportOptions::default()).unwrap_err();
    assert_eq!(missing(&error), ["--config"], "{error}");
    let error = import_bytes(&file, "state", &with_spec(&Spec::preset("deeplabv3_mnv2").unwrap())).unwrap_err();
    assert_eq!(missing(&error), ["--config"], "{error}");
    // A specification written for the file says it all.
    assert_eq!(import_bytes(&file, "state", &with_spec(&spec)).unwrap().spec.head_batch_norm_epsilon, Some(1e-5));
    // A configuration of hostile numbers.
    for (from, to) in [("\"output_stride\": 8", "\"output_stride\": 7"), ("65", "4000000000"), ("0.002", "1e300")] {
        let hostile = ImportOptions { config: Some(CONFIG.replace(from, to)), ..options.clone() };
        let error = import_bytes(&file, "state", &hostile).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    let mut spec = classifier();
    spec.padding = Padding::Same;
    let config = r#"{"model_type": "mobilenet_v2", "id2label": {"0": "a", "1": "b", "2": "c", "3": "d", "4": "e"}}"#;
    let options = ImportOptions { config: Some(config.into()), ..ImportOptions::default() };
    let imported = import_bytes(&safetensors_of(&hugging_face(&spec)), "state", &options).unwrap();
    assert_eq!((&imported.spec.extractor, &imported.spec.head), (&spec.extractor, &spec.head));
    assert_eq!((imported.spec.padding, imported.spec.labels.concat()), (Padding::Same, "abcde".into()));
    assert_eq!((imported.spec.head_batch_norm_epsilon, imported.spec.input.size), (None, 224));
    assert!((imported.spec.batch_norm_epsilon - 1e-3).abs() < 1e-12);
}

#[test]
fn other_networks_are_called_by_their_names() {
    for (name, about) in [
        ("model.backbone.layer1.0.conv1.weight", "a ResNet"),
        ("decoder.blocks.0.conv1.0.weight", "a U-Net"),
        ("backbone.1.block.0.0.weight", "a MobileNetV3"),
    ] {
        let stranger = Tensors::from([(name.to_owned(), Tensor { shape: vec![1], data: vec![0.0] })]);
        let error =
            import_bytes(&pth(&stranger, Layout::Plain), "x", &ImportOptions::default()).unwrap_err().to_string();
        assert!(error.contains(about) && error.contains("only MobileNetV2") && error.contains(name), "{error}");
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
