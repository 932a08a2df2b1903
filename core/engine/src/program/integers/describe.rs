//! A quantised network's layers as the builder takes them.

use crate::program::describe::{Clamp, Window};
use silhouette_kernels::element::Quantization;

/// A convolution of bytes.
#[derive(Clone, Copy, Debug)]
pub struct IntegerLayer<'a> {
    /// (O, I / groups, K, K), signed.
    pub weight: &'a [i8],
    /// The zero point of all weights.
    pub weight_zero: i32,
    /// One for all outputs, or one per output.
    pub weight_scale: &'a [f32],
    /// Multiplies the scales of weights and inputs as f32, as TensorFlow Lite does for unsigned weights; otherwise as f64.
    pub scale_as_f32: bool,
    /// (O), in steps of the input's scale times the weight's.
    pub bias: &'a [i32],
    /// Activation, as real bounds.
    pub clamp: Clamp,
    /// What the outputs represent, as unsigned bytes.
    pub output: Quantization,
}

/// The 3x3 layer that reads the image's rows.
#[derive(Clone, Copy, Debug)]
pub struct IntegerStem<'a> {
    /// For messages and timings.
    pub name: &'a str,
    /// Its geometry; the rate is 1.
    pub window: Window,
    /// What the image's values become, as unsigned bytes.
    pub input: Quantization,
    /// Three input channels.
    pub layer: IntegerLayer<'a>,
}

/// An inverted residual block, or a depthwise-separable convolution.
#[derive(Clone, Copy, Debug)]
pub struct IntegerBlock<'a> {
    /// For messages and timings.
    pub name: &'a str,
    /// The depthwise convolution's geometry.
    pub window: Window,
    /// 1x1 to the expanded channels.
    pub expand: Option<IntegerLayer<'a>>,
    /// 3x3.
    pub depthwise: IntegerLayer<'a>,
    /// 1x1 to the output channels.
    pub project: IntegerLayer<'a>,
    /// Adds the block's input to its output; the sum represents this.
    pub residual: Option<Quantization>,
}
