//! A [`Spec`] unrolled for one input size: every convolution with its name, channels, stride, rate,
//! padding and map sizes. The candle graph, the CPU plan, the cost analysis and the importers all read this and
//! nothing else, so that they cannot disagree about the network.

use crate::error::ModelError;
use crate::spec::{
    Activation, Aspp, DeeplabV3, Extractor, Feature, Head, Link, MAX_PARAMETERS, MAX_SIZE, Padding, Resize, Shortcut,
    Spec,
};

/// Largest number of values of one map: 8 GiB of f32.
pub const MAX_MAP: u64 = 1 << 31;

/// A map's height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    /// Rows and columns alike.
    pub fn square(side: usize) -> Self {
        Self { height: side, width: side }
    }

    /// Rows times columns.
    pub fn pixels(self) -> u64 {
        self.height as u64 * self.width as u64
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
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

/// A tensor of a convolution in a model file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// Its whole name.
    pub name: String,
    /// (O, I / groups, K, K) for a weight, (O) for the rest.
    pub shape: Vec<usize>,
}

impl Conv {
    /// The weight's shape, (O, I / groups, K, K).
    pub fn weight_shape(&self) -> [usize; 4] {
        [self.c_out, if self.depthwise { 1 } else { self.c_in }, self.kernel, self.kernel]
    }

    /// `{name}.weight` and its shape.
    pub fn weight(&self) -> TensorShape {
        TensorShape { name: format!("{}.weight", self.name), shape: self.weight_shape().to_vec() }
    }

    /// `{name}.bias` and its shape.
    pub fn bias(&self) -> TensorShape {
        TensorShape { name: format!("{}.bias", self.name), shape: vec![self.c_out] }
    }

    /// Batch norm's four: gamma (`weight`), beta (`bias`), `running_mean`, `running_var`.
    pub fn bn(&self) -> [TensorShape; 4] {
        ["weight", "bias", "running_mean", "running_var"]
            .map(|part| TensorShape { name: format!("{}.bn.{part}", self.name), shape: vec![self.c_out] })
    }

    /// Rows and columns of zeros after the last, as far as the convolution reads them.
    pub fn pad_after(&self) -> Size {
        let after = |input: usize, output: usize, before: usize| {
            ((output - 1) * self.stride + (self.kernel - 1) * self.rate + 1).saturating_sub(input + before)
        };
        Size {
            height: after(self.input.height, self.output.height, self.pad.height),
            width: after(self.input.width, self.output.width, self.pad.width),
        }
    }

    /// Multiply-adds of one run.
    pub fn madds(&self) -> u64 {
        let [_, i, k, _] = self.weight_shape();
        self.output.pixels() * self.c_out as u64 * (i * k * k) as u64
    }
}

impl Block {
    /// Input channels.
    pub fn c_in(&self) -> usize {
        self.expand.as_ref().unwrap_or(&self.depthwise).c_in
    }

    /// The block's convolutions, in order.
    pub fn convs(&self) -> impl Iterator<Item = &Conv> {
        self.expand.iter().chain([&self.depthwise, &self.project])
    }
}

impl DeeplabLayers {
    /// Channels of the concatenation that `project` reads.
    pub fn concat_channels(&self) -> usize {
        self.project.c_in
    }

    /// The head's convolutions: pooling, 1x1 branch, ASPP, projection, refinement, classifier.
    pub fn convs(&self) -> impl Iterator<Item = &Conv> {
        let aspp = self.aspp.iter().flat_map(|branch| branch.depthwise.iter().chain([&branch.conv]));
        let tail = [&self.project].into_iter().chain(&self.refine).chain([&self.classifier]);
        self.pool.iter().chain([&self.branch]).chain(aspp).chain(tail)
    }
}

