//! A network as data: everything that affects a pixel, in one value that is stored as JSON in the model file.
//!
//! The tables are the paper's (arXiv 1801.04381): Table 2 for MobileNetV2, section 6.3 for DeepLabV3 on top of it.

mod presets;
mod validate;

use serde::{Deserialize, Serialize};

pub use presets::VOC_LABELS;
pub use silhouette_kernels::resize::Fit;
pub use silhouette_kernels::upsample::Resize;
pub use validate::{
    MAX_BLOCKS, MAX_CHANNELS, MAX_PARAMETERS, MAX_RATE, MAX_RATES, MAX_SIZE, MAX_SKIPS, MAX_WIDTH, make_divisible,
};

/// The format version that this library writes.
pub const FORMAT: u32 = 1;

/// A whole network: extractor, head, and the processing of the image before and of the logits after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Version of this description, [`FORMAT`].
    pub format: u32,
    /// A short name, for humans.
    pub name: String,
    /// Extracts features from the image.
    pub extractor: Extractor,
    /// Computes logits from the features.
    pub head: Head,
    /// How convolutions pad. Weights depend on it.
    pub padding: Padding,
    /// Added to the variance in batch norm, unless it is folded into the weights.
    pub batch_norm_epsilon: f64,
    /// The same in the head; absent: as in the extractor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_batch_norm_epsilon: Option<f64>,
    /// The input that the network expects.
    pub input: Input,
    /// One label per class, in the order of the logits; for an alpha two: background and foreground.
    pub labels: Vec<String>,
    /// One RGB colour per class; empty: PASCAL VOC's palette.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub colors: Vec<[u8; 3]>,
    /// The meaning of the output; absent: the head implies it (see [`Spec::task`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// Licence of the weights (an SPDX identifier if there is one).
    #[serde(default)]
    pub licence: String,
    /// Origin of the weights.
    #[serde(default)]
    pub provenance: String,
}

/// The feature extractor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Extractor {
    /// MobileNetV2, Table 2 of the paper.
    MobilenetV2(MobilenetV2),
    /// MobileNetV1 (arXiv 1704.04861, Table 1), the paper's comparison.
    MobilenetV1(MobilenetV1),
}

/// MobileNetV2: a 3x3 stem of stride 2, a chain of inverted residual blocks, and (for a classifier) a last 1x1 layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MobilenetV2 {
    /// Width multiplier; channels are rounded to a multiple of `divisor`, never down by more than 10 %.
    pub width: f64,
    /// Channels are rounded to a multiple of it, and are at least this many: 8 in the paper. TensorFlow's DeepLab
    /// models of widths other than 1.0 use 1 (24 channels at width 0.5 become 12, not 16).
    #[serde(default = "paper_divisor")]
    pub divisor: usize,
    /// Input size divided by feature map size: 8, 16 or 32. Below 32, later strides become atrous rates.
    pub output_stride: usize,
    /// Channels of the stem at width 1.0.
    pub stem_channels: usize,
    /// The paper's table of bottlenecks.
    pub bottlenecks: Vec<Bottleneck>,
    /// The map that the head reads.
    pub feature: Feature,
    /// Channels of the last 1x1 layer at width 1.0 (not scaled below width 1.0).
    pub last_channels: usize,
    /// Activation after the projection: `Linear` is the paper's bottleneck.
    pub bottleneck_activation: Activation,
    /// Position of the residual connection.
    pub shortcut: Shortcut,
    /// The block whose stride becomes an atrous rate has that rate itself, and no shortcut
    /// (`segmentation_models_pytorch`); false: only the blocks after it have (TensorFlow and the others).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dilate_first: bool,
    /// Blocks left out (indices into the unrolled chain, starting at 0); only blocks with a bottleneck shortcut can be
    /// left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped_blocks: Vec<usize>,
}

fn paper_divisor() -> usize {
    8
}

/// A row of the paper's Table 2: `n` blocks with expansion `t` and `c` output channels, the first with stride `s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bottleneck {
    /// Expansion factor; 1: no expansion layer.
    pub t: usize,
    /// Output channels at width 1.0.
    pub c: usize,
    /// Number of blocks.
    pub n: usize,
    /// Stride of the first; the others have 1.
    pub s: usize,
}

/// MobileNetV1: a 3x3 stem of stride 2 and a chain of depthwise-separable convolutions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MobilenetV1 {
    /// Width multiplier, rounded as for MobileNetV2.
    pub width: f64,
    /// Input size divided by feature map size: 8, 16 or 32.
    pub output_stride: usize,
    /// Channels of the stem at width 1.0.
    pub stem_channels: usize,
    /// Output channels and stride of each depthwise-separable block.
    pub blocks: Vec<SeparableBlock>,
}

