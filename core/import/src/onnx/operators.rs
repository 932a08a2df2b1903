//! What each ONNX operator is in the one form of graphs.

use std::collections::HashMap;

use log::warn;
use silhouette_network::spec::Resize;
use silhouette_weights::{ActivationElement, ActivationQuantisation, Quantisation};

use super::model::{Model, Node, damaged, is_float};
use crate::error::ImportError;
use crate::flow::{Filter, Flow, Known, Layout, MAX_DIMENSION, place, printable};
use crate::fold::{self, Binary, Span, Unary};
use crate::graph::{Borders, Graph, Op, Pads, Writer};
use crate::tensor::{Number, Tensor};

/// The size at which a graph without one is looked at.
const ANY_SIZE: usize = 513;

type Result<T> = std::result::Result<T, ImportError>;

/// The graph of a model; `size` is the image's, where the model leaves it open.
pub(super) fn graph<'a>(model: &Model<'a>, size: Option<usize>, resize: Option<Resize>) -> Result<Graph<'a>> {
    let unknown = |problem: String| ImportError::UnknownNetwork { place: "the file".into(), problem };
    let inputs: Vec<_> = model.inputs.iter().filter(|input| !model.constants.contains_key(input.name)).collect();
    let &[input] = inputs.as_slice() else {
        return Err(unknown(format!("it has {} inputs, not one", inputs.len())));
    };
    let any_size = input.dims.len() == 4 && input.dims.iter().skip(1).filter(|n| n.is_none()).count() > 0;
    let size = size.unwrap_or(ANY_SIZE).min(MAX_DIMENSION);
    let mut flow = Flow::new("ONNX", model.length);
    let dims: Vec<usize> =
        input.dims.iter().enumerate().map(|(i, n)| n.unwrap_or(if i == 0 { 1 } else { size })).collect();
    let Some(image) = flow.input(dims).filter(|_| is_float(input.kind) || matches!(input.kind, 2 | 3)) else {
        let dims: Vec<String> = input.dims.iter().map(|n| n.map_or("?".to_owned(), |n| n.to_string())).collect();
        let (name, dims) = (printable(input.name), dims.join("x"));
        return Err(unknown(format!("its input '{name}' of {dims} is no image of three channels")));
    };
    let mut reader = Reader { opset: model.opset, resize, flow, known: HashMap::new() };
    reader.known.insert(input.name, image.clone());
    for (&name, tensor) in &model.constants {
        let constant = match tensor {
            Some(tensor) => Known::Constant(tensor.clone()),
            None => reader.flow.stranger(&format!("tensor '{}'", printable(name)), &[], "its type is not supported"),
        };
        reader.known.insert(name, constant);
    }
    for node in &model.nodes {
        reader.operator(node)?;
    }
    let mut outputs = Vec::new();
    for name in &model.outputs {
        let problem = || damaged("the outputs", format!("nothing writes '{}'", printable(name)));
        outputs.push(reader.known.get(name).ok_or_else(problem)?);
    }
    let writer = Writer {
        tensorflow: ["tf2onnx", "keras2onnx"].iter().any(|producer| model.producer.contains(producer)),
        drops_activations: model.nodes.iter().any(|node| node.operator == "QuantizeLinear"),
        any_size,
    };
    reader.flow.finish(&image, &outputs, writer)
}

struct Reader<'a> {
    opset: i64,
    /// How the caller says that logits are resized.
    resize: Option<Resize>,
    flow: Flow<'a>,
    /// What is known of each name so far.
    known: HashMap<&'a str, Known<'a>>,
}