impl Network {
    /// Unrolls `spec` for an input of this size (each side 1 to [`MAX_SIZE`]; odd and unequal sides too).
    ///
    /// # Errors
    /// Everything that [`Spec::validate`] refuses; [`ModelError::TooLarge`] for an input side, a map or a number of
    /// parameters beyond the limits, with the layer named.
    pub fn new(spec: &Spec, input: Size) -> Result<Self, ModelError> {
        spec.validate()?;
        for (what, side) in [("input height", input.height), ("input width", input.width)] {
            if !(1..=MAX_SIZE).contains(&side) {
                let why = format!("{side} is not in 1 to {MAX_SIZE}");
                return Err(ModelError::TooLarge { what: what.into(), why });
            }
        }
        let mut unroll = Unroll { padding: spec.padding, map: input, parameters: 0 };
        let relu6 = Activation::Relu6;
        let (stem_channels, chain, dropped, project_activation) = match &spec.extractor {
            Extractor::MobilenetV2(v2) => (v2.stem(), v2.chain(), &v2.dropped_blocks[..], v2.bottleneck_activation),
            Extractor::MobilenetV1(v1) => (v1.stem(), v1.chain(), &[][..], relu6),
        };
        let stem = unroll.conv(Layer { stride: 2, ..Layer::plain("stem", 3, 3, stem_channels, relu6) })?;
        let mut channels = stem_channels;
        let mut blocks = Vec::with_capacity(chain.len());
        for (index, link) in chain.iter().enumerate().filter(|(i, _)| !dropped.contains(i)) {
            blocks.push(unroll.block(index, link, project_activation)?);
            channels = link.c_out;
        }
        let last = match &spec.extractor {
            Extractor::MobilenetV2(v2) if v2.feature == Feature::LastLayer => {
                let last = unroll.conv(Layer::plain("last", 1, channels, v2.last(), relu6))?;
                channels = v2.last();
                Some(last)
            }
            _ => None,
        };
        let head = match &spec.head {
            Head::Classifier(head) => {
                unroll.map = Size::square(1);
                HeadLayers::Classifier { linear: unroll.conv(Layer::linear("classifier", channels, head.classes))? }
            }
            Head::DeeplabV3(head) => HeadLayers::Deeplab(unroll.deeplab(head, channels)?),
        };
        if unroll.parameters > MAX_PARAMETERS {
            let why = format!("{} weights are more than {MAX_PARAMETERS}", unroll.parameters);
            return Err(ModelError::TooLarge { what: format!("the network {:?}", spec.name), why });
        }
        Ok(Self { input, stem, blocks, last, head })
    }

    /// `spec` at the size that its weights were made for.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn native(spec: &Spec) -> Result<Self, ModelError> {
        Self::new(spec, Size::square(spec.input.size))
    }

    /// Every convolution, in the order of execution.
    pub fn convs(&self) -> impl Iterator<Item = &Conv> {
        let (linear, deeplab) = match &self.head {
            HeadLayers::Classifier { linear } => (Some(linear), None),
            HeadLayers::Deeplab(layers) => (None, Some(layers)),
        };
        let head = linear.into_iter().chain(deeplab.into_iter().flat_map(DeeplabLayers::convs));
        [&self.stem].into_iter().chain(self.blocks.iter().flat_map(Block::convs)).chain(&self.last).chain(head)
    }

    /// Size and channels of the map that the head reads.
    pub fn feature(&self) -> (Size, usize) {
        let conv = self.last.as_ref().or(self.blocks.last().map(|b| &b.project)).unwrap_or(&self.stem);
        (conv.output, conv.c_out)
    }

    /// Size and classes of the logits: 1x1 for a classifier.
    pub fn logits(&self) -> (Size, usize) {
        let conv = match &self.head {
            HeadLayers::Classifier { linear } => linear,
            HeadLayers::Deeplab(layers) => &layers.classifier,
        };
        (conv.output, conv.c_out)
    }
}

/// A convolution before its map sizes are known.
struct Layer {
    name: String,
    kernel: usize,
    c_in: usize,
    c_out: usize,
    depthwise: bool,
    stride: usize,
    rate: usize,
    activation: Activation,
    batch_norm: bool,
}

impl Layer {
    fn plain(name: impl Into<String>, kernel: usize, c_in: usize, c_out: usize, activation: Activation) -> Self {
        let name = name.into();
        Self { name, kernel, c_in, c_out, depthwise: false, stride: 1, rate: 1, activation, batch_norm: true }
    }

    /// Each of `c` channels by itself, 3x3.
    fn depthwise(name: impl Into<String>, c: usize, stride: usize, rate: usize, activation: Activation) -> Self {
        Self { depthwise: true, stride, rate, ..Self::plain(name, 3, c, c, activation) }
    }

