//! Networks written as TensorFlow Lite files in the forms that converters produce, and read back; and truncated,
//! corrupted and malicious files.

use std::collections::HashMap;
use std::sync::LazyLock;

use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};
use proptest::prelude::*;
use silhouette_kernels::rows::Planes;
use silhouette_network::network::{self, Conv, Network, Size};
use silhouette_network::spec::{Activation, Aspp, Extractor, Head, Padding, Resize, Shortcut, Spec, Task};
use silhouette_plan::{Plan, PlanOptions};
use silhouette_weights::{Dtype, ModelFile, Tensor, Tensors, to_bytes};

use super::schema_generated::tflite as schema;
use super::schema_generated::tflite::{
    ActivationFunctionType as Function, BuiltinOperator as Code, BuiltinOptions, TensorType,
};
#[cfg(target_os = "linux")]
use crate::fixture::cost;
use crate::fixture::{numbers, permuted, weights};
use crate::{ImportError, ImportOptions, Imported, import_bytes};

/// How a converter writes weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weights {
    Float,
    /// float16, and an operator that dequantises it.
    Half,
    /// One scale and zero point.
    Uint8,
    /// A scale for each output channel.
    Int8,
}

/// How it writes an atrous convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Atrous {
    Rate,
    /// Space to batch, a plain convolution, batch to space.
    Batches,
    /// A larger kernel with zeros in it.
    Zeros,
}

#[derive(Clone, Copy, Debug)]
struct Style {
    weights: Weights,
    atrous: Atrous,
    /// Zeros and activations as separate operators.
    apart: bool,
    /// `x / 127.5 - 1` at the beginning.
    normalises: bool,
}

const PLAIN: Style = Style { weights: Weights::Float, atrous: Atrous::Rate, apart: false, normalises: false };

/// The step of the maps' bytes, if they are quantised.
const STEP: f32 = 1.0 / 40.0;

type Operation<'a> = WIPOffset<schema::Operator<'a>>;

#[derive(Default)]
struct Quantisation {
    scales: Vec<f32>,
    zeros: Vec<i64>,
    dimension: i32,
}

/// Writes a file operator by operator.
struct Writer<'a> {
    b: FlatBufferBuilder<'a>,
    style: Style,
    buffers: Vec<WIPOffset<schema::Buffer<'a>>>,
    tensors: Vec<WIPOffset<schema::Tensor<'a>>>,
    codes: Vec<Code>,
    operators: Vec<Operation<'a>>,
}

