//! Builds networks node by node: unrolls a [`Spec`], or builds a graph by hand. Every node is checked when it is added,
//! and can read only earlier ones, so there are no cycles.

use std::collections::BTreeSet;

use super::{Block, Conv, MAX_MAP, MAX_NODES, MAX_OUTPUTS, Network, Node, NodeId, Operation, Output, Size};
use crate::error::ModelError;
use crate::spec::{
    Activation, Aspp, Decoder, DeeplabV3, Extractor, Feature, Head, MAX_CHANNELS, MAX_PARAMETERS, MAX_RATE, MAX_SIZE,
    Padding, Resize, Shortcut, Skip, Spec, Task,
};

/// A convolution to be added: everything that its input map does not determine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The tensors' prefix, and the node's name.
    pub name: String,
    /// Kernel side, 1 or 3.
    pub kernel: usize,
    /// Output channels; `None`: one per input channel (a depthwise convolution, 3x3).
    pub channels: Option<usize>,
    /// Stride in both directions.
    pub stride: usize,
    /// Atrous rate in both directions.
    pub rate: usize,
    /// The activation after it.
    pub activation: Activation,
    /// Whether batch norm belongs to it; false: a plain bias instead.
    pub batch_norm: bool,
}

impl Layer {
    /// A full convolution of stride 1 with batch norm.
    pub fn new(name: impl Into<String>, kernel: usize, channels: usize, activation: Activation) -> Self {
        let name = name.into();
        let channels = Some(channels);
        Self { name, kernel, channels, stride: 1, rate: 1, activation, batch_norm: true }
    }

    /// A 3x3 depthwise convolution with batch norm.
    pub fn depthwise(name: impl Into<String>, stride: usize, rate: usize, activation: Activation) -> Self {
        Self { channels: None, stride, rate, ..Self::new(name, 3, 0, activation) }
    }

    /// 1x1 with a plain bias and no activation: a classifier.
    pub fn linear(name: impl Into<String>, channels: usize) -> Self {
        Self { batch_norm: false, ..Self::new(name, 1, channels, Activation::Linear) }
    }
}

/// An inverted residual block to be added; its node is called `blocks.{index}`, its convolutions `blocks.{index}.expand`,
/// `.depthwise` and `.project`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLayer {
    /// Its index.
    pub index: usize,
    /// Expanded channels; `None`: no expansion.
    pub expand: Option<usize>,
    /// Output channels.
    pub channels: usize,
    /// Stride of the depthwise convolution.
    pub stride: usize,
    /// Its atrous rate.
    pub rate: usize,
    /// The activation after the projection.
    pub activation: Activation,
    /// The residual connection.
    pub shortcut: Shortcut,
}

/// Builds a [`Network`] node by node.
#[derive(Debug)]
pub struct NetworkBuilder {
    padding: Padding,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
    names: BTreeSet<String>,
    parameters: u64,
}

impl NetworkBuilder {
    /// For images of this size (3 channels), whose node is [`NodeId::INPUT`].
    ///
    /// # Errors
    /// [`ModelError::TooLarge`] for a side that is not in 1 to [`MAX_SIZE`].
    pub fn new(input: Size, padding: Padding) -> Result<Self, ModelError> {
        for (what, side) in [("input height", input.height), ("input width", input.width)] {
            within(what, side, MAX_SIZE)?;
        }
        let node =
            Node { name: "input".into(), operation: Operation::Input, inputs: Vec::new(), size: input, channels: 3 };
        let names = BTreeSet::from([node.name.clone()]);
        Ok(Self { padding, nodes: vec![node], outputs: Vec::new(), names, parameters: 0 })
    }

