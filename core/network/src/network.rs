//! A [`Spec`] unrolled for one input size: every convolution with its name, channels, stride, rate, padding and map
//! sizes, as nodes of a graph that read earlier ones. The candle graph, the CPU plan, the cost analysis and the
//! importers read only this, so they cannot disagree about the network.

mod builder;

use crate::error::ModelError;
use crate::spec::{Activation, Head, Resize, Shortcut, Spec, Task};

pub use builder::{BlockLayer, Layer, NetworkBuilder};
pub use silhouette_kernels::size::{MAX_OUTPUTS, Size};

/// Largest number of values of one map: 8 GiB of f32.
pub const MAX_MAP: u64 = 1 << 31;
/// Largest number of nodes of a network.
pub const MAX_NODES: usize = 4096;

/// One convolution, batch norm (or bias) and activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// The tensors' prefix, such as `blocks.3.depthwise`: `{name}.weight` (O, I / groups, K, K) and either `{name}.bias`
    /// (batch norm folded) or `{name}.bn.weight`, `.bn.bias`, `.bn.running_mean`, `.bn.running_var`.
    pub name: String,
    /// Each input channel separately (groups = channels), or all together.
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
    /// The activation after it.
    pub activation: Activation,
    /// The map read.
    pub input: Size,
    /// The map written.
    pub output: Size,
    /// Rows and columns of zeros before the first; those after the last follow from the sizes.
    pub pad: Size,
    /// Whether batch norm belongs to it; false: a plain bias instead (the classifiers).
    pub batch_norm: bool,
}

/// An inverted residual block (MobileNetV2), or a depthwise-separable one (MobileNetV1: no expansion, ReLU6 after the
/// projection, no shortcut).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its index in the whole chain, as in the tensors' names, counting dropped blocks.
    pub index: usize,
    /// 1x1 to the expanded channels; absent where the expansion is 1.
    pub expand: Option<Conv>,
    /// 3x3 depthwise.
    pub depthwise: Conv,
    /// 1x1 to the output channels.
    pub project: Conv,
    /// The residual connection that this block actually has.
    pub shortcut: Shortcut,
    /// The depthwise convolution's padding is not zeros but what the expansion makes of zeros.
    pub pads_input: bool,
}

/// A node of a network, by its index in execution order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// The input image.
    pub const INPUT: Self = Self(0);

    /// Its index in [`Network::nodes`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// The operation of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The input image, 3 channels; only the first node.
    Input,
    /// A convolution, 1x1, 3x3 or depthwise, with any stride and rate.
    Convolution(Conv),
    /// An inverted residual block.
    Block(Box<Block>),
    /// The average over the whole map: one pixel.
    Average,
    /// Bilinear, to the node's size; one pixel is broadcast over the map.
    Resize(Resize),
    /// The concatenated channels of its inputs.
    Concat,
    /// The sum of its inputs (a single input: itself), followed by an activation.
    Sum(Activation),
}

/// A step of the network: an operation on the maps of earlier nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name: for a convolution the prefix of its tensors, for a block `blocks.{i}`.
    pub name: String,
    /// Its operation.
    pub operation: Operation,
    /// The nodes that it reads.
    pub inputs: Vec<NodeId>,
    /// The map written.
    pub size: Size,
    /// Its channels.
    pub channels: usize,
}

/// An output of a network: a node's map, and its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name; `logits` if it is the only one.
    pub name: String,
    /// The node whose map it is.
    pub node: NodeId,
    /// The meaning of the values.
    pub task: Task,
}

/// The whole network, unrolled: a graph of nodes that read earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Input height and width (3 channels).
    pub input: Size,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
}