impl Writer<'_> {
    fn new(style: Style) -> Self {
        let mut b = FlatBufferBuilder::new();
        let empty = schema::Buffer::create(&mut b, &schema::BufferArgs::default());
        Self { b, style, buffers: vec![empty], tensors: vec![], codes: vec![], operators: vec![] }
    }

    fn tensor(&mut self, shape: &[usize], dtype: TensorType, data: Option<&[u8]>, q: Option<&Quantisation>) -> i32 {
        let mut buffer = 0;
        if let Some(data) = data {
            let data = Some(self.b.create_vector(data));
            let args = schema::BufferArgs { data, ..Default::default() };
            self.buffers.push(schema::Buffer::create(&mut self.b, &args));
            buffer = self.buffers.len() as u32 - 1;
        }
        let quantization = q.map(|q| {
            let scale = Some(self.b.create_vector(&q.scales));
            let zero_point = Some(self.b.create_vector(&q.zeros));
            let args = schema::QuantizationParametersArgs {
                scale,
                zero_point,
                quantized_dimension: q.dimension,
                ..Default::default()
            };
            schema::QuantizationParameters::create(&mut self.b, &args)
        });
        let shape: Vec<i32> = shape.iter().map(|&n| n as i32).collect();
        let shape = Some(self.b.create_vector(&shape));
        let name = Some(self.b.create_string(&format!("t{}", self.tensors.len())));
        let args = schema::TensorArgs { shape, type_: dtype, buffer, name, quantization, ..Default::default() };
        self.tensors.push(schema::Tensor::create(&mut self.b, &args));
        self.tensors.len() as i32 - 1
    }

    fn map(&mut self, size: Size, channels: usize) -> i32 {
        let shape = [1, size.height, size.width, channels];
        match self.style.weights {
            Weights::Uint8 => {
                let q = Quantisation { scales: vec![STEP], zeros: vec![3], dimension: 0 };
                self.tensor(&shape, TensorType::UINT8, None, Some(&q))
            }
            _ => self.tensor(&shape, TensorType::FLOAT32, None, None),
        }
    }

    fn integers(&mut self, values: &[i32], shape: &[usize]) -> i32 {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(shape, TensorType::INT32, Some(&bytes), None)
    }

    fn push(
        &mut self,
        code: Code,
        inputs: &[i32],
        output: i32,
        options: Option<(BuiltinOptions, WIPOffset<UnionWIPOffset>)>,
    ) -> i32 {
        let index = self.codes.iter().position(|&c| c == code).unwrap_or_else(|| {
            self.codes.push(code);
            self.codes.len() - 1
        });
        let inputs = Some(self.b.create_vector(inputs));
        let outputs = Some(self.b.create_vector(&[output]));
        let args = schema::OperatorArgs {
            opcode_index: index as u32,
            inputs,
            outputs,
            builtin_options_type: options.map_or(BuiltinOptions::NONE, |o| o.0),
            builtin_options: options.map(|o| o.1),
        };
        self.operators.push(schema::Operator::create(&mut self.b, &args));
        output
    }

    /// A constant in the file's order, quantised along `dimension` as the style says.
    fn constant(&mut self, values: &[f32], shape: &[usize], dimension: usize) -> i32 {
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        match self.style.weights {
            Weights::Float => self.tensor(shape, TensorType::FLOAT32, Some(&floats(values)), None),
            Weights::Half => {
                let bytes: Vec<u8> = values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
                let half = self.tensor(shape, TensorType::FLOAT16, Some(&bytes), None);
                let whole = self.tensor(shape, TensorType::FLOAT32, None, None);
                self.push(Code::DEQUANTIZE, &[half], whole, None)
            }
            Weights::Uint8 => {
                let q = Quantisation { scales: vec![1.0 / 120.0], zeros: vec![125], dimension: 0 };
                let bytes: Vec<u8> = values.iter().map(|v| (v * 120.0 + 125.0).round() as u8).collect();
                self.tensor(shape, TensorType::UINT8, Some(&bytes), Some(&q))
            }
            Weights::Int8 => {
                let inner: usize = shape[dimension + 1..].iter().product();
                let scales: Vec<f32> = (0..shape[dimension]).map(|c| 1.0 / (100.0 + c as f32 % 27.0)).collect();
                let channel = |i: usize| i / inner % shape[dimension];
                let bytes: Vec<u8> =
                    values.iter().enumerate().map(|(i, v)| (v / scales[channel(i)]).round() as i8 as u8).collect();
                let zeros = vec![0; scales.len()];
                let q = Quantisation { scales, zeros, dimension: dimension as i32 };
                self.tensor(shape, TensorType::INT8, Some(&bytes), Some(&q))
            }
        }
    }

    fn bias(&mut self, values: &[f32]) -> i32 {
        if matches!(self.style.weights, Weights::Float | Weights::Half) {
            return self.constant(values, &[values.len()], 0);
        }
        let q = Quantisation { scales: vec![1.0 / 65536.0], zeros: vec![0], dimension: 0 };
        let bytes: Vec<u8> = values.iter().flat_map(|v| ((v * 65536.0).round() as i32).to_le_bytes()).collect();
        self.tensor(&[values.len()], TensorType::INT32, Some(&bytes), Some(&q))
    }

    /// One convolution in the requested style; `tensors` by our names.
    fn conv(&mut self, mut input: i32, conv: &Conv, tensors: &HashMap<String, Tensor>, symmetric: bool) -> i32 {
        let weight = &tensors[&conv.weight().name];
        // (O, I, K, K) to the file's (O, K, K, I), or (C, 1, K, K) to (1, K, K, C).
        let order = if conv.depthwise { [1, 2, 3, 0] } else { [0, 2, 3, 1] };
        let mut weight = permuted(weight, order);
        let atrous = conv.rate > 1 && conv.kernel > 1;
        if atrous && self.style.atrous == Atrous::Zeros {
            weight = dilate(&weight, conv.rate);
        }
        let shape = weight.shape.clone();
        let weight = self.constant(&weight.data, &shape, if conv.depthwise { 3 } else { 0 });
        let bias = self.bias(&tensors[&conv.bias().name].data);
        let r = conv.rate as i32;
        let mut rate = if atrous && self.style.atrous == Atrous::Rate { r } else { 1 };
        if conv.kernel == 1 {
            rate = 1;
        }
        let batches = atrous && self.style.atrous == Atrous::Batches;
        let mut padding = schema::Padding::SAME;
        let mut output_size = conv.output;
        let block = (conv.rate, conv.input.height.next_multiple_of(conv.rate) - conv.input.height);
        if batches {
            let extra = block.1 as i32;
            let blocks = self.integers(&[r, r], &[2]);
            let pads = self.integers(&[r, r + extra, r, r + extra], &[2, 2]);
            let cut = (conv.input.height + block.1 + 2 * conv.rate) / conv.rate;
            let cut_map = self.tensor(&[conv.rate * conv.rate, cut, cut, conv.c_in], TensorType::FLOAT32, None, None);
            input = self.push(Code::SPACE_TO_BATCH_ND, &[input, blocks, pads], cut_map, None);
            padding = schema::Padding::VALID;
            output_size = Size::square(cut - 2);
        } else if conv.kernel > 1 && symmetric && (conv.stride > 1 || self.style.apart) {
            let side = conv.pad.height as i32;
            let pads = self.integers(&[0, 0, side, side, side, side, 0, 0], &[4, 2]);
            let wide = Size::square(conv.input.height + 2 * conv.pad.height);
            let padded = self.map(wide, conv.c_in);
            input = self.push(Code::PAD, &[input, pads], padded, None);
            padding = schema::Padding::VALID;
        }
        let function = match conv.activation {
            Activation::Linear => Function::NONE,
            Activation::Relu => Function::RELU,
            Activation::Relu6 => Function::RELU6,
        };
        let later = (self.style.apart || batches) && conv.activation != Activation::Linear;
        let fused = if later { Function::NONE } else { function };
        let stride = conv.stride as i32;
        let options = if conv.depthwise {
            let args = schema::DepthwiseConv2DOptionsArgs {
                padding,
                stride_w: stride,
                stride_h: stride,
                depth_multiplier: 1,
                fused_activation_function: fused,
                dilation_w_factor: rate,
                dilation_h_factor: rate,
            };
            let options = schema::DepthwiseConv2DOptions::create(&mut self.b, &args).as_union_value();
            (BuiltinOptions::DepthwiseConv2DOptions, options)
        } else {
            let args = schema::Conv2DOptionsArgs {
                padding,
                stride_w: stride,
                stride_h: stride,
                fused_activation_function: fused,
                dilation_w_factor: rate,
                dilation_h_factor: rate,
            };
            (BuiltinOptions::Conv2DOptions, schema::Conv2DOptions::create(&mut self.b, &args).as_union_value())
        };
        let code = if conv.depthwise { Code::DEPTHWISE_CONV_2D } else { Code::CONV_2D };
        let mut output = if batches {
            let shape = [conv.rate * conv.rate, output_size.height, output_size.width, conv.c_out];
            self.tensor(&shape, TensorType::FLOAT32, None, None)
        } else {
            self.map(conv.output, conv.c_out)
        };
        self.push(code, &[input, weight, bias], output, Some(options));
        if batches {
            let extra = block.1 as i32;
            let blocks = self.integers(&[r, r], &[2]);
            let crops = self.integers(&[0, extra, 0, extra], &[2, 2]);
            let whole = self.map(conv.output, conv.c_out);
            output = self.push(Code::BATCH_TO_SPACE_ND, &[output, blocks, crops], whole, None);
        }
        if later {
            let code = if function == Function::RELU6 { Code::RELU6 } else { Code::RELU };
            let active = self.map(conv.output, conv.c_out);
            output = self.push(code, &[output], active, None);
        }
        output
    }

    fn add(&mut self, left: i32, right: i32, size: Size, channels: usize) -> i32 {
        let options = schema::AddOptions::create(&mut self.b, &schema::AddOptionsArgs::default()).as_union_value();
        let output = self.map(size, channels);
        self.push(Code::ADD, &[left, right], output, Some((BuiltinOptions::AddOptions, options)))
    }

    fn pool(&mut self, input: i32, size: Size, channels: usize) -> i32 {
        let output = self.map(Size::square(1), channels);
        if self.style.apart {
            let axes = self.integers(&[1, 2], &[2]);
            return self.push(Code::MEAN, &[input, axes], output, None);
        }
        let args = schema::Pool2DOptionsArgs {
            padding: schema::Padding::VALID,
            stride_w: 1,
            stride_h: 1,
            filter_width: size.width as i32,
            filter_height: size.height as i32,
            ..Default::default()
        };
        let options = schema::Pool2DOptions::create(&mut self.b, &args).as_union_value();
        self.push(Code::AVERAGE_POOL_2D, &[input], output, Some((BuiltinOptions::Pool2DOptions, options)))
    }

    fn resize(&mut self, input: i32, size: Size, channels: usize, rule: Resize) -> i32 {
        let args = schema::ResizeBilinearOptionsArgs {
            align_corners: rule == Resize::AlignCorners,
            half_pixel_centers: rule == Resize::HalfPixel,
        };
        let options = schema::ResizeBilinearOptions::create(&mut self.b, &args).as_union_value();
        let to = self.integers(&[size.height as i32, size.width as i32], &[2]);
        let output = self.map(size, channels);
        self.push(Code::RESIZE_BILINEAR, &[input, to], output, Some((BuiltinOptions::ResizeBilinearOptions, options)))
    }

    fn scalar(&mut self, value: f32) -> i32 {
        self.tensor(&[], TensorType::FLOAT32, Some(&value.to_le_bytes()), None)
    }

    fn finish(mut self, input: i32, output: i32) -> Vec<u8> {
        let codes: Vec<_> = self.codes.clone();
        let codes: Vec<_> = codes
            .into_iter()
            .map(|code| {
                let args = schema::OperatorCodeArgs {
                    deprecated_builtin_code: code.0.min(127) as i8,
                    builtin_code: code,
                    ..Default::default()
                };
                schema::OperatorCode::create(&mut self.b, &args)
            })
            .collect();
        let tensors = Some(self.b.create_vector(&self.tensors));
        let inputs = Some(self.b.create_vector(&[input]));
        let outputs = Some(self.b.create_vector(&[output]));
        let operators = Some(self.b.create_vector(&self.operators));
        let args = schema::SubGraphArgs { tensors, inputs, outputs, operators, name: None };
        let subgraph = schema::SubGraph::create(&mut self.b, &args);
        let subgraphs = Some(self.b.create_vector(&[subgraph]));
        let operator_codes = Some(self.b.create_vector(&codes));
        let buffers = Some(self.b.create_vector(&self.buffers));
        let args = schema::ModelArgs { version: 3, operator_codes, subgraphs, description: None, buffers };
        let model = schema::Model::create(&mut self.b, &args);
        self.b.finish(model, Some("TFL3"));
        self.b.finished_data().to_vec()
    }
}

