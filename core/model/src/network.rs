//! A [`Spec`](crate::spec::Spec) unrolled for one input size: every convolution with its name, channels, stride, rate,
//! padding and map sizes. The candle graph, the CPU plan, the cost analysis and the importers all read this and
//! nothing else, so that they cannot disagree about the network.

use crate::spec::{Activation, Resize, Shortcut};

/// A map's height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// One convolution, batch norm (or bias) and activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// The tensors' prefix, such as `blocks.3.depthwise`: `{name}.weight` (O, I / groups, K, K) and either `{name}.bias`
    /// (batch norm folded) or `{name}.bn.weight`, `.bn.bias`, `.bn.running_mean`, `.bn.running_var`.
    pub name: String,
    /// Every input channel by itself (groups = channels), or all together.
    pub depthwise: bool,
    /// Kernel side, 1 or 3.
    pub kernel: usize,
    /// Stride in both directions.
    pub stride: usize,
    /// Atrous rate (dilation) in both directions.
    pub rate: usize,
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// What follows.
    pub activation: Activation,
    /// The map read.
    pub input: Size,
    /// The map written.
    pub output: Size,
    /// Rows and columns of zeros before the first; those after the last follow from the sizes.
    pub pad: Size,
    /// Whether batch norm belongs to it; false: a plain bias (the classifiers).
    pub batch_norm: bool,
}

/// An inverted residual block (MobileNetV2), or a depthwise-separable one (MobileNetV1: no expansion, ReLU6 after the
/// projection, no shortcut).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its place in the whole chain, as in the tensors' names, dropped blocks counted.
    pub index: usize,
    /// 1x1 to the expanded channels; absent where the expansion is 1.
    pub expand: Option<Conv>,
    /// 3x3, each channel by itself.
    pub depthwise: Conv,
    /// 1x1 to the output channels.
    pub project: Conv,
    /// The residual connection that this block really has.
    pub shortcut: Shortcut,
}

/// The layers after the extractor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one per network")]
pub enum HeadLayers {
    /// Average over the map, then one linear layer, written as a 1x1 convolution on a 1x1 map.
    Classifier {
        /// `classifier`.
        linear: Conv,
    },
    /// DeepLabV3.
    Deeplab(DeeplabLayers),
}

/// DeepLabV3's layers. Branches in the order of the concatenation: image pooling first (or last where `pooling_last`),
/// the 1x1 branch, ASPP in the order of its rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeeplabLayers {
    /// `head.pool`: 1x1 on the averaged map.
    pub pool: Option<Conv>,
    /// `head.branch`: 1x1.
    pub branch: Conv,
    /// `head.aspp.{i}` (plain), or `head.aspp.{i}.depthwise` and `head.aspp.{i}.pointwise` (separable).
    pub aspp: Vec<AsppBranch>,
    /// Pooling stands last in the concatenation.
    pub pooling_last: bool,
    /// `head.project`: 1x1 over the concatenation.
    pub project: Conv,
    /// `head.refine`: 3x3.
    pub refine: Option<Conv>,
    /// `head.classifier`: 1x1 with a bias.
    pub classifier: Conv,
    /// How the logits are upsampled.
    pub resize: Resize,
}

/// One atrous branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsppBranch {
    /// The depthwise half of a separable branch.
    pub depthwise: Option<Conv>,
    /// The 3x3 atrous convolution, or the 1x1 half of a separable branch.
    pub conv: Conv,
}

/// The whole network, unrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Input height and width (3 channels).
    pub input: Size,
    /// `stem`.
    pub stem: Conv,
    /// `blocks.{i}`.
    pub blocks: Vec<Block>,
    /// `last`: the 1x1 layer to 1280 channels, where the head reads it.
    pub last: Option<Conv>,
    /// The head.
    pub head: HeadLayers,
}
