//! Quality of an alpha against ground truth: IoU, border F, alpha error, per image and for many images.
//!
//! The same definitions as in `scripts/train/person_score.py`, so that figures of other engines can be compared.

use super::border::{Label, TrueBorder, fill};
use crate::bounds;
use crate::error::{Error, Result};
use silhouette_imaging::frame::Size;
use silhouette_kernels::memory::reserve;

/// The memory's purpose, in errors.
const TRUTH: &str = "the ground truth of an alpha";

/// Classes of images by the share of their pixels that is foreground: a name, and the share, which is above the first number
/// and at most the second.
pub const FOREGROUND_SIZES: [(&str, f64, f64); 3] =
    [("below 5 %", 0.0, 0.05), ("5 to 20 %", 0.05, 0.2), ("above 20 %", 0.2, 1.0)];

/// Distance at which borders match, in pixels.
const NEAR: f64 = 2.0;

/// The same as a share of the image's diagonal.
const NEAR_SHARE: f64 = 0.0075;

/// An IoU below which an image counts as missed.
const MISSED: f64 = 0.5;

/// The foreground is where an alpha is at least one half.
const HALF: u8 = 128;

/// What a value of a ground-truth mask means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruthValue {
    /// The foreground's share of the pixel, 0 to 255.
    Alpha(u8),
    /// Not known, and not scored: VOC's void along borders.
    Void,
    /// Not labelled, and not scored.
    Unlabelled,
}

/// The true alpha of an image.
///
/// ```
/// use silhouette::Size;
/// use silhouette::eval::{AlphaTruth, TruthValue};
///
/// let meaning = std::array::from_fn(|value| TruthValue::Alpha(value as u8));
/// let mut truth = AlphaTruth::new(Size { height: 1, width: 3 }, &[0, 255, 255], &meaning, false)?;
/// assert_eq!(truth.score(&[0, 255, 0])?.iou(), Some(0.5));
/// # Ok::<(), silhouette::Error>(())
/// ```
#[derive(Debug)]
pub struct AlphaTruth {
    size: Size,
    /// `[height][width]`.
    values: Vec<TruthValue>,
    border: TrueBorder,
}

/// The measures of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AlphaScore {
    /// Pixels that are foreground in both.
    pub both: u64,
    /// Pixels that are foreground in either.
    pub either: u64,
    /// F of the borders, matched within 2 pixels; `None` if neither has a border.
    pub border_f_2px: Option<f64>,
    /// F of the borders, matched within 0.75 % of the image's diagonal; `None` if neither has a border.
    pub border_f: Option<f64>,
    /// Mean absolute difference of the alphas, 0 to 1; `None` if no pixel is labelled.
    pub error: Option<f64>,
    /// The share of the labelled pixels that is foreground.
    pub share: f64,
}

/// The measures of many images, all 0 to 1. The pooled IoU and the error cover all images, the other measures only those with a
/// foreground.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AlphaSummary {
    /// Number of images.
    pub images: usize,
    /// IoU of all images' pixels together; 0 if there is no foreground anywhere.
    pub pooled_iou: f64,
    /// Mean of the images' IoU.
    pub iou: Option<f64>,
    /// Mean of their border F at 2 pixels.
    pub border_f_2px: Option<f64>,
    /// Mean of their border F at 0.75 % of the diagonal.
    pub border_f: Option<f64>,
    /// Mean of the alpha error.
    pub error: Option<f64>,
    /// Share of images with an IoU below one half.
    pub missed: Option<f64>,
}

