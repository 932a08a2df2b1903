//! A network's graph as read from graph formats (TensorFlow Lite, ONNX, TensorFlow's frozen graphs): only the operators
//! that MobileNets and DeepLabV3 consist of, weights in PyTorch's order, maps as (1, H, W, C).
//!
//! A reader builds the graph and calls [`Graph::simplify`]; [`recognise`](super::recognise) does the rest,
//! independently of the format.

use silhouette_network::spec::{Activation, Resize};
use silhouette_weights::{ActivationElement, ActivationQuantisation};

use crate::error::ImportError;
use crate::tensor::Tensor;

/// Index of a tensor that flows through the graph.
pub(crate) type Value = usize;

/// A network's graph, in execution order.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    /// The operators.
    pub(crate) nodes: Vec<Node<'a>>,
    /// The shape of every value, (1, H, W, C) for maps.
    pub(crate) shapes: Vec<Vec<usize>>,
    /// What the bytes of a value represent, if it is quantised.
    pub(crate) quantised: Vec<Option<ActivationQuantisation>>,
    /// The input image.
    pub(crate) input: Value,
    /// The outputs.
    pub(crate) outputs: Vec<Value>,
    /// What the first layer receives of a pixel (0 to 255), if the file says so.
    pub(crate) pixel: Option<Pixel>,
    /// What is known of who wrote it.
    pub(crate) writer: Writer,
}

/// Properties of the program that wrote a file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Writer {
    /// It came from TensorFlow: where zeros fit both SAME and symmetric padding, they are SAME's.
    pub(crate) tensorflow: bool,
    /// It left out activations that the range of the next bytes implies.
    pub(crate) drops_activations: bool,
    /// The input has no size of its own.
    pub(crate) any_size: bool,
}

/// `value * scale + offset` for each channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pixel {
    pub(crate) scale: [f64; 3],
    pub(crate) offset: [f64; 3],
}

impl Pixel {
    /// Mean and standard deviation; `None` if there are none such.
    pub(crate) fn normalisation(&self) -> Option<([f32; 3], [f32; 3])> {
        let mean = std::array::from_fn(|c| (-self.offset[c] / self.scale[c]) as f32);
        let std = self.scale.map(|scale| (1.0 / scale) as f32);
        let possible = mean.iter().chain(&std).all(|value: &f32| value.is_finite()) && std.iter().all(|&std| std > 0.0);
        possible.then_some((mean, std))
    }
}

/// An operator.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    /// Its name in messages, such as `operator 61 (AVERAGE_POOL_2D)`.
    pub(crate) label: String,
    /// Its operation.
    pub(crate) op: Op<'a>,
    /// The values it reads, without constants.
    pub(crate) inputs: Vec<Value>,
    /// The value it writes.
    pub(crate) output: Value,
}

/// The kinds of operators.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a network has a few hundred operators, most of them convolutions")]
pub(crate) enum Op<'a> {
    Convolution(Convolution<'a>),
    /// Sum of two maps.
    Add,
    Activation(Activation),
    /// `value * scale + offset`, one of each for each channel: a bias, batch norm, the normalisation of the image.
    Affine {
        scale: Vec<f64>,
        offset: Vec<f64>,
    },
    /// Average over the whole map.
    GlobalPool,
    Resize {
        /// `None`: a rule that supported networks do not use.
        rule: Option<Resize>,
    },
    /// Along the channels.
    Concatenate,
    Softmax,
    /// The sigmoid of each value.
    Logistic,
    ArgMax,
    /// Zeros around the map.
    Pad(Borders),
    /// A map cut into `block` x `block` maps after padding: the first part of an atrous convolution.
    SpaceToBatch {
        block: usize,
        borders: Borders,
    },
    /// The inverse, followed by cropping.
    BatchToSpace {
        block: usize,
        borders: Borders,
    },
    /// An identity for a float network: quantise, dequantise, reshape.
    Pass,
    /// None of these, and why.
    Other(String),
}

/// Rows and columns at each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Borders {
    pub(crate) top: usize,
    pub(crate) bottom: usize,
    pub(crate) left: usize,
    pub(crate) right: usize,
}

