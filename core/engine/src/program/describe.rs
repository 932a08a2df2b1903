//! A network's layers as the [`Builder`](super::Builder) takes them: weights, geometry, blocks; and the checks on them.

use silhouette_kernels::memory::OutOfMemory;
use silhouette_kernels::size::Size;
use silhouette_kernels::upsample::Resize;

/// A map (height, width, channels) that a step writes and later steps read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map(pub(super) usize);

/// Why a network could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// A step cannot be built as described.
    Refused {
        /// The step, by name.
        step: String,
        /// What is wrong.
        reason: String,
    },
    /// The system has no memory for packed weights.
    OutOfMemory(OutOfMemory),
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { step, reason } => write!(f, "step {step}: {reason}"),
            Self::OutOfMemory(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for BuildError {}

impl From<OutOfMemory> for BuildError {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}

pub(super) fn refuse<T>(step: &str, reason: impl Into<String>) -> Result<T, BuildError> {
    Err(BuildError::Refused { step: step.to_owned(), reason: reason.into() })
}

/// The activation after a convolution, as bounds; `None`: linear.
pub type Clamp = Option<(f32, f32)>;

/// A convolution's weights in PyTorch's order (O, I / groups, K, K) and its bias (O).
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// Weights.
    pub weight: &'a [f32],
    /// Bias.
    pub bias: &'a [f32],
    /// Activation.
    pub clamp: Clamp,
}

/// Geometry of a 3x3 convolution from a map of `input` to one of `output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The map read.
    pub input: Size,
    /// The map written.
    pub output: Size,
    /// Stride.
    pub stride: usize,
    /// Atrous rate.
    pub rate: usize,
    /// Rows of zeros above, and columns of zeros to the left.
    pub pad: Size,
}

/// The 3x3 layer that reads the image's rows.
#[derive(Clone, Copy, Debug)]
pub struct Stem<'a> {
    /// For messages and timings.
    pub name: &'a str,
    /// Its geometry.
    pub window: Window,
    /// Weights (O, 3, 3, 3).
    pub filter: Filter<'a>,
}

/// An inverted residual block; or a depthwise-separable one, where `expand` is absent.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// For messages and timings.
    pub name: &'a str,
    /// Channels read.
    pub c_in: usize,
    /// Geometry of the depthwise convolution.
    pub window: Window,
    /// 1x1 to the expanded channels.
    pub expand: Option<Filter<'a>>,
    /// 3x3 depthwise.
    pub depthwise: Filter<'a>,
    /// 1x1 to the output channels.
    pub project: Filter<'a>,
    /// Adds the input to the output.
    pub residual: bool,
    /// Adds the expanded tensor to the depthwise convolution's output.
    pub expansion_shortcut: bool,
    /// The depthwise convolution's padding is what the expansion makes of zeros, instead of zeros.
    pub pads_input: bool,
}

/// What a stage of a decoder concatenates, in the order of the channels.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// The output of the stage before (for the first: the decoder's input map), resized to the window's input.
    Below(Resize),
    /// A 1x1 convolution of a map of the window's input size.
    Pointwise(Map, Filter<'a>),
}

/// A stage of a decoder: its parts concatenated, then a depthwise convolution over all of them, and a pointwise one.
#[derive(Clone, Debug)]
pub struct DecoderStage<'a> {
    /// For messages.
    pub name: &'a str,
    /// Geometry of the depthwise convolution.
    pub window: Window,
    /// What it reads; [`Part::Below`] exactly once.
    pub parts: Vec<Part<'a>>,
    /// 3x3 depthwise.
    pub depthwise: Filter<'a>,
    /// 1x1 to the output channels.
    pub pointwise: Filter<'a>,
}

/// Columns of a padded row: every column that a window of the kernel reaches, and every column of the input.
pub(super) fn padded_columns(w: &Window) -> usize {
    ((w.output.width - 1) * w.stride + 2 * w.rate + 1).max(w.pad.width + w.input.width)
}

/// The rows that output row `o` reads, as indices that may be outside the map.
pub(super) fn window_row(w: &Window, o: usize, r: usize) -> Option<usize> {
    (o * w.stride + r * w.rate).checked_sub(w.pad.height)
}

/// First and last input row (inside the map) of output row `o`.
pub(super) fn first_row(w: &Window, o: usize) -> usize {
    (o * w.stride).saturating_sub(w.pad.height).min(w.input.height - 1)
}

pub(super) fn last_row(w: &Window, o: usize) -> usize {
    (o * w.stride + 2 * w.rate).saturating_sub(w.pad.height).min(w.input.height - 1)
}

pub(super) fn check_window(step: &str, w: &Window) -> Result<(), BuildError> {
    let Window { input, output, stride, rate, pad } = *w;
    if [input.height, input.width, output.height, output.width, stride, rate].contains(&0) {
        return refuse(step, "sizes, stride and rate are at least 1");
    }
    if [input.height, input.width, rate].iter().any(|&n| n > 1 << 20) {
        return refuse(step, "a map side or rate above 2^20");
    }
    // The first window begins inside the padding; padding is at most the kernel's reach to one side.
    if pad.height > 2 * rate || pad.width > 2 * rate {
        return refuse(step, format!("padding of {pad} is more than a kernel of rate {rate} reaches"));
    }
    for (i, o, p) in [(input.height, output.height, pad.height), (input.width, output.width, pad.width)] {
        let last = (o - 1).checked_mul(stride);
        if last.is_none_or(|first| first >= i + p) {
            return refuse(step, format!("{o} outputs of stride {stride} do not fit {i} inputs"));
        }
    }
    Ok(())
}

/// `packed`: the weights are prepacked, and only their number matters.
pub(super) fn check_filter(
    step: &str,
    what: &str,
    f: &Filter<'_>,
    k: usize,
    taps: usize,
    packed: bool,
) -> Result<(), BuildError> {
    let expected = f.bias.len().checked_mul(k).and_then(|n| n.checked_mul(taps));
    if f.bias.is_empty() || expected.is_none() || !packed && expected != Some(f.weight.len()) {
        return refuse(
            step,
            format!("{what}: {} weights for {} outputs of {k} x {taps}", f.weight.len(), f.bias.len()),
        );
    }
    Ok(())
}
