//! The measures of alphas, compared with those of `scripts/train/person_score.py` (`person_score_cases.py` in the same folder
//! wrote `alpha_scores.txt` and describes it).

use silhouette::eval::{AlphaScore, AlphaSummary, AlphaTruth, TruthValue};
use silhouette::{Error, Size};
use std::collections::HashMap;

const CASES: &str = include_str!("alpha_scores.txt");

/// A plane written as `VALUExCOUNT`.
fn plane(runs: &str) -> Vec<u8> {
    let run = |run: &str| {
        let (value, count) = run.split_once('x').unwrap();
        std::iter::repeat_n(value.parse().unwrap(), count.parse().unwrap())
    };
    runs.split(' ').flat_map(run).collect()
}

/// Names and values; `None` where the value is not a number.
fn numbers(text: &str) -> HashMap<&str, Option<f64>> {
    let words: Vec<&str> = text.split(' ').collect();
    words.chunks_exact(2).map(|pair| (pair[0], Some(pair[1].parse().unwrap()).filter(|v: &f64| !v.is_nan()))).collect()
}

/// The values of a mask of VOC's classes, or of an alpha.
fn meaning(kind: &str) -> [TruthValue; 256] {
    std::array::from_fn(|value| match (kind, value as u8) {
        ("matte", value) => TruthValue::Alpha(value),
        (_, 15) => TruthValue::Alpha(255),
        (_, 254) => TruthValue::Unlabelled,
        (_, 255) => TruthValue::Void,
        _ => TruthValue::Alpha(0),
    })
}

#[track_caller]
fn same(what: &str, ours: Option<f64>, theirs: Option<f64>) {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => {
            assert!((ours - theirs).abs() < 1e-5 * theirs.abs().max(1e-3), "{what}: {ours}, not {theirs}");
        }
        _ => assert_eq!(ours, theirs, "{what}"),
    }
}

#[test]
fn the_same_as_in_python() {
    let mut lines = CASES.lines();
    let mut scores: Vec<AlphaScore> = Vec::new();
    let mut summary = None;
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("summary ") {
            summary = Some(numbers(rest));
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let ["case", name, width, height, kind] = words[..] else { panic!("{line}") };
        let mut field = |name: &str| lines.next().unwrap().strip_prefix(name).unwrap().trim_start();
        let truth = plane(field("truth"));
        let alpha = plane(field("alpha"));
        let theirs = numbers(field("measures"));
        let size = Size { height: height.parse().unwrap(), width: width.parse().unwrap() };
        let mut truth = AlphaTruth::new(size, &truth, &meaning(kind), kind == "void").unwrap();
        let score = truth.score(&alpha).unwrap();
        for (key, ours) in [
            ("both", Some(score.both as f64)),
            ("either", Some(score.either as f64)),
            ("iou", score.iou()),
            ("f2", score.border_f_2px),
            ("f", score.border_f),
            ("error", score.error),
            ("share", Some(score.share)),
        ] {
            same(&format!("{name}: {key}"), ours, theirs[key]);
        }
        assert_eq!(truth.score(&alpha).unwrap(), score, "{name}: a second time");
        scores.push(score);
    }
    let theirs = summary.unwrap();
    let ours = AlphaSummary::of(&scores);
    let percent = |value: Option<f64>| value.map(|value| 100.0 * value);
    same("pictures", Some(ours.images as f64), theirs["pictures"]);
    for (key, ours) in [
        ("pooled", Some(ours.pooled_iou)),
        ("iou", ours.iou),
        ("f2", ours.border_f_2px),
        ("f", ours.border_f),
        ("error", ours.error),
        ("missed", ours.missed),
    ] {
        same(key, percent(ours), theirs[key]);
    }
    assert!(scores.len() > 10);
}

#[test]
fn of_no_images_there_is_no_mean() {
    let nothing = AlphaSummary::of(&[]);
    assert_eq!(nothing, AlphaSummary { images: 0, pooled_iou: 0.0, ..AlphaSummary::default() });
    assert_eq!(nothing.iou, None);
}

#[test]
fn planes_of_other_sizes_are_errors() {
    let size = Size { height: 3, width: 4 };
    let meaning = meaning("matte");
    for pixels in [0, 11, 13] {
        assert!(matches!(AlphaTruth::new(size, &vec![0; pixels], &meaning, true), Err(Error::InvalidFrame(_))));
        let mut truth = AlphaTruth::new(size, &[0; 12], &meaning, false).unwrap();
        assert!(matches!(truth.score(&vec![0; pixels]), Err(Error::InvalidFrame(_))));
    }
    for (height, width) in [(0, 4), (4, 0), (usize::MAX, 2), (1 << 20, 1 << 20)] {
        assert!(matches!(AlphaTruth::new(Size { height, width }, &[], &meaning, false), Err(Error::Unsupported(_))));
    }
}

/// Nothing of the measures costs more than time and memory linear in the pixels: here a naive search would look at a
/// disc of 36 pixels' radius around each of three million.
#[test]
fn noise_of_millions_of_pixels_is_scored_in_a_moment() {
    let size = Size { height: 600, width: 4800 };
    let mut noise = silhouette_testkit::Noise::new(5);
    let mut plane = || noise.bytes(size.height * size.width);
    let mut meaning = meaning("matte");
    meaning[250..].fill(TruthValue::Void);
    let start = std::time::Instant::now();
    let score = AlphaTruth::new(size, &plane(), &meaning, true).unwrap().score(&plane()).unwrap();
    assert!(score.border_f > Some(0.99), "{score:?}");
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