impl Borders {
    /// As many at each side.
    pub(crate) fn even(side: usize) -> Self {
        Self { top: side, bottom: side, left: side, right: side }
    }
}

/// The padding of a convolution in a graph file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pads {
    /// TensorFlow's SAME.
    Same,
    /// This many zeros, possibly none.
    Explicit(Borders),
}

/// A convolution with its bias and activation.
#[derive(Debug)]
pub(crate) struct Convolution<'a> {
    pub(crate) depthwise: bool,
    pub(crate) stride: usize,
    pub(crate) rate: usize,
    pub(crate) pads: Pads,
    pub(crate) activation: Activation,
    /// The activation is not in the file, because the range of the bytes after it implies one.
    pub(crate) clamped: bool,
    /// (O, I / groups, K, K).
    pub(crate) weight: Tensor<'a>,
    /// (O).
    pub(crate) bias: Tensor<'a>,
}

impl Convolution<'_> {
    /// Kernel side.
    pub(crate) fn kernel(&self) -> usize {
        self.weight.dims()[2]
    }

    /// Output channels.
    pub(crate) fn c_out(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Multiplies its result and adds to it, each channel by itself; false, and nothing is changed, if it cannot be done.
    #[allow(clippy::float_cmp, reason = "a scale of exactly 1 changes nothing")]
    fn multiply_add(&mut self, scale: &[f64], offset: &[f64]) -> bool {
        let channels = self.c_out();
        if scale.len() != channels || offset.len() != channels || self.bias.len() != channels {
            return false;
        }
        let unscaled = scale.iter().all(|&scale| scale == 1.0);
        let plain = self.bias.values().all(|bias| bias == 0.0) && !self.bias.is_quantised();
        let bias = self.bias.values().zip(scale).zip(offset);
        let bias: Vec<f32> = bias.map(|((bias, scale), offset)| (f64::from(bias) * scale + offset) as f32).collect();
        let bias = if unscaled && plain { offset.iter().map(|&offset| offset as f32).collect() } else { bias };
        let Some(bias) = Tensor::of_floats(&bias, vec![channels]) else { return false };
        if !unscaled {
            let factors: Vec<f32> = scale.iter().map(|&scale| scale as f32).collect();
            let Some(weight) = self.weight.clone().scaled(&factors) else { return false };
            self.weight = weight;
        }
        self.bias = bias;
        true
    }
}

