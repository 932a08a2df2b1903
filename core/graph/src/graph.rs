//! The candle graph: a network as candle-nn layers, including batch norm, on any candle device. It is the readable
//! reference for the CPU plan, and what runs on `Device::Metal`.
//!
//! Tensors are (N, C, H, W), f32. A 1x1 convolution is a matrix product, (O, I) by (I, H * W); a depthwise one is
//! [`Depthwise`]; every other one is candle-nn's `Conv2d` on a padded map.

use candle_core::{DType, Device, Module, ModuleT, Tensor};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig};
use silhouette_kernels::memory::filled;
use silhouette_kernels::rows::RowSource;
use silhouette_network::ModelError;
use silhouette_network::network::{Conv, Network, Operation, Output, Size};
use silhouette_network::spec::{Activation, Resize, Shortcut, Task};
use silhouette_weights::Weights;

use crate::depthwise::Depthwise;
use crate::error::GraphError;

/// A network with its weights on a device.
#[derive(Debug)]
pub struct Graph {
    device: Device,
    input: Size,
    logits: (Size, usize),
    steps: Vec<Step>,
    outputs: Vec<Output>,
    shapes: Vec<(Size, usize)>,
}

/// A node of the network.
#[derive(Debug)]
struct Step {
    name: String,
    inputs: Vec<usize>,
    work: Work,
    /// The last step that reads it; outputs are read at the end.
    last: usize,
}

#[derive(Debug)]
enum Work {
    Input,
    Layer(Layer),
    Residual(Box<Residual>),
    Average,
    /// The interpolation matrices of rows and of columns: (H', H) and (W, W').
    Resize(Tensor, Tensor),
    Concat,
    Sum(Activation),
}

#[derive(Debug)]
struct Residual {
    expand: Option<Layer>,
    depthwise: Layer,
    project: Layer,
    shortcut: Shortcut,
    border: Border,
}

/// Padding around a block's expanded tensor that is not zeros but what the expansion makes of them; by default none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Border {
    rows: (usize, usize),
    columns: (usize, usize),
    /// Channels of the block's input.
    channels: usize,
}

impl Border {
    fn around(&self, wide: &Tensor, expand: &Layer) -> candle_core::Result<Tensor> {
        let zeros = Tensor::zeros((1, self.channels, 1, 1), wide.dtype(), wide.device())?;
        let value = expand.forward(&zeros, &mut |_, _| {})?;
        let padded = wide.broadcast_sub(&value)?.pad_with_zeros(2, self.rows.0, self.rows.1)?;
        padded.pad_with_zeros(3, self.columns.0, self.columns.1)?.broadcast_add(&value)
    }
}

/// A convolution, batch norm or bias, and activation.
#[derive(Debug)]
struct Layer {
    name: String,
    convolution: Convolution,
    norm: Norm,
    activation: Activation,
}

#[derive(Debug)]
enum Convolution {
    /// (O, I).
    Pointwise(Tensor),
    /// (C, 1, K, K).
    Depthwise(Depthwise, Tensor),
    /// On a map padded by (top, bottom), (left, right).
    Full(Conv2d, (usize, usize), (usize, usize)),
}

#[derive(Debug)]
enum Norm {
    BatchNorm(BatchNorm),
    /// (1, O, 1, 1).
    Bias(Tensor),
}

/// Called with each tensor and its name as it is computed.
type Observer<'a> = &'a mut dyn FnMut(&str, &Tensor);