/// Zeros between a kernel's values, in the file's order (rows and columns are dimensions 1 and 2).
fn dilate(weight: &Tensor, rate: usize) -> Tensor {
    let dims = &weight.shape;
    let side = 2 * rate + 1;
    let mut wide = vec![0.0; dims[0] * side * side * dims[3]];
    for (i, v) in weight.data.iter().copied().enumerate() {
        let channel = i % dims[3];
        let x = i / dims[3] % 3;
        let y = i / dims[3] / 3 % 3;
        let o = i / dims[3] / 9;
        wide[((o * side + y * rate) * side + x * rate) * dims[3] + channel] = v;
    }
    Tensor { shape: vec![dims[0], side, side, dims[3]], data: wide }
}

/// The whole network as a file that ends in the argmax of its logits.
fn write(spec: &Spec, tensors: &HashMap<String, Tensor>, style: Style) -> Vec<u8> {
    write_ending(spec, tensors, style, &[], &[Code::ARG_MAX])
}

/// The same with other operators on the logits: before their resize, and after it.
fn write_ending(
    spec: &Spec,
    tensors: &HashMap<String, Tensor>,
    style: Style,
    before: &[Code],
    after: &[Code],
) -> Vec<u8> {
    let network = Network::native(spec).unwrap();
    let symmetric = spec.padding == Padding::Symmetric;
    let mut w = Writer::new(style);
    let input = match style.weights {
        Weights::Uint8 => {
            let q = Quantisation { scales: vec![1.0 / 128.0], zeros: vec![128], dimension: 0 };
            w.tensor(&[1, network.input.height, network.input.width, 3], TensorType::UINT8, None, Some(&q))
        }
        _ => w.map(network.input, 3),
    };
    let mut value = input;
    if style.normalises {
        let scale = w.scalar(127.5);
        let one = w.scalar(1.0);
        let divided = w.map(network.input, 3);
        let shifted = w.map(network.input, 3);
        w.push(Code::DIV, &[input, scale], divided, None);
        value = w.push(Code::SUB, &[divided, one], shifted, None);
    }
    value = w.conv(value, network.conv("stem").unwrap(), tensors, symmetric);
    for block in network.blocks() {
        let start = value;
        let wide = block.expand.as_ref().map_or(start, |expand| w.conv(start, expand, tensors, symmetric));
        value = w.conv(wide, &block.depthwise, tensors, symmetric);
        if block.shortcut == Shortcut::Expansion {
            value = w.add(value, wide, block.depthwise.output, block.depthwise.c_out);
        }
        value = w.conv(value, &block.project, tensors, symmetric);
        if block.shortcut == Shortcut::Bottleneck {
            value = w.add(start, value, block.project.output, block.project.c_out);
        }
    }
    let conv = |name: &str| network.conv(name);
    if let Some(last) = conv("last") {
        value = w.conv(value, last, tensors, symmetric);
    }
    let averaged = network.nodes().iter().find(|node| matches!(node.operation, network::Operation::Average));
    let pooled =
        averaged.map(|average| &network.nodes()[average.inputs[0].index()]).map(|map| (map.size, map.channels));
    let output = match conv("head.project") {
        None => {
            let (size, channels) = pooled.unwrap();
            let linear = conv("classifier").unwrap();
            let pooled = w.pool(value, size, channels);
            let logits = w.conv(pooled, linear, tensors, symmetric);
            let shape = w.integers(&[1, linear.c_out as i32], &[2]);
            let flat = w.tensor(&[1, linear.c_out], TensorType::FLOAT32, None, None);
            let flat = w.push(Code::RESHAPE, &[logits, shape], flat, None);
            let chances = w.tensor(&[1, linear.c_out], TensorType::FLOAT32, None, None);
            w.push(Code::SOFTMAX, &[flat], chances, None)
        }
        Some(project) => {
            let mut ends = Vec::new();
            // The branches in a different order than in the concatenation, which is the one that counts.
            let aspp: Vec<&Conv> = network.convs().filter(|conv| conv.name.starts_with("head.aspp.")).collect();
            for branch in aspp.iter().rev().filter(|conv| !conv.depthwise) {
                let before = branch.name.strip_suffix(".pointwise").and_then(|name| conv(&format!("{name}.depthwise")));
                let inner = before.map_or(value, |d| w.conv(value, d, tensors, symmetric));
                ends.insert(0, w.conv(inner, branch, tensors, symmetric));
            }
            let size = project.input;
            ends.insert(0, w.conv(value, conv("head.branch").unwrap(), tensors, symmetric));
            if let (Some(pool), Some((size, channels))) = (conv("head.pool"), pooled) {
                let pooled = w.pool(value, size, channels);
                let narrow = w.conv(pooled, pool, tensors, symmetric);
                let spread = w.resize(narrow, size, pool.c_out, Resize::AlignCorners);
                let last = matches!(&spec.head, Head::DeeplabV3(head) if head.pooling_last);
                ends.insert(if last { ends.len() } else { 0 }, spread);
            }
            let mut joined = ends[0];
            if ends.len() > 1 {
                let args = schema::ConcatenationOptionsArgs { axis: 3, ..Default::default() };
                let options = schema::ConcatenationOptions::create(&mut w.b, &args).as_union_value();
                joined = w.map(size, project.c_in);
                w.push(Code::CONCATENATION, &ends, joined, Some((BuiltinOptions::ConcatenationOptions, options)));
            }
            let mut logits = w.conv(joined, project, tensors, symmetric);
            if let Some(refine) = conv("head.refine") {
                logits = w.conv(logits, refine, tensors, symmetric);
            }
            let classifier = conv("head.classifier").unwrap();
            let Head::DeeplabV3(head) = &spec.head else { unreachable!() };
            logits = w.conv(logits, classifier, tensors, symmetric);
            let classes = classifier.c_out;
            for &code in before {
                let output = w.map(size, classes);
                logits = w.push(code, &[logits], output, None);
            }
            logits = w.resize(logits, size, classes, head.resize);
            logits = w.resize(logits, network.input, classes, head.resize);
            for &code in after {
                logits = if code == Code::ARG_MAX {
                    let axis = w.integers(&[3], &[1]);
                    let mask = w.tensor(&[1, network.input.height, network.input.width], TensorType::INT64, None, None);
                    w.push(code, &[logits, axis], mask, None)
                } else {
                    let output = w.map(network.input, classes);
                    w.push(code, &[logits], output, None)
                };
            }
            logits
        }
    };
    w.finish(input, output)
}

