//! What each operator of TensorFlow is in the one form of graphs.

use std::collections::HashMap;

use silhouette_network::spec::Resize;

use super::graph_def::{Node, Nodes, damaged, is_float};
use crate::error::{ImportError, Missing};
use crate::flow::{Filter, Flow, Known, Layout, MAX_DIMENSION, MAX_RANK, printable};
use crate::fold::{self, Binary, Span, Unary};
use crate::graph::{Borders, Graph, Op, Pads, Writer};
use crate::tensor::Tensor;

type Result<T> = std::result::Result<T, ImportError>;

/// The graph of a file of `length` bytes; `size` is the image's, where the file leaves it open.
pub(super) fn graph<'a>(nodes: &Nodes<'a>, length: usize, size: Option<usize>) -> Result<Graph<'a>> {
    let unknown = |problem: String| ImportError::UnknownNetwork { place: "the file".into(), problem };
    let is_input = |node: &&Node<'a>| matches!(node.operator, "Placeholder" | "PlaceholderV2");
    let inputs: Vec<&Node<'a>> = nodes.all.iter().filter(is_input).collect();
    let &[input] = inputs.as_slice() else {
        return Err(unknown(format!("it has {} inputs (Placeholder), not one", inputs.len())));
    };
    refuse_variables(nodes)?;
    let open = match input.shape("shape")? {
        Some(dims) if dims.len() == 4 => dims,
        // What is not said at all is an image of TensorFlow's order.
        _ => vec![None, None, None, Some(3)],
    };
    let open_size = open.iter().skip(1).any(Option::is_none);
    let size = noted_size(nodes)?.or(size).or(if open_size { None } else { Some(1) });
    let Some(size) = size.filter(|size| (1..=MAX_DIMENSION).contains(size)) else {
        let what = "the size of its image".to_owned();
        return Err(ImportError::NotSaid { missing: vec![Missing { what, flag: "--size", value: "N" }] });
    };
    let dims: Vec<usize> = open.iter().enumerate().map(|(i, n)| n.unwrap_or(if i == 0 { 1 } else { size })).collect();
    let mut flow = Flow::new("TensorFlow", length);
    let Some(image) = flow.input(dims.clone()) else {
        return Err(unknown(format!(
            "its input '{}' of {dims:?} is no image of three channels",
            printable(input.name)
        )));
    };
    let mut reader = Reader { flow, known: HashMap::new() };
    reader.known.insert((input.name, 0), image.clone());
    let (order, ends) = order(nodes)?;
    for index in order {
        let node = &nodes.all[index];
        if node.name != input.name {
            reader.operator(node)?;
        }
    }
    let outputs: Vec<&Known<'a>> = ends.iter().filter_map(|&end| reader.known.get(&(nodes.all[end].name, 0))).collect();
    let writer = Writer { tensorflow: true, ..Writer::default() };
    reader.flow.finish(&image, &outputs, writer)
}

/// A graph that keeps its weights elsewhere has none to import.
fn refuse_variables(nodes: &Nodes<'_>) -> Result<()> {
    let variable =
        nodes.all.iter().find(|node| matches!(node.operator, "VariableV2" | "Variable" | "VarHandleOp" | "RestoreV2"));
    match variable {
        Some(node) => Err(ImportError::Unsupported {
            what: format!("a TensorFlow graph whose weights are in a checkpoint ({})", node.label),
            instead: "freeze it: python -m tensorflow.python.tools.freeze_graph --input_binary --input_graph=graph.pb \
                      --input_checkpoint=model.ckpt --output_node_names=OUTPUT --output_graph=frozen.pb"
                .into(),
        }),
        None => Ok(()),
    }
}

/// The size of the image at the first layer, as the writer noted it: the input itself may be of any.
fn noted_size(nodes: &Nodes<'_>) -> Result<Option<usize>> {
    let mut found = None;
    for node in nodes.all.iter().filter(|node| matches!(node.operator, "Conv2D")) {
        let Some(input) = node.inputs.first().and_then(|name| nodes.by_name.get(output(name).0)) else { continue };
        // The first layer reads three channels.
        if let Some(&[Some(1) | None, Some(height), Some(width), Some(3)]) = nodes.all[*input].noted_shape()?.as_deref()
            && height == width
        {
            found.get_or_insert(height);
        }
    }
    Ok(found)
}