impl Graph {
    /// Builds the layers of `network` with `weights` on `device`. Checks every shape.
    ///
    /// # Errors
    /// [`GraphError::Model`] if weights and network do not match; [`GraphError::Candle`] if the device fails.
    pub fn new(network: &Network, weights: &Weights, device: &Device) -> Result<Self, GraphError> {
        weights.check(network)?;
        let layer = |conv: &Conv| Layer::new(conv, weights, device);
        let mut steps: Vec<Step> = Vec::with_capacity(network.nodes().len());
        for node in network.nodes() {
            let work = match &node.operation {
                Operation::Input => Work::Input,
                Operation::Convolution(conv) => Work::Layer(layer(conv)?),
                Operation::Block(block) => {
                    let mut depthwise = block.depthwise.clone();
                    let mut border = Border::default();
                    if block.pads_input {
                        let pad = depthwise.pad;
                        let after = depthwise.pad_after();
                        border.rows = (pad.height, after.height);
                        border.columns = (pad.width, after.width);
                        border.channels = block.c_in();
                        // The map arrives with its padding.
                        depthwise.input.height += pad.height + after.height;
                        depthwise.input.width += pad.width + after.width;
                        depthwise.pad = Size::square(0);
                    }
                    Work::Residual(Box::new(Residual {
                        expand: block.expand.as_ref().map(layer).transpose()?,
                        depthwise: layer(&depthwise)?,
                        project: layer(&block.project)?,
                        shortcut: block.shortcut,
                        border,
                    }))
                }
                Operation::Average => Work::Average,
                Operation::Resize(rule) => {
                    let from = network.nodes()[node.inputs[0].index()].size;
                    let rows = mixes(from.height, node.size.height, *rule, device)?;
                    Work::Resize(rows, mixes(from.width, node.size.width, *rule, device)?.t()?.contiguous()?)
                }
                Operation::Concat => Work::Concat,
                Operation::Sum(activation) => Work::Sum(*activation),
            };
            let inputs: Vec<usize> = node.inputs.iter().map(|input| input.index()).collect();
            let at = steps.len();
            for &input in &inputs {
                steps[input].last = at;
            }
            steps.push(Step { name: node.name.clone(), inputs, work, last: at });
        }
        for output in network.outputs() {
            steps[output.node.index()].last = usize::MAX;
        }
        let shape = |output: &Output| {
            let node = &network.nodes()[output.node.index()];
            (node.size, node.channels)
        };
        let shapes = network.outputs().iter().map(shape).collect();
        let input = network.input;
        let logits = network.logits();
        let outputs = network.outputs().to_vec();
        Ok(Self { device: device.clone(), input, logits, steps, outputs, shapes })
    }

    /// The device of the weights.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Height and width of the input.
    pub fn input(&self) -> Size {
        self.input
    }

    /// Size and classes of the logits: 1x1 for a classifier.
    pub fn logits(&self) -> (Size, usize) {
        self.logits
    }