fn options(spec: &Spec) -> ImportOptions {
    ImportOptions {
        labels: Some(spec.labels.clone()),
        mean: Some(spec.input.mean),
        std: Some(spec.input.std),
        ..ImportOptions::default()
    }
}

/// The smallest preset with part of it changed.
fn fixture(change: impl Fn(&mut Spec)) -> Spec {
    let mut spec = Spec::preset("fixture").unwrap();
    change(&mut spec);
    spec.validate().unwrap();
    spec
}

fn deeplab(spec: &mut Spec) -> &mut silhouette_network::spec::DeeplabV3 {
    match &mut spec.head {
        Head::DeeplabV3(head) => head,
        Head::Classifier(_) => panic!("a classifier"),
    }
}

fn v2(spec: &mut Spec) -> &mut silhouette_network::spec::MobilenetV2 {
    match &mut spec.extractor {
        Extractor::MobilenetV2(v2) => v2,
        Extractor::MobilenetV1(_) => panic!("MobileNetV1"),
    }
}

/// Import yields the network and, as closely as the number format allows, the weights that were written.
fn comes_back(spec: &Spec, style: Style) {
    let tensors = weights(spec);
    let file = write(spec, &tensors, style);
    let imported = import_bytes(&file, "fixture", &options(spec)).unwrap_or_else(|e| panic!("{style:?}: {e}"));
    assert_eq!(Network::native(&imported.spec).unwrap(), Network::native(spec).unwrap(), "{style:?}");
    assert_eq!((&imported.spec.head, imported.spec.padding), (&spec.head, spec.padding), "{style:?}");
    let read = dequantised(&imported);
    assert_eq!(read.len(), tensors.len());
    for (name, tensor) in &tensors {
        // Half a step of the coarsest quantisation in use.
        let tolerance = match style.weights {
            Weights::Float => 0.0,
            Weights::Half => 2.5e-4,
            Weights::Uint8 | Weights::Int8 => 0.5 / 100.0 + 1e-6,
        };
        let wrote = &tensor.data;
        let read = &read[name].data;
        let worst = wrote.iter().zip(read).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(wrote.len() == read.len() && worst <= tolerance, "{style:?}: {name} is off by {worst}");
    }
}