    /// 1x1 with a plain bias and nothing after it.
    fn linear(name: impl Into<String>, c_in: usize, c_out: usize) -> Self {
        Self { batch_norm: false, ..Self::plain(name, 1, c_in, c_out, Activation::Linear) }
    }
}

/// The map size so far and what has been counted on the way.
struct Unroll {
    padding: Padding,
    map: Size,
    parameters: u64,
}

impl Unroll {
    fn conv(&mut self, layer: Layer) -> Result<Conv, ModelError> {
        let Layer { name, kernel, c_in, c_out, depthwise, stride, rate, activation, batch_norm } = layer;
        let input = self.map;
        let output = Size { height: input.height.div_ceil(stride), width: input.width.div_ceil(stride) };
        let before = |i: usize, o: usize| match self.padding {
            Padding::Same => ((o - 1) * stride + (kernel - 1) * rate + 1).saturating_sub(i) / 2,
            Padding::Symmetric => rate * (kernel - 1) / 2,
        };
        let pad = Size { height: before(input.height, output.height), width: before(input.width, output.width) };
        for (map, channels) in [(input, c_in), (output, c_out)] {
            let values = map.pixels().saturating_mul(channels as u64);
            if values > MAX_MAP {
                let why = format!("a map of {map}x{channels} has more than {MAX_MAP} values");
                return Err(ModelError::TooLarge { what: name, why });
            }
        }
        let conv =
            Conv { name, depthwise, kernel, stride, rate, c_in, c_out, activation, input, output, pad, batch_norm };
        self.parameters += conv.weight_shape().iter().map(|&n| n as u64).product::<u64>();
        self.map = output;
        Ok(conv)
    }

    fn block(&mut self, index: usize, link: &Link, project_activation: Activation) -> Result<Block, ModelError> {
        let name = |part: &str| format!("blocks.{index}.{part}");
        let expand = if link.expands {
            Some(self.conv(Layer::plain(name("expand"), 1, link.c_in, link.wide, Activation::Relu6))?)
        } else {
            None
        };
        let depthwise =
            self.conv(Layer::depthwise(name("depthwise"), link.wide, link.stride, link.rate, Activation::Relu6))?;
        let project = self.conv(Layer::plain(name("project"), 1, link.wide, link.c_out, project_activation))?;
        Ok(Block { index, expand, depthwise, project, shortcut: link.shortcut })
    }

