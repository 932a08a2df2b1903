//! Compares a model with an alpha, from frame to mask, confidence, effects and video, with the definition: the bilinear
//! logit's sigmoid.

use silhouette::{
    Classifier, Effect, Error, Foreground, Frame, Model, Options, OutputSize, Region, Segmentation, Segmenter,
    Smoothing, Task, VideoSegmenter,
};
use silhouette_network::network::{Network, Size};
use silhouette_network::spec::{self, Fit, Head, Resize, Spec};
use silhouette_plan::{Plan, PlanOptions};
use silhouette_testkit::waves;
use silhouette_weights::{ModelFile, seeded};
use std::time::Duration;

const SIDE: usize = 65;

fn spec() -> Spec {
    let mut spec = Spec::preset("fixture").unwrap();
    let Head::DeeplabV3(head) = &mut spec.head else { unreachable!() };
    (head.classes, head.resize) = (1, Resize::HalfPixel);
    spec.task = Some(spec::Task::Alpha);
    spec.labels = vec!["background".into(), "foreground".into()];
    spec.colors = Vec::new();
    spec.input.fit = Fit::Stretch;
    spec
}

/// The seeded fixture with an alpha head, whose logits are on both sides of 0.
fn model() -> Model {
    let spec = spec();
    let mut tensors = seeded(&Network::native(&spec).unwrap(), 7);
    let middle = {
        let file = ModelFile::new(spec.clone(), tensors.clone()).unwrap();
        let mut logits = raw(&file);
        logits.sort_by(f32::total_cmp);
        logits[logits.len() / 2]
    };
    let bias = tensors.get_mut("head.classifier.bias").unwrap();
    bias.data.iter_mut().for_each(|b| *b -= middle);
    // Steep enough that some pixels are certain.
    let scale = |name: &str, tensors: &mut silhouette_weights::Tensors| {
        tensors.get_mut(name).unwrap().data.iter_mut().for_each(|v| *v *= 6.0);
    };
    scale("head.classifier.bias", &mut tensors);
    scale("head.classifier.weight", &mut tensors);
    Model::from_file(ModelFile::new(spec, tensors).unwrap()).unwrap()
}

/// The network's own logits for [`frame`]'s image.
fn raw(file: &ModelFile) -> Vec<f32> {
    let input = file.spec().input.clone();
    let plan = Plan::of(file, Size::square(SIDE), &PlanOptions::default()).unwrap();
    let (Size { height, width }, classes) = plan.logits();
    assert_eq!(classes, 1);
    let bytes = waves(SIDE, SIDE, 0);
    let value = |i: usize| {
        let c = i / (SIDE * SIDE);
        let p = i % (SIDE * SIDE);
        (f32::from(bytes[3 * p + c]) - input.mean[c]) / input.std[c]
    };
    let planes: Vec<f32> = (0..3 * SIDE * SIDE).map(value).collect();
    let mut logits = vec![0.0; height * width];
    let rows = silhouette_kernels::rows::Planes::new(&planes, SIDE, SIDE);
    plan.new_state().unwrap().run(&rows, &mut logits).unwrap();
    logits
}

/// The alpha of each pixel of a square mask of `side`, from the raw logits.
fn alphas(logits: &[f32], side: usize) -> Vec<f64> {
    let len = (logits.len() as f64).sqrt() as usize;
    let place = |o: usize| {
        let input = ((o as f64 + 0.5) * SIDE as f64 / side as f64 - 0.5).clamp(0.0, (SIDE - 1) as f64);
        ((input + 0.5) * len as f64 / SIDE as f64 - 0.5).clamp(0.0, (len - 1) as f64)
    };
    let pixel = |i: usize| {
        let y = place(i / side);
        let x = place(i % side);
        let at = |y: f64, x: f64| f64::from(logits[(y as usize).min(len - 1) * len + (x as usize).min(len - 1)]);
        let row = |y: f64| at(y, x) * (1.0 - x.fract()) + at(y, x + 1.0) * x.fract();
        let logit = row(y) * (1.0 - y.fract()) + row(y + 1.0) * y.fract();
        1.0 / (1.0 + (-logit).exp())
    };
    (0..side * side).map(pixel).collect()
}