/// All tensors as floats: the result of an importer that drops the quantisation.
fn dequantised(imported: &Imported) -> Tensors {
    let mut tensors = imported.tensors.clone();
    for (name, tensor) in &imported.quantised {
        let data = tensor.dequantise().unwrap();
        tensors.insert(name.clone(), Tensor { shape: tensor.shape.clone(), data });
    }
    tensors
}

#[test]
fn quantised_weights_stay_what_they_are_and_give_the_bits_of_their_floats() {
    let spec = fixture(|_| {});
    let picture = numbers(9, 3 * 65 * 65);
    let logits = |model: &ModelFile| {
        let plan = Plan::of(model, Size::square(65), &PlanOptions::default()).unwrap();
        let (size, classes) = plan.logits();
        let mut logits = vec![0.0; size.height * size.width * classes];
        plan.new_state().unwrap().run(&Planes::new(&picture, 65, 65), &mut logits).unwrap();
        logits.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    for weights_as in [Weights::Uint8, Weights::Int8] {
        let file = write(&spec, &weights(&spec), Style { weights: weights_as, ..PLAIN });
        let imported = import_bytes(&file, "fixture", &options(&spec)).unwrap();
        assert!(imported.tensors.is_empty());
        let floats = ModelFile::new(imported.spec.clone(), dequantised(&imported)).unwrap();
        let model = imported.clone().into_model().unwrap();
        let bytes = to_bytes(model.spec(), model.weights(), Dtype::F32).unwrap();
        let as_floats = to_bytes(floats.spec(), floats.weights(), Dtype::F32).unwrap();
        assert!(bytes.len() * 2 < as_floats.len(), "{} {}", bytes.len(), as_floats.len());
        let back = ModelFile::from_bytes(bytes).unwrap();
        let expected = logits(&floats);
        assert!(logits(&model) == expected && logits(&back) == expected, "{weights_as:?}");
        assert_eq!(back.weights().activations(), &imported.activations);
        if weights_as == Weights::Uint8 {
            let input = back.weights().activation("input").unwrap();
            assert_eq!((input.scale, input.zero_point), (1.0 / 128.0, 128));
            let stem = back.weights().activation("stem.output").unwrap();
            assert_eq!((stem.scale, stem.zero_point), (STEP, 3));
            let quantised = back.weights().activations().len();
            // The convolutions, the input, the sums, the concatenation and the spread of the pooled features.
            assert_eq!(quantised, back.weights().names().len() / 2 + 1 + residuals(&spec) + 2);
        }
    }
}

/// Number of blocks with a shortcut between their bottlenecks.
fn residuals(spec: &Spec) -> usize {
    Network::native(spec).unwrap().blocks().filter(|block| block.shortcut == Shortcut::Bottleneck).count()
}

#[test]
fn the_forms_of_weights() {
    let spec = fixture(|_| {});
    for weights in [Weights::Float, Weights::Half, Weights::Uint8, Weights::Int8] {
        comes_back(&spec, Style { weights, ..PLAIN });
    }
}

#[test]
fn the_forms_of_atrous_convolutions() {
    for output_stride in [8, 16, 32] {
        let spec = fixture(|spec| v2(spec).output_stride = output_stride);
        for atrous in [Atrous::Rate, Atrous::Batches, Atrous::Zeros] {
            comes_back(&spec, Style { atrous, ..PLAIN });
        }
    }
}

#[test]
fn operators_apart() {
    comes_back(&fixture(|_| {}), Style { apart: true, ..PLAIN });
    comes_back(&fixture(|spec| spec.padding = Padding::Symmetric), Style { apart: true, ..PLAIN });
    comes_back(&fixture(|spec| spec.padding = Padding::Symmetric), PLAIN);
}

#[test]
fn heads() {
    for aspp in [Aspp::None, Aspp::Plain { rates: vec![2, 4] }, Aspp::Separable { rates: vec![1, 3, 5] }] {
        for (image_pooling, pooling_last, refine) in
            [(false, false, false), (true, false, false), (true, true, true), (false, false, true)]
        {
            let spec = fixture(|spec| {
                let head = deeplab(spec);
                (head.image_pooling, head.pooling_last, head.refine) = (image_pooling, pooling_last, refine);
                (head.aspp, head.resize, head.channels) = (aspp.clone(), Resize::HalfPixel, 24);
            });
            comes_back(&spec, PLAIN);
        }
    }
}

#[test]
fn extractors() {
    comes_back(&fixture(|spec| v2(spec).feature = silhouette_network::spec::Feature::LastLayer), PLAIN);
    comes_back(&fixture(|spec| v2(spec).shortcut = Shortcut::Expansion), PLAIN);
    comes_back(&fixture(|spec| v2(spec).shortcut = Shortcut::None), PLAIN);
    comes_back(&fixture(|spec| v2(spec).bottleneck_activation = Activation::Relu6), PLAIN);
    comes_back(&fixture(|spec| (v2(spec).width, v2(spec).divisor) = (0.5, 1)), PLAIN);
    comes_back(&fixture(|spec| v2(spec).bottlenecks.truncate(4)), PLAIN);
    for preset in ["mobilenet_v2_0.35", "mobilenet_v2_0.5"] {
        let mut spec = Spec::preset(preset).unwrap();
        (spec.input.size, spec.padding) = (64, Padding::Symmetric);
        comes_back(&spec, PLAIN);
        comes_back(&spec, Style { apart: true, ..PLAIN });
    }
    let mut v1 = Spec::preset("deeplabv3_mnv1_aspp").unwrap();
    v1.input.size = 65;
    deeplab(&mut v1).channels = 8;
    let Extractor::MobilenetV1(extractor) = &mut v1.extractor else { panic!("not MobileNetV1") };
    extractor.width = 0.25;
    comes_back(&v1, PLAIN);
}

#[test]
fn what_the_file_says_of_normalisation() {
    let spec = fixture(|_| {});
    let tensors = weights(&spec);
    let labels = ImportOptions { labels: Some(spec.labels.clone()), ..ImportOptions::default() };
    for (style, mean, std) in [
        (Style { normalises: true, ..PLAIN }, 127.5, 127.5),
        (Style { weights: Weights::Uint8, ..PLAIN }, 128.0, 128.0),
    ] {
        let imported = import_bytes(&write(&spec, &tensors, style), "fixture", &labels).unwrap();
        let input = imported.spec.input;
        assert!(input.mean.iter().all(|m| (m - mean).abs() < 1e-3), "{:?}", input.mean);
        assert!(input.std.iter().all(|s| (s - std).abs() < 1e-3), "{:?}", input.std);
    }
}

#[test]
fn what_the_file_does_not_say_names_the_flag() {
    let spec = fixture(|_| {});
    let file = write(&spec, &weights(&spec), PLAIN);
    let whole = options(&spec);
    for (options, flag) in [
        (ImportOptions { mean: None, ..whole.clone() }, "--mean"),
        (ImportOptions { std: None, ..whole.clone() }, "--std"),
        (ImportOptions { labels: Some(vec!["one".into()]), ..whole.clone() }, "--labels"),
        (ImportOptions { spec: Some(Spec::preset("deeplabv3_mnv2").unwrap()), ..whole.clone() }, "--spec"),
    ] {
        let error = import_bytes(&file, "fixture", &options).unwrap_err();
        let flagged = match &error {
            ImportError::NotSaid { missing } => missing.iter().any(|missing| missing.flag == flag),
            ImportError::DoesNotFit { flag: given, .. } => *given == flag,
            _ => false,
        };
        assert!(flagged, "{error} should name {flag}");
        assert!(error.to_string().contains(flag));
    }
    let voc = import_bytes(&file, "fixture", &ImportOptions { labels: None, ..whole.clone() }).unwrap();
    assert_eq!(voc.spec.labels, spec.labels, "21 classes are VOC's");
    let few = fixture(|spec| {
        deeplab(spec).classes = 4;
        spec.labels.truncate(4);
    });
    let four = write(&few, &weights(&few), PLAIN);
    let error = import_bytes(&four, "fixture", &ImportOptions { labels: None, ..whole.clone() }).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ImportError::NotSaid { .. }) && text.contains("4 classes; pass --labels"), "{text}");
    // A data set's labels; its networks may have a background before them.
    let three = ImportOptions { labels: Some(few.labels[1..].to_vec()), optional_background: true, ..whole.clone() };
    assert_eq!(import_bytes(&four, "fixture", &three).unwrap().spec.labels, few.labels);
    let strict = import_bytes(&four, "fixture", &ImportOptions { optional_background: false, ..three }).unwrap_err();
    assert!(strict.to_string().contains("3 labels for 4 classes"), "{strict}");
    let with_spec = ImportOptions { spec: Some(spec.clone()), ..ImportOptions::default() };
    let imported = import_bytes(&file, "fixture", &with_spec).unwrap();
    assert_eq!(imported.spec.input, spec.input);
    let atrous = ImportOptions { output_stride: Some(8), ..whole };
    let imported = import_bytes(&file, "fixture", &atrous).unwrap();
    assert!(matches!(imported.spec.extractor, Extractor::MobilenetV2(v2) if v2.output_stride == 8));
}

