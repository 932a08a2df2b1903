//! What quantising did to each layer, and to the output.

use serde::Serialize;

use crate::ranges::Choice;
use crate::rounding::How;

/// The arithmetic of the measurements.
pub const ARITHMETIC: &str = "f32, rounded to the integers of every edge";

/// What quantising did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Pictures that ranges and roundings were chosen with.
    pub pictures: usize,
    /// Other pictures, on which everything here was measured.
    pub held_out: usize,
    /// Maps whose channels were scaled, and maps for which that is possible.
    pub equalised: [usize; 2],
    /// Whether biases were corrected.
    pub bias_corrected: bool,
    /// The arithmetic of the measurements.
    pub arithmetic: &'static str,
    /// The difference of the outputs.
    pub output: OutputReport,
    /// Edge by edge, in the order of execution.
    pub layers: Vec<LayerReport>,
}

/// The difference of the outputs from the float network's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OutputReport {
    /// Signal to noise, in decibels.
    pub snr_db: f64,
    /// The share of pixels (of the network's own output) with the same likeliest class.
    pub agreement: f64,
    /// Kullback-Leibler divergence of a pixel's probabilities, on average.
    pub divergence: f64,
}

/// What quantising did to an edge and the layer that writes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// The edge, without its `.output`: a convolution, the sum of a block, a concatenation, or `input`.
    pub name: String,
    /// Signal to noise, in decibels, with everything before it quantised too.
    pub snr_db: f64,
    /// The share of values that are outside of the range.
    pub clipped: f64,
    /// The lowest value of its bytes.
    pub low: f32,
    /// The highest value of its bytes.
    pub high: f32,
    /// How the range was chosen.
    pub range: Choice,
    /// How the weights were rounded; `None` for what has none, or keeps floats.
    pub weights: Option<How>,
    /// Whether the weights stay floats.
    pub kept: bool,
    /// Whether it is among the worst.
    pub worst: bool,
}

/// Marks the layers of the worst tenth, at least one.
pub(crate) fn mark_worst(layers: &mut [LayerReport]) {
    let count = layers.len().div_ceil(10);
    let mut order: Vec<usize> = (0..layers.len()).collect();
    order.sort_by(|&a, &b| layers[a].snr_db.total_cmp(&layers[b].snr_db).then(a.cmp(&b)));
    order.into_iter().take(count).for_each(|i| layers[i].worst = true);
}