/// A tensor of a convolution in a model file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// Its full name.
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
    pub fn macs(&self) -> u64 {
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

impl Node {
    /// Its convolutions, in order; none of most nodes.
    pub fn convs(&self) -> impl Iterator<Item = &Conv> {
        let (conv, block) = match &self.operation {
            Operation::Convolution(conv) => (Some(conv), None),
            Operation::Block(block) => (None, Some(block)),
            _ => (None, None),
        };
        conv.into_iter().chain(block.into_iter().flat_map(|block| block.convs()))
    }
}

impl Network {
    /// Unrolls `spec` for an input of this size (each side 1 to [`MAX_SIZE`](crate::spec::MAX_SIZE); odd and unequal sides
    /// too). Graphs that no spec describes are made with a [`NetworkBuilder`].
    ///
    /// # Errors
    /// Everything that [`Spec::validate`] refuses; [`ModelError::TooLarge`] for an input side, a map or a number of
    /// parameters beyond the limits, with the layer named.
    pub fn new(spec: &Spec, input: Size) -> Result<Self, ModelError> {
        spec.validate()?;
        let mut builder = NetworkBuilder::new(input, spec.padding)?;
        let feature = builder.extractor(spec)?;
        let logits = match &spec.head {
            Head::Classifier(head) => {
                let mean = builder.average("average", feature)?;
                builder.convolution(mean, Layer::linear("classifier", head.classes))?
            }
            Head::DeeplabV3(head) => {
                let skips = builder.skips(spec)?;
                builder.deeplab(head, feature, &skips)?
            }
        };
        builder.output("logits", logits, spec.task())?;
        builder.finish()
    }

    /// `spec` at the size that its weights were made for.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn native(spec: &Spec) -> Result<Self, ModelError> {
        Self::new(spec, Size::square(spec.input.size))
    }

    /// All nodes, in the order of execution; the first is the input.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The outputs, at least one.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The node with this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Every convolution, in execution order.
    pub fn convs(&self) -> impl Iterator<Item = &Conv> {
        self.nodes.iter().flat_map(Node::convs)
    }

    /// The convolution with this name.
    pub fn conv(&self, name: &str) -> Option<&Conv> {
        self.convs().find(|conv| conv.name == name)
    }

    /// The inverted residual blocks, in order.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.nodes.iter().filter_map(|node| match &node.operation {
            Operation::Block(block) => Some(&**block),
            _ => None,
        })
    }

    /// Size and channels of the first output: the logits; 1x1 for a classifier.
    pub fn logits(&self) -> (Size, usize) {
        let node = &self.nodes[self.outputs[0].node.0];
        (node.size, node.channels)
    }

    /// Number of readers of each node; an output counts as one.
    pub fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        let reads = self.nodes.iter().flat_map(|node| &node.inputs).chain(self.outputs.iter().map(|o| &o.node));
        reads.for_each(|id| readers[id.0] += 1);
        readers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Extractor, MAX_SIZE, MobilenetV2};

    fn network(preset: &str, size: usize) -> Network {
        Network::new(&Spec::preset(preset).unwrap(), Size::square(size)).unwrap()
    }

    #[test]
    fn maps_of_the_reference_model() {
        let net = network("deeplabv3_mnv2", 513);
        let sides: Vec<_> = net.blocks().map(|b| b.project.output.height).collect();
        assert_eq!(sides, [257, 129, 129, 65, 65, 65, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33]);
        let feature = net.node("blocks.16").unwrap();
        assert_eq!((feature.size, feature.channels), (Size::square(33), 320));
        assert_eq!(net.logits(), (Size::square(33), 21));
        assert_eq!(net.node("head.concat").unwrap().channels, 512);
        assert_eq!(net.conv("head.pool").unwrap().output, Size::square(1));
        let names: Vec<_> = net.convs().map(|c| c.name.as_str()).collect();
        assert_eq!(&names[..4], ["stem", "blocks.0.depthwise", "blocks.0.project", "blocks.1.expand"]);
        assert_eq!(&names[names.len() - 2..], ["head.project", "head.classifier"]);
    }

    #[test]
    fn same_padding_depends_on_the_size() {
        // TensorFlow: 224 at stride 2 pads (0, 1), 225 pads (1, 1).
        let even = network("mobilenet_v2", 224).conv("stem").unwrap().clone();
        assert_eq!((even.pad.height, even.pad_after().height, even.output.height), (0, 1, 112));
        let odd = network("mobilenet_v2", 225).conv("stem").unwrap().clone();
        assert_eq!((odd.pad.height, odd.pad_after().height, odd.output.height), (1, 1, 113));
        let torch = network("torchvision_mobilenet_v2", 224).conv("stem").unwrap().clone();
        assert_eq!((torch.pad.height, torch.pad_after().height, torch.output.height), (1, 0, 112));
        // At rate 18 a 33x33 map has eighteen rows of zeros on both sides.
        let net = network("deeplabv3_mnv2_aspp", 513);
        let atrous = net.conv("head.aspp.2").unwrap();
        assert_eq!((atrous.pad.width, atrous.pad_after().width), (18, 18));
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
        assert!(text.contains("weights exceed the limit"), "{text}");
    }

    #[test]
    fn dropped_blocks_leave_the_others_their_names() {
        let mut spec = Spec::preset("deeplabv3_mnv2").unwrap();
        let Extractor::MobilenetV2(v2) = &mut spec.extractor else { unreachable!() };
        v2.dropped_blocks = vec![4];
        let net = Network::native(&spec).unwrap();
        assert_eq!(net.blocks().count(), 16);
        let block = net.blocks().nth(4).unwrap();
        assert_eq!(block.index, 5);
        assert_eq!(block.depthwise.name, "blocks.5.depthwise");
    }
}