#[test]
fn mask_confidence_and_effects_are_those_of_the_alpha() {
    let model = model();
    assert_eq!((model.task(), model.labels()), (Task::Alpha, &["background".to_owned(), "foreground".to_owned()][..]));
    let logits = raw(model.file());
    let bytes = waves(SIDE, SIDE, 0);
    let frame = Frame::rgb(&bytes, SIDE, SIDE).unwrap();
    for threads in [1, 2] {
        let segmenter = Segmenter::new(&model, &Options::new().threads(threads).refine(false)).unwrap();
        let mut segmentation = segmenter.segment(&frame).unwrap();
        for side in [SIDE, 20, 131] {
            segmentation.resize(OutputSize::Given { width: side, height: side }).unwrap();
            let expected = alphas(&logits, side);
            let sure = |a: &f64| !(0.1..=0.9).contains(a);
            assert!(
                expected.iter().any(|a| *a < 0.5) && expected.iter().any(|a| *a > 0.5) && expected.iter().any(sure)
            );
            let foreground = segmentation.confidence(&[1]).unwrap();
            let background = segmentation.confidence(&[0]).unwrap();
            let alpha = segmentation.alpha(&frame, &Foreground::All).unwrap();
            assert_eq!(alpha.values, foreground.values, "the alpha is used unchanged");
            for (i, expected) in expected.iter().enumerate() {
                let class = segmentation.mask().classes[i];
                assert!(
                    (expected - 0.5).abs() < 1e-3 || class == u8::from(*expected >= 0.5),
                    "{i}: {class} at {expected}"
                );
                assert!((f64::from(foreground.values[i]) - 255.0 * expected).abs() <= 0.6, "{i} at {expected}");
                assert!((f64::from(background.values[i]) - 255.0 * (1.0 - expected)).abs() <= 0.6, "{i} at {expected}");
            }
        }
        segmentation.resize(OutputSize::Frame).unwrap();
        let expected = alphas(&logits, SIDE);
        let cut = segmentation.cutout(&frame, &Foreground::All).unwrap();
        for (pixel, expected) in cut.rgba.chunks_exact(4).zip(&expected) {
            assert!((f64::from(pixel[3]) - 255.0 * expected).abs() <= 0.6, "{pixel:?} at {expected}");
        }
        let black = vec![0; 12];
        let background = Frame::rgb(&black, 2, 2).unwrap();
        let replaced = segmentation.replace(&frame, &Foreground::All, &background).unwrap();
        // The cut-out's colours, which are the foreground's.
        for ((pixel, front), expected) in replaced.rgba.chunks_exact(4).zip(cut.rgba.chunks_exact(4)).zip(&expected) {
            for c in 0..3 {
                assert!(
                    (f64::from(pixel[c]) - f64::from(front[c]) * expected).abs() <= 2.0,
                    "{pixel:?}, {front:?}, {expected}"
                );
            }
        }
        let overlay = segmentation.render(&frame, Effect::Overlay { opacity: 1.0 }, &Foreground::All).unwrap();
        for ((pixel, photo), class) in
            overlay.rgba.chunks_exact(4).zip(bytes.chunks_exact(3)).zip(&segmentation.mask().classes)
        {
            assert!(*class == 1 || pixel[..3] == *photo, "the background stays");
        }
        assert!(segmentation.blur(&frame, &Foreground::All).is_ok());
        assert!(matches!(segmentation.confidence(&[2]), Err(Error::Unsupported(_))));
    }
}

#[test]
fn refined_alphas_follow_the_picture() {
    let bytes = waves(SIDE, SIDE, 0);
    let frame = Frame::rgb(&bytes, SIDE, SIDE).unwrap();
    let segmenter = Segmenter::new(&model(), &Options::new().threads(1).refine(true)).unwrap();
    let segmentation = segmenter.segment(&frame).unwrap();
    let alpha = segmentation.alpha(&frame, &Foreground::All).unwrap();
    assert_eq!(alpha.values.len(), SIDE * SIDE);
    assert!(alpha.values != segmentation.confidence(&[1]).unwrap().values);
}

