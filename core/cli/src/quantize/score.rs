//! mIOU of a model before and after quantising, on images with ground truth.

use super::pictures::{Shapes, each};
use crate::eval::{Item, Key, with_photo};
use crate::failure::Failure;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use silhouette::eval::{Confusion, VOID};
use silhouette::{Mask, Palette, Size, Task};
use silhouette_imaging::input::Placement;
use silhouette_imaging::mask::{Logits, MaskSpec, Upsampler};
use silhouette_network::spec::{Head, VOC_LABELS};
use silhouette_quantise::{Picture, QuantiseError, Reference};
use silhouette_weights::ModelFile;

/// The two scores.
pub(super) struct Scores {
    before: Option<f64>,
    after: Option<f64>,
    arithmetic: [&'static str; 2],
    images: usize,
    skipped: usize,
}

impl Scores {
    pub(super) fn text(&self) -> String {
        let percent =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{:.2}", 100.0 * value));
        format!(
            "mIOU {} before, {} after, {} images, {} skipped (arithmetic: {} and {})",
            percent(self.before),
            percent(self.after),
            self.images,
            self.skipped,
            self.arithmetic[0],
            self.arithmetic[1],
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "miou_before": self.before.map(|value| 100.0 * value),
            "miou_after": self.after.map(|value| 100.0 * value),
            "images": self.images,
            "skipped": self.skipped,
            "arithmetic": self.arithmetic,
        })
    }
}

/// Runs a model on pictures; the one place that decides what computes.
struct Runner(Reference);

impl Runner {
    fn new(model: &ModelFile) -> Result<Self, QuantiseError> {
        Reference::new(model).map(Self)
    }

    fn arithmetic(&self) -> &'static str {
        self.0.arithmetic()
    }

    /// `[height][width][channels]`, size and channels.
    fn run(&self, picture: &Picture) -> Result<(Vec<f32>, Size, usize), QuantiseError> {
        self.0.run(picture)
    }
}

/// Scores both models.
///
/// # Errors
/// For a classifier, if a model does not run, or no image can be scored.
pub(super) fn both(
    shapes: &Shapes,
    before: &ModelFile,
    after: &ModelFile,
    items: &[Item],
    threads: usize,
    bar: &ProgressBar,
) -> Result<Scores, Failure> {
    if shapes.model().task() == Task::Classification {
        return Err(Failure::general("--voc scores masks, and this model classifies"));
    }
    let runners = [before, after].map(|model| Runner::new(model).map_err(Failure::general));
    let [Ok(before), Ok(after)] = runners else {
        return Err(runners.into_iter().find_map(Result::err).unwrap_or_else(|| Failure::general("no model")));
    };
    let classes: Vec<u8> = (0..=u8::MAX).take(VOC_LABELS.len()).collect();
    let key = Key::new(VOC_LABELS.len(), None, &classes, &Palette::voc());
    let labels = shapes.model().labels();
    // Each of VOC's classes as one of the model's.
    let scored_as: Vec<u8> = VOC_LABELS
        .iter()
        .map(|voc| labels.iter().position(|label| label.eq_ignore_ascii_case(voc)).unwrap_or(0) as u8)
        .collect();
    let (found, skipped) = each("scores", items, threads, bar, |item| {
        let (photo, truth) = with_photo(item, &key)?;
        let wrong = |text: String| Failure::new(&item.image, text);
        let truth: Vec<u8> =
            truth.classes.iter().map(|&class| scored_as.get(usize::from(class)).copied().unwrap_or(VOID)).collect();
        let (placement, picture) = shapes.picture(&photo).map_err(wrong)?;
        let size = photo.frame().map_err(|error| wrong(error.to_string()))?.region().size();
        let mut pair = Vec::with_capacity(2);
        for runner in [&before, &after] {
            let output = runner.run(&picture).map_err(|error| wrong(error.to_string()))?;
            let mask = mask(shapes, placement, size, output).map_err(wrong)?;
            let mut confusion = Confusion::new(labels.len());
            confusion.add(&truth, &mask.classes).map_err(|error| wrong(error.to_string()))?;
            pair.push(confusion);
        }
        Ok(pair)
    });
    if found.is_empty() {
        return Err(Failure::general(format!("none of the {} images could be scored", items.len())));
    }
    let miou = |which: usize| {
        let mut all = Confusion::new(labels.len());
        for pair in &found {
            all.merge(&pair[which]);
        }
        all.miou()
    };
    Ok(Scores {
        before: miou(0),
        after: miou(1),
        arithmetic: [before.arithmetic(), after.arithmetic()],
        images: found.len(),
        skipped,
    })
}

/// The mask at the image's size, from bilinear logits.
fn mask(
    shapes: &Shapes,
    placement: Placement,
    size: Size,
    (mut values, map, mut classes): (Vec<f32>, Size, usize),
) -> Result<Mask, String> {
    let Head::DeeplabV3(head) = &shapes.model().spec().head else { return Err("a classifier has no masks".into()) };
    if classes == 1 {
        // A tie is foreground, as an alpha of one half is.
        values = values.into_iter().flat_map(|logit| [-1e-20, logit]).collect();
        classes = 2;
    }
    let mut mask = Mask::default();
    let spec = MaskSpec { resize: head.resize, placement, size };
    let logits = Logits { values: &values, size: map, classes };
    Upsampler::new().categories(&logits, &spec, &mut mask).map_err(|error| error.to_string())?;
    Ok(mask)
}