    fn deeplab(&mut self, head: &DeeplabV3, c: usize) -> Result<DeeplabLayers, ModelError> {
        let (map, wide, relu) = (self.map, head.channels, Activation::Relu);
        let pool = if head.image_pooling {
            self.map = Size::square(1);
            Some(self.conv(Layer::plain("head.pool", 1, c, wide, relu))?)
        } else {
            None
        };
        self.map = map;
        let branch = self.conv(Layer::plain("head.branch", 1, c, wide, relu))?;
        let mut aspp = Vec::new();
        let (rates, separable) = match &head.aspp {
            Aspp::None => (&[][..], false),
            Aspp::Plain { rates } => (&rates[..], false),
            Aspp::Separable { rates } => (&rates[..], true),
        };
        for (i, &rate) in rates.iter().enumerate() {
            let name = format!("head.aspp.{i}");
            aspp.push(if separable {
                let depthwise = self.conv(Layer::depthwise(format!("{name}.depthwise"), c, 1, rate, relu))?;
                let conv = self.conv(Layer::plain(format!("{name}.pointwise"), 1, c, wide, relu))?;
                AsppBranch { depthwise: Some(depthwise), conv }
            } else {
                let conv = self.conv(Layer { rate, ..Layer::plain(name, 3, c, wide, relu) })?;
                AsppBranch { depthwise: None, conv }
            });
        }
        let concat = wide * (aspp.len() + 1 + usize::from(pool.is_some()));
        let project = self.conv(Layer::plain("head.project", 1, concat, wide, relu))?;
        let refine =
            if head.refine { Some(self.conv(Layer::plain("head.refine", 3, wide, wide, relu))?) } else { None };
        let classifier = self.conv(Layer::linear("head.classifier", wide, head.classes))?;
        let (pooling_last, resize) = (head.pooling_last, head.resize);
        Ok(DeeplabLayers { pool, branch, aspp, pooling_last, project, refine, classifier, resize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::MobilenetV2;

    fn network(preset: &str, size: usize) -> Network {
        Network::new(&Spec::preset(preset).unwrap(), Size::square(size)).unwrap()
    }

    #[test]
    fn maps_of_the_reference_model() {
        let net = network("deeplabv3_mnv2", 513);
        let sides: Vec<_> = net.blocks.iter().map(|b| b.project.output.height).collect();
        assert_eq!(sides, [257, 129, 129, 65, 65, 65, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33]);
        assert_eq!(net.feature(), (Size::square(33), 320));
        assert_eq!(net.logits(), (Size::square(33), 21));
        let HeadLayers::Deeplab(head) = &net.head else { unreachable!() };
        assert_eq!(head.concat_channels(), 512);
        assert_eq!(head.pool.as_ref().unwrap().output, Size::square(1));
        let names: Vec<_> = net.convs().map(|c| c.name.as_str()).collect();
        assert_eq!(&names[..4], ["stem", "blocks.0.depthwise", "blocks.0.project", "blocks.1.expand"]);
        assert_eq!(&names[names.len() - 2..], ["head.project", "head.classifier"]);
    }

    #[test]
    fn same_padding_depends_on_the_size() {
        // TensorFlow: 224 at stride 2 pads (0, 1), 225 pads (1, 1).
        let even = network("mobilenet_v2", 224).stem;
        assert_eq!((even.pad.height, even.pad_after().height, even.output.height), (0, 1, 112));
        let odd = network("mobilenet_v2", 225).stem;
        assert_eq!((odd.pad.height, odd.pad_after().height, odd.output.height), (1, 1, 113));
        let torch = network("torchvision_mobilenet_v2", 224).stem;
        assert_eq!((torch.pad.height, torch.pad_after().height, torch.output.height), (1, 0, 112));
        // At rate 18 a 33x33 map has eighteen rows of zeros on both sides.
        let net = network("deeplabv3_mnv2_aspp", 513);
        let HeadLayers::Deeplab(head) = &net.head else { unreachable!() };
        assert_eq!((head.aspp[2].conv.pad.width, head.aspp[2].conv.pad_after().width), (18, 18));
    }

    #[test]
    fn any_size_down_to_one_pixel() {
        for (height, width) in [(1, 1), (1, 7), (2, 3), (16, 17), (255, 1)] {
            let spec = Spec::preset("deeplabv3_mnv2_aspp_separable").unwrap();
            let net = Network::new(&spec, Size { height, width }).unwrap();
            assert_eq!(net.logits().0, Size { height: height.div_ceil(16), width: width.div_ceil(16) });
        }
    }

    #[test]
    fn sizes_and_networks_beyond_the_limits_are_refused() {
        let spec = Spec::preset("deeplabv3_mnv2").unwrap();
        for side in [0, MAX_SIZE + 1, usize::MAX] {
            let result = Network::new(&spec, Size { height: 65, width: side });
            assert!(matches!(result, Err(ModelError::TooLarge { .. })));
        }
        let huge = Network::new(&spec, Size::square(MAX_SIZE)).unwrap_err().to_string();
        assert!(huge.contains("blocks.1.expand"), "{huge}");
        let mut wide = spec;
        let mut rows = MobilenetV2::paper(16.0, 16);
        rows.bottlenecks[6].n = 100;
        wide.extractor = Extractor::MobilenetV2(rows);
        let text = Network::new(&wide, Size::square(1)).unwrap_err().to_string();
        assert!(text.contains("weights are more than"), "{text}");
    }

    #[test]
    fn dropped_blocks_leave_the_others_their_names() {
        let mut spec = Spec::preset("deeplabv3_mnv2").unwrap();
        let Extractor::MobilenetV2(v2) = &mut spec.extractor else { unreachable!() };
        v2.dropped_blocks = vec![4];
        let net = Network::native(&spec).unwrap();
        assert_eq!(net.blocks.len(), 16);
        assert_eq!(net.blocks[4].index, 5);
        assert_eq!(net.blocks[4].depthwise.name, "blocks.5.depthwise");
    }
}
