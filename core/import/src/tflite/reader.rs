//! From the verified flatbuffer to a [`Graph`]: operators and their options, constants permuted to PyTorch's order, the
//! meaning of quantised values.

use std::collections::HashMap;

use flatbuffers::VerifierOptions;
use silhouette_network::spec::{Activation, Resize};
use silhouette_weights::{ActivationElement, ActivationQuantisation, Quantisation};

use super::schema_generated::tflite as schema;
use super::schema_generated::tflite::{ActivationFunctionType, BuiltinOperator, Padding as FilePadding, TensorType};
use crate::budget::Budget;
use crate::error::ImportError;
use crate::graph::{Borders, Convolution, Graph, Node, Op, Pads, Pixel, Value, Writer};
use crate::tensor::{Number, Tensor};

/// Limit on weights created per byte of the file: one where weights are stored as bytes, and as much again for small
/// tensors that several operators share.
pub(super) const WEIGHTS_PER_BYTE: usize = 2;

/// More dimensions than any supported operator has.
const MAX_RANK: usize = 8;

/// More tensors or buffers than any supported network has: it limits the memory for a file's lists, whose entries may be four
/// bytes long.
const MAX_ENTRIES: usize = 1 << 16;

/// More operators than any supported network has: one may be thirty bytes of the file, and takes two kilobytes.
const MAX_OPERATORS: usize = 1 << 13;

/// More inputs than any supported operator has.
const MAX_OPERANDS: usize = 64;

/// More integers than any supported operator has: four pairs of borders.
const MAX_INTEGERS: usize = 16;

/// More rows, columns or channels than a map or kernel can have.
const MAX_DIMENSION: usize = 1 << 20;

pub(super) struct Reader<'a> {
    buffers: Vec<&'a [u8]>,
    tensors: Vec<TensorInfo<'a>>,
    subgraph: schema::SubGraph<'a>,
    codes: Vec<(BuiltinOperator, &'a str)>,
    /// Constants that an operator only dequantises: its output, and the constant itself.
    dequantised: HashMap<usize, usize>,
    /// Remaining budget of weights.
    weights: Budget,
    /// Remaining bytes of scales and zero points.
    scales: Budget,
}

struct TensorInfo<'a> {
    name: &'a str,
    shape: Vec<usize>,
    dtype: TensorType,
    buffer: usize,
    sparse: bool,
    quantisation: Option<schema::QuantizationParameters<'a>>,
}

/// A constant's bytes in the file's own order.
struct Constant<'a> {
    index: usize,
    data: &'a [u8],
}

fn damaged(place: impl Into<String>, problem: impl Into<String>) -> ImportError {
    ImportError::Damaged { format: "TensorFlow Lite", place: place.into(), problem: problem.into() }
}

fn unknown(place: &str, problem: impl Into<String>) -> ImportError {
    ImportError::UnknownNetwork { place: place.to_owned(), problem: problem.into() }
}

/// A name from the file, short and printable.
fn printable(name: &str) -> String {
    let short: String = name.chars().take(60).collect();
    short.escape_debug().to_string()
}

