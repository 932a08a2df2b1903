//! The measures of alphas as they are stored and reported.

use crate::output;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use silhouette::eval::{AlphaScore, AlphaSummary, FOREGROUND_SIZES};

/// [`AlphaScore`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measures {
    both: u64,
    either: u64,
    border_f_2px: Option<f64>,
    border_f: Option<f64>,
    error: Option<f64>,
    share: f64,
}

impl From<AlphaScore> for Measures {
    fn from(score: AlphaScore) -> Self {
        let AlphaScore { both, either, border_f_2px, border_f, error, share } = score;
        Self { both, either, border_f_2px, border_f, error, share }
    }
}

impl From<Measures> for AlphaScore {
    fn from(written: Measures) -> Self {
        let Measures { both, either, border_f_2px, border_f, error, share } = written;
        Self { both, either, border_f_2px, border_f, error, share }
    }
}

/// One row of a report, in percent.
fn row(summary: &AlphaSummary) -> Value {
    let percent = |value: Option<f64>| value.map(|value| 100.0 * value);
    json!({
        "images": summary.images,
        "pooled_iou": 100.0 * summary.pooled_iou,
        "iou": percent(summary.iou),
        "border_f_2px": percent(summary.border_f_2px),
        "border_f": percent(summary.border_f),
        "alpha_error": percent(summary.error),
        "under_half": percent(summary.missed),
    })
}

/// Prints a table of the measures of all images and of those with a foreground of each size, plain and refined; returns it as JSON.
pub(super) fn table(plain: &[AlphaScore], refined: &[AlphaScore]) -> Value {
    let percent = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{:.2}", 100.0 * value));
    output::say(&format!(
        "{:<22} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "", "images", "pooled", "IoU", "F 2 px", "F 0.75 %", "alpha", "under 0.5"
    ));
    let mut report = json!({});
    let every = std::iter::once(("all", f64::NEG_INFINITY, f64::INFINITY)).chain(FOREGROUND_SIZES);
    for (name, least, most) in every {
        for (which, scores) in [("plain", plain), ("refined", refined)] {
            let some: Vec<AlphaScore> =
                scores.iter().filter(|score| score.share > least && score.share <= most).copied().collect();
            let summary = AlphaSummary::of(&some);
            if summary.images > 0 {
                output::say(&format!(
                    "{:<22} {:>8} {:>8.2} {:>8} {:>8} {:>8} {:>8} {:>9}",
                    format!("{name}, {which}"),
                    summary.images,
                    100.0 * summary.pooled_iou,
                    percent(summary.iou),
                    percent(summary.border_f_2px),
                    percent(summary.border_f),
                    percent(summary.error),
                    percent(summary.missed),
                ));
            }
            report[name][which] = row(&summary);
        }
    }
    report
}