    /// The node with this name, if it exists: a skip after the third block reads `blocks.2`.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name).map(NodeId)
    }

    /// Size and channels of a node's output.
    ///
    /// # Errors
    /// [`ModelError::Spec`] for a node of another network.
    pub fn shape(&self, node: NodeId) -> Result<(Size, usize), ModelError> {
        let found = self.nodes.get(node.0).map(|node| (node.size, node.channels));
        found.ok_or_else(|| ModelError::spec(format!("node {}", node.0), "is not one of this network"))
    }

    /// A convolution, batch norm (or bias) and activation.
    ///
    /// # Errors
    /// [`ModelError::Spec`] for an impossible kernel, stride or rate, a name already in use, or an unknown input;
    /// [`ModelError::TooLarge`] for channels, a rate or a map beyond the limits.
    pub fn convolution(&mut self, input: NodeId, layer: Layer) -> Result<NodeId, ModelError> {
        let (size, channels) = self.shape(input)?;
        let conv = self.conv(size, channels, layer)?;
        let name = conv.name.clone();
        let size = conv.output;
        let channels = conv.c_out;
        self.push(name, Operation::Convolution(conv), vec![input], size, channels)
    }

    /// The first convolution, which some paddings leave out.
    fn stem(&mut self, layer: Layer) -> Result<NodeId, ModelError> {
        if self.padding != Padding::BlockInput {
            return self.convolution(NodeId::INPUT, layer);
        }
        let (size, _) = self.shape(NodeId::INPUT)?;
        if size.height < 3 || size.width < 3 {
            let reason = format!("an input of {size} is smaller than the first kernel, and not padded");
            return Err(ModelError::spec("padding", reason));
        }
        let mut conv = self.conv(size, 3, layer)?;
        let whole = |n: usize| (n - 3) / conv.stride + 1;
        conv.output = Size { height: whole(size.height), width: whole(size.width) };
        conv.pad = Size { height: 0, width: 0 };
        let name = conv.name.clone();
        let size = conv.output;
        let channels = conv.c_out;
        self.push(name, Operation::Convolution(conv), vec![NodeId::INPUT], size, channels)
    }

    /// An inverted residual block, or a depthwise-separable one.
    ///
    /// # Errors
    /// As [`convolution`](Self::convolution); also for a shortcut between maps of different shapes.
    pub fn block(&mut self, input: NodeId, layer: BlockLayer) -> Result<NodeId, ModelError> {
        let BlockLayer { index, expand, channels, stride, rate, activation, shortcut } = layer;
        let (mut size, c_in) = self.shape(input)?;
        let name = format!("blocks.{index}");
        let part = |part: &str| format!("{name}.{part}");
        let fits = match shortcut {
            Shortcut::None => true,
            Shortcut::Expansion => stride == 1,
            Shortcut::Bottleneck => stride == 1 && c_in == channels,
        };
        if !fits {
            return Err(ModelError::spec(name, "a shortcut needs stride 1, and between bottlenecks equal channels"));
        }
        let mut wide = c_in;
        let expand = match expand {
            Some(expanded) => {
                let conv = self.conv(size, c_in, Layer::new(part("expand"), 1, expanded, Activation::Relu6))?;
                (size, wide) = (conv.output, conv.c_out);
                Some(conv)
            }
            None => None,
        };
        let depthwise = Layer::depthwise(part("depthwise"), stride, rate, Activation::Relu6);
        let depthwise = self.conv(size, wide, depthwise)?;
        let project = self.conv(depthwise.output, wide, Layer::new(part("project"), 1, channels, activation))?;
        let size = project.output;
        let pads_input = self.padding == Padding::BlockInput && expand.is_some();
        let block = Box::new(Block { index, expand, depthwise, project, shortcut, pads_input });
        self.push(name, Operation::Block(block), vec![input], size, channels)
    }

    /// The average of the whole map: one pixel.
    ///
    /// # Errors
    /// [`ModelError::Spec`] for a name already in use or an unknown input.
    pub fn average(&mut self, name: impl Into<String>, input: NodeId) -> Result<NodeId, ModelError> {
        let (_, channels) = self.shape(input)?;
        self.push(name.into(), Operation::Average, vec![input], Size::square(1), channels)
    }

    /// The map resized bilinearly; one pixel is broadcast over the whole map.
    ///
    /// # Errors
    /// As [`average`](Self::average); [`ModelError::TooLarge`] for a side that is not in 1 to [`MAX_SIZE`], or too large a map.
    pub fn resize(
        &mut self,
        name: impl Into<String>,
        input: NodeId,
        size: Size,
        rule: Resize,
    ) -> Result<NodeId, ModelError> {
        let name = name.into();
        let (_, channels) = self.shape(input)?;
        within(&name, size.height, MAX_SIZE)?;
        within(&name, size.width, MAX_SIZE)?;
        self.push(name, Operation::Resize(rule), vec![input], size, channels)
    }

    /// The concatenated channels of maps of one size.
    ///
    /// # Errors
    /// As [`average`](Self::average); [`ModelError::Spec`] if there are none or their sizes differ;
    /// [`ModelError::TooLarge`] for too many channels or too large a map.
    pub fn concat(&mut self, name: impl Into<String>, inputs: &[NodeId]) -> Result<NodeId, ModelError> {
        let name = name.into();
        let shapes = self.shapes(&name, inputs)?;
        let (size, _) = shapes[0];
        if shapes.iter().any(|&(other, _)| other != size) {
            return Err(ModelError::spec(name, "the maps of a concatenation differ in size"));
        }
        let channels = shapes.iter().map(|&(_, channels)| channels).sum();
        self.push(name, Operation::Concat, inputs.to_vec(), size, channels)
    }

    /// The sum of maps of one shape, followed by an activation; of a single map, just its activation.
    ///
    /// # Errors
    /// As [`concat`](Self::concat).
    pub fn sum(
        &mut self,
        name: impl Into<String>,
        inputs: &[NodeId],
        activation: Activation,
    ) -> Result<NodeId, ModelError> {
        let name = name.into();
        let shapes = self.shapes(&name, inputs)?;
        let (size, channels) = shapes[0];
        if shapes.iter().any(|&other| other != shapes[0]) {
            return Err(ModelError::spec(name, "the maps of a sum differ in shape"));
        }
        self.push(name, Operation::Sum(activation), inputs.to_vec(), size, channels)
    }

    /// Adds stem, blocks and last layer of a spec's extractor; returns the map that a head reads.
    ///
    /// # Errors
    /// Every error of [`Spec::validate`]; as [`convolution`](Self::convolution).
    pub fn extractor(&mut self, spec: &Spec) -> Result<NodeId, ModelError> {
        spec.validate()?;
        let relu6 = Activation::Relu6;
        let (stem, chain, dropped, activation) = match &spec.extractor {
            Extractor::MobilenetV2(v2) => (v2.stem(), v2.chain(), &v2.dropped_blocks[..], v2.bottleneck_activation),
            Extractor::MobilenetV1(v1) => (v1.stem(), v1.chain(), &[][..], relu6),
        };
        let mut map = self.stem(Layer { stride: 2, ..Layer::new("stem", 3, stem, relu6) })?;
        for (index, link) in chain.iter().enumerate().filter(|(i, _)| !dropped.contains(i)) {
            let layer = BlockLayer {
                index,
                expand: link.expands.then_some(link.wide),
                channels: link.c_out,
                stride: link.stride,
                rate: link.rate,
                activation,
                shortcut: link.shortcut,
            };
            map = self.block(map, layer)?;
        }
        match &spec.extractor {
            Extractor::MobilenetV2(v2) if v2.feature == Feature::LastLayer => {
                self.convolution(map, Layer::new("last", 1, v2.last(), relu6))
            }
            _ => Ok(map),
        }
    }

    /// The maps of the [`extractor`](Self::extractor) that the decoder of a spec's head reads, in the order of its
    /// skips; empty without a decoder.
    ///
    /// # Errors
    /// [`ModelError::Spec`] if the extractor was not added, or writes no map at a skip's stride.
    pub fn skips(&self, spec: &Spec) -> Result<Vec<NodeId>, ModelError> {
        let Head::DeeplabV3(DeeplabV3 { decoder: Some(decoder), .. }) = &spec.head else { return Ok(Vec::new()) };
        let map = |(i, skip): (usize, &Skip)| {
            let block = spec.extractor.last_block_at(skip.stride);
            block.and_then(|block| self.node(&format!("blocks.{block}"))).ok_or_else(|| {
                let reason = format!("no block of the extractor writes a map at stride {}", skip.stride);
                ModelError::spec(format!("head.decoder.skips[{i}].stride"), reason)
            })
        };
        decoder.skips.iter().enumerate().map(map).collect()
    }

    /// Adds DeepLabV3's head over `feature` and its decoder, if any, over the maps `skips`; returns its logits.
    ///
    /// # Errors
    /// As [`convolution`](Self::convolution); [`ModelError::Spec`] if the number of maps is not the decoder's number of
    /// skips.
    pub fn deeplab(&mut self, head: &DeeplabV3, feature: NodeId, skips: &[NodeId]) -> Result<NodeId, ModelError> {
        let wide = head.channels;
        let relu = Activation::Relu;
        let (size, _) = self.shape(feature)?;
        let mut branches = Vec::new();
        let pooled = if head.image_pooling {
            let mean = self.average("head.average", feature)?;
            let pooled = self.convolution(mean, Layer::new("head.pool", 1, wide, relu))?;
            Some(self.resize("head.spread", pooled, size, head.resize)?)
        } else {
            None
        };
        branches.push(self.convolution(feature, Layer::new("head.branch", 1, wide, relu))?);
        let (rates, separable) = match &head.aspp {
            Aspp::None => (&[][..], false),
            Aspp::Plain { rates } => (&rates[..], false),
            Aspp::Separable { rates } => (&rates[..], true),
        };
        for (i, &rate) in rates.iter().enumerate() {
            let name = format!("head.aspp.{i}");
            branches.push(if separable {
                let deep = self.convolution(feature, Layer::depthwise(format!("{name}.depthwise"), 1, rate, relu))?;
                self.convolution(deep, Layer::new(format!("{name}.pointwise"), 1, wide, relu))?
            } else {
                self.convolution(feature, Layer { rate, ..Layer::new(name, 3, wide, relu) })?
            });
        }
        if let Some(pooled) = pooled {
            branches.insert(if head.pooling_last { branches.len() } else { 0 }, pooled);
        }
        let concat = self.concat("head.concat", &branches)?;
        let mut map = self.convolution(concat, Layer::new("head.project", 1, wide, relu))?;
        if head.refine {
            map = self.convolution(map, Layer::new("head.refine", 3, wide, relu))?;
        }
        if let Some(decoder) = &head.decoder {
            map = self.decoder(decoder, head.resize, map, skips)?;
        }
        self.convolution(map, Layer::linear("head.classifier", head.classes))
    }

    /// Adds a decoder's stages after the head's projection.
    fn decoder(
        &mut self,
        decoder: &Decoder,
        rule: Resize,
        mut map: NodeId,
        skips: &[NodeId],
    ) -> Result<NodeId, ModelError> {
        if skips.len() != decoder.skips.len() {
            let reason = format!("{} maps for {} skips", skips.len(), decoder.skips.len());
            return Err(ModelError::spec("head.decoder.skips", reason));
        }
        let relu6 = Activation::Relu6;
        for (i, ((skip, written), &from)) in decoder.skips.iter().zip(decoder.written()).zip(skips).enumerate() {
            let name = |part: &str| format!("head.decoder.{i}.{part}");
            let (size, _) = self.shape(from)?;
            let up = self.resize(name("resize"), map, size, rule)?;
            let reduced = self.convolution(from, Layer::new(name("skip"), 1, skip.channels, relu6))?;
            let both = self.concat(name("concat"), &[up, reduced])?;
            let deep = self.convolution(both, Layer::depthwise(name("depthwise"), 1, 1, relu6))?;
            map = self.convolution(deep, Layer::new(name("pointwise"), 1, written, relu6))?;
        }
        Ok(map)
    }

    /// Adds an output to the network.
    ///
    /// # Errors
    /// [`ModelError::Spec`] for an unknown node, the name of another output, scores of a map of more than one pixel, an
    /// alpha of more than one channel; [`ModelError::TooLarge`] for more than [`MAX_OUTPUTS`].
    pub fn output(&mut self, name: impl Into<String>, node: NodeId, task: Task) -> Result<(), ModelError> {
        let name = name.into();
        let (size, channels) = self.shape(node)?;
        if self.outputs.iter().any(|output| output.name == name) {
            return Err(ModelError::spec(name, "two outputs have this name"));
        }
        within("the number of outputs", self.outputs.len() + 1, MAX_OUTPUTS)?;
        match task {
            Task::Scores if size != Size::square(1) => {
                return Err(ModelError::spec(
                    name,
                    format!("scores are for a whole image, but this map has {size} pixels"),
                ));
            }
            Task::Alpha if channels != 1 => {
                return Err(ModelError::spec(name, format!("an alpha is one channel, but this map has {channels}")));
            }
            _ => {}
        }
        self.outputs.push(Output { name, node, task });
        Ok(())
    }

    /// Builds the network.
    ///
    /// # Errors
    /// [`ModelError::Spec`] without outputs, or with a node that no output depends on; [`ModelError::TooLarge`] for
    /// more weights than [`MAX_PARAMETERS`].
    pub fn finish(self) -> Result<Network, ModelError> {
        if self.outputs.is_empty() {
            return Err(ModelError::spec("outputs", "a network needs at least one"));
        }
        if self.parameters > MAX_PARAMETERS {
            let why = format!("{} weights exceed the limit of {MAX_PARAMETERS}", self.parameters);
            return Err(ModelError::TooLarge { what: "the network".into(), why });
        }
        let mut needed = vec![false; self.nodes.len()];
        self.outputs.iter().for_each(|output| needed[output.node.0] = true);
        for (id, node) in self.nodes.iter().enumerate().rev() {
            if !needed[id] {
                return Err(ModelError::spec(&node.name, "no output needs it"));
            }
            node.inputs.iter().for_each(|input| needed[input.0] = true);
        }
        Ok(Network { input: self.nodes[0].size, nodes: self.nodes, outputs: self.outputs })
    }

    /// The shapes of a node's inputs; at least one.
    fn shapes(&self, name: &str, inputs: &[NodeId]) -> Result<Vec<(Size, usize)>, ModelError> {
        if inputs.is_empty() {
            return Err(ModelError::spec(name, "reads nothing"));
        }
        within(name, inputs.len(), MAX_NODES)?;
        inputs.iter().map(|&input| self.shape(input)).collect()
    }

    fn push(
        &mut self,
        name: String,
        operation: Operation,
        inputs: Vec<NodeId>,
        size: Size,
        channels: usize,
    ) -> Result<NodeId, ModelError> {
        within("the number of nodes", self.nodes.len() + 1, MAX_NODES)?;
        fits(&name, size, channels)?;
        // A convolution's node has the convolution's name, which is registered already.
        if !matches!(operation, Operation::Convolution(_)) {
            self.name(&name)?;
        }
        self.nodes.push(Node { name, operation, inputs, size, channels });
        Ok(NodeId(self.nodes.len() - 1))
    }

    /// Registers a name.
    fn name(&mut self, name: &str) -> Result<(), ModelError> {
        if self.names.insert(name.to_owned()) {
            Ok(())
        } else {
            Err(ModelError::spec(name, "two parts of the network have this name"))
        }
    }

    fn conv(&mut self, input: Size, c_in: usize, layer: Layer) -> Result<Conv, ModelError> {
        let Layer { name, kernel, channels, stride, rate, activation, batch_norm } = layer;
        let depthwise = channels.is_none();
        let c_out = channels.unwrap_or(c_in);
        if !matches!(kernel, 1 | 3) || depthwise && kernel != 3 {
            return Err(ModelError::spec(
                name,
                format!("a kernel of {kernel}x{kernel}: only 1x1 and 3x3 are supported, depthwise only 3x3"),
            ));
        }
        within(&format!("{name}: stride"), stride, MAX_SIZE)?;
        within(&format!("{name}: rate"), rate, MAX_RATE)?;
        let output = Size { height: input.height.div_ceil(stride), width: input.width.div_ceil(stride) };
        let before = |i: usize, o: usize| match self.padding {
            Padding::Same => ((o - 1) * stride + (kernel - 1) * rate + 1).saturating_sub(i) / 2,
            Padding::Symmetric | Padding::BlockInput => rate * (kernel - 1) / 2,
        };
        let pad = Size { height: before(input.height, output.height), width: before(input.width, output.width) };
        for (map, channels) in [(input, c_in), (output, c_out)] {
            fits(&name, map, channels)?;
        }
        self.name(&name)?;
        let conv =
            Conv { name, depthwise, kernel, stride, rate, c_in, c_out, activation, input, output, pad, batch_norm };
        self.parameters += conv.weight_shape().iter().map(|&n| n as u64).product::<u64>();
        Ok(conv)
    }
}