/// Between two images a video's alpha is between theirs, and converges to the second's.
#[test]
fn a_video_is_smoothed() {
    let model = model();
    let segmenter = Segmenter::new(&model, &Options::new().threads(1)).unwrap();
    let calm = waves(SIDE, SIDE, 0);
    let frame = Frame::rgb(&calm, SIDE, SIDE).unwrap();
    let mut video = VideoSegmenter::new(&segmenter, Smoothing::with_half_life(Duration::from_secs(1)));
    let mut segmentation = Segmentation::default();
    // A static image stays unchanged, however long; but smoothing caps log-probabilities at -9, and with them logits.
    let raw = raw(model.file());
    let capped: Vec<f32> = raw.iter().map(|logit| logit.clamp(-9.0, 9.0)).collect();
    for i in 0..4 {
        video.segment_into(&frame, Duration::from_millis(33) * i, &mut segmentation).unwrap();
        let found = segmentation.confidence(&[1]).unwrap();
        for (at, expected) in alphas(if i == 0 { &raw } else { &capped }, SIDE).iter().enumerate() {
            assert!((f64::from(found.values[at]) - 255.0 * expected).abs() <= 1.0, "frame {i}, {at} at {expected}");
            let class = segmentation.mask().classes[at];
            assert!(
                (expected - 0.5).abs() < 1e-3 || class == u8::from(*expected >= 0.5),
                "frame {i}, {at} at {expected}"
            );
        }
    }
    // A slightly different image: not immediately.
    let next: Vec<u8> = calm.iter().map(|v| v.saturating_add(9)).collect();
    let next = Frame::rgb(&next, SIDE, SIDE).unwrap();
    let goal = segmenter.segment(&next).unwrap();
    let distance = |s: &Segmentation| -> f64 {
        s.logits()
            .0
            .iter()
            .zip(goal.logits().0)
            .map(|(a, b)| f64::from(a.clamp(-9.0, 9.0) - b.clamp(-9.0, 9.0)).abs())
            .sum()
    };
    let start = distance(&segmentation);
    video.segment_into(&next, Duration::from_millis(132), &mut segmentation).unwrap();
    let first = distance(&segmentation);
    assert!(first > 0.0 && first < start, "{start} to {first}");
    for i in 5..90 {
        video.segment_into(&next, Duration::from_millis(33) * i, &mut segmentation).unwrap();
    }
    let last = distance(&segmentation);
    assert!(last < first / 2.0, "{first} to {last}");
    video.reset();
    video.segment_into(&next, Duration::from_secs(9), &mut segmentation).unwrap();
    assert_eq!(segmentation.mask(), goal.mask());
}

/// An earlier import of a network with one logit: every pixel would belong to its only class.
#[test]
fn a_single_class_is_refused_with_the_way_out() {
    let spec = Spec { task: None, labels: vec!["person".into()], ..spec() };
    let tensors = seeded(&Network::native(&spec).unwrap(), 7);
    match Model::from_file(ModelFile::new(spec, tensors).unwrap()) {
        Err(error @ Error::InvalidModel(_)) => assert!(error.to_string().contains("alpha"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_task_is_kept_in_the_file_and_checked() {
    let model = model();
    let json = model.spec().to_json();
    assert!(json.contains(r#""task":"alpha""#));
    assert_eq!(Spec::from_json(&json).unwrap(), *model.spec());
    let refused = |edit: fn(&mut Spec)| {
        let mut spec = spec();
        edit(&mut spec);
        spec.validate().unwrap_err().to_string()
    };
    assert!(refused(|s| s.task = Some(spec::Task::Scores)).contains("task"));
    assert!(refused(|s| s.labels = vec!["one".into()]).contains("labels"));
    assert!(refused(|s| s.colors = vec![[0; 3]]).contains("colours"));
    assert!(
        refused(|s| if let Head::DeeplabV3(head) = &mut s.head {
            head.classes = 2;
        })
        .contains("task")
    );
    // Older files lack the task, and mean what they meant.
    let plain = Spec::preset("fixture").unwrap();
    assert!(!plain.to_json().contains("task") && plain.task() == spec::Task::Categories);
    assert!(matches!(Classifier::new(&model, &Options::new()), Err(Error::InvalidModel(_))));
    // A part of a frame, as for any model.
    let bytes = waves(SIDE, SIDE, 0);
    let region = Region { x: 3, y: 5, width: 30, height: 20 };
    let frame = Frame::rgb(&bytes, SIDE, SIDE).unwrap().cropped(region).unwrap();
    let segmentation = Segmenter::new(&model, &Options::new()).unwrap().segment(&frame).unwrap();
    assert_eq!((segmentation.width(), segmentation.height()), (30, 20));
}