impl<'a> Reader<'a> {
    /// Verifies the file and reads its tables.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, ImportError> {
        let options = VerifierOptions {
            // A table takes at least four bytes, and an offset to it four more; shared ones count again.
            max_tables: (bytes.len() / 4).min(1_000_000),
            max_apparent_size: bytes.len().saturating_mul(8).saturating_add(1 << 16),
            ..VerifierOptions::default()
        };
        let model = flatbuffers::root_with_opts::<schema::Model>(&options, bytes).map_err(|error| {
            let text = error.to_string();
            damaged("the flatbuffer", text.split_whitespace().collect::<Vec<_>>().join(" "))
        })?;
        if model.version() != 3 {
            return Err(ImportError::Unsupported {
                what: format!("TensorFlow Lite's format version {}", model.version()),
                instead: "version 3 is".into(),
            });
        }
        let many = |what: &str, n: usize, most: usize| {
            if n <= most {
                return Ok(());
            }
            Err(damaged("the flatbuffer", format!("it has {n} {what}; no network here has more than {most}")))
        };
        many("buffers", model.buffers().map_or(0, |v| v.len()), MAX_ENTRIES)?;
        many("operator codes", model.operator_codes().map_or(0, |v| v.len()), MAX_ENTRIES)?;
        let mut buffers = Vec::new();
        for (i, buffer) in model.buffers().into_iter().flatten().enumerate() {
            if buffer.offset() > 1 {
                return Err(ImportError::Unsupported {
                    what: format!("buffer {i} outside the flatbuffer (files over 2 GB)"),
                    instead: "no network here needs one".into(),
                });
            }
            buffers.push(buffer.data().map_or(&[][..], |data| data.bytes()));
        }
        let subgraph = match model.subgraphs() {
            Some(subgraphs) if subgraphs.len() == 1 => subgraphs.get(0),
            other => {
                let n = other.map_or(0, |s| s.len());
                return Err(unknown("the file", format!("it has {n} subgraphs, not one")));
            }
        };
        many("tensors", subgraph.tensors().map_or(0, |v| v.len()), MAX_ENTRIES)?;
        many("operators", subgraph.operators().map_or(0, |v| v.len()), MAX_OPERATORS)?;
        let mut codes = Vec::new();
        for code in model.operator_codes().into_iter().flatten() {
            // Old files have only the first of the two; new ones set both as far as the first can hold it.
            let number = code.builtin_code().0.max(i32::from(code.deprecated_builtin_code()));
            codes.push((BuiltinOperator(number), code.custom_code().unwrap_or("")));
        }
        let mut tensors = Vec::new();
        for (i, tensor) in subgraph.tensors().into_iter().flatten().enumerate() {
            let name = tensor.name().unwrap_or("");
            let place = || format!("tensor {i} ('{}')", printable(name));
            let mut shape = Vec::new();
            for dimension in tensor.shape().into_iter().flatten() {
                let dimension = usize::try_from(dimension).ok().filter(|&d| d <= MAX_DIMENSION);
                let too_many = shape.len() == MAX_RANK;
                let Some(dimension) = dimension.filter(|_| !too_many) else {
                    return Err(damaged(place(), "its shape is impossible"));
                };
                shape.push(dimension);
            }
            let buffer = tensor.buffer() as usize;
            if buffer >= buffers.len() {
                return Err(damaged(place(), format!("it is in buffer {buffer} of {}", buffers.len())));
            }
            tensors.push(TensorInfo {
                name,
                shape,
                dtype: tensor.type_(),
                buffer,
                sparse: tensor.sparsity().is_some(),
                quantisation: tensor.quantization(),
            });
        }
        let weights = Budget::new("weights (shared ones count again)", bytes.len().saturating_mul(WEIGHTS_PER_BYTE));
        let scales = Budget::new("bytes of scales (shared ones count again)", bytes.len());
        Ok(Self { buffers, tensors, subgraph, codes, dequantised: HashMap::new(), weights, scales })
    }

    /// Reads the operators.
    pub(super) fn graph(mut self) -> Result<Graph<'a>, ImportError> {
        let input = self.single(self.subgraph.inputs(), "inputs")?;
        let outputs = self.indices(self.subgraph.outputs(), "the outputs")?;
        let outputs: Vec<Value> = outputs.into_iter().flatten().collect();
        if outputs.is_empty() {
            return Err(damaged("the outputs", "there are none"));
        }
        let operators = self.subgraph.operators().into_iter().flatten();
        let mut written = vec![false; self.tensors.len()];
        let mut nodes = Vec::new();
        for (index, operator) in operators.enumerate() {
            let code = self.codes.get(operator.opcode_index() as usize).copied();
            let Some((code, custom)) = code else {
                return Err(damaged(format!("operator {index}"), "its code is outside the list of codes"));
            };
            let name = match code.variant_name() {
                Some("CUSTOM") => format!("custom '{}'", printable(custom)),
                Some(name) => name.to_owned(),
                None => format!("operator code {}", code.0),
            };
            let place = format!("operator {index} ({name})");
            let inputs = self.indices(operator.inputs(), &place)?;
            let outputs = self.indices(operator.outputs(), &place)?;
            let &[Some(output)] = outputs.as_slice() else {
                return Err(unknown(&place, format!("it has {} outputs, not one", outputs.len())));
            };
            let tensor_name = printable(self.tensors[output].name);
            let label = format!("operator {index} ({name}, '{tensor_name}')");
            if std::mem::replace(&mut written[output], true) || output == input || self.is_constant(output) {
                return Err(damaged(label, "its output is also written elsewhere"));
            }
            if code == BuiltinOperator::DEQUANTIZE
                && let [Some(constant)] = inputs.as_slice()
                && self.is_constant(*constant)
            {
                self.dequantised.insert(output, *constant);
                continue;
            }
            let op = match self.affine(code, &operator, &inputs, &label)? {
                Some(op) => op,
                None => match self.operation(code, &operator, &inputs, output, &label) {
                    // An error only where the network is looked for.
                    Err(ImportError::UnknownNetwork { problem, .. }) => Op::Other(problem),
                    op => op?,
                },
            };
            let mut flowing = Vec::new();
            for value in inputs.into_iter().flatten().filter(|&value| !self.is_constant(value)) {
                if value != input && !written[value] {
                    return Err(damaged(label, format!("it reads tensor {value} before anything has written it")));
                }
                flowing.push(value);
            }
            nodes.push(Node { label, op, inputs: flowing, output });
        }
        let pixel = self.pixel(input);
        let shapes = self.tensors.iter().map(|tensor| tensor.shape.clone()).collect();
        let mut quantised = vec![None; self.tensors.len()];
        for value in nodes.iter().map(|node| node.output).chain([input]) {
            quantised[value] = self.edge(value)?;
        }
        Ok(Graph { nodes, shapes, quantised, input, outputs, pixel, writer: Writer::default() })
    }

    fn indices(
        &self,
        vector: Option<flatbuffers::Vector<'a, i32>>,
        place: &str,
    ) -> Result<Vec<Option<usize>>, ImportError> {
        let operands = vector.as_ref().map_or(0, flatbuffers::Vector::len);
        if operands > MAX_OPERANDS {
            return Err(damaged(place, format!("it has {operands} operands")));
        }
        let mut indices = Vec::new();
        for index in vector.into_iter().flatten() {
            indices.push(match usize::try_from(index) {
                Ok(index) if index < self.tensors.len() => Some(index),
                Err(_) if index == -1 => None,
                _ => return Err(damaged(place, format!("there is no tensor {index}"))),
            });
        }
        Ok(indices)
    }

    fn single(&self, vector: Option<flatbuffers::Vector<'a, i32>>, what: &str) -> Result<usize, ImportError> {
        match self.indices(vector, what)?.as_slice() {
            [Some(index)] => Ok(*index),
            several => Err(unknown("the file", format!("it has {} {what}, not one", several.len()))),
        }
    }

    fn is_constant(&self, index: usize) -> bool {
        self.dequantised.contains_key(&index) || !self.buffers[self.tensors[index].buffer].is_empty()
    }

    /// The constant that is an operator's input `position`.
    fn constant(&self, inputs: &[Option<usize>], position: usize) -> Option<Constant<'a>> {
        let index = inputs.get(position).copied().flatten()?;
        let index = self.dequantised.get(&index).copied().unwrap_or(index);
        let data = self.buffers[self.tensors[index].buffer];
        (!data.is_empty()).then_some(Constant { index, data })
    }

    /// Integers: sizes, paddings, axes.
    fn integers(&self, inputs: &[Option<usize>], position: usize, label: &str) -> Result<Vec<i64>, ImportError> {
        let constant = self
            .constant(inputs, position)
            .ok_or_else(|| unknown(label, format!("its input {position} is not a constant")))?;
        let impossible = || damaged(label, format!("its input {position} has an impossible length"));
        if constant.data.len() > MAX_INTEGERS * 8 {
            return Err(impossible());
        }
        let (values, rest): (Vec<i64>, usize) = match self.tensors[constant.index].dtype {
            TensorType::INT32 => {
                let (chunks, rest) = constant.data.as_chunks::<4>();
                (chunks.iter().map(|&b| i64::from(i32::from_le_bytes(b))).collect(), rest.len())
            }
            TensorType::INT64 => {
                let (chunks, rest) = constant.data.as_chunks::<8>();
                (chunks.iter().map(|&b| i64::from_le_bytes(b)).collect(), rest.len())
            }
            other => return Err(unknown(label, format!("its input {position} is {other:?}, not integers"))),
        };
        if rest != 0 || values.len() > MAX_INTEGERS {
            return Err(impossible());
        }
        Ok(values)
    }

    fn place(&self, index: usize) -> String {
        format!("tensor {index} ('{}')", printable(self.tensors[index].name))
    }

    /// What the bytes of a value in the graph represent.
    fn edge(&self, index: usize) -> Result<Option<ActivationQuantisation>, ImportError> {
        let tensor = &self.tensors[index];
        let element = match tensor.dtype {
            TensorType::UINT8 => ActivationElement::U8,
            TensorType::INT8 => ActivationElement::I8,
            _ => return Ok(None),
        };
        let scale = tensor.quantisation.as_ref().and_then(schema::QuantizationParameters::scale);
        let Some(scale) = scale.filter(|scale| scale.len() == 1) else { return Ok(None) };
        let place = self.place(index);
        let zero = tensor.quantisation.as_ref().and_then(schema::QuantizationParameters::zero_point);
        let zero = zero.and_then(|zeros| zeros.into_iter().next()).unwrap_or(0);
        let zero = i32::try_from(zero).map_err(|_| damaged(&place, format!("its zero point is {zero}")))?;
        let edge = ActivationQuantisation { element, scale: scale.get(0), zero_point: zero };
        edge.check().map_err(|problem| damaged(place, problem))?;
        Ok(Some(edge))
    }

    /// A constant as it is in the file, in the file's order.
    fn tensor(&mut self, constant: &Constant<'a>) -> Result<Tensor<'a>, ImportError> {
        let place = self.place(constant.index);
        let TensorInfo { shape, dtype, sparse, .. } = &self.tensors[constant.index];
        let number = match *dtype {
            TensorType::FLOAT32 => Number::F32,
            TensorType::FLOAT16 => Number::F16,
            TensorType::INT32 => Number::I32,
            TensorType::UINT8 => Number::U8,
            TensorType::INT8 => Number::I8,
            other => {
                return Err(ImportError::Unsupported {
                    what: format!("{place} of type {other:?}"),
                    instead: "weights may be float32, float16, uint8 and int8, biases also int32".into(),
                });
            }
        };
        if *sparse {
            return Err(ImportError::Unsupported {
                what: format!("{place}, which is sparse"),
                instead: "convert the model without sparsity".into(),
            });
        }
        let data = constant.data;
        let tensor = Tensor::new(number, data, shape.clone()).ok_or_else(|| {
            let width = number.bytes();
            let bytes = data.len();
            damaged(&place, format!("its shape {shape:?} of {width}-byte values does not fit its {bytes} bytes"))
        })?;
        self.weights.spend(tensor.len()).map_err(|problem| damaged(&place, problem))?;
        if matches!(number, Number::F32 | Number::F16) {
            return Ok(tensor);
        }
        let quantisation = quantisation(&self.tensors[constant.index], &place, &mut self.scales)?;
        quantisation.check(tensor.dims()).map_err(|problem| damaged(&place, problem))?;
        Ok(tensor.quantised(quantisation))
    }

    /// The operation of one operator.
    fn operation(
        &mut self,
        code: BuiltinOperator,
        operator: &schema::Operator<'a>,
        inputs: &[Option<usize>],
        output: usize,
        label: &str,
    ) -> Result<Op<'a>, ImportError> {
        let without = || damaged(label, "its options are missing");
        let no_activation = |function: ActivationFunctionType| match function {
            ActivationFunctionType::NONE => Ok(()),
            other => Err(unknown(label, format!("{other:?} follows it"))),
        };
        Ok(match code {
            BuiltinOperator::CONV_2D => {
                let options = operator.builtin_options_as_conv_2_doptions().ok_or_else(without)?;
                let stride = one(label, "stride", options.stride_h(), options.stride_w())?;
                let rate = one(label, "rate", options.dilation_h_factor(), options.dilation_w_factor())?;
                let activation = activation(label, options.fused_activation_function())?;
                let (weight, bias) = self.weights(inputs, [0, 3, 1, 2], 4, label)?;
                let pads = pads(label, options.padding())?;
                convolution(false, [stride, rate], pads, activation, weight, bias)
            }
            BuiltinOperator::DEPTHWISE_CONV_2D => {
                let options = operator.builtin_options_as_depthwise_conv_2_doptions().ok_or_else(without)?;
                let stride = one(label, "stride", options.stride_h(), options.stride_w())?;
                let rate = one(label, "rate", options.dilation_h_factor(), options.dilation_w_factor())?;
                let activation = activation(label, options.fused_activation_function())?;
                let (weight, bias) = self.weights(inputs, [3, 0, 1, 2], 4, label)?;
                let pads = pads(label, options.padding())?;
                convolution(true, [stride, rate], pads, activation, weight, bias)
            }
            BuiltinOperator::FULLY_CONNECTED => {
                let options = operator.builtin_options_as_fully_connected_options().ok_or_else(without)?;
                if options.weights_format() != 0 {
                    return Err(unknown(label, "its weights are shuffled"));
                }
                let activation = activation(label, options.fused_activation_function())?;
                let (weight, bias) = self.weights(inputs, [0, 1, 2, 3], 2, label)?;
                let pads = Pads::Explicit(Borders::default());
                convolution(false, [1, 1], pads, activation, weight, bias)
            }
            BuiltinOperator::ADD => {
                if let Some(options) = operator.builtin_options_as_add_options() {
                    no_activation(options.fused_activation_function())?;
                }
                if inputs.iter().flatten().filter(|&&value| !self.is_constant(value)).count() != 2 {
                    return Err(unknown(label, "it does not add two maps"));
                }
                Op::Add
            }
            BuiltinOperator::AVERAGE_POOL_2D => {
                let options = operator.builtin_options_as_pool_2_doptions().ok_or_else(without)?;
                no_activation(options.fused_activation_function())?;
                let shape = inputs.first().copied().flatten().map_or(&[][..], |value| &self.tensors[value].shape);
                let filter = [options.filter_height(), options.filter_width()].map(|n| usize::try_from(n).unwrap_or(0));
                let whole = matches!(shape, [1, h, w, _] if [*h, *w] == filter)
                    && matches!(self.tensors[output].shape.as_slice(), [1, 1, 1, _]);
                if !whole {
                    return Err(unknown(label, format!("it averages {filter:?} of a map {shape:?}, not all of it")));
                }
                Op::GlobalPool
            }
            BuiltinOperator::MEAN => {
                let mut axes = self.integers(inputs, 1, label)?;
                axes.sort_unstable();
                if axes != [1, 2] {
                    return Err(unknown(label, format!("it averages over axes {axes:?}, not rows and columns")));
                }
                Op::GlobalPool
            }
            BuiltinOperator::RESIZE_BILINEAR => {
                let options = operator.builtin_options_as_resize_bilinear_options().ok_or_else(without)?;
                let rule = match (options.align_corners(), options.half_pixel_centers()) {
                    (true, false) => Some(Resize::AlignCorners),
                    (false, true) => Some(Resize::HalfPixel),
                    _ => None,
                };
                Op::Resize { rule }
            }
            BuiltinOperator::CONCATENATION => {
                let options = operator.builtin_options_as_concatenation_options().ok_or_else(without)?;
                no_activation(options.fused_activation_function())?;
                if !matches!(options.axis(), 3 | -1) {
                    return Err(unknown(label, format!("it joins along axis {}, not the channels", options.axis())));
                }
                Op::Concatenate
            }
            BuiltinOperator::RESHAPE | BuiltinOperator::SQUEEZE => {
                let from = inputs.first().copied().flatten().map_or(&[][..], |value| &self.tensors[value].shape);
                let ones_but_last =
                    |shape: &[usize]| shape.split_last().is_some_and(|(_, rest)| rest.iter().all(|&n| n == 1));
                let to = &self.tensors[output].shape;
                if !ones_but_last(from) || !ones_but_last(to) || from.last() != to.last() {
                    return Err(unknown(label, format!("it turns {from:?} into {to:?}")));
                }
                Op::Pass
            }
            BuiltinOperator::PAD => {
                let pads = self.integers(inputs, 1, label)?;
                match pads.as_slice() {
                    &[0, 0, top, bottom, left, right, 0, 0] => Op::Pad(borders(label, [top, bottom, left, right])?),
                    _ => return Err(unknown(label, format!("it pads {pads:?}, not rows and columns"))),
                }
            }
            BuiltinOperator::SPACE_TO_BATCH_ND | BuiltinOperator::BATCH_TO_SPACE_ND => {
                let blocks = self.integers(inputs, 1, label)?;
                let pads = self.integers(inputs, 2, label)?;
                let (&[rows, columns], &[top, bottom, left, right]) = (blocks.as_slice(), pads.as_slice()) else {
                    return Err(unknown(label, format!("its block is {blocks:?} and its borders {pads:?}")));
                };
                let block = one(label, "block", clamp(rows), clamp(columns))?;
                let borders = borders(label, [top, bottom, left, right])?;
                if code == BuiltinOperator::SPACE_TO_BATCH_ND {
                    Op::SpaceToBatch { block, borders }
                } else {
                    Op::BatchToSpace { block, borders }
                }
            }
            BuiltinOperator::RELU => Op::Activation(Activation::Relu),
            BuiltinOperator::RELU6 => Op::Activation(Activation::Relu6),
            BuiltinOperator::SOFTMAX => Op::Softmax,
            BuiltinOperator::LOGISTIC => Op::Logistic,
            BuiltinOperator::ARG_MAX => Op::ArgMax,
            BuiltinOperator::QUANTIZE | BuiltinOperator::DEQUANTIZE | BuiltinOperator::CAST => Op::Pass,
            _ => return Err(unknown(label, "MobileNets and DeepLabV3 have no such operator")),
        })
    }

    /// Weight, permuted to PyTorch's order, and bias (zeros if there is none).
    fn weights(
        &mut self,
        inputs: &[Option<usize>],
        order: [usize; 4],
        rank: usize,
        label: &str,
    ) -> Result<(Tensor<'a>, Tensor<'a>), ImportError> {
        let weight = self.constant(inputs, 1).ok_or_else(|| unknown(label, "its weights are not a constant"))?;
        let shape = self.tensors[weight.index].shape.clone();
        if shape.len() != rank || shape.contains(&0) {
            return Err(damaged(label, format!("its weights have the shape {shape:?}")));
        }
        let weight = self.tensor(&weight)?.extended(4).permuted(order);
        let channels = weight.dims()[0];
        let bias = match (self.constant(inputs, 2), inputs.get(2).copied().flatten()) {
            (Some(bias), _) => {
                let bias = self.tensor(&bias)?;
                let values = bias.len();
                if values != channels {
                    return Err(damaged(label, format!("its bias has {values} values for {channels} channels")));
                }
                bias.flattened().ok_or_else(|| damaged(label, "its bias has scales for some of its values"))?
            }
            (None, None) => Tensor::zeros(channels),
            (None, Some(_)) => return Err(unknown(label, "its bias is not a constant")),
        };
        Ok((weight, bias))
    }

    /// A sum, difference, product or quotient of a map and a constant of one number, or of one for each channel.
    fn affine(
        &mut self,
        code: BuiltinOperator,
        operator: &schema::Operator<'a>,
        inputs: &[Option<usize>],
        label: &str,
    ) -> Result<Option<Op<'a>>, ImportError> {
        let &[Some(left), Some(right)] = inputs else { return Ok(None) };
        let activation = match code {
            BuiltinOperator::ADD => operator.builtin_options_as_add_options().map(|o| o.fused_activation_function()),
            BuiltinOperator::SUB => operator.builtin_options_as_sub_options().map(|o| o.fused_activation_function()),
            BuiltinOperator::MUL => operator.builtin_options_as_mul_options().map(|o| o.fused_activation_function()),
            BuiltinOperator::DIV => operator.builtin_options_as_div_options().map(|o| o.fused_activation_function()),
            _ => return Ok(None),
        };
        let linear = activation.is_none_or(|a| a == ActivationFunctionType::NONE);
        let commutes = matches!(code, BuiltinOperator::ADD | BuiltinOperator::MUL);
        let (map, position) = match (self.is_constant(left), self.is_constant(right)) {
            (false, true) => (left, 1),
            (true, false) if commutes => (right, 0),
            _ => return Ok(None),
        };
        let Some(constant) = self.constant(inputs, position).filter(|_| linear) else { return Ok(None) };
        let channels = self.tensors[map].shape.last().copied().unwrap_or(1);
        let constant = self.tensor(&constant)?;
        let for_each = constant.len() == channels && constant.dims().last() == Some(&channels);
        if !for_each && constant.len() != 1 {
            return Ok(None);
        }
        self.weights.spend(channels).map_err(|problem| damaged(label, problem))?;
        let numbers: Vec<f64> = constant.values().map(f64::from).collect();
        let numbers = if for_each { numbers } else { vec![numbers.first().copied().unwrap_or(0.0); channels] };
        let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
        Ok(Some(match code {
            BuiltinOperator::ADD => Op::Affine { scale: ones, offset: numbers },
            BuiltinOperator::SUB => Op::Affine { scale: ones, offset: numbers.iter().map(|n| -n).collect() },
            BuiltinOperator::MUL => Op::Affine { scale: numbers, offset: zeros },
            _ => Op::Affine { scale: numbers.iter().map(|n| 1.0 / n).collect(), offset: zeros },
        }))
    }

    /// What the bytes of a quantised image represent, for a pixel from 0 to 255.
    fn pixel(&self, input: Value) -> Option<Pixel> {
        let tensor = &self.tensors[input];
        let parameters = tensor.quantisation.as_ref()?;
        let scale = f64::from(parameters.scale().filter(|s| s.len() == 1)?.get(0));
        let zero = parameters.zero_point().filter(|z| z.len() == 1).map_or(0, |z| z.get(0)) as f64;
        let zero = match tensor.dtype {
            TensorType::UINT8 => zero,
            TensorType::INT8 => zero + 128.0,
            _ => return None,
        };
        Some(Pixel { scale: [scale; 3], offset: [-zero * scale; 3] })
    }
}