/// Checks that `n` is 1 to `most`.
fn within(what: &str, n: usize, most: usize) -> Result<(), ModelError> {
    if (1..=most).contains(&n) {
        Ok(())
    } else {
        Err(ModelError::TooLarge { what: what.into(), why: format!("{n} is not in 1 to {most}") })
    }
}

/// Checks that a map is not too large.
fn fits(name: &str, map: Size, channels: usize) -> Result<(), ModelError> {
    within(&format!("{name}: channels"), channels, MAX_CHANNELS)?;
    if map.pixels().saturating_mul(channels as u64) > MAX_MAP {
        let why = format!("a map of {map}x{channels} has more than {MAX_MAP} values");
        return Err(ModelError::TooLarge { what: name.into(), why });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> NetworkBuilder {
        NetworkBuilder::new(Size { height: 9, width: 14 }, Padding::Same).unwrap()
    }

    fn refused<T>(result: Result<T, ModelError>, part: &str) {
        let error = result.err().expect("refused").to_string();
        assert!(error.contains(part), "{error:?} does not contain {part:?}");
    }

    #[test]
    fn a_graph_by_hand_is_checked_node_by_node() {
        let mut b = builder();
        let relu6 = Activation::Relu6;
        let stem = b.convolution(NodeId::INPUT, Layer { stride: 2, ..Layer::new("stem", 3, 8, relu6) }).unwrap();
        assert_eq!(b.shape(stem).unwrap(), (Size { height: 5, width: 7 }, 8));
        refused(b.convolution(stem, Layer::new("stem", 1, 8, relu6)), "this name");
        refused(b.convolution(NodeId(7), Layer::new("a", 1, 8, relu6)), "not one of this network");
        refused(b.convolution(stem, Layer::new("a", 5, 8, relu6)), "5x5");
        refused(b.convolution(stem, Layer { kernel: 1, ..Layer::depthwise("a", 1, 1, relu6) }), "depthwise only 3x3");
        refused(b.convolution(stem, Layer { stride: 0, ..Layer::new("a", 1, 8, relu6) }), "stride");
        refused(b.convolution(stem, Layer { rate: 2000, ..Layer::new("a", 3, 8, relu6) }), "rate");
        refused(b.convolution(stem, Layer::new("a", 1, 0, relu6)), "channels");
        let block = BlockLayer {
            index: 0,
            expand: Some(16),
            channels: 8,
            stride: 2,
            rate: 1,
            activation: Activation::Linear,
            shortcut: Shortcut::None,
        };
        refused(b.block(stem, BlockLayer { shortcut: Shortcut::Bottleneck, ..block }), "stride 1");
        let deep = b.block(stem, block).unwrap();
        assert_eq!(b.shape(deep).unwrap(), (Size { height: 3, width: 4 }, 8));
        refused(b.concat("concat", &[stem, deep]), "differ in size");
        refused(b.concat("concat", &[]), "reads nothing");
        refused(b.resize("up", deep, Size { height: 0, width: 3 }, Resize::HalfPixel), "0 is not in 1");
        let up = b.resize("up", deep, Size { height: 5, width: 7 }, Resize::HalfPixel).unwrap();
        let both = b.concat("concat", &[up, stem, stem]).unwrap();
        assert_eq!(b.shape(both).unwrap(), (Size { height: 5, width: 7 }, 24));
        refused(b.resize("huge", both, Size::square(MAX_SIZE), Resize::HalfPixel), "values");
        refused(b.sum("sum", &[up, both], Activation::Linear), "differ in shape");
        let sum = b.sum("sum", &[up, stem], Activation::Relu).unwrap();
        refused(b.output("scores", sum, Task::Scores), "5x7");
        refused(b.output("alpha", sum, Task::Alpha), "one channel");
        b.output("sum", sum, Task::Categories).unwrap();
        refused(b.output("sum", both, Task::Categories), "this name");
        b.output("both", both, Task::Categories).unwrap();
        let network = b.finish().unwrap();
        assert_eq!(
            network.convs().map(|c| c.name.as_str()).collect::<Vec<_>>()[1..3],
            ["blocks.0.expand", "blocks.0.depthwise"]
        );
        assert_eq!(network.outputs().iter().map(|o| o.node).collect::<Vec<_>>(), [sum, both]);
    }

    #[test]
    fn what_no_output_needs_and_what_is_too_much_is_refused() {
        refused(builder().finish(), "at least one");
        let mut b = builder();
        let stem = b.convolution(NodeId::INPUT, Layer::new("stem", 3, 8, Activation::Relu)).unwrap();
        b.convolution(stem, Layer::new("dead", 1, 8, Activation::Relu)).unwrap();
        b.output("logits", stem, Task::Categories).unwrap();
        refused(b.finish(), "dead");
        let mut b = builder();
        let mut map = NodeId::INPUT;
        for i in 0..2 {
            map = b.convolution(map, Layer::new(format!("{i}"), 1, 60_000, Activation::Relu)).unwrap();
        }
        b.output("logits", map, Task::Categories).unwrap();
        refused(b.finish(), "weights exceed the limit");
        let mut b = builder();
        let many = (0..=MAX_NODES).try_fold(NodeId::INPUT, |map, i| b.sum(format!("{i}"), &[map], Activation::Relu));
        refused(many, "number of nodes");
        let mut b = builder();
        let stem = b.convolution(NodeId::INPUT, Layer::new("stem", 3, 8, Activation::Relu)).unwrap();
        let many = (0..=MAX_OUTPUTS).try_for_each(|i| b.output(format!("{i}"), stem, Task::Categories));
        refused(many, "number of outputs");
    }
}