impl Graph<'_> {
    /// Height, width and channels of a map; (N, C) counts as a 1x1 map.
    pub(crate) fn map(&self, value: Value) -> Option<(usize, usize, usize)> {
        match self.shapes.get(value)?.as_slice() {
            [1, h, w, c] => Some((*h, *w, *c)),
            [1, c] => Some((1, 1, *c)),
            _ => None,
        }
    }

    /// The family of networks that these operators are typical of, if it is another one.
    pub(crate) fn resembles(&self) -> Option<&'static str> {
        let named = |part: &str| self.nodes.iter().any(|node| node.label.to_ascii_lowercase().contains(part));
        let strided = |kernel: usize| {
            self.nodes
                .iter()
                .any(|node| matches!(&node.op, Op::Convolution(c) if c.kernel() == kernel && c.stride == 2))
        };
        let kinds = |parts: &[&str]| parts.iter().any(|part| named(part));
        let count = |kind: fn(&Op<'_>) -> bool| self.nodes.iter().filter(|node| kind(&node.op)).count();
        let resizes = count(|op| matches!(op, Op::Resize { .. }));
        let joins = count(|op| matches!(op, Op::Concatenate));
        let depthwise = self.nodes.iter().any(|node| matches!(&node.op, Op::Convolution(c) if c.depthwise));
        if kinds(&["(hard_swish", "(hardswish", "(hardsigmoid"]) {
            Some("a MobileNetV3")
        } else if strided(7) && kinds(&["(max_pool", "(maxpool"]) {
            Some("a ResNet")
        } else if kinds(&["(transpose_conv", "(convtranspose", "(conv2dbackpropinput"]) {
            Some("a U-Net")
        } else if !depthwise && kinds(&["(max_pool", "(maxpool"]) {
            Some("a U-Net or a VGG")
        } else if kinds(&["(swish", "(silu"]) {
            Some("an EfficientNet")
        } else if resizes >= 4 && joins >= 3 {
            Some("a U-Net")
        } else if joins == 2 && (2..4).contains(&resizes) {
            Some("a DeepLabV3+")
        } else if kinds(&["(layernorm", "(erf", "(gelu"]) {
            Some("a transformer")
        } else {
            None
        }
    }

    /// The operators that read each value.
    pub(crate) fn consumers(&self) -> Vec<Vec<usize>> {
        let mut consumers = vec![Vec::new(); self.shapes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for &value in &node.inputs {
                consumers[value].push(index);
            }
        }
        consumers
    }

    /// Rewrites equivalent operators to one form: no pass-through operators, activations and explicit padding merged
    /// into their convolutions, atrous convolutions as such, and kernels dilated by zeros as small kernels with a rate.
    pub(crate) fn simplify(mut self) -> Result<Self, ImportError> {
        self.remove_passes();
        self.normalise();
        self.fuse_following()?;
        if self.writer.drops_activations {
            self.mark_clamped();
        }
        self.fuse_preceding();
        for node in &mut self.nodes {
            if let Op::Convolution(convolution) = &mut node.op {
                undilate(convolution);
            }
        }
        Ok(self)
    }

    fn remove_passes(&mut self) {
        let mut same_as: Vec<Value> = (0..self.shapes.len()).collect();
        for node in &mut self.nodes {
            for input in &mut node.inputs {
                *input = same_as[*input];
            }
            if let (Op::Pass, [input]) = (&node.op, node.inputs.as_slice()) {
                same_as[node.output] = *input;
            }
        }
        for output in &mut self.outputs {
            *output = same_as[*output];
        }
        self.nodes.retain(|node| !(matches!(node.op, Op::Pass) && node.inputs.len() == 1));
    }

    /// Merges the operators on the image that only scale and shift its channels.
    fn normalise(&mut self) {
        let consumers = self.consumers();
        let mut gone = vec![false; self.nodes.len()];
        while let &[next] = consumers[self.input].as_slice() {
            let node = &self.nodes[next];
            let (Op::Affine { scale, offset }, [_]) = (&node.op, node.inputs.as_slice()) else { break };
            let (&[s0, s1, s2], &[o0, o1, o2]) = (scale.as_slice(), offset.as_slice()) else { break };
            let before = self.pixel.unwrap_or(Pixel { scale: [1.0; 3], offset: [0.0; 3] });
            let (scale, offset) = ([s0, s1, s2], [o0, o1, o2]);
            self.pixel = Some(Pixel {
                scale: std::array::from_fn(|c| before.scale[c] * scale[c]),
                offset: std::array::from_fn(|c| before.offset[c] * scale[c] + offset[c]),
            });
            gone[next] = true;
            // The bytes of the image itself are the input's.
            let output = node.output;
            self.quantised[output] = self.quantised[output].or(self.quantised[self.input]);
            self.input = output;
        }
        self.remove(&gone);
    }

    fn remove(&mut self, gone: &[bool]) {
        let mut gone = gone.iter();
        self.nodes.retain(|_| !gone.next().is_some_and(|&gone| gone));
    }

    /// Merges a convolution with what follows it: scales and offsets, activation, the end of an atrous convolution.
    fn fuse_following(&mut self) -> Result<(), ImportError> {
        let consumers = self.consumers();
        let mut writers = vec![None; self.shapes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            writers[node.output] = Some(index);
        }
        let mut gone = vec![false; self.nodes.len()];
        for index in 0..self.nodes.len() {
            while let &[next] = consumers[self.nodes[index].output].as_slice() {
                if next <= index || self.outputs.contains(&self.nodes[index].output) {
                    break;
                }
                let opener = self.nodes[index].inputs.first().and_then(|&value| writers[value]);
                if !self.fuse(index, next, opener.filter(|&opener| opener < index), &consumers, &mut gone)? {
                    break;
                }
                self.nodes[index].output = self.nodes[next].output;
                gone[next] = true;
            }
        }
        self.remove(&gone);
        Ok(())
    }

    /// Merges the convolution `index` with `next`, its only reader, if it can be; `opener` writes its input.
    fn fuse(
        &mut self,
        index: usize,
        next: usize,
        opener: Option<usize>,
        consumers: &[Vec<usize>],
        gone: &mut [bool],
    ) -> Result<bool, ImportError> {
        let (before, after) = self.nodes.split_at_mut(next);
        let (before, node) = before.split_at_mut(index);
        let Some((node, follower)) = node.first_mut().zip(after.first()) else { return Ok(false) };
        let Op::Convolution(convolution) = &mut node.op else { return Ok(false) };
        match &follower.op {
            Op::Activation(activation) if convolution.activation == Activation::Linear => {
                convolution.activation = *activation;
            }
            Op::Affine { scale, offset } if convolution.activation == Activation::Linear => {
                return Ok(convolution.multiply_add(scale, offset));
            }
            &Op::BatchToSpace { block, borders: crop } => {
                let Some(opener) = opener else { return Ok(false) };
                let Op::SpaceToBatch { block: opened, borders } = before[opener].op else { return Ok(false) };
                let valid = convolution.pads == Pads::Explicit(Borders::default());
                if opened != block || convolution.rate != 1 || convolution.stride != 1 || !valid {
                    return Err(ImportError::UnknownNetwork {
                        place: node.label.clone(),
                        problem:
                            "between space-to-batch and batch-to-space, but not the inside of an atrous convolution"
                                .into(),
                    });
                }
                let Some(&input) = before[opener].inputs.first() else { return Ok(false) };
                convolution.rate = block;
                // Padding up to a multiple of the block is cropped again and has no effect.
                convolution.pads = Pads::Explicit(Borders {
                    top: borders.top.saturating_sub(crop.top),
                    bottom: borders.bottom.saturating_sub(crop.bottom),
                    left: borders.left.saturating_sub(crop.left),
                    right: borders.right.saturating_sub(crop.right),
                });
                node.inputs = vec![input];
                if consumers[before[opener].output].len() == 1 {
                    gone[opener] = true;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Where a writer leaves out activations: bytes that begin at zero are what a ReLU or ReLU6 lets through.
    fn mark_clamped(&mut self) {
        for node in &mut self.nodes {
            let Op::Convolution(convolution) = &mut node.op else { continue };
            let lowest = self.quantised[node.output].map(|edge| match edge.element {
                ActivationElement::U8 => edge.zero_point,
                ActivationElement::I8 => edge.zero_point + 128,
            });
            convolution.clamped = convolution.activation == Activation::Linear && lowest == Some(0);
        }
    }

    /// Merges explicit zeros into a following convolution without padding of its own.
    fn fuse_preceding(&mut self) {
        let consumers = self.consumers();
        let mut gone = vec![false; self.nodes.len()];
        for index in 0..self.nodes.len() {
            let Op::Pad(borders) = self.nodes[index].op else { continue };
            let (&[next], &[input]) =
                (consumers[self.nodes[index].output].as_slice(), self.nodes[index].inputs.as_slice())
            else {
                continue;
            };
            let follower = &mut self.nodes[next];
            if let Op::Convolution(convolution) = &mut follower.op
                && convolution.pads == Pads::Explicit(Borders::default())
            {
                convolution.pads = Pads::Explicit(borders);
                follower.inputs = vec![input];
                gone[index] = true;
            }
        }
        self.remove(&gone);
    }
}

/// Some converters write a 3x3 kernel at rate r as a (2r + 1)x(2r + 1) kernel with zeros between the nine values.
fn undilate(convolution: &mut Convolution<'_>) {
    let kernel = convolution.kernel();
    if kernel < 5 || kernel.is_multiple_of(2) || convolution.rate != 1 {
        return;
    }
    let rate = (kernel - 1) / 2;
    let between = |i: usize| !(i / kernel % kernel).is_multiple_of(rate) || !(i % kernel).is_multiple_of(rate);
    if convolution.weight.values().enumerate().any(|(i, value)| between(i) && value != 0.0) {
        return;
    }
    convolution.weight = convolution.weight.clone().thinned(rate);
    convolution.rate = rate;
}