impl AlphaTruth {
    /// Creates it from a mask `[height][width]` and the meaning of each of its values. With `fill_void`, void pixels get the
    /// nearest label when borders are scored; otherwise borders near them are not scored. In all other measures void pixels
    /// do not count.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a size of 0 or over [`MAX_PIXELS`](crate::MAX_PIXELS), and if memory runs out;
    /// [`Error::InvalidFrame`] if the mask has another number of pixels.
    pub fn new(size: Size, mask: &[u8], meaning: &[TruthValue; 256], fill_void: bool) -> Result<Self> {
        bounds::mask(size)?;
        size_matches(size, mask.len(), "labels")?;
        let mut values = Vec::new();
        reserve(&mut values, mask.len(), TRUTH)?;
        values.extend(mask.iter().map(|&value| meaning[usize::from(value)]));
        let mut labels = Vec::new();
        reserve(&mut labels, mask.len(), TRUTH)?;
        labels.extend(values.iter().map(|&value| match value {
            TruthValue::Alpha(HALF..) => Label::Inside,
            TruthValue::Alpha(_) => Label::Outside,
            TruthValue::Void | TruthValue::Unlabelled => Label::Unknown,
        }));
        if fill_void {
            fill(&mut labels, size.width, |i| values[i] == TruthValue::Void)?;
        }
        let border = TrueBorder::new(size.width, labels.into_iter())?;
        Ok(Self { size, values, border })
    }

    /// The image's size.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// Compares it with an alpha of the same size. `&mut` because memory is reused from call to call.
    ///
    /// # Errors
    /// [`Error::InvalidFrame`] if the alpha has another number of pixels.
    pub fn score(&mut self, alpha: &[u8]) -> Result<AlphaScore> {
        size_matches(self.size, alpha.len(), "an alpha")?;
        let mut both = 0_u64;
        let mut either = 0_u64;
        let mut inside = 0_u64;
        let mut known = 0_u64;
        let mut apart = 0_u64;
        for (&value, &alpha) in self.values.iter().zip(alpha) {
            if let TruthValue::Alpha(truth) = value {
                let there = truth >= HALF;
                let found = alpha >= HALF;
                both += u64::from(there && found);
                either += u64::from(there || found);
                inside += u64::from(there);
                known += 1;
                apart += u64::from(truth.abs_diff(alpha));
            }
        }
        let diagonal = (self.size.height as f64).hypot(self.size.width as f64);
        let mut border = |radius| self.border.f(alpha.iter().map(|&alpha| alpha >= HALF), radius);
        Ok(AlphaScore {
            both,
            either,
            border_f_2px: border(NEAR),
            border_f: border(NEAR_SHARE * diagonal),
            error: (known > 0).then(|| apart as f64 / (255.0 * known as f64)),
            share: inside as f64 / known.max(1) as f64,
        })
    }
}

fn size_matches(Size { height, width }: Size, pixels: usize, what: &str) -> Result<()> {
    if height.checked_mul(width) == Some(pixels) {
        return Ok(());
    }
    let reason = format_args!("{what} of {pixels} pixels for an image of {width}x{height}");
    Err(Error::frame(reason, "both must have the image's size"))
}

impl AlphaScore {
    /// Intersection over union of the foreground, 0 to 1; `None` if there is none in either.
    #[must_use]
    pub fn iou(&self) -> Option<f64> {
        (self.either > 0).then(|| self.both as f64 / self.either as f64)
    }
}

impl AlphaSummary {
    /// Summarises the measures of these images.
    #[must_use]
    pub fn of(scores: &[AlphaScore]) -> Self {
        let sum = |pixels: fn(&AlphaScore) -> u64| scores.iter().map(pixels).sum::<u64>();
        let with: Vec<&AlphaScore> = scores.iter().filter(|score| score.share > 0.0).collect();
        let of_with = |measure: fn(&AlphaScore) -> Option<f64>| mean(with.iter().filter_map(|score| measure(score)));
        Self {
            images: scores.len(),
            pooled_iou: sum(|score| score.both) as f64 / sum(|score| score.either).max(1) as f64,
            iou: of_with(AlphaScore::iou),
            border_f_2px: of_with(|score| score.border_f_2px),
            border_f: of_with(|score| score.border_f),
            error: mean(scores.iter().filter_map(|score| score.error)),
            missed: mean(with.iter().map(|score| f64::from(u8::from(score.iou().is_some_and(|iou| iou < MISSED))))),
        }
    }
}

/// `None` of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
