//! The logits of imported networks are those that PyTorch computes (`scripts/compare/goldens.py`), with weights from the
//! same formula.

use std::sync::Arc;

use serde::Deserialize;
use silhouette_engine::engine::Engine;
use silhouette_graph::Graph;
use silhouette_kernels::rows::Planes;
use silhouette_network::network::Size;
use silhouette_network::spec::{Aspp, Extractor, Feature, Head, Padding, Resize, Spec};
use silhouette_plan::{Plan, PlanOptions};

use super::written::{Layout, Tensors, classifier, deeplab, hugging_face, pth, smp, torchvision};
use crate::{ImportOptions, import_bytes};

#[derive(Deserialize)]
struct Golden {
    name: String,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    height: usize,
    width: usize,
    /// Channels last.
    logits: Vec<f32>,
}

/// The file and the options of a golden network.
fn golden(name: &str) -> (Vec<u8>, ImportOptions) {
    let flags = |spec: &Spec, stride, rates: &[usize]| ImportOptions {
        labels: Some(spec.labels.clone()),
        output_stride: Some(stride),
        rates: (!rates.is_empty()).then(|| rates.to_vec()),
        mean: Some([127.5; 3]),
        std: Some([127.5; 3]),
        size: Some(65),
        ..ImportOptions::default()
    };
    let (theirs, options) = match name {
        "torchvision" => {
            let spec = classifier();
            (torchvision(&spec, |i| format!("features.{i}"), ""), flags(&spec, 32, &[]))
        }
        "vainf 16" | "vainf 8" => {
            let stride = if name.ends_with("16") { 16 } else { 8 };
            let spec = segmenter(&[2, 4, 6], 256);
            let names = |i| format!("backbone.{}_level_features.{i}", if i < 4 { "low" } else { "high" });
            (torchvision(&spec, names, "classifier.classifier."), flags(&spec, stride, &[2, 4, 6]))
        }
        "smp 16" | "smp 8" => {
            let stride = if name.ends_with("16") { 16 } else { 8 };
            let mut spec = segmenter(&[2, 4, 6], 8);
            if let Extractor::MobilenetV2(v2) = &mut spec.extractor {
                (v2.width, v2.feature) = (1.0, Feature::LastLayer);
            }
            (smp(&spec), flags(&spec, stride, &[2, 4, 6]))
        }
        "hugging face" | "hugging face symmetric" => {
            let mut spec = segmenter(&[], 256);
            if let Head::DeeplabV3(head) = &mut spec.head {
                (head.aspp, head.refine) = (Aspp::None, false);
            }
            let config = format!(
                r#"{{"output_stride": 8, "layer_norm_eps": 0.02, "tf_padding": {}, "image_size": 65,
                    "id2label": {{"0": "a", "1": "b", "2": "c"}}}}"#,
                !name.ends_with("symmetric")
            );
            (hugging_face(&spec), ImportOptions { config: Some(config), ..ImportOptions::default() })
        }
        other => panic!("no network is called {other}"),
    };
    (pth(&scaled(theirs), Layout::Plain), options)
}

/// A narrow DeepLabV3 of three classes.
fn segmenter(rates: &[usize], channels: usize) -> Spec {
    let mut spec = deeplab();
    let Head::DeeplabV3(head) = &mut spec.head else { panic!("a classifier") };
    (head.classes, head.channels, head.resize) = (3, channels, Resize::HalfPixel);
    head.aspp = Aspp::Plain { rates: rates.to_vec() };
    spec.labels = ["a", "b", "c"].map(String::from).to_vec();
    spec.padding = Padding::Symmetric;
    spec
}

/// Weights that keep the size of what passes through them.
fn scaled(mut theirs: Tensors) -> Tensors {
    for tensor in theirs.values_mut().filter(|t| t.shape.len() > 1) {
        let scale = (3.0 / tensor.shape[1..].iter().product::<usize>() as f64).sqrt() as f32;
        tensor.data.iter_mut().for_each(|v| *v *= scale);
    }
    theirs
}

#[test]
fn logits_are_pytorchs() {
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("../../tests/golden/pytorch.json")).unwrap();
    assert_eq!(goldens.len(), 7);
    for Golden { name, outputs } in goldens {
        let (file, options) = golden(&name);
        let model = import_bytes(&file, "golden", &options).unwrap().into_model().unwrap();
        for Output { height, width, logits } in outputs {
            let size = Size { height, width };
            let plan = Plan::of(&model, size, &PlanOptions::default()).unwrap();
            let engines: [Arc<dyn Engine>; 2] = [Arc::new(plan), Arc::new(Graph::of(&model, size, 1 << 30).unwrap())];
            for engine in engines {
                let mut session = engine.new_session().unwrap();
                session.run(&Planes::new(&pattern(size), width, height)).unwrap();
                let found = session.output(0);
                assert_eq!(found.len(), logits.len(), "{name}, {height}x{width}");
                let largest = logits.iter().fold(0.0f32, |largest, logit| largest.max(logit.abs()));
                let worst = found.iter().zip(&logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst <= 1e-4 * largest, "{name}, {height}x{width}: off by {worst} of {largest}");
            }
        }
    }
}

/// The image that `goldens.py` computes from a formula, (3, H, W).
fn pattern(size: Size) -> Vec<f32> {
    let pixels = size.height * size.width;
    let value = |i: usize| {
        let c = i / pixels;
        let y = i % pixels / size.width;
        let x = i % size.width;
        let pixel = (x * x * 4 + y * y * 5 + x * y * (c + 1) + 4000 * c) / 97 % 256;
        (pixel as f32 - 128.0) / 64.0
    };
    (0..3 * pixels).map(value).collect()
}