    /// Name, size and channels of every output, in the network's order.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, Size, usize)> {
        let named = self.outputs.iter().zip(&self.shapes);
        named.map(|(output, &(size, channels))| (output.name.as_str(), size, channels))
    }

    /// `x` (N, 3, H, W), normalised, to the first output: the logits before the resize, (N, classes, h, w); scores (N, classes).
    ///
    /// # Errors
    /// [`GraphError::Mismatch`] for another shape or type; [`GraphError::Candle`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, GraphError> {
        self.forward_observed(x, &mut |_, _| {})
    }

    /// Every output, in the network's order.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_all(&self, x: &Tensor) -> Result<Vec<Tensor>, GraphError> {
        self.all_observed(x, &mut |_, _| {})
    }

    /// Like [`forward`](Self::forward), but passes every intermediate tensor to `observe`, in order: each node's under
    /// its own name (`blocks.3`, `head.concat`), a block's layers before it (`blocks.3.depthwise`, after the
    /// activation), each output under its own (`logits`).
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_observed(&self, x: &Tensor, observe: Observer<'_>) -> Result<Tensor, GraphError> {
        Ok(self.all_observed(x, observe)?.swap_remove(0))
    }

    fn all_observed(&self, x: &Tensor, observe: Observer<'_>) -> Result<Vec<Tensor>, GraphError> {
        let Size { height, width } = self.input;
        if x.rank() != 4 || x.dims()[1..] != [3, height, width] || x.dtype() != DType::F32 {
            let expected = format!("(N, 3, {height}, {width}) f32");
            return Err(GraphError::Mismatch {
                what: "input",
                expected,
                found: format!("{:?} {:?}", x.shape(), x.dtype()),
            });
        }
        let outputs = self.steps(x, observe)?;
        for (output, tensor) in self.outputs.iter().zip(&outputs) {
            observe(&output.name, tensor);
        }
        Ok(outputs)
    }

    fn steps(&self, x: &Tensor, observe: Observer<'_>) -> candle_core::Result<Vec<Tensor>> {
        let mut made: Vec<Option<Tensor>> = vec![None; self.steps.len()];
        for (at, step) in self.steps.iter().enumerate() {
            let inputs: Vec<&Tensor> = step.inputs.iter().filter_map(|&input| made[input].as_ref()).collect();
            let y = match &step.work {
                Work::Input => x.clone(),
                Work::Layer(layer) => layer.forward(inputs[0], observe)?,
                Work::Residual(block) => block.forward(inputs[0], observe)?,
                Work::Average => inputs[0].mean_keepdim((2, 3))?,
                Work::Resize(rows, columns) => {
                    let rows = rows.broadcast_as((inputs[0].dim(0)?, inputs[0].dim(1)?, rows.dim(0)?, rows.dim(1)?))?;
                    rows.contiguous()?.matmul(&inputs[0].contiguous()?)?.broadcast_matmul(columns)?
                }
                Work::Concat => Tensor::cat(&inputs, 1)?,
                Work::Sum(activation) => {
                    let mut sum = inputs[0].clone();
                    for more in &inputs[1..] {
                        sum = (sum + *more)?;
                    }
                    activate(sum, *activation)?
                }
            };
            // A layer has already passed on its own.
            if !matches!(step.work, Work::Layer(_) | Work::Input) {
                observe(&step.name, &y);
            }
            made[at] = Some(y);
            // Drop tensors that no later step reads.
            for &input in &step.inputs {
                if self.steps[input].last == at {
                    made[input] = None;
                }
            }
        }
        let give = |output: &Output| {
            let tensor = made[output.node.index()].clone().expect("an output is kept to the end");
            if output.task == Task::Scores { tensor.flatten_from(1) } else { Ok(tensor) }
        };
        self.outputs.iter().map(give).collect()
    }

    /// The tensor with this name (see [`forward_observed`](Self::forward_observed)) for the input `x`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`GraphError::Unsupported`] for an unknown name, listing the existing ones.
    pub fn tensor(&self, x: &Tensor, name: &str) -> Result<Tensor, GraphError> {
        let mut found = None;
        let mut names = Vec::new();
        self.forward_observed(x, &mut |at, tensor| {
            names.push(at.to_owned());
            if at == name {
                found = Some(tensor.clone());
            }
        })?;
        found.ok_or_else(|| GraphError::Unsupported {
            what: format!("the tensor {name:?}"),
            why: format!("the network has no tensor with this name; it has {}", names.join(", ")),
        })
    }

    /// Pulls the input from `rows` and writes the logits before the resize, channels-last: `[h][w][classes]`.
    ///
    /// # Errors
    /// [`GraphError::Mismatch`] if `rows` or `logits` have another size; [`GraphError::Candle`].
    pub fn run(&self, rows: &dyn RowSource, logits: &mut [f32]) -> Result<(), GraphError> {
        let (size, classes) = self.logits;
        let expected = size.height * size.width * classes;
        if logits.len() != expected {
            let found = logits.len().to_string();
            return Err(GraphError::Mismatch { what: "logits", expected: expected.to_string(), found });
        }
        logits.copy_from_slice(&channels_last(&self.forward(&self.tensor_of(rows)?)?)?);
        Ok(())
    }

    /// The same for every output; each fills a vector.
    ///
    /// # Errors
    /// [`GraphError::Mismatch`] if `rows` have another size; [`GraphError::Candle`].
    pub fn run_all(&self, rows: &dyn RowSource, outputs: &mut Vec<Vec<f32>>) -> Result<(), GraphError> {
        let tensors = self.forward_all(&self.tensor_of(rows)?)?;
        *outputs = tensors.iter().map(channels_last).collect::<candle_core::Result<_>>()?;
        Ok(())
    }

    /// Rows as a tensor (1, 3, H, W).
    fn tensor_of(&self, rows: &dyn RowSource) -> Result<Tensor, GraphError> {
        let Size { height, width } = self.input;
        if (rows.height(), rows.width()) != (height, width) {
            let found = Size { height: rows.height(), width: rows.width() }.to_string();
            return Err(GraphError::Mismatch { what: "input rows", expected: self.input.to_string(), found });
        }
        let room = |len: usize| filled(len, 0.0f32, "the graph's input").map_err(ModelError::from);
        let (mut planes, mut scratch, mut row) =
            (room(3 * height * width)?, room(rows.scratch_len())?, room(width * 3)?);
        for y in 0..height {
            rows.row(y, &mut scratch, &mut row);
            for (c, plane) in planes.chunks_exact_mut(height * width).enumerate() {
                for (to, from) in plane[y * width..][..width].iter_mut().zip(row.iter().skip(c).step_by(3)) {
                    *to = *from;
                }
            }
        }
        Ok(Tensor::from_vec(planes, (1, 3, height, width), &self.device)?)
    }
}

