//! A network's graph as read from graph formats (TensorFlow Lite; later frozen graphs and ONNX): only the operators
//! that MobileNets and DeepLabV3 consist of, weights in PyTorch's order, maps as (1, H, W, C).
//!
//! A reader builds the graph and calls [`Graph::simplify`]; [`recognise`](super::recognise) does the rest,
//! independently of the format.

use silhouette_network::spec::{Activation, Resize};
use silhouette_weights::ActivationQuantisation;

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
    /// If the input is quantised: the meaning of a pixel (0 to 255), as mean and standard deviation.
    pub(crate) normalisation: Option<(f32, f32)>,
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
}

/// Rows and columns at each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Borders {
    pub(crate) top: usize,
    pub(crate) bottom: usize,
    pub(crate) left: usize,
    pub(crate) right: usize,
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
        self.fuse_following()?;
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

    /// Merges a convolution with the following activation or end of an atrous convolution.
    fn fuse_following(&mut self) -> Result<(), ImportError> {
        // Two passes, because an activation may follow the end of an atrous convolution.
        for _ in 0..2 {
            let consumers = self.consumers();
            let mut gone = vec![false; self.nodes.len()];
            for index in 0..self.nodes.len() {
                let output = self.nodes[index].output;
                let &[next] = consumers[output].as_slice() else { continue };
                if next <= index || self.outputs.contains(&output) {
                    continue;
                }
                let (before, after) = self.nodes.split_at_mut(next);
                let node = &mut before[index];
                let follower = &after[0];
                let Op::Convolution(convolution) = &mut node.op else { continue };
                match follower.op {
                    Op::Activation(activation) if convolution.activation == Activation::Linear => {
                        convolution.activation = activation;
                    }
                    Op::BatchToSpace { block, borders: crop } => {
                        let start = node.inputs.first().copied();
                        let opener = before.iter().position(|n| Some(n.output) == start);
                        let Some(opener) = opener.filter(|&o| o < index) else { continue };
                        let Op::SpaceToBatch { block: opened, borders } = before[opener].op else { continue };
                        let input = before[opener].inputs.first().copied();
                        let node = &mut before[index];
                        let Op::Convolution(convolution) = &mut node.op else { continue };
                        let valid = convolution.pads == Pads::Explicit(Borders::default());
                        if opened != block || convolution.rate != 1 || convolution.stride != 1 || !valid {
                            return Err(ImportError::UnknownNetwork {
                                place: node.label.clone(),
                                problem: "between space-to-batch and batch-to-space, but not the inside of an \
                                          atrous convolution"
                                    .into(),
                            });
                        }
                        let Some(input) = input else { continue };
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
                    _ => continue,
                }
                let output = self.nodes[next].output;
                self.nodes[index].output = output;
                gone[next] = true;
            }
            let mut keep = gone.iter().map(|gone| !gone);
            self.nodes.retain(|_| keep.next().unwrap_or(true));
        }
        Ok(())
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
        let mut keep = gone.iter().map(|gone| !gone);
        self.nodes.retain(|_| keep.next().unwrap_or(true));
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