#[test]
fn a_single_logit_is_an_alpha() {
    let one = fixture(|spec| {
        deeplab(spec).classes = 1;
        spec.labels = vec!["person".into()];
    });
    let tensors = weights(&one);
    let labelled = |labels: Option<&[&str]>| ImportOptions {
        labels: labels.map(|labels| labels.iter().map(|&label| label.to_owned()).collect()),
        ..options(&one)
    };
    for (before, after) in [(&[][..], &[][..]), (&[], &[Code::LOGISTIC]), (&[Code::LOGISTIC], &[])] {
        let file = write_ending(&one, &tensors, PLAIN, before, after);
        for (given, labels) in [
            (Some(&["person"][..]), ["background", "person"]),
            (Some(&["street", "person"]), ["street", "person"]),
            (None, ["background", "foreground"]),
        ] {
            let imported = import_bytes(&file, "one", &labelled(given)).unwrap();
            assert_eq!((imported.spec.task(), &imported.spec.labels[..]), (Task::Alpha, &labels.map(String::from)[..]));
            imported.spec.validate().unwrap();
            assert_eq!(imported.tensors.len(), tensors.len());
            imported.into_model().unwrap();
        }
        let three = import_bytes(&file, "one", &labelled(Some(&["a", "b", "c"]))).unwrap_err().to_string();
        assert!(three.contains("3 labels for a single logit"), "{three}");
    }
    for (classes, after, part) in [
        (1, &[Code::ARG_MAX][..], "the same for every pixel"),
        (1, &[Code::SOFTMAX], "the same for every pixel"),
        (1, &[Code::LOGISTIC, Code::LOGISTIC], "the sigmoid of a sigmoid"),
        (2, &[Code::LOGISTIC], "many classes at once"),
    ] {
        let spec = fixture(|spec| {
            deeplab(spec).classes = classes;
            spec.labels.truncate(classes);
        });
        let file = write_ending(&spec, &weights(&spec), PLAIN, &[], after);
        let error = import_bytes(&file, "one", &options(&spec)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn strangers_are_refused_with_the_operator() {
    let spec = fixture(|_| {});
    let tensors = weights(&spec);
    let network = Network::native(&spec).unwrap();
    // A file that ends after the stem, and one that continues with an operator that no MobileNet has.
    for (code, part) in [(None, "stem"), (Some(Code::HARD_SWISH), "HARD_SWISH")] {
        let mut w = Writer::new(PLAIN);
        let input = w.map(network.input, 3);
        let mut value = w.conv(input, network.conv("stem").unwrap(), &tensors, false);
        if let Some(code) = code {
            let output = w.map(network.conv("stem").unwrap().output, network.conv("stem").unwrap().c_out);
            value = w.push(code, &[value], output, None);
        }
        let error = import_bytes(&w.finish(input, value), "fixture", &options(&spec)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn weights_that_many_operators_share_are_bounded() {
    // A thousand blocks that all read the same two weights: a small file, a gigabyte of floats.
    let mut w = Writer::new(PLAIN);
    let size = Size::square(8);
    let input = w.map(Size::square(16), 3);
    let mut value = w.map(size, 64);
    let weight = w.constant(&vec![0.5; 64 * 64], &[64, 1, 1, 64], 0);
    let stem = w.constant(&vec![0.5; 64 * 27], &[64, 3, 3, 3], 0);
    let conv = |w: &mut Writer, input: i32, weight: i32, output: i32, stride: i32| {
        let args = schema::Conv2DOptionsArgs { stride_w: stride, stride_h: stride, ..Default::default() };
        let options = schema::Conv2DOptions::create(&mut w.b, &args).as_union_value();
        w.push(Code::CONV_2D, &[input, weight, -1], output, Some((BuiltinOptions::Conv2DOptions, options)));
    };
    conv(&mut w, input, stem, value, 2);
    for _ in 0..1000 {
        let next = w.map(size, 64);
        conv(&mut w, value, weight, next, 1);
        value = next;
    }
    let file = w.finish(input, value);
    let error = import_bytes(&file, "fixture", &ImportOptions::default()).unwrap_err();
    assert!(matches!(&error, ImportError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("weights (shared ones count again)"), "{error}");
}

/// Files of which parts are shared, so that lists, texts or scales made of them would be many times the file; what reading each cost, in
/// another process.
#[cfg(target_os = "linux")]
#[test]
fn what_is_refused_costs_little() {
    for (name, bytes, part) in [
        ("operators", many_operators(), "operators"),
        ("scales", shared_scales(), "bytes of scales"),
        ("halves", stranger_of_halves(), ""),
    ] {
        let (peak, error) = cost(&bytes);
        let length = bytes.len();
        println!("{name}: {} MB for {} MB: {error}", peak >> 20, length >> 20);
        assert!(error.contains(part), "{error}");
        assert!(peak <= (64 << 20) + 2 * length, "{name} of {length} bytes cost {peak}");
    }
}

/// As many operators as a list may have entries, that all read the same 64 maps.
fn many_operators() -> Vec<u8> {
    let mut w = Writer::new(PLAIN);
    let input = w.map(Size::square(16), 3);
    let inputs = [input; 64];
    let mut value = input;
    for _ in 0..60_000 {
        let next = w.map(Size::square(16), 3);
        w.push(Code::RELU, &inputs, next, None);
        value = next;
    }
    w.finish(input, value)
}

/// A thousand convolutions of eight-bit weights with the same scales, one for each of 65,536 channels.
fn shared_scales() -> Vec<u8> {
    let mut w = Writer::new(PLAIN);
    let channels = 1 << 16;
    let input = w.map(Size::square(1), 3);
    let q = Quantisation { scales: vec![0.5; channels], zeros: vec![1; channels], dimension: 0 };
    let weight = w.tensor(&[channels, 1, 1, 1], TensorType::INT8, Some(&vec![1; channels]), Some(&q));
    let mut value = input;
    for _ in 0..1000 {
        let args = schema::Conv2DOptionsArgs { stride_w: 1, stride_h: 1, ..Default::default() };
        let options = schema::Conv2DOptions::create(&mut w.b, &args).as_union_value();
        let next = w.map(Size::square(1), channels);
        w.push(Code::CONV_2D, &[value, weight, -1], next, Some((BuiltinOptions::Conv2DOptions, options)));
        value = next;
    }
    // So much of it that a thousandth of the weights would be within what a file of this size may have.
    w.tensor(&[1], TensorType::UINT8, Some(&vec![7; 40 << 20]), None);
    w.finish(input, value)
}

/// A network of sixteen-bit floats that is none of ours.
fn stranger_of_halves() -> Vec<u8> {
    let mut w = Writer::new(PLAIN);
    let input = w.map(Size::square(1), 3);
    let mut value = input;
    for _ in 0..4 {
        let weight = w.tensor(&[4096, 1, 1, 4096], TensorType::FLOAT16, Some(&vec![0; 2 << 24]), None);
        let args = schema::Conv2DOptionsArgs { stride_w: 1, stride_h: 1, ..Default::default() };
        let options = schema::Conv2DOptions::create(&mut w.b, &args).as_union_value();
        let next = w.map(Size::square(1), 4096);
        w.push(Code::CONV_2D, &[value, weight, -1], next, Some((BuiltinOptions::Conv2DOptions, options)));
        value = next;
    }
    w.finish(input, value)
}

/// A small file in the style with the most features, created once for all the corruption tests.
fn sample() -> (Vec<u8>, ImportOptions) {
    static SAMPLE: LazyLock<(Vec<u8>, ImportOptions)> = LazyLock::new(make_sample);
    SAMPLE.clone()
}

fn make_sample() -> (Vec<u8>, ImportOptions) {
    let spec = fixture(|spec| {
        v2(spec).bottlenecks.truncate(4);
        v2(spec).output_stride = 8;
    });
    let style = Style { weights: Weights::Int8, atrous: Atrous::Batches, apart: true, normalises: true };
    (write(&spec, &weights(&spec), style), options(&spec))
}

#[test]
fn files_cut_off_anywhere_are_refused() {
    let (file, options) = sample();
    // Every length within the tables at either end, and some between.
    let lengths = (0..4096.min(file.len())).chain((0..file.len()).step_by(997)).chain(file.len() - 4096..file.len());
    for length in lengths {
        assert!(import_bytes(&file[..length], "cut", &options).is_err(), "{length} of {} bytes", file.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is flipped, the result is an error or a complete network.
    #[test]
    fn flipped_bits_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..24), near_end: bool) {
        let (mut file, options) = sample();
        // Tables are contiguous; weights are most of the file and uninteresting.
        let length = file.len();
        let (from, span) = if near_end { (length - 6000, 6000) } else { (0, 6000) };
        for (index, bit) in flips {
            file[from + index.index(span)] ^= 1 << bit;
        }
        if let Ok(imported) = import_bytes(&file, "flipped", &options) {
            prop_assert!(Network::native(&imported.spec).is_ok());
        }
    }

    /// Overwrites a word with values at which offsets and lengths overflow.
    #[test]
    fn oversized_lengths_never_panic(at in any::<prop::sample::Index>(), value in prop::sample::select(vec![u32::MAX, 1 << 31, (1 << 31) - 1, 1 << 24, 0xffff])) {
        let (mut file, options) = sample();
        let words = file.len() / 4;
        let at = at.index(words) * 4;
        file[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let _ = import_bytes(&file, "oversized", &options);
    }

    /// Bytes that only begin like a file of the format.
    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut file = vec![0x1c, 0, 0, 0];
        file.extend_from_slice(b"TFL3");
        file.extend(noise);
        prop_assert!(import_bytes(&file, "noise", &ImportOptions::default()).is_err());
    }
}