impl Residual {
    /// (N, I, H, W) to (N, O, H', W').
    fn forward(&self, x: &Tensor, observe: Observer<'_>) -> candle_core::Result<Tensor> {
        let wide = match &self.expand {
            Some(expand) => expand.forward(x, observe)?,
            None => x.clone(),
        };
        let mut y = match &self.expand {
            Some(expand) if self.border != Border::default() => {
                self.depthwise.forward(&self.border.around(&wide, expand)?, observe)?
            }
            _ => self.depthwise.forward(&wide, observe)?,
        };
        if self.shortcut == Shortcut::Expansion {
            y = (y + wide)?;
        }
        let mut y = self.project.forward(&y, observe)?;
        if self.shortcut == Shortcut::Bottleneck {
            y = (y + x)?;
        }
        Ok(y)
    }
}

impl Layer {
    fn new(conv: &Conv, weights: &Weights, device: &Device) -> Result<Self, GraphError> {
        let tensor = |t: &silhouette_network::network::TensorShape| -> Result<Tensor, GraphError> {
            Ok(Tensor::from_slice(&weights.floats(t)?, t.shape.as_slice(), device)?)
        };
        let weight = tensor(&conv.weight())?;
        let convolution = if conv.depthwise {
            Convolution::Depthwise(Depthwise::new(conv), weight)
        } else if conv.kernel == 1 && conv.stride == 1 {
            Convolution::Pointwise(weight.reshape((conv.c_out, conv.c_in))?)
        } else {
            let after = conv.pad_after();
            let config = Conv2dConfig { stride: conv.stride, dilation: conv.rate, ..Conv2dConfig::default() };
            let rows = (conv.pad.height, after.height);
            let columns = (conv.pad.width, after.width);
            Convolution::Full(Conv2d::new(weight, None, config), rows, columns)
        };
        let norm = if weights.has_batch_norm(conv) {
            let [gamma, beta, mean, var] = conv.bn();
            let gamma = tensor(&gamma)?;
            let beta = tensor(&beta)?;
            let mean = tensor(&mean)?;
            let var = tensor(&var)?;
            Norm::BatchNorm(BatchNorm::new(conv.c_out, mean, var, gamma, beta, weights.epsilon(&conv.name))?)
        } else {
            Norm::Bias(tensor(&conv.bias())?.reshape((1, conv.c_out, 1, 1))?)
        };
        Ok(Self { name: conv.name.clone(), convolution, norm, activation: conv.activation })
    }

    /// (N, I, H, W) to (N, O, H', W').
    fn forward(&self, x: &Tensor, observe: Observer<'_>) -> candle_core::Result<Tensor> {
        let y = match &self.convolution {
            Convolution::Pointwise(weight) => {
                let (n, _, h, w) = x.dims4()?;
                let product = weight.broadcast_left(n)?.matmul(&x.flatten_from(2)?)?;
                product.reshape((n, (), h, w))?
            }
            Convolution::Depthwise(op, weight) => op.forward(x, weight)?,
            Convolution::Full(conv, rows, columns) => {
                conv.forward(&x.pad_with_zeros(2, rows.0, rows.1)?.pad_with_zeros(3, columns.0, columns.1)?)?
            }
        };
        let y = match &self.norm {
            Norm::BatchNorm(norm) => norm.forward_t(&y, false)?,
            Norm::Bias(bias) => y.broadcast_add(bias)?,
        };
        let y = activate(y, self.activation)?;
        observe(&self.name, &y);
        Ok(y)
    }
}

fn activate(y: Tensor, activation: Activation) -> candle_core::Result<Tensor> {
    match activation {
        Activation::Linear => Ok(y),
        Activation::Relu => y.relu(),
        Activation::Relu6 => y.clamp(0f32, 6f32),
    }
}

/// Bilinear resize along one axis as a matrix (out, len): each output is a mix of the two inputs around it.
fn mixes(len: usize, out: usize, rule: Resize, device: &Device) -> candle_core::Result<Tensor> {
    let mut matrix = vec![0f32; out * len];
    for (o, row) in matrix.chunks_exact_mut(len).enumerate() {
        let place = match rule {
            Resize::AlignCorners => o as f64 * (len - 1) as f64 / (out.max(2) - 1) as f64,
            Resize::HalfPixel => (o as f64 + 0.5) * len as f64 / out as f64 - 0.5,
        };
        let place = place.clamp(0.0, (len - 1) as f64);
        let low = place as usize;
        let far = place.fract();
        row[low] += (1.0 - far) as f32;
        row[(low + 1).min(len - 1)] += far as f32;
    }
    Tensor::from_vec(matrix, (out, len), device)
}