/// A convolution of this stride and rate.
fn convolution<'a>(
    depthwise: bool,
    [stride, rate]: [usize; 2],
    pads: Pads,
    activation: Activation,
    weight: Tensor<'a>,
    bias: Tensor<'a>,
) -> Op<'a> {
    Op::Convolution(Convolution { depthwise, stride, rate, pads, activation, clamped: false, weight, bias })
}

/// What a tensor's integers represent: one pair for all or one per slice of the quantised dimension. Several tensors may
/// share their scales in the file; `budget`, in bytes, is for all of them.
fn quantisation(tensor: &TensorInfo<'_>, place: &str, budget: &mut Budget) -> Result<Quantisation, ImportError> {
    let parameters = tensor.quantisation.as_ref();
    let scales = parameters.and_then(schema::QuantizationParameters::scale);
    let zeros = parameters.and_then(schema::QuantizationParameters::zero_point);
    let count = scales.as_ref().map_or(0, flatbuffers::Vector::len);
    let taken = count.max(zeros.as_ref().map_or(0, flatbuffers::Vector::len)).saturating_mul(8);
    // (One of each is next to nothing.)
    if taken > 8 {
        budget.spend(taken).map_err(|problem| damaged(place, problem))?;
    }
    let scale: Vec<f32> = scales.into_iter().flatten().collect();
    let mut zero_point = zero_points(tensor, place)?;
    if let &[zero] = zero_point.as_slice() {
        zero_point = vec![zero; count];
    }
    if zero_point.iter().all(|&zero| zero == 0) && zero_point.len() == count {
        zero_point = Vec::new();
    }
    let dimension = parameters.map_or(0, schema::QuantizationParameters::quantized_dimension);
    let axis = if count == 1 { 0 } else { usize::try_from(dimension).unwrap_or(usize::MAX) };
    Ok(Quantisation { scale, zero_point, axis })
}