/// One block of MobileNetV1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeparableBlock {
    /// Output channels at width 1.0.
    pub c: usize,
    /// Stride of the depthwise convolution.
    pub s: usize,
}

/// The extractor's map that the head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// The last bottleneck (320 channels): the paper's V2*, 'the second last feature map'.
    LastBottleneck,
    /// The last 1x1 layer (1280 channels).
    LastLayer,
}

/// Position of a block's residual connection (paper, section 6.4 and figure 6b).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortcut {
    /// From the block's input to its output, both narrow: the paper's inverted residual. Needs stride 1 and equal
    /// numbers of channels.
    Bottleneck,
    /// From the expanded tensor before the depthwise convolution to the one after it (after its ReLU6), both wide. Needs
    /// stride 1. In a block without expansion the expanded tensor is the block's input.
    Expansion,
    /// None.
    None,
}

/// The activation after a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Identity.
    Linear,
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
}

/// The head, which reads the features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Head {
    /// Average pooling and one linear layer.
    Classifier(Classifier),
    /// DeepLabV3.
    DeeplabV3(DeeplabV3),
}

/// The meaning of an output's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A logit for each class at each pixel: the largest one determines the pixel's class.
    Categories,
    /// One logit at each pixel: its sigmoid is the foreground's share of the pixel.
    Alpha,
    /// A logit for each class, for the image as a whole.
    Scores,
}

/// Average pooling and one linear layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classifier {
    /// Number of classes.
    pub classes: usize,
}

/// DeepLabV3's head (arXiv 1706.05587): branches over the feature map, concatenated, projected, classified.
/// Branch order in the concatenation is image pooling, 1x1, then ASPP in the order of the rates unless `pooling_last`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeeplabV3 {
    /// Number of classes, background included; 1 for an alpha ([`Task::Alpha`]).
    pub classes: usize,
    /// Channels of every branch and of the projection (256).
    pub channels: usize,
    /// The image pooling branch: average over the map, 1x1, broadcast back.
    pub image_pooling: bool,
    /// Atrous spatial pyramid pooling.
    pub aspp: Aspp,
    /// Image pooling is last in the concatenation (PyTorch's heads) rather than first (TensorFlow's).
    #[serde(default)]
    pub pooling_last: bool,
    /// One more 3x3 convolution between projection and classifier (torchvision's and VainF's heads).
    #[serde(default)]
    pub refine: bool,
    /// Follows the projection and produces logits finer than the feature map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<Decoder>,
    /// How logits are resized to the image, and a decoder's maps to the next skip's.
    pub resize: Resize,
}

/// DeepLabV3+'s decoder (arXiv 1802.02611, section 3.1) at mobile cost. One stage per skip, from coarse to fine: the
/// lower map is resized to the skip's map, a 1x1 convolution reduces the skip, which is concatenated after it, and a
/// depthwise-separable 3x3 convolution mixes the two; ReLU6 after each. The classifier reads the last stage, so logits
/// have its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoder {
    /// The extractor's maps that it reads, from coarse to fine.
    pub skips: Vec<Skip>,
    /// Channels that a stage writes, unless its skip specifies otherwise.
    pub channels: usize,
}

/// A map of the extractor that a decoder reads, and the stage that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// Input size divided by the map's size: the last block at this stride is read. Below the output stride.
    pub stride: usize,
    /// Channels that the map is reduced to.
    pub channels: usize,
    /// Channels that the stage writes; absent: the decoder's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<usize>,
}

/// Atrous spatial pyramid pooling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Aspp {
    /// Left out, as the paper proposes for mobile.
    None,
    /// One 3x3 atrous convolution per rate.
    Plain {
        /// The atrous rates, (6, 12, 18) at output stride 16.
        rates: Vec<usize>,
    },
    /// The same with depthwise-separable convolutions.
    Separable {
        /// The atrous rates.
        rates: Vec<usize>,
    },
}

/// How convolutions pad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// TensorFlow's SAME: output is `ceil(n / stride)`, the odd pixel of padding at the bottom and right.
    Same,
    /// PyTorch's: `rate * (kernel - 1) / 2` on each side.
    Symmetric,
    /// As much, but in an inverted residual block around its input: the depthwise convolution sees what the expansion makes
    /// of zeros. The stem is not padded at all (VainF's implementation).
    BlockInput,
}

/// The input that the network expects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Height and width of the square input that the weights were trained for; a caller may request another size.
    pub size: usize,
    /// Subtracted from each channel (R, G, B in 0 to 255).
    pub mean: [f32; 3],
    /// Each channel is then divided by it.
    pub std: [f32; 3],
    /// How an image that is not square is fitted.
    pub fit: Fit,
}