/// The values of (1, C, H, W) as `[h][w][c]`; of (1, C) unchanged.
fn channels_last(map: &Tensor) -> candle_core::Result<Vec<f32>> {
    let map = if map.rank() == 4 { map.permute((0, 2, 3, 1))? } else { map.clone() };
    map.flatten_all()?.to_vec1()
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_network::spec::{
        Aspp, Decoder, DeeplabV3, Extractor, MobilenetV1, MobilenetV2, Padding, Skip, Spec,
    };
    use silhouette_weights::{Tensor as Stored, Tensors, seeded};

    type Edit = fn(&mut Spec, &mut DeeplabV3);

    fn v2(spec: &mut Spec) -> &mut MobilenetV2 {
        match &mut spec.extractor {
            Extractor::MobilenetV2(v2) => v2,
            Extractor::MobilenetV1(_) => unreachable!(),
        }
    }

    /// One small network for each variant of a spec.
    fn variants() -> Vec<(&'static str, Spec)> {
        fn decoder(strides: &[usize]) -> Decoder {
            let skip = |&stride: &usize| Skip { stride, channels: 3 + stride, out: (stride == 2).then_some(6) };
            Decoder { skips: strides.iter().map(skip).collect(), channels: 10 }
        }
        let edits: [(&str, Edit); 17] = [
            ("plain", |_, _| {}),
            ("symmetric", |s, _| s.padding = Padding::Symmetric),
            ("padded block inputs", |s, _| s.padding = Padding::BlockInput),
            ("dilated first blocks", |s, _| {
                v2(s).output_stride = 8;
                v2(s).dilate_first = true;
            }),
            ("output stride 8", |s, _| v2(s).output_stride = 8),
            ("output stride 32", |s, _| v2(s).output_stride = 32),
            ("no pooling", |_, h| h.image_pooling = false),
            ("aspp", |_, h| h.aspp = Aspp::Plain { rates: vec![2, 5] }),
            ("separable aspp, pooling last", |_, h| {
                h.aspp = Aspp::Separable { rates: vec![2, 5] };
                h.pooling_last = true;
            }),
            ("refined", |_, h| h.refine = true),
            ("decoder", |_, h| h.decoder = Some(decoder(&[8, 4, 2]))),
            ("refined, decoder by half pixels", |_, h| {
                (h.refine, h.resize, h.decoder) = (true, Resize::HalfPixel, Some(decoder(&[4])));
            }),
            ("relu6 bottleneck", |s, _| v2(s).bottleneck_activation = Activation::Relu6),
            ("expansion shortcut", |s, _| v2(s).shortcut = Shortcut::Expansion),
            ("no shortcut", |s, _| v2(s).shortcut = Shortcut::None),
            ("dropped block", |s, _| v2(s).dropped_blocks = vec![4, 8]),
            ("v1", |s, _| {
                s.extractor = Extractor::MobilenetV1(MobilenetV1::paper(0.25, 16));
            }),
        ];
        let mut specs: Vec<_> = edits
            .into_iter()
            .map(|(name, edit)| {
                let mut spec = Spec::preset("fixture").unwrap();
                let mut head = DeeplabV3 { channels: 16, ..DeeplabV3::paper(21, Aspp::None) };
                edit(&mut spec, &mut head);
                spec.head = silhouette_network::spec::Head::DeeplabV3(head);
                (name, spec)
            })
            .collect();
        specs.push(("classifier", Spec::preset("mobilenet_v2_0.35").unwrap()));
        specs
    }

    fn input(size: Size) -> Tensor {
        let values: Vec<f32> =
            (0..3 * size.height * size.width).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
        Tensor::from_vec(values, (1, 3, size.height, size.width), &Device::Cpu).unwrap()
    }

    fn values(t: &Tensor) -> Vec<f32> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The same tensors with batch norm folded into weight and bias.
    fn folded(network: &Network, weights: &Weights) -> Weights {
        let mut tensors = Tensors::new();
        for conv in network.convs() {
            let folded = weights.folded(conv).unwrap();
            tensors.insert(conv.weight().name, Stored { shape: conv.weight().shape, data: folded.weight.into_owned() });
            tensors.insert(conv.bias().name, Stored { shape: conv.bias().shape, data: folded.bias });
        }
        Weights::from_tensors(tensors, 0.0).unwrap()
    }

    #[test]
    fn folded_weights_and_batch_norm_agree_in_every_variant() {
        for (name, spec) in variants() {
            for size in [Size { height: 33, width: 50 }, Size { height: 40, width: 23 }] {
                let network = Network::new(&spec, size).unwrap();
                let weights = Weights::from_tensors(seeded(&network, 5), spec.batch_norm_epsilon).unwrap();
                let with = Graph::new(&network, &weights, &Device::Cpu).unwrap();
                let without = Graph::new(&network, &folded(&network, &weights), &Device::Cpu).unwrap();
                let a = with.forward(&input(size)).unwrap();
                let b = without.forward(&input(size)).unwrap();
                let (logits, classes) = network.logits();
                let expected =
                    if name == "classifier" { vec![1, classes] } else { vec![1, classes, logits.height, logits.width] };
                assert_eq!(a.dims(), expected, "{name}");
                let a = values(&a);
                let b = values(&b);
                let largest = a.iter().fold(0f32, |m, v| m.max(v.abs()));
                assert!(largest > 0.1, "{name}: the output is almost zero");
                for (x, y) in a.iter().zip(&b) {
                    assert!((x - y).abs() < 2e-4 * largest.max(1.0), "{name} at {size}: {x} {y}");
                }
            }
        }
    }

    /// A network small enough to follow by hand: every layer's output is computed index by index from the previous
    /// layer's.
    #[test]
    fn every_layer_is_the_formula() {
        for (name, spec) in variants() {
            let size = Size { height: 18, width: 21 };
            let network = Network::new(&spec, size).unwrap();
            let weights = Weights::from_tensors(seeded(&network, 9), spec.batch_norm_epsilon).unwrap();
            let graph = Graph::new(&network, &weights, &Device::Cpu).unwrap();
            let mut made = std::collections::BTreeMap::new();
            graph.forward_observed(&input(size), &mut |at, t| drop(made.insert(at.to_owned(), t.clone()))).unwrap();
            let check_with = |conv: &Conv, x: &Tensor, outside: &[f32]| {
                let ours = values(&made[&conv.name]);
                let naive = naive(conv, &weights, &values(x), outside);
                assert_eq!(ours.len(), naive.len());
                for (a, b) in ours.iter().zip(&naive) {
                    assert!((a - b).abs() < 1e-3 * b.abs().max(1.0), "{name}, {}: {a} {b}", conv.name);
                }
            };
            let check = |conv: &Conv, x: &Tensor| check_with(conv, x, &[]);
            check(network.conv("stem").unwrap(), &input(size));
            let mut x = made["stem"].clone();
            for block in network.blocks() {
                let wide = block.expand.as_ref().map_or(x.clone(), |e| {
                    check(e, &x);
                    made[&e.name].clone()
                });
                // What the expansion makes of zeros.
                let border = block.expand.as_ref().filter(|_| block.pads_input).map(|expand| {
                    weights.folded(expand).unwrap().bias.iter().map(|bias| bias.clamp(0.0, 6.0)).collect::<Vec<f32>>()
                });
                assert_eq!(border.is_some(), name == "padded block inputs" && block.expand.is_some());
                check_with(&block.depthwise, &wide, border.as_deref().unwrap_or_default());
                let mut y = made[&block.depthwise.name].clone();
                if block.shortcut == Shortcut::Expansion {
                    y = (y + wide).unwrap();
                }
                check(&block.project, &y);
                let mut out = made[&block.project.name].clone();
                if block.shortcut == Shortcut::Bottleneck {
                    out = (out + x).unwrap();
                }
                x = made[&format!("blocks.{}", block.index)].clone();
                assert_eq!(values(&x), values(&out), "{name}");
            }
            if let Some(linear) = network.conv("classifier") {
                let map = values(&made["last"]);
                let last = network.node("last").unwrap();
                let pixels = last.size.pixels() as usize;
                let means: Vec<f32> = map.chunks_exact(pixels).map(|p| p.iter().sum::<f32>() / pixels as f32).collect();
                check(linear, &Tensor::new(means, &Device::Cpu).unwrap());
            }
            if let Some(branch) = network.conv("head.branch") {
                check(branch, &x);
                for conv in network.convs().filter(|conv| conv.name.starts_with("head.aspp.")) {
                    let before = conv.name.strip_suffix(".pointwise").map(|name| format!("{name}.depthwise"));
                    check(conv, before.map_or(&x, |before| &made[&before]));
                }
                check(network.conv("head.project").unwrap(), &made["head.concat"]);
                let before = network.conv("head.refine").map_or("head.project", |r| {
                    check(r, &made["head.project"]);
                    "head.refine"
                });
                let before = decoded(&network, before, &made, &check);
                check(network.conv("head.classifier").unwrap(), &made[&before]);
                // The order in the concatenation: pooling, 1x1, atrous branches; or pooling last.
                let channels = branch.c_out;
                let first = network.conv("head.pool").is_some() && name != "separable aspp, pooling last";
                let at = made["head.concat"].narrow(1, usize::from(first) * channels, channels).unwrap();
                assert_eq!(values(&at), values(&made["head.branch"]), "{name}");
            }
        }
    }

    /// Every stage of a decoder that begins at the tensor `before`; returns the name of the last stage's tensor.
    fn decoded(
        network: &Network,
        before: &str,
        made: &std::collections::BTreeMap<String, Tensor>,
        check: &dyn Fn(&Conv, &Tensor),
    ) -> String {
        let mut before = before.to_owned();
        for i in 0.. {
            let part = |part: &str| format!("head.decoder.{i}.{part}");
            let Some(skip) = network.conv(&part("skip")) else { break };
            let from = network.node(&part("skip")).unwrap().inputs[0];
            check(skip, &made[&network.nodes()[from.index()].name]);
            // The resize by its formula, followed by the skip.
            let below = &made[&before];
            let both = &made[&part("concat")];
            let (_, channels, h, w) = below.dims4().unwrap();
            let height = skip.output.height;
            let width = skip.output.width;
            let Operation::Resize(rule) = network.node(&part("resize")).unwrap().operation else { unreachable!() };
            let place = |o: usize, len: usize, out: usize| match rule {
                Resize::AlignCorners => o as f32 * (len - 1) as f32 / (out - 1).max(1) as f32,
                Resize::HalfPixel => ((o as f32 + 0.5) * len as f32 / out as f32 - 0.5).clamp(0.0, (len - 1) as f32),
            };
            let values = self::values(below);
            let found = self::values(&both.narrow(1, 0, channels).unwrap());
            for (at, f) in found.iter().enumerate() {
                let c = at / (height * width);
                let y = at / width % height;
                let x = at % width;
                let py = place(y, h, height);
                let px = place(x, w, width);
                let value = |y: f32, x: f32| values[(c * h + (y as usize).min(h - 1)) * w + (x as usize).min(w - 1)];
                let row = |y: f32| value(y, px) * (1.0 - px.fract()) + value(y, px + 1.0) * px.fract();
                let expected = row(py) * (1.0 - py.fract()) + row(py + 1.0) * py.fract();
                assert!((f - expected).abs() < 1e-3 * expected.abs().max(1.0), "stage {i}, {at}: {f}, {expected}");
            }
            let behind = both.narrow(1, channels, skip.c_out).unwrap();
            assert_eq!(self::values(&behind), self::values(&made[&skip.name]), "stage {i}: the skip");
            check(network.conv(&part("depthwise")).unwrap(), both);
            check(network.conv(&part("pointwise")).unwrap(), &made[&part("depthwise")]);
            before = part("pointwise");
        }
        before
    }

    /// The convolution by its formula, on the whole map.
    /// `outside`: the padding's value in each channel, instead of zeros.
    fn naive(conv: &Conv, weights: &Weights, x: &[f32], outside: &[f32]) -> Vec<f32> {
        let f = weights.folded(conv).unwrap();
        let i = conv.input;
        let o = conv.output;
        let k = conv.kernel;
        let [_, group, ..] = conv.weight_shape();
        let mut out = Vec::new();
        for c in 0..conv.c_out {
            for y in 0..o.height {
                for column in 0..o.width {
                    let mut sum = f64::from(f.bias[c]);
                    for g in 0..group {
                        let from = if conv.depthwise { c } else { g };
                        for ky in 0..k {
                            for kx in 0..k {
                                let at =
                                    |o: usize, k: usize, pad: usize| (o * conv.stride + k * conv.rate).checked_sub(pad);
                                let value = match (at(y, ky, conv.pad.height), at(column, kx, conv.pad.width)) {
                                    (Some(iy), Some(ix)) if iy < i.height && ix < i.width => {
                                        x[(from * i.height + iy) * i.width + ix]
                                    }
                                    _ => outside.get(from).copied().unwrap_or(0.0),
                                };
                                let w = f.weight[((c * group + g) * k + ky) * k + kx];
                                sum += f64::from(w) * f64::from(value);
                            }
                        }
                    }
                    out.push(match conv.activation {
                        Activation::Linear => sum,
                        Activation::Relu => sum.max(0.0),
                        Activation::Relu6 => sum.clamp(0.0, 6.0),
                    } as f32);
                }
            }
        }
        out
    }

    /// Rows from a tensor (3, H, W).
    struct Rows(Vec<f32>, Size);

    impl RowSource for Rows {
        fn width(&self) -> usize {
            self.1.width
        }
        fn height(&self) -> usize {
            self.1.height
        }
        fn scratch_len(&self) -> usize {
            0
        }
        fn row(&self, y: usize, _: &mut [f32], out: &mut [f32]) {
            for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
                for (c, value) in pixel.iter_mut().enumerate() {
                    *value = self.0[(c * self.1.height + y) * self.1.width + x];
                }
            }
        }
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "the same values in another order")]
    fn rows_in_and_channels_last_logits_out() {
        let spec = Spec::preset("fixture").unwrap();
        let size = Size { height: 33, width: 50 };
        let network = Network::new(&spec, size).unwrap();
        let weights = Weights::from_tensors(seeded(&network, 5), spec.batch_norm_epsilon).unwrap();
        let graph = Graph::new(&network, &weights, &Device::Cpu).unwrap();
        let rows = Rows(values(&input(size)), size);
        let mut logits = vec![0.0; 3 * 4 * 21];
        graph.run(&rows, &mut logits).unwrap();
        let expected = graph.forward(&input(size)).unwrap();
        for (y, x, c) in [(0, 0, 0), (2, 3, 20), (1, 2, 7)] {
            let value = expected.get(0).unwrap().get(c).unwrap().get(y).unwrap().get(x).unwrap();
            assert_eq!(logits[(y * 4 + x) * 21 + c].to_bits(), value.to_scalar::<f32>().unwrap().to_bits());
        }
        assert!(matches!(graph.run(&rows, &mut logits[1..]), Err(GraphError::Mismatch { what: "logits", .. })));
        let other = Rows(values(&input(Size::square(33))), Size::square(33));
        assert!(matches!(graph.run(&other, &mut logits), Err(GraphError::Mismatch { what: "input rows", .. })));
        assert!(matches!(graph.forward(&input(Size::square(33))), Err(GraphError::Mismatch { what: "input", .. })));
    }

    #[test]
    fn tensors_on_the_way_are_found_by_name() {
        let spec = Spec::preset("fixture").unwrap();
        let network = Network::new(&spec, Size::square(17)).unwrap();
        let weights = Weights::from_tensors(seeded(&network, 5), spec.batch_norm_epsilon).unwrap();
        let graph = Graph::new(&network, &weights, &Device::Cpu).unwrap();
        let x = input(Size::square(17));
        assert_eq!(graph.tensor(&x, "blocks.3.expand").unwrap().dims(), [1, 48, 5, 5]);
        assert_eq!(graph.tensor(&x, "blocks.3").unwrap().dims(), [1, 16, 3, 3]);
        assert_eq!(values(&graph.tensor(&x, "logits").unwrap()), values(&graph.forward(&x).unwrap()));
        let text = graph.tensor(&x, "blocks.99").unwrap_err().to_string();
        assert!(text.contains("head.concat"), "{text}");
    }

    #[test]
    fn several_inputs_at_once() {
        for preset in ["fixture", "mobilenet_v2_0.35"] {
            let spec = Spec::preset(preset).unwrap();
            let network = Network::new(&spec, Size::square(35)).unwrap();
            let weights = Weights::from_tensors(seeded(&network, 5), spec.batch_norm_epsilon).unwrap();
            let graph = Graph::new(&network, &weights, &Device::Cpu).unwrap();
            let a = input(Size::square(35));
            let b = (input(Size::square(35)) * 0.5).unwrap();
            let both = graph.forward(&Tensor::cat(&[&a, &b], 0).unwrap()).unwrap();
            for (i, x) in [a, b].iter().enumerate() {
                let one = values(&graph.forward(x).unwrap());
                let of_both = values(&both.get(i).unwrap());
                assert!(one.iter().zip(&of_both).all(|(x, y)| (x - y).abs() < 1e-4), "{preset}");
            }
        }
    }

    #[test]
    fn weights_of_another_network_are_refused_at_load() {
        let spec = Spec::preset("fixture").unwrap();
        let network = Network::native(&spec).unwrap();
        let weights = Weights::from_tensors(seeded(&network, 5), 1e-3).unwrap();
        let other = Network::native(&Spec::preset("deeplabv3_mnv2").unwrap()).unwrap();
        assert!(matches!(
            Graph::new(&other, &weights, &Device::Cpu),
            Err(GraphError::Model(silhouette_network::ModelError::Tensors(_)))
        ));
    }
}