fn zero_points(tensor: &TensorInfo<'_>, place: &str) -> Result<Vec<i32>, ImportError> {
    let zeros = tensor.quantisation.as_ref().and_then(schema::QuantizationParameters::zero_point);
    let small = |zero: i64| i32::try_from(zero).map_err(|_| damaged(place, format!("its zero point is {zero}")));
    zeros.into_iter().flatten().map(small).collect()
}

/// One number for both directions.
fn one(label: &str, what: &str, vertical: i32, horizontal: i32) -> Result<usize, ImportError> {
    match usize::try_from(vertical) {
        Ok(n) if vertical == horizontal && (1..=1024).contains(&n) => Ok(n),
        _ => Err(unknown(label, format!("its {what} is {vertical} down and {horizontal} across"))),
    }
}

fn clamp(n: i64) -> i32 {
    i32::try_from(n).unwrap_or(-1)
}

fn borders(label: &str, sides: [i64; 4]) -> Result<Borders, ImportError> {
    let side = |n: i64| {
        usize::try_from(n)
            .ok()
            .filter(|&n| n <= 4096)
            .ok_or_else(|| damaged(label, format!("a border of {n} rows or columns")))
    };
    let [top, bottom, left, right] = sides;
    Ok(Borders { top: side(top)?, bottom: side(bottom)?, left: side(left)?, right: side(right)? })
}

fn pads(label: &str, padding: FilePadding) -> Result<Pads, ImportError> {
    match padding {
        FilePadding::SAME => Ok(Pads::Same),
        FilePadding::VALID => Ok(Pads::Explicit(Borders::default())),
        other => Err(damaged(label, format!("its padding is {}", other.0))),
    }
}

fn activation(label: &str, function: ActivationFunctionType) -> Result<Activation, ImportError> {
    match function {
        ActivationFunctionType::NONE => Ok(Activation::Linear),
        ActivationFunctionType::RELU => Ok(Activation::Relu),
        ActivationFunctionType::RELU6 => Ok(Activation::Relu6),
        other => Err(unknown(label, format!("{other:?} follows it"))),
    }
}