/// The node and the number of its output that an input names.
fn output(input: &str) -> (&str, usize) {
    match input.rsplit_once(':') {
        Some((name, number)) => number.parse().map_or((input, 0), |number| (name, number)),
        None => (input, 0),
    }
}

/// The nodes that lead to ends, each after those that it reads; and the ends, which nothing reads.
fn order(nodes: &Nodes<'_>) -> Result<(Vec<usize>, Vec<usize>)> {
    let count = nodes.all.len();
    let mut read = vec![false; count];
    let mut inputs = Vec::with_capacity(count);
    for node in &nodes.all {
        let mut each = Vec::new();
        for name in &node.inputs {
            let problem = || damaged(&node.label, format!("it reads '{}', which is not there", printable(name)));
            let index = *nodes.by_name.get(output(name).0).ok_or_else(problem)?;
            read[index] = true;
            each.push(index);
        }
        inputs.push(each);
    }
    // Assertions and groups give nothing.
    let gives = |index: usize| !matches!(nodes.all[index].operator, "Assert" | "NoOp" | "Const" | "Placeholder");
    let ends: Vec<usize> = (0..count).filter(|&index| !read[index] && gives(index)).collect();
    let mut state = vec![0u8; count];
    let mut order = Vec::new();
    for &end in &ends {
        let mut waiting = vec![(end, 0)];
        while let Some((index, next)) = waiting.pop() {
            if next == 0 && std::mem::replace(&mut state[index], 1) != 0 {
                continue;
            }
            let Some(&input) = inputs[index].get(next) else {
                state[index] = 2;
                order.push(index);
                continue;
            };
            waiting.push((index, next + 1));
            match state[input] {
                0 => waiting.push((input, 0)),
                1 => return Err(damaged(&nodes.all[input].label, "it reads its own output")),
                _ => {}
            }
        }
    }
    Ok((order, ends))
}

struct Reader<'a> {
    flow: Flow<'a>,
    /// What is known of each output of each node so far.
    known: HashMap<(&'a str, usize), Known<'a>>,
}

impl<'a> Reader<'a> {
    fn operator(&mut self, node: &Node<'a>) -> Result<()> {
        let mut inputs = Vec::new();
        for &name in &node.inputs {
            let (name, number) = output(name);
            let known = self.known.get(&(name, number)).cloned();
            inputs.push(match known {
                Some(known) => known,
                // Statistics of a batch norm, say.
                None => {
                    self.flow.stranger(&node.label, &[], format!("it reads output {number} of '{}'", printable(name)))
                }
            });
        }
        if let ("Unpack", Some(Known::Constant(tensor))) = (node.operator, inputs.first()) {
            // Of a shape, number by number.
            for i in 0..tensor.dims().first().copied().unwrap_or(0).min(MAX_RANK) {
                let index = Tensor::of_integers(&[i as i64], Vec::new());
                let part = index.and_then(|index| fold::gathered(tensor, &index));
                let part = self.flow.computed(&node.label, part)?;
                self.known.insert((node.name, i), part);
            }
            return Ok(());
        }
        let result = self.translated(node, &inputs)?;
        self.known.insert((node.name, 0), result);
        Ok(())
    }