impl<'a> Reader<'a> {
    fn operator(&mut self, node: &Node<'a>) -> Result<()> {
        let mut inputs = Vec::new();
        for &name in &node.inputs {
            let problem =
                || damaged(&node.label, format!("it reads '{}' before anything has written it", printable(name)));
            inputs.push(match name {
                "" => None,
                name => Some(self.known.get(name).cloned().ok_or_else(problem)?),
            });
        }
        while inputs.last().is_some_and(Option::is_none) {
            inputs.pop();
        }
        let present: Vec<&Known<'a>> = inputs.iter().flatten().collect();
        let result = if node.domain.is_empty() {
            self.translated(node, &inputs)?
        } else {
            self.flow.stranger(&node.label, &present, format!("it is of the domain '{}'", printable(node.domain)))
        };
        for (i, &name) in node.outputs.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let output = match &result {
                Known::Map(_) | Known::Constant(_) if i > 0 => {
                    self.flow.stranger(&node.label, &present, "its further outputs have no use here")
                }
                result => result.clone(),
            };
            if self.known.insert(name, output).is_some() {
                return Err(damaged(&node.label, format!("'{}' is also written elsewhere", printable(name))));
            }
        }
        Ok(())
    }

    /// What an operator gives.
    #[allow(clippy::float_cmp, reason = "factors of exactly 1 change nothing")]
    fn translated(&mut self, node: &Node<'a>, inputs: &[Option<Known<'a>>]) -> Result<Known<'a>> {
        let label = &node.label;
        let input = |i: usize| inputs.get(i).and_then(Option::as_ref);
        let constant = |i: usize| input(i).and_then(Known::constant);
        let all: Vec<&Known<'a>> = inputs.iter().flatten().collect();
        if node.operator == "Constant" {
            return self.constant(node);
        }
        let Some(first) = input(0) else {
            return Err(damaged(label, "it has no input"));
        };
        Ok(match node.operator {
            "Conv" => return self.convolution(node, first, constant(1), input(2)),
            "BatchNormalization" => {
                let four = (constant(1), constant(2), constant(3), constant(4));
                let (Some(gamma), Some(beta), Some(mean), Some(variance)) = four else {
                    return Ok(self.flow.stranger(label, &all, "its statistics are not constants"));
                };
                let epsilon = node.float("epsilon")?.unwrap_or(1e-5);
                if node.integer("training_mode")?.unwrap_or(0) != 0 {
                    return Ok(self.flow.stranger(label, &all, "the model was exported for training"));
                }
                self.flow.batch_norm(label, first, Layout::ChannelsFirst, [gamma, beta, mean, variance], epsilon)?
            }
            "Relu" => self.flow.bounded(label, first, Some(0.0), None),
            "Clip" => {
                let bounds = if self.opset < 11 {
                    [node.float("min")?, node.float("max")?]
                } else {
                    [1, 2].map(|i| constant(i).and_then(|bound| bound.values().next()))
                };
                if self.opset >= 11 && [1, 2].iter().any(|&i| input(i).is_some() && constant(i).is_none()) {
                    return Ok(self.flow.stranger(label, &all, "its bounds are not constants"));
                }
                self.flow.bounded(label, first, bounds[0], bounds[1])
            }
            "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" | "Equal" | "GreaterOrEqual" | "Greater" | "Less" => {
                let operator = match node.operator {
                    "Add" => Binary::Add,
                    "Sub" => Binary::Subtract,
                    "Mul" => Binary::Multiply,
                    "Div" => Binary::Divide,
                    "Max" => Binary::Greatest,
                    "Min" => Binary::Least,
                    "Equal" => Binary::Equal,
                    "Greater" => Binary::Above,
                    "Less" => Binary::Below,
                    _ => Binary::AtLeast,
                };
                match (inputs.len(), input(1)) {
                    (2, Some(second)) => self.flow.binary(label, operator, first, second)?,
                    _ => self.flow.stranger(label, &all, format!("it has {} inputs, not two", inputs.len())),
                }
            }
            "Floor" | "Ceil" | "Neg" | "Sqrt" => {
                let operator = match node.operator {
                    "Floor" => Unary::Floor,
                    "Ceil" => Unary::Ceil,
                    "Neg" => Unary::Negate,
                    _ => Unary::Root,
                };
                match first.constant() {
                    Some(tensor) => self.flow.computed(label, fold::unary(operator, tensor))?,
                    None => self.flow.stranger(label, &all, "MobileNets and DeepLabV3 have no such operator"),
                }
            }
            "Where" => match (constant(0), constant(1), constant(2)) {
                (Some(condition), Some(left), Some(right)) => {
                    self.flow.computed(label, fold::choose(condition, left, right))?
                }
                _ => self.flow.stranger(label, &all, "MobileNets and DeepLabV3 have no such operator"),
            },
            "GlobalAveragePool" => self.flow.mean(label, first, &[-2, -1], true),
            "AveragePool" => self.average(node, first)?,
            "ReduceMean" => {
                let dimensions = match constant(1) {
                    Some(axes) => axes.integers().unwrap_or_default(),
                    None => node.integers("axes")?,
                };
                let keep = node.integer("keepdims")?.unwrap_or(1) != 0;
                self.flow.mean(label, first, &dimensions, keep)
            }
            "Resize" | "Upsample" => self.resized(node, first, inputs)?,
            "Expand" => return self.expanded(node, first, constant(1)),
            "Concat" => {
                let axis = node.integer("axis")?.ok_or_else(|| damaged(label, "it has no axis"))?;
                self.flow.concatenation(label, &all, axis)?
            }
            "Flatten" => {
                let Known::Map(map) = first else {
                    return Ok(self.flow.stranger(label, &all, "its input is no map of a network here"));
                };
                let axis = node.integer("axis")?.unwrap_or(1);
                let rank = map.dims().len();
                let axis = if axis == rank as i64 { Some(rank) } else { place(axis, rank) };
                let (before, after) =
                    map.dims().split_at(axis.ok_or_else(|| damaged(label, "its axis is impossible"))?);
                let dims = [before, after].map(|dims| dims.iter().product()).to_vec();
                self.flow.reshape(label, first, dims)?
            }
            "Reshape" => {
                let Some(shape) = constant(1).and_then(Tensor::integers) else {
                    return Ok(self.flow.stranger(label, &all, "its shape is not a constant"));
                };
                let zeros = node.integer("allowzero")?.unwrap_or(0) == 0;
                match shaped(first, &shape, zeros) {
                    Some(dims) => self.flow.reshape(label, first, dims)?,
                    None => self.flow.stranger(label, &all, format!("its shape {shape:?} does not fit its input")),
                }
            }
            "Squeeze" | "Unsqueeze" => {
                let axes = match constant(1) {
                    Some(axes) => axes.integers().unwrap_or_default(),
                    None => node.integers("axes")?,
                };
                match node.operator {
                    "Squeeze" => self.flow.without_ones(label, first, &axes)?,
                    _ => self.flow.with_ones(label, first, &axes)?,
                }
            }
            "Transpose" => {
                let mut order = node.integers("perm")?;
                if order.is_empty() {
                    let rank = rank(first) as i64;
                    order = (0..rank).rev().collect();
                }
                self.flow.transpose(label, first, &order)?
            }
            "Gemm" => {
                let Some(weight) = constant(1).filter(|weight| weight.dims().len() == 2) else {
                    return Ok(self.flow.stranger(label, &all, "its weights are not a constant matrix"));
                };
                let plain = node.float("alpha")?.unwrap_or(1.0) == 1.0
                    && node.float("beta")?.unwrap_or(1.0) == 1.0
                    && node.integer("transA")?.unwrap_or(0) == 0
                    && (input(2).is_none() || constant(2).is_some());
                if !plain {
                    return Ok(self.flow.stranger(label, &all, "it is more than a product and a bias"));
                }
                let turned = node.integer("transB")?.unwrap_or(0) != 0;
                let matrix = if turned { Some(weight.clone()) } else { weight.clone().transposed(&[1, 0]) };
                let matrix = matrix.ok_or_else(|| damaged(label, "its weights cannot be turned"))?;
                self.flow.product(label, first, matrix, constant(2).cloned())?
            }
            "MatMul" => {
                let matrix = constant(1).filter(|weight| weight.dims().len() == 2);
                match matrix.and_then(|weight| weight.clone().transposed(&[1, 0])) {
                    Some(matrix) => self.flow.product(label, first, matrix, None)?,
                    None => self.flow.stranger(label, &all, "it is no product with a constant matrix"),
                }
            }
            "Softmax" | "LogSoftmax" => {
                let dimension = node.integer("axis")?.unwrap_or(if self.opset < 13 { 1 } else { -1 });
                // Older versions work on all dimensions from this one on.
                let rest = match first {
                    Known::Map(map) => place(dimension, map.dims().len())
                        .map_or(0, |at| map.dims()[at + 1..].iter().filter(|&&n| n != 1).count()),
                    _ => 0,
                };
                if self.opset < 13 && rest != 0 {
                    return Ok(self.flow.stranger(label, &all, "it works on more than the channels"));
                }
                self.flow.ending(label, first, Op::Softmax, Some(dimension))
            }
            "Sigmoid" => self.flow.ending(label, first, Op::Logistic, None),
            "ArgMax" => {
                let keep = node.integer("keepdims")?.unwrap_or(1) != 0;
                self.flow.best(label, first, node.integer("axis")?.unwrap_or(0), keep)
            }
            "Pad" => return self.padded(node, first, inputs),
            "Identity" | "Dropout" => first.clone(),
            "Cast" => {
                let floats = is_float(node.integer("to")?.unwrap_or(1));
                self.flow.cast(label, first, floats)?
            }
            "ConstantOfShape" => {
                let Some(shape) = constant(0).and_then(Tensor::integers) else {
                    return Ok(self.flow.stranger(label, &all, "its shape is not a constant"));
                };
                let shape = shape.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>();
                let zero = Tensor::zeros(1);
                let value = node.tensor("value")?.unwrap_or(zero);
                let filled = shape.and_then(|shape| fold::repeated(&value, shape));
                self.flow.computed(label, filled)?
            }
            "Shape" => {
                let dims: Vec<i64> = match first {
                    Known::Constant(tensor) => tensor.dims().iter().map(|&n| n as i64).collect(),
                    Known::Map(map) => map.dims().iter().map(|&n| n as i64).collect(),
                    Known::Stranger(_) => {
                        return Ok(self.flow.stranger(label, &all, "its input is no map of a network here"));
                    }
                };
                let (from, to) = (node.integer("start")?, node.integer("end")?);
                let shape = Tensor::of_integers(&dims, vec![dims.len()]);
                let span = Span::new(dims.len(), from, to, 1);
                let part = shape.zip(span).and_then(|(shape, span)| fold::sliced(&shape, &[Some(span)]));
                self.flow.computed(label, part)?
            }
            "Gather" => match (constant(0), constant(1), node.integer("axis")?.unwrap_or(0)) {
                (Some(tensor), Some(indices), 0) => self.flow.computed(label, fold::gathered(tensor, indices))?,
                _ => self.flow.stranger(label, &all, "it takes a part of a map"),
            },
            "Slice" => return self.sliced(node, first, inputs),
            "QuantizeLinear" => return self.quantised(node, first, constant(1), constant(2)),
            "DequantizeLinear" => return self.dequantised(node, first, constant(1), constant(2)),
            _ => self.flow.stranger(label, &all, "MobileNets and DeepLabV3 have no such operator"),
        })
    }

    fn constant(&mut self, node: &Node<'a>) -> Result<Known<'a>> {
        if let Some(tensor) = node.tensor("value")? {
            return Ok(Known::Constant(tensor));
        }
        let (integers, floats) = (node.integers("value_ints")?, node.floats("value_floats")?);
        let tensor = if let Some(value) = node.integer("value_int")? {
            Tensor::of_integers(&[value], Vec::new())
        } else if let Some(value) = node.float("value_float")? {
            Tensor::of_floats(&[value], Vec::new())
        } else if floats.is_empty() {
            Tensor::of_integers(&integers, vec![integers.len()])
        } else {
            Tensor::of_floats(&floats, vec![floats.len()])
        };
        self.flow.computed(&node.label, tensor)
    }

    fn convolution(
        &mut self,
        node: &Node<'a>,
        input: &Known<'a>,
        weight: Option<&Tensor<'a>>,
        bias: Option<&Known<'a>>,
    ) -> Result<Known<'a>> {
        let label = &node.label;
        let (Some(weight), true) = (weight, bias.is_none_or(|bias| bias.constant().is_some())) else {
            return Ok(self.flow.stranger(label, &[input], "its weights are not constants"));
        };
        let two = |name: &str, numbers: Vec<i64>| match numbers.as_slice() {
            [] => Ok([1, 1]),
            &[a, b] => Ok([a, b].map(|n| usize::try_from(n).unwrap_or(0))),
            _ => Err(format!("its {name} are {numbers:?}, not two")),
        };
        let strides = two("strides", node.integers("strides")?);
        let rates = two("rates", node.integers("dilations")?);
        let (strides, rates, pads) = match (strides, rates, window_pads(node)?) {
            (Ok(strides), Ok(rates), Ok(pads)) => (strides, rates, pads),
            (Err(problem), ..) | (_, Err(problem), _) | (.., Err(problem)) => {
                return Ok(self.flow.stranger(label, &[input], problem));
            }
        };
        let groups = usize::try_from(node.integer("group")?.unwrap_or(1)).unwrap_or(0);
        let filter = Filter {
            weight: weight.clone(),
            bias: bias.and_then(Known::constant).cloned(),
            groups,
            strides,
            rates,
            pads,
        };
        self.flow.convolution(label, input, Layout::ChannelsFirst, filter)
    }

    fn average(&mut self, node: &Node<'a>, input: &Known<'a>) -> Result<Known<'a>> {
        let window = node.integers("kernel_shape")?;
        let padded = window_pads(node)? != Ok(Pads::Explicit(Borders::default()));
        Ok(match window.as_slice() {
            &[down, across] => {
                let window = [down, across].map(|n| usize::try_from(n).unwrap_or(0));
                self.flow.average(&node.label, input, Layout::ChannelsFirst, window, padded)
            }
            _ => self.flow.stranger(&node.label, &[input], format!("its window is {window:?}")),
        })
    }

    fn resized(&mut self, node: &Node<'a>, input: &Known<'a>, inputs: &[Option<Known<'a>>]) -> Result<Known<'a>> {
        let label = &node.label;
        let Known::Map(map) = input else {
            return Ok(self.flow.stranger(label, &[input], "its input is no map of a network here"));
        };
        let before = map.dims().to_vec();
        let constant = |i: usize| inputs.get(i).and_then(Option::as_ref).and_then(Known::constant);
        let upsample = node.operator == "Upsample";
        let scales = match (self.opset, upsample) {
            (..=8, true) => Some(node.floats("scales")?),
            (..=10, _) => constant(1).map(|tensor| tensor.values().take(8).collect()),
            _ => constant(2).map(|tensor| tensor.values().take(8).collect()),
        };
        let sizes = constant(3).and_then(Tensor::integers).filter(|sizes| !sizes.is_empty());
        let scales = scales.filter(|scales: &Vec<f32>| !scales.is_empty());
        // Axes, and sizes that keep the aspect, are of no exporter of these networks.
        let other = !node.integers("axes")?.is_empty()
            || node.text("keep_aspect_ratio_policy")?.is_some_and(|policy| policy != "stretch");
        let after: Option<Vec<usize>> = match (sizes, scales) {
            (Some(sizes), _) => sizes.iter().map(|&n| usize::try_from(n).ok()).collect(),
            (None, Some(scales)) if scales.len() == before.len() => {
                Some(before.iter().zip(&scales).map(|(&n, scale)| (n as f32 * scale).floor() as usize).collect())
            }
            _ => None,
        };
        let Some(after) = after.filter(|_| !other) else {
            return Ok(self.flow.stranger(label, &[input], "the size that it resizes to is not known"));
        };
        let mode = node.text("mode")?.unwrap_or("nearest");
        let rule = match (mode, node.text("coordinate_transformation_mode")?.unwrap_or("half_pixel")) {
            ("cubic", _) => return Ok(self.flow.stranger(label, &[input], "it is a cubic resize")),
            ("linear", _) if self.opset < 11 => self.resize.or_else(|| aligned(label, &before, &after)),
            ("linear", "align_corners") => Some(Resize::AlignCorners),
            ("linear", "half_pixel" | "pytorch_half_pixel") => Some(Resize::HalfPixel),
            _ => None,
        };
        Ok(self.flow.resize(label, input, &after, rule))
    }

    fn expanded(&mut self, node: &Node<'a>, input: &Known<'a>, shape: Option<&Tensor<'a>>) -> Result<Known<'a>> {
        let label = &node.label;
        let shape = shape.and_then(Tensor::integers);
        let shape = shape.and_then(|shape| shape.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>());
        match (input, shape) {
            (Known::Map(map), Some(shape)) => {
                // From one pixel to a map: the same as any resize.
                match fold::broadcast(map.dims(), &shape) {
                    Some(dims) => Ok(self.flow.resize(label, input, &dims, None)),
                    None => Ok(self.flow.stranger(label, &[input], format!("its shape is {shape:?}"))),
                }
            }
            (Known::Constant(tensor), Some(shape)) => {
                let repeated = fold::broadcast(tensor.dims(), &shape).and_then(|shape| fold::repeated(tensor, shape));
                self.flow.computed(label, repeated)
            }
            _ => Ok(self.flow.stranger(label, &[input], "its shape is not a constant")),
        }
    }

    fn padded(&mut self, node: &Node<'a>, input: &Known<'a>, inputs: &[Option<Known<'a>>]) -> Result<Known<'a>> {
        let label = &node.label;
        let constant = |i: usize| inputs.get(i).and_then(Option::as_ref).and_then(Known::constant);
        let given = |i: usize| inputs.get(i).is_some_and(Option::is_some);
        let (pads, value) = if self.opset < 11 {
            (Some(node.integers("pads")?), node.float("value")?.unwrap_or(0.0))
        } else {
            let value = constant(2).and_then(|value| value.values().next());
            let value = if given(2) { value.unwrap_or(f32::NAN) } else { 0.0 };
            (constant(1).and_then(Tensor::integers), value)
        };
        let rank = rank(input);
        let axes: Vec<Option<usize>> = match constant(3).and_then(Tensor::integers) {
            Some(axes) => axes.iter().map(|&axis| place(axis, rank)).collect(),
            None => (0..rank).map(Some).collect(),
        };
        let constant_mode = matches!(node.text("mode")?, None | Some("constant"));
        let pads =
            pads.filter(|pads| pads.len() == 2 * axes.len() && value == 0.0 && constant_mode && !axes.is_empty());
        let Some(pads) = pads else {
            return Ok(self.flow.stranger(
                label,
                &[input],
                "it pads with something else than a constant number of zeros",
            ));
        };
        let mut each = vec![[0, 0]; rank];
        for (i, axis) in axes.iter().enumerate() {
            let axis = axis.ok_or_else(|| damaged(label, "one of its axes does not exist"))?;
            each[axis] = [pads[i], pads[axes.len() + i]];
        }
        Ok(self.flow.pad(label, input, &each))
    }

    fn sliced(&mut self, node: &Node<'a>, input: &Known<'a>, inputs: &[Option<Known<'a>>]) -> Result<Known<'a>> {
        let label = &node.label;
        let given = |i: usize| inputs.get(i).and_then(Option::as_ref);
        let numbers = |i: usize| given(i).and_then(Known::constant).and_then(Tensor::integers);
        let (starts, ends, axes, steps) = if self.opset < 10 {
            let axes = node.integers("axes")?;
            (Some(node.integers("starts")?), Some(node.integers("ends")?), Some(axes).filter(|a| !a.is_empty()), None)
        } else {
            (numbers(1), numbers(2), numbers(3), numbers(4))
        };
        let (Some(starts), Some(ends)) = (starts, ends) else {
            return Ok(self.flow.stranger(label, &[input], "its bounds are not constants"));
        };
        let dims = match input {
            Known::Constant(tensor) => tensor.dims().to_vec(),
            Known::Map(map) => map.dims().to_vec(),
            Known::Stranger(_) => {
                return Ok(self.flow.stranger(label, &[input], "its input is no map of a network here"));
            }
        };
        let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()].iter().any(|&n| n != starts.len()) {
            return Err(damaged(label, "its bounds have different lengths"));
        }
        let mut spans = vec![None; dims.len()];
        for (i, &axis) in axes.iter().enumerate() {
            let axis = place(axis, dims.len()).ok_or_else(|| damaged(label, "one of its axes does not exist"))?;
            let span = Span::new(dims[axis], Some(starts[i]), Some(ends[i]), steps[i]);
            spans[axis] = Some(span.ok_or_else(|| damaged(label, "its step is 0"))?);
        }
        self.flow.slice(label, input, &spans)
    }

    fn quantised(
        &mut self,
        node: &Node<'a>,
        input: &Known<'a>,
        scale: Option<&Tensor<'a>>,
        zero: Option<&Tensor<'a>>,
    ) -> Result<Known<'a>> {
        let label = &node.label;
        let element = match zero.map(Tensor::number) {
            None | Some(Number::U8) => ActivationElement::U8,
            Some(Number::I8) => ActivationElement::I8,
            Some(_) => return Ok(self.flow.stranger(label, &[input], "it quantises to other integers than bytes")),
        };
        let Some(scale) = scale else {
            return Ok(self.flow.stranger(label, &[input], "its scale is not a constant"));
        };
        if let Known::Constant(tensor) = input {
            let axis = node.integer("axis")?.unwrap_or(1);
            let rounded = rounded(tensor, scale, zero, element, place(axis, tensor.dims().len()));
            return self.flow.weights(label, rounded);
        }
        let zero = zero.and_then(Tensor::integers).and_then(|zeros| zeros.first().copied()).unwrap_or(0);
        let (1, Some(scale)) = (scale.len(), scale.values().next()) else {
            return Ok(self.flow.stranger(label, &[input], "it has several scales"));
        };
        let edge = ActivationQuantisation { element, scale, zero_point: zero as i32 };
        self.flow.quantise(label, input, edge)
    }

    fn dequantised(
        &mut self,
        node: &Node<'a>,
        input: &Known<'a>,
        scale: Option<&Tensor<'a>>,
        zero: Option<&Tensor<'a>>,
    ) -> Result<Known<'a>> {
        let label = &node.label;
        let Known::Constant(tensor) = input else { return Ok(input.clone()) };
        let whole = matches!(tensor.number(), Number::U8 | Number::I8 | Number::I32) && !tensor.is_quantised();
        let Some(scale) = scale.filter(|scale| whole && scale.dims().len() <= 1) else {
            return Ok(self.flow.stranger(label, &[input], "it makes no bytes with scales to floats"));
        };
        let count = scale.len();
        if count > tensor.len().max(1) {
            return Err(damaged(label, format!("it has {count} scales for {} values", tensor.len())));
        }
        let axis = node.integer("axis")?.unwrap_or(1);
        let axis = if count == 1 { Some(0) } else { place(axis, tensor.dims().len()) };
        let axis = axis.ok_or_else(|| damaged(label, "its axis does not exist"))?;
        let zeros = zero.and_then(Tensor::integers).unwrap_or_default();
        let zeros: Option<Vec<i32>> = zeros.iter().map(|&zero| i32::try_from(zero).ok()).collect();
        let mut zeros = zeros.ok_or_else(|| damaged(label, "a zero point is impossible"))?;
        if zeros.iter().all(|&zero| zero == 0) {
            zeros = Vec::new();
        }
        let quantisation = Quantisation { scale: scale.values().collect(), zero_point: zeros, axis };
        self.flow.dequantise(label, tensor, quantisation)
    }
}

/// The number of dimensions.
fn rank(known: &Known<'_>) -> usize {
    match known {
        Known::Constant(tensor) => tensor.dims().len(),
        Known::Map(map) => map.dims().len(),
        Known::Stranger(_) => 0,
    }
}

/// The dimensions that a Reshape asks for: 0 is the input's, -1 what is left.
fn shaped(input: &Known<'_>, shape: &[i64], zeros: bool) -> Option<Vec<usize>> {
    let before = match input {
        Known::Constant(tensor) => tensor.dims(),
        Known::Map(map) => map.dims(),
        Known::Stranger(_) => return None,
    };
    if shape.len() > crate::flow::MAX_RANK {
        return None;
    }
    let count: usize = before.iter().product();
    let mut dims = Vec::new();
    for (i, &n) in shape.iter().enumerate() {
        dims.push(match n {
            0 if zeros => *before.get(i)?,
            -1 => usize::MAX,
            n => usize::try_from(n).ok()?,
        });
    }
    let known = dims.iter().filter(|&&n| n != usize::MAX).try_fold(1usize, |product, &n| product.checked_mul(n))?;
    match dims.iter().filter(|&&n| n == usize::MAX).count() {
        0 => {}
        1 if known > 0 && count.is_multiple_of(known) => {
            dims.iter_mut().filter(|n| **n == usize::MAX).for_each(|n| *n = count / known);
        }
        _ => return None,
    }
    (dims.iter().try_fold(1usize, |product, &n| product.checked_mul(n)) == Some(count)).then_some(dims)
}

/// The zeros around a window, or why they are not supported.
#[allow(clippy::type_complexity, reason = "a damaged file is an error, an unsupported one is none yet")]
fn window_pads(node: &Node<'_>) -> Result<std::result::Result<Pads, String>> {
    let sides = node.integers("pads")?;
    let sizes = sides.iter().map(|&side| usize::try_from(side).ok().filter(|&side| side <= 4096));
    let sizes: Option<Vec<usize>> = sizes.collect();
    Ok(match (node.text("auto_pad")?.unwrap_or("NOTSET"), sizes.as_deref()) {
        ("SAME_UPPER", _) => Ok(Pads::Same),
        ("VALID", _) | ("NOTSET", Some([])) => Ok(Pads::Explicit(Borders::default())),
        ("NOTSET", Some(&[top, left, bottom, right])) => Ok(Pads::Explicit(Borders { top, bottom, left, right })),
        (kind, _) => Err(format!("its padding is {} {sides:?}", printable(kind))),
    })
}

/// An old linear Upsample does not store its rule. To a multiple and one more, as TensorFlow's DeepLab does, it is of
/// align-corners.
fn aligned(label: &str, before: &[usize], after: &[usize]) -> Option<Resize> {
    let fits =
        |(&from, &to): (&usize, &usize)| from == to || (from > 1 && to > from && (to - 1).is_multiple_of(from - 1));
    if before.len() != after.len() || !before.iter().zip(after).all(fits) {
        return None;
    }
    if before != after && before.iter().any(|&n| n > 1) {
        warn!(
            "{label}: it does not store its rule; from {before:?} to {after:?} it is read as align-corners (--resize replaces it)"
        );
    }
    Some(Resize::AlignCorners)
}

/// Weights that the graph itself quantises: bytes, rounded to even.
fn rounded<'a>(
    tensor: &Tensor<'a>,
    scale: &Tensor<'a>,
    zero: Option<&Tensor<'a>>,
    element: ActivationElement,
    axis: Option<usize>,
) -> Option<Tensor<'a>> {
    let scales: Vec<f32> = scale.values().take(tensor.len().max(1)).collect();
    let zeros = zero.and_then(Tensor::integers).unwrap_or_default();
    let axis = if scales.len() == 1 { 0 } else { axis? };
    let dims = tensor.dims();
    if scales.is_empty() || (scales.len() > 1 && dims.get(axis) != Some(&scales.len())) || scales.len() != scale.len() {
        return None;
    }
    let inner: usize = dims.get(axis + 1..)?.iter().product();
    let byte = |(i, value): (usize, f32)| {
        let channel = if scales.len() == 1 { 0 } else { i / inner.max(1) % scales.len() };
        let zero = zeros.get(channel).or(zeros.first()).copied().unwrap_or(0) as f32;
        let level = (value / scales[channel]).round_ties_even() + zero;
        match element {
            ActivationElement::U8 => level.clamp(0.0, 255.0) as u8,
            ActivationElement::I8 => (level.clamp(-128.0, 127.0) as i8).cast_unsigned(),
        }
    };
    let bytes = tensor.values().enumerate().map(byte).collect();
    let number = if element == ActivationElement::U8 { Number::U8 } else { Number::I8 };
    Tensor::of_bytes(number, bytes, dims.to_vec())
}