    fn translated(&mut self, node: &Node<'a>, inputs: &[Known<'a>]) -> Result<Known<'a>> {
        let label = &node.label;
        let all: Vec<&Known<'a>> = inputs.iter().collect();
        let constant = |i: usize| inputs.get(i).and_then(Known::constant);
        if node.operator == "Const" {
            return Ok(match node.tensor("value")? {
                Some(tensor) => Known::Constant(tensor),
                None => self.flow.stranger(label, &[], "its type is not supported"),
            });
        }
        let Some(first) = inputs.first() else {
            return Ok(self.flow.stranger(label, &[], "MobileNets and DeepLabV3 have no such operator"));
        };
        Ok(match node.operator {
            "Conv2D" => return self.convolution(node, first, constant(1), false),
            "DepthwiseConv2dNative" => return self.convolution(node, first, constant(1), true),
            "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => {
                let four = (constant(1), constant(2), constant(3), constant(4));
                let (Some(gamma), Some(beta), Some(mean), Some(variance)) = four else {
                    return Ok(self.flow.stranger(label, &all, "its statistics are not constants"));
                };
                if node.truth("is_training")? {
                    return Ok(self.flow.stranger(label, &all, "the graph was frozen for training"));
                }
                let epsilon = node.float("epsilon")?.unwrap_or(1e-4);
                self.flow.batch_norm(label, first, layout(node)?, [gamma, beta, mean, variance], epsilon)?
            }
            "BiasAdd" => match (constant(1), layout(node)?, first) {
                (Some(bias), Layout::ChannelsFirst, Known::Map(_)) => {
                    let bias = bias.clone().reshaped(vec![bias.len(), 1, 1]).map(Known::Constant);
                    match bias {
                        Some(bias) => self.flow.binary(label, Binary::Add, first, &bias)?,
                        None => self.flow.stranger(label, &all, "its bias is not one number for each channel"),
                    }
                }
                (Some(_), ..) => self.flow.binary(label, Binary::Add, first, &inputs[1])?,
                (None, ..) => self.flow.stranger(label, &all, "its bias is not a constant"),
            },
            "Relu6" => self.flow.bounded(label, first, Some(0.0), Some(6.0)),
            "Relu" => self.flow.bounded(label, first, Some(0.0), None),
            "Add" | "AddV2" | "Sub" | "Mul" | "RealDiv" | "Div" | "FloorDiv" | "Maximum" | "Minimum" | "Equal"
            | "GreaterEqual" | "Greater" | "Less" => {
                let operator = match node.operator {
                    "Add" | "AddV2" => Binary::Add,
                    "Sub" => Binary::Subtract,
                    "Mul" => Binary::Multiply,
                    "Maximum" => Binary::Greatest,
                    "Minimum" => Binary::Least,
                    "Equal" => Binary::Equal,
                    "GreaterEqual" => Binary::AtLeast,
                    "Greater" => Binary::Above,
                    "Less" => Binary::Below,
                    _ => Binary::Divide,
                };
                match inputs {
                    [left, right] => self.flow.binary(label, operator, left, right)?,
                    _ => self.flow.stranger(label, &all, format!("it has {} inputs, not two", inputs.len())),
                }
            }
            "Floor" | "Ceil" | "Neg" | "Sqrt" | "Rsqrt" => {
                let operator = match node.operator {
                    "Floor" => Unary::Floor,
                    "Ceil" => Unary::Ceil,
                    "Neg" => Unary::Negate,
                    "Sqrt" => Unary::Root,
                    _ => Unary::InverseRoot,
                };
                match first.constant() {
                    Some(tensor) => self.flow.computed(label, fold::unary(operator, tensor))?,
                    None => self.flow.stranger(label, &all, "MobileNets and DeepLabV3 have no such operator"),
                }
            }
            "Select" | "SelectV2" => match (constant(0), constant(1), constant(2)) {
                (Some(condition), Some(left), Some(right)) => {
                    self.flow.computed(label, fold::choose(condition, left, right))?
                }
                _ => self.flow.stranger(label, &all, "MobileNets and DeepLabV3 have no such operator"),
            },
            "AvgPool" => {
                let (window, layout) = (node.integers("ksize")?, layout(node)?);
                let window = match (window.as_slice(), layout) {
                    (&[1, down, across, 1], Layout::ChannelsLast) | (&[1, 1, down, across], Layout::ChannelsFirst) => {
                        [down, across].map(|n| usize::try_from(n).unwrap_or(0))
                    }
                    _ => [0, 0],
                };
                // Over all of a map there is no padding, whatever it says, unless the window moves.
                let moves = node.text("padding")?.is_none_or(|padding| padding != "VALID");
                self.flow.average(label, first, layout, window, moves)
            }
            "Mean" => {
                let axes = constant(1).and_then(Tensor::integers).unwrap_or_default();
                self.flow.mean(label, first, &axes, node.truth("keep_dims")?)
            }
            "ResizeBilinear" | "ResizeNearestNeighbor" => return self.resized(node, first, constant(1)),
            "ConcatV2" | "Concat" => {
                let (("ConcatV2", [parts @ .., axis]) | (_, [axis, parts @ ..])) = (node.operator, inputs) else {
                    return Err(damaged(label, "it has no inputs"));
                };
                let axis = axis.constant().and_then(Tensor::integers).and_then(|axis| axis.first().copied());
                let parts: Vec<&Known<'a>> = parts.iter().collect();
                match axis {
                    Some(axis) => self.flow.concatenation(label, &parts, axis)?,
                    None => self.flow.stranger(label, &all, "its axis is not a constant"),
                }
            }
            "Pack" => {
                let parts: Option<Vec<&Tensor<'a>>> = inputs.iter().map(Known::constant).collect();
                match (parts, node.integer("axis")?) {
                    (Some(parts), 0) => self.flow.computed(label, fold::stacked(&parts))?,
                    _ => self.flow.stranger(label, &all, "it stacks maps"),
                }
            }
            "SpaceToBatchND" | "BatchToSpaceND" => self.cut(node, first, constant(1), constant(2)),
            "Pad" | "PadV2" => {
                let pads = constant(1).and_then(Tensor::integers);
                let zeros = node.operator == "Pad" || constant(2).is_some_and(|value| value.values().eq([0.0]));
                match pads.filter(|pads| zeros && pads.len() % 2 == 0) {
                    Some(pads) => self.flow.pad(label, first, pads.as_chunks::<2>().0),
                    None => {
                        self.flow.stranger(label, &all, "it pads with something else than a constant number of zeros")
                    }
                }
            }
            "Softmax" => self.flow.ending(label, first, Op::Softmax, Some(-1)),
            "Sigmoid" => self.flow.ending(label, first, Op::Logistic, None),
            "ArgMax" => match constant(1).and_then(Tensor::integers).as_deref() {
                Some(&[axis]) => self.flow.best(label, first, axis, false),
                _ => self.flow.stranger(label, &all, "its axis is not a constant"),
            },
            "Identity"
            | "StopGradient"
            | "PreventGradient"
            | "CheckNumerics"
            | "PlaceholderWithDefault"
            | "Snapshot" => first.clone(),
            "Cast" => self.flow.cast(label, first, is_float(node.kind("DstT")?))?,
            "ExpandDims" => match constant(1).and_then(Tensor::integers) {
                Some(axes) => self.flow.with_ones(label, first, &axes)?,
                None => self.flow.stranger(label, &all, "its axis is not a constant"),
            },
            "Squeeze" => {
                let mut axes = node.integers("squeeze_dims")?;
                axes.extend(node.integers("axis")?);
                self.flow.without_ones(label, first, &axes)?
            }
            "Reshape" => match constant(1).and_then(Tensor::integers).and_then(|shape| shaped(first, &shape)) {
                Some(dims) => self.flow.reshape(label, first, dims)?,
                None => self.flow.stranger(label, &all, "its shape is not a constant that fits"),
            },
            "Transpose" => match constant(1).and_then(Tensor::integers) {
                Some(order) => self.flow.transpose(label, first, &order)?,
                None => self.flow.stranger(label, &all, "its order is not a constant"),
            },
            "Shape" => match dims(first) {
                Some(dims) => {
                    let dims: Vec<i64> = dims.iter().map(|&n| n as i64).collect();
                    self.flow.computed(label, Tensor::of_integers(&dims, vec![dims.len()]))?
                }
                None => self.flow.stranger(label, &all, "its input is no map of a network here"),
            },
            "Fill" => {
                let shape = constant(0).and_then(Tensor::integers);
                let shape = shape.and_then(|s| s.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>());
                let filled = shape.zip(constant(1)).and_then(|(shape, value)| fold::repeated(value, shape));
                self.flow.computed(label, filled)?
            }
            "Gather" | "GatherV2" => match (constant(0), constant(1)) {
                (Some(tensor), Some(indices)) => self.flow.computed(label, fold::gathered(tensor, indices))?,
                _ => self.flow.stranger(label, &all, "it takes a part of a map"),
            },
            "StridedSlice" => return self.sliced(node, first, [1, 2, 3].map(constant)),
            "Slice" => {
                let (Some(dims), Some(starts), Some(sizes)) =
                    (dims(first), constant(1).and_then(Tensor::integers), constant(2).and_then(Tensor::integers))
                else {
                    return Ok(self.flow.stranger(label, &all, "its bounds are not constants"));
                };
                if starts.len() != dims.len() || sizes.len() != dims.len() {
                    return Err(damaged(label, "its bounds have another number of dimensions"));
                }
                let span = |i: usize| {
                    let to = if sizes[i] < 0 { None } else { Some(starts[i].saturating_add(sizes[i])) };
                    Span::new(dims[i], Some(starts[i]), to, 1)
                };
                let spans: Vec<_> = (0..dims.len()).map(span).collect();
                self.flow.slice(label, first, &spans)?
            }
            "MatMul" => {
                let turned = (node.truth("transpose_a")?, node.truth("transpose_b")?);
                let matrix = constant(1).filter(|weight| weight.dims().len() == 2 && !turned.0);
                let matrix =
                    matrix.and_then(
                        |weight| {
                            if turned.1 { Some(weight.clone()) } else { weight.clone().transposed(&[1, 0]) }
                        },
                    );
                match matrix {
                    Some(matrix) => self.flow.product(label, first, matrix, None)?,
                    None => self.flow.stranger(label, &all, "it is no product with a constant matrix"),
                }
            }
            _ => self.flow.stranger(label, &all, "MobileNets and DeepLabV3 have no such operator"),
        })
    }

    fn convolution(
        &mut self,
        node: &Node<'a>,
        input: &Known<'a>,
        weight: Option<&Tensor<'a>>,
        depthwise: bool,
    ) -> Result<Known<'a>> {
        let label = &node.label;
        // (K, K, I, O); depthwise (K, K, C, multiplier).
        let Some(weight) = weight.filter(|weight| weight.dims().len() == 4) else {
            return Ok(self.flow.stranger(label, &[input], "its weights are not a constant of four dimensions"));
        };
        let groups = if depthwise { weight.dims()[2] } else { 1 };
        if depthwise && weight.dims()[3] != 1 {
            return Ok(self.flow.stranger(label, &[input], format!("it makes {} channels of each", weight.dims()[3])));
        }
        let weight = weight.clone().permuted(if depthwise { [2, 3, 0, 1] } else { [3, 2, 0, 1] });
        let layout = layout(node)?;
        let pair = |numbers: &[i64]| {
            let two = match (numbers, layout) {
                ([], _) => [1, 1],
                (&[1, down, across, 1], Layout::ChannelsLast) | (&[1, 1, down, across], Layout::ChannelsFirst) => {
                    [down, across]
                }
                _ => [0, 0],
            };
            two.map(|n| usize::try_from(n).unwrap_or(0))
        };
        let pads = match node.text("padding")?.unwrap_or("") {
            "SAME" => Pads::Same,
            "VALID" => Pads::Explicit(Borders::default()),
            "EXPLICIT" => {
                let sides = node.integers("explicit_paddings")?;
                let side = |n: i64| usize::try_from(n).ok().filter(|&n| n <= 4096);
                let four = match (sides.as_slice(), layout) {
                    (&[0, 0, top, bottom, left, right, 0, 0], Layout::ChannelsLast)
                    | (&[0, 0, 0, 0, top, bottom, left, right], Layout::ChannelsFirst) => {
                        side(top).zip(side(bottom)).zip(side(left).zip(side(right)))
                    }
                    _ => None,
                };
                match four {
                    Some(((top, bottom), (left, right))) => Pads::Explicit(Borders { top, bottom, left, right }),
                    None => return Ok(self.flow.stranger(label, &[input], format!("it pads {sides:?}"))),
                }
            }
            other => return Err(damaged(label, format!("its padding is '{}'", printable(other)))),
        };
        let strides = pair(&node.integers("strides")?);
        let rates = pair(&node.integers("dilations")?);
        let filter = Filter { weight, bias: None, groups, strides, rates, pads };
        self.flow.convolution(label, input, layout, filter)
    }

    fn resized(&mut self, node: &Node<'a>, input: &Known<'a>, size: Option<&Tensor<'a>>) -> Result<Known<'a>> {
        let label = &node.label;
        let (Some(&[batch, _, _, channels]), Some(size)) = (dims(input), size.and_then(Tensor::integers)) else {
            return Ok(self.flow.stranger(label, &[input], "the size that it resizes to is not known"));
        };
        let &[height, width] = size.as_slice() else {
            return Err(damaged(label, format!("it resizes to {size:?}, not two numbers")));
        };
        let [height, width] = [height, width].map(|n| usize::try_from(n).unwrap_or(0));
        let rule = match (node.operator, node.truth("align_corners")?, node.truth("half_pixel_centers")?) {
            ("ResizeBilinear", true, false) => Some(Resize::AlignCorners),
            ("ResizeBilinear", false, true) => Some(Resize::HalfPixel),
            _ => None,
        };
        Ok(self.flow.resize(label, input, &[batch, height, width, channels], rule))
    }

    fn cut(
        &mut self,
        node: &Node<'a>,
        input: &Known<'a>,
        block: Option<&Tensor<'a>>,
        borders: Option<&Tensor<'a>>,
    ) -> Known<'a> {
        let (block, borders) = (block.and_then(Tensor::integers), borders.and_then(Tensor::integers));
        let side = |n: i64| usize::try_from(n).ok().filter(|&n| n <= 4096);
        let parts = match (block.as_deref(), borders.as_deref()) {
            (Some(&[down, across]), Some(&[top, bottom, left, right])) if down == across => {
                let sides = [top, bottom, left, right].map(side);
                side(down).filter(|block| (1..=1024).contains(block)).zip(match sides {
                    [Some(top), Some(bottom), Some(left), Some(right)] => Some(Borders { top, bottom, left, right }),
                    _ => None,
                })
            }
            _ => None,
        };
        let Some((block, borders)) = parts else {
            let problem = format!("its block is {block:?} and its borders {borders:?}");
            return self.flow.stranger(&node.label, &[input], problem);
        };
        self.flow.cut(&node.label, input, block, borders, node.operator == "SpaceToBatchND")
    }

    fn sliced(&mut self, node: &Node<'a>, input: &Known<'a>, bounds: [Option<&Tensor<'a>>; 3]) -> Result<Known<'a>> {
        let label = &node.label;
        let numbers = bounds.map(|bound| bound.and_then(Tensor::integers));
        let (Some(dims), [Some(starts), Some(ends), Some(steps)]) = (dims(input), numbers) else {
            return Ok(self.flow.stranger(label, &[input], "its bounds are not constants"));
        };
        let mask = |name: &str| node.integer(name);
        let other = mask("ellipsis_mask")? != 0 || mask("new_axis_mask")? != 0;
        let count = starts.len();
        if other || count > dims.len() || ends.len() != count || steps.len() != count {
            return Ok(self.flow.stranger(label, &[input], "it takes a part in an unknown way"));
        }
        let (begins, stops, shrinks) = (mask("begin_mask")?, mask("end_mask")?, mask("shrink_axis_mask")?);
        let mut spans = Vec::new();
        let mut gone = Vec::new();
        for i in 0..count {
            let has = |mask: i64| mask >> i & 1 == 1;
            let shrinks = has(shrinks);
            let from = Some(starts[i]).filter(|_| !has(begins) || shrinks);
            let to = if shrinks {
                starts[i].checked_add(1).filter(|&to| to != 0)
            } else {
                Some(ends[i]).filter(|_| !has(stops))
            };
            let span = Span::new(dims[i], from, to, if shrinks { 1 } else { steps[i] });
            let span = span.ok_or_else(|| damaged(label, "its step is 0"))?;
            if shrinks {
                if span.count != 1 {
                    return Err(damaged(label, "it takes an index that does not exist"));
                }
                gone.push(i as i64);
            }
            spans.push(Some(span));
        }
        let part = self.flow.slice(label, input, &spans)?;
        if gone.is_empty() { Ok(part) } else { self.flow.without_ones(label, &part, &gone) }
    }
}

/// The order of a map's dimensions that an operator works on.
fn layout(node: &Node<'_>) -> Result<Layout> {
    Ok(match node.text("data_format")? {
        Some("NCHW") => Layout::ChannelsFirst,
        _ => Layout::ChannelsLast,
    })
}

fn dims<'k>(known: &'k Known<'_>) -> Option<&'k [usize]> {
    match known {
        Known::Constant(tensor) => Some(tensor.dims()),
        Known::Map(map) => Some(map.dims()),
        Known::Stranger(_) => None,
    }
}

/// The dimensions that a Reshape asks for: -1 is what is left.
fn shaped(input: &Known<'_>, shape: &[i64]) -> Option<Vec<usize>> {
    let count = dims(input)?.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
    let known = shape
        .iter()
        .filter(|&&n| n != -1)
        .try_fold(1usize, |product, &n| product.checked_mul(usize::try_from(n).ok()?))?;
    let open = shape.iter().filter(|&&n| n == -1).count();
    let fits = match open {
        0 => known == count,
        1 => known > 0 && count.is_multiple_of(known),
        _ => false,
    };
    if shape.len() > MAX_RANK || !fits {
        return None;
    }
    shape.iter().map(|&n| if n == -1 { Some(count / known) } else { usize::try_from(n).ok() }).collect()
}
