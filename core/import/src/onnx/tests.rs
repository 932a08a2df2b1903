//! Networks written as ONNX files in the forms of its exporters, and read back; and strangers, cut and hostile files.

use std::collections::HashMap;

use silhouette_network::network::{Conv, Network, Size};
use silhouette_network::spec::{Activation, Aspp, Extractor, Padding, Resize, Shortcut, Spec, Task};
use silhouette_weights::{ActivationElement, Tensor};

#[cfg(target_os = "linux")]
use crate::fixture::costs_little;
use crate::fixture::{
    Message, Pen, batch_norm, changed, comes_back, draw, head, normalised, options, permuted, survives, v2, weights,
};
use crate::{ImportError, ImportOptions, import_bytes};

/// How an exporter writes a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantised {
    No,
    /// Bytes and their scales, each channel its own; activations that the bytes imply are left out.
    Bytes,
    /// Floats that the graph itself quantises, as in training.
    Floats,
}

#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a habit of some exporter")]
struct Style {
    opset: i64,
    /// Batch norm is an operator.
    norms: bool,
    /// The image's channels are last, and transposed; tf2onnx does so.
    channels_last: bool,
    /// Sizes are computed from shapes.
    computes: bool,
    /// Constants are lists of numbers instead of raw bytes.
    lists: bool,
    /// Zeros are operators.
    pads: bool,
    quantised: Quantised,
}

const PLAIN: Style = Style {
    opset: 17,
    norms: false,
    channels_last: false,
    computes: false,
    lists: false,
    pads: false,
    quantised: Quantised::No,
};

const EPSILON: f32 = 1e-3;

struct Writer<'a> {
    style: Style,
    network: Network,
    tensors: &'a HashMap<String, Tensor>,
    nodes: Vec<Message>,
    constants: Vec<Message>,
    count: usize,
}

fn dims(shape: &[usize]) -> Vec<Message> {
    shape.iter().map(|&n| Message::default().integer(1, n as i64)).collect()
}

/// An input or output, of numbers of this kind.
fn value(name: &str, kind: i64, shape: &[Message]) -> Message {
    let shape = shape.iter().fold(Message::default(), |all, dim| all.message(1, dim));
    let tensor = Message::default().integer(1, kind).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

fn raw(name: &str, kind: i64, shape: &[usize], bytes: &[u8]) -> Message {
    let dims = shape.iter().fold(Message::default(), |all, &n| all.integer(1, n as i64));
    dims.integer(2, kind).text(8, name).bytes(9, bytes)
}

enum Attribute<'t> {
    Float(f32),
    Integer(i64),
    Text(&'t str),
    Integers(Vec<i64>),
    Tensor(Message),
}

impl Writer<'_> {
    fn new<'a>(spec: &Spec, tensors: &'a HashMap<String, Tensor>, style: Style) -> Writer<'a> {
        Writer { style, network: Network::native(spec).unwrap(), tensors, nodes: vec![], constants: vec![], count: 0 }
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!("v{}", self.count)
    }

    fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, Attribute<'_>)]) -> String {
        let output = self.name();
        let mut node = Message::default();
        for input in inputs {
            node = node.text(1, input);
        }
        node = node.text(2, &output).text(4, operator);
        for (key, attribute) in attributes {
            let key = Message::default().text(1, key);
            node = node.message(
                5,
                &match attribute {
                    Attribute::Float(value) => key.float(2, *value).integer(20, 1),
                    Attribute::Integer(value) => key.integer(3, *value).integer(20, 2),
                    Attribute::Text(value) => key.text(4, value).integer(20, 3),
                    Attribute::Integers(values) => values.iter().fold(key, |key, &n| key.integer(8, n)).integer(20, 7),
                    Attribute::Tensor(value) => key.message(5, value).integer(20, 4),
                },
            );
        }
        self.nodes.push(node);
        output
    }

    fn floats(&mut self, values: &[f32], shape: &[usize]) -> String {
        let name = self.name();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constants.push(if self.style.lists {
            let dims = shape.iter().fold(Message::default(), |all, &n| all.integer(1, n as i64));
            dims.integer(2, 1).bytes(4, &bytes).text(8, &name)
        } else {
            raw(&name, 1, shape, &bytes)
        });
        name
    }

    fn integers(&mut self, values: &[i64]) -> String {
        let name = self.name();
        self.constants.push(if self.style.lists {
            let tensor = Message::default().integer(1, values.len() as i64).integer(2, 7).text(8, &name);
            values.iter().fold(tensor, |tensor, &n| tensor.integer(7, n))
        } else {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            raw(&name, 7, &[values.len()], &bytes)
        });
        name
    }

    /// A constant by an operator, as PyTorch writes it.
    fn constant(&mut self, values: &[i64]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.node("Constant", &[], &[("value", Attribute::Tensor(raw("", 7, &[values.len()], &bytes)))])
    }

    /// A weight (O, ...) as its style has it, and the name of what the convolution reads.
    fn weight(&mut self, tensor: &Tensor) -> String {
        let shape = &tensor.shape;
        let inner: usize = shape[1..].iter().product();
        let scales: Vec<f32> = (0..shape[0]).map(|c| 1.0 / (100.0 + c as f32 % 27.0)).collect();
        let bytes = tensor.data.iter().enumerate().map(|(i, v)| (v / scales[i / inner]).round_ties_even() as i8 as u8);
        let axis = [("axis", Attribute::Integer(0))];
        match self.style.quantised {
            Quantised::No => self.floats(&tensor.data, shape),
            Quantised::Bytes => {
                let name = self.name();
                let bytes: Vec<u8> = bytes.collect();
                self.constants.push(raw(&name, 3, shape, &bytes));
                let zero = self.name();
                self.constants.push(raw(&zero, 3, &[shape[0]], &vec![0; shape[0]]));
                let scales = self.floats(&scales, &[shape[0]]);
                self.node("DequantizeLinear", &[&name, &scales, &zero], &axis)
            }
            Quantised::Floats => {
                let name = self.floats(&tensor.data, shape);
                let zero = self.name();
                self.constants.push(raw(&zero, 3, &[shape[0]], &vec![0; shape[0]]));
                let scales = self.floats(&scales, &[shape[0]]);
                let quantised =
                    self.node("QuantizeLinear", &[&name, &scales, &zero], &[("axis", Attribute::Integer(0))]);
                self.node("DequantizeLinear", &[&quantised, &scales, &zero], &axis)
            }
        }
    }

    fn bias(&mut self, values: &[f32]) -> String {
        if self.style.quantised != Quantised::Bytes {
            return self.floats(values, &[values.len()]);
        }
        let name = self.name();
        let bytes: Vec<u8> = values.iter().flat_map(|v| ((v * 65536.0).round() as i32).to_le_bytes()).collect();
        self.constants.push(raw(&name, 6, &[values.len()], &bytes));
        let scale = self.floats(&[1.0 / 65536.0], &[]);
        self.node("DequantizeLinear", &[&name, &scale], &[])
    }

    /// Bytes for a map, of which 0 is the value 0 after an activation.
    fn requantised(&mut self, input: &str, activation: Activation) -> String {
        if self.style.quantised == Quantised::No {
            return input.to_owned();
        }
        let scale = self.floats(&[if activation == Activation::Linear { 1.0 / 16.0 } else { 6.0 / 255.0 }], &[]);
        let zero = self.name();
        let byte: u8 = if activation == Activation::Linear { 128 } else { 0 };
        self.constants.push(raw(&zero, 2, &[], &[byte]));
        let bytes = self.node("QuantizeLinear", &[input, &scale, &zero], &[]);
        self.node("DequantizeLinear", &[&bytes, &scale, &zero], &[])
    }

    fn model(&self, input: Message, outputs: &[&str]) -> Vec<u8> {
        let mut graph = Message::default().text(2, "graph");
        for node in &self.nodes {
            graph = graph.message(1, node);
        }
        for constant in &self.constants {
            graph = graph.message(5, constant);
        }
        graph = graph.message(11, &input);
        for output in outputs {
            graph = graph.message(12, &value(output, 1, &[]));
        }
        let producer = if self.style.channels_last { "tf2onnx" } else { "pytorch" };
        let opset = Message::default().text(1, "").integer(2, self.style.opset);
        Message::default().integer(1, 8).text(2, producer).message(7, &graph).message(8, &opset).0
    }
}

impl Pen for Writer<'_> {
    fn conv(&mut self, input: &str, conv: &Conv) -> String {
        let (weight, bias) = (&self.tensors[&conv.weight().name], &self.tensors[&conv.bias().name]);
        let seed = self.network.convs().position(|other| other.name == conv.name).unwrap();
        let weight = self.weight(weight);
        let side = conv.pad.height as i64;
        let mut source = input.to_owned();
        let (mut pads, mut auto) = (vec![side; 4], "NOTSET");
        if self.style.channels_last {
            auto = "SAME_UPPER";
        } else if self.style.pads && conv.kernel > 1 {
            let sides = [0, 0, side, side, 0, 0, side, side];
            source = if self.style.opset < 11 {
                self.node("Pad", &[input], &[("pads", Attribute::Integers(sides.to_vec()))])
            } else {
                let sides = self.integers(&sides);
                self.node("Pad", &[input, &sides], &[("mode", Attribute::Text("constant"))])
            };
            pads = vec![0; 4];
        }
        let (kernel, stride, rate) = (conv.kernel as i64, conv.stride as i64, conv.rate as i64);
        let rate = if conv.kernel == 1 { 1 } else { rate };
        let mut attributes = vec![
            ("kernel_shape", Attribute::Integers(vec![kernel; 2])),
            ("strides", Attribute::Integers(vec![stride; 2])),
            ("dilations", Attribute::Integers(vec![rate; 2])),
            ("group", Attribute::Integer(if conv.depthwise { conv.c_in as i64 } else { 1 })),
        ];
        if auto == "NOTSET" {
            attributes.push(("pads", Attribute::Integers(pads)));
        } else {
            attributes.push(("auto_pad", Attribute::Text(auto)));
        }
        let norm = self.style.norms && conv.batch_norm;
        let mut value = if norm {
            let value = self.node("Conv", &[&source, &weight], &attributes);
            let ([gamma, beta, mean, variance], ..) = batch_norm(seed, conv.c_out, EPSILON);
            let four = [gamma, beta, mean, variance].map(|numbers| self.floats(&numbers, &[conv.c_out]));
            let inputs = [&value, &four[0], &four[1], &four[2], &four[3]].map(String::as_str);
            self.node("BatchNormalization", &inputs, &[("epsilon", Attribute::Float(EPSILON))])
        } else {
            let bias = self.bias(&bias.data.clone());
            self.node("Conv", &[&source, &weight, &bias], &attributes)
        };
        if self.style.quantised != Quantised::Bytes {
            value = match conv.activation {
                Activation::Linear => value,
                Activation::Relu => self.node("Relu", &[&value], &[]),
                Activation::Relu6 if self.style.opset < 11 => {
                    self.node("Clip", &[&value], &[("min", Attribute::Float(0.0)), ("max", Attribute::Float(6.0))])
                }
                Activation::Relu6 if self.style.computes => {
                    let (zero, six) = (self.floats(&[0.0], &[]), self.floats(&[6.0], &[]));
                    let least = self.node("Max", &[&value, &zero], &[]);
                    self.node("Min", &[&least, &six], &[])
                }
                Activation::Relu6 => {
                    let (zero, six) = (self.floats(&[0.0], &[]), self.floats(&[6.0], &[]));
                    self.node("Clip", &[&value, &zero, &six], &[])
                }
            };
        }
        self.requantised(&value, conv.activation)
    }

    fn add(&mut self, left: &str, right: &str) -> String {
        let sum = self.node("Add", &[left, right], &[]);
        self.requantised(&sum, Activation::Linear)
    }

    fn pool(&mut self, input: &str, size: Size) -> String {
        if self.style.computes {
            return self.node("ReduceMean", &[input], &[("axes", Attribute::Integers(vec![2, 3]))]);
        }
        if self.style.pads {
            let window = vec![size.height as i64, size.width as i64];
            return self.node("AveragePool", &[input], &[("kernel_shape", Attribute::Integers(window))]);
        }
        self.node("GlobalAveragePool", &[input], &[])
    }

    fn resize(&mut self, input: &str, from: Size, to: Size, rule: Resize) -> String {
        let mode = match rule {
            Resize::AlignCorners => "align_corners",
            Resize::HalfPixel => "half_pixel",
        };
        let mut attributes = vec![("mode", Attribute::Text("linear"))];
        let factor = |to: usize, from: usize| to as f32 / from as f32;
        let scales = [1.0, 1.0, factor(to.height, from.height), factor(to.width, from.width)];
        if self.style.opset < 11 {
            let scales = self.floats(&scales, &[4]);
            return self.node("Upsample", &[input, &scales], &attributes);
        }
        attributes.push(("coordinate_transformation_mode", Attribute::Text(mode)));
        if self.style.computes {
            // The channels of the input, and the size: of the image by its shape.
            let shape = self.node("Shape", &[input], &[]);
            let (zero, two) = (self.constant(&[0]), self.constant(&[2]));
            let channels = self.node("Slice", &[&shape, &zero, &two], &[]);
            let size = if to == self.network.input {
                let image = self.node("Shape", &["image"], &[]);
                let index = self.node("Constant", &[], &[("value_int", Attribute::Integer(2))]);
                let axis = self.constant(&[0]);
                let side = self.node("Gather", &[&image, &index], &[("axis", Attribute::Integer(0))]);
                let side = self.node("Unsqueeze", &[&side, &axis], &[]);
                let float = self.node("Cast", &[&side], &[("to", Attribute::Integer(1))]);
                let one = self.floats(&[1.0], &[1]);
                let float = self.node("Mul", &[&float, &one], &[]);
                let float = self.node("Floor", &[&float], &[]);
                let side = self.node("Cast", &[&float], &[("to", Attribute::Integer(7))]);
                self.node("Concat", &[&side, &side], &[("axis", Attribute::Integer(0))])
            } else {
                self.constant(&[to.height as i64, to.width as i64])
            };
            let sizes = self.node("Concat", &[&channels, &size], &[("axis", Attribute::Integer(0))]);
            return self.node("Resize", &[input, "", "", &sizes], &attributes);
        }
        let scales = self.floats(&scales, &[4]);
        self.node("Resize", &[input, "", &scales], &attributes)
    }

    fn join(&mut self, inputs: &[String]) -> String {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let joined = self.node("Concat", &inputs, &[("axis", Attribute::Integer(1))]);
        self.requantised(&joined, Activation::Relu)
    }

    fn flat(&mut self, input: &str) -> String {
        if self.style.computes {
            let shape = self.integers(&[0, -1]);
            return self.node("Reshape", &[input, &shape], &[]);
        }
        self.node("Flatten", &[input], &[("axis", Attribute::Integer(1))])
    }
}

/// The whole network as a file; `end` adds operators to the logits and gives the outputs.
fn write_ending(
    spec: &Spec,
    tensors: &HashMap<String, Tensor>,
    style: Style,
    end: impl Fn(&mut Writer<'_>, String) -> Vec<String>,
) -> Vec<u8> {
    let mut w = Writer::new(spec, tensors, style);
    let size = w.network.input;
    let (input, start) = if style.channels_last {
        let order = vec![0, 3, 1, 2];
        let image = value("image", 1, &dims(&[1, size.height, size.width, 3]));
        (image, w.node("Transpose", &["image"], &[("perm", Attribute::Integers(order))]))
    } else {
        (value("image", 1, &dims(&[1, 3, size.height, size.width])), "image".to_owned())
    };
    let start = w.requantised(&start, Activation::Linear);
    let logits = draw(spec, &mut w, &start);
    let outputs = end(&mut w, logits);
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    w.model(input, &outputs)
}

fn write(spec: &Spec, tensors: &HashMap<String, Tensor>, style: Style) -> Vec<u8> {
    write_ending(spec, tensors, style, |_, logits| vec![logits])
}

fn symmetric(change: impl Fn(&mut Spec)) -> Spec {
    changed(|spec| {
        (spec.padding, head(spec).resize) = (Padding::Symmetric, Resize::HalfPixel);
        change(spec);
    })
}

#[test]
fn the_forms_of_exporters() {
    let spec = symmetric(|_| {});
    let tensors = weights(&spec);
    for opset in [11, 13, 17, 18, 23] {
        for style in [
            Style { opset, ..PLAIN },
            Style { opset, lists: true, pads: true, ..PLAIN },
            Style { opset, computes: true, ..PLAIN },
        ] {
            let style = Style { computes: style.computes && opset < 18, ..style };
            comes_back(&write(&spec, &tensors, style), &spec, &tensors, &options(&spec), 0.0);
        }
        let file = write(&spec, &tensors, Style { opset, norms: true, ..PLAIN });
        comes_back(&file, &spec, &normalised(&spec, EPSILON), &options(&spec), 1e-6);
    }
    let same = changed(|spec| spec.padding = Padding::Same);
    let tensors = weights(&same);
    let style = Style { channels_last: true, ..PLAIN };
    comes_back(&write(&same, &tensors, style), &same, &tensors, &options(&same), 0.0);
    // Before opset 11 a resize had no rule; these sizes are those of align-corners.
    let style = Style { opset: 9, pads: true, ..PLAIN };
    let old = changed(|spec| spec.padding = Padding::Symmetric);
    comes_back(&write(&old, &tensors, style), &old, &weights(&old), &options(&old), 0.0);
}

#[test]
fn heads_and_extractors() {
    for aspp in [Aspp::None, Aspp::Plain { rates: vec![2, 4] }, Aspp::Separable { rates: vec![1, 3] }] {
        let spec = symmetric(|spec| {
            let head = head(spec);
            (head.pooling_last, head.refine, head.aspp) = (true, true, aspp.clone());
        });
        let tensors = weights(&spec);
        comes_back(&write(&spec, &tensors, PLAIN), &spec, &tensors, &options(&spec), 0.0);
    }
    let expansion = symmetric(|spec| v2(spec).shortcut = Shortcut::Expansion);
    let tensors = weights(&expansion);
    comes_back(&write(&expansion, &tensors, PLAIN), &expansion, &tensors, &options(&expansion), 0.0);
    let mut classifier = Spec::preset("mobilenet_v2_0.35").unwrap();
    (classifier.input.size, classifier.padding) = (64, Padding::Symmetric);
    let tensors = weights(&classifier);
    for style in [PLAIN, Style { computes: true, ..PLAIN }] {
        let file = write_ending(&classifier, &tensors, style, |w, logits| vec![w.node("Softmax", &[&logits], &[])]);
        comes_back(&file, &classifier, &tensors, &options(&classifier), 0.0);
    }
}

#[test]
fn quantised_weights_stay_bytes() {
    let spec = symmetric(|_| {});
    let tensors = weights(&spec);
    for quantised in [Quantised::Bytes, Quantised::Floats] {
        let file = write(&spec, &tensors, Style { quantised, ..PLAIN });
        // Half a step of the coarsest scale.
        comes_back(&file, &spec, &tensors, &options(&spec), 0.0055);
        let imported = import_bytes(&file, "quantised", &options(&spec)).unwrap();
        let weights = imported.quantised.keys().filter(|name| name.ends_with(".weight")).count();
        assert_eq!(weights, tensors.len() / 2, "{quantised:?}");
        let stem = &imported.activations["stem.output"];
        assert_eq!((stem.element, stem.zero_point), (ActivationElement::U8, 0));
        assert!((stem.scale - 6.0 / 255.0).abs() < 1e-9 && imported.activations.contains_key("input"));
    }
    // Without bytes that begin at 0 the missing activation is an error.
    let mut w = Writer::new(&spec, &tensors, Style { quantised: Quantised::Bytes, ..PLAIN });
    let stem = w.network.conv("stem").unwrap().clone();
    let linear = w.conv("image", &Conv { activation: Activation::Linear, ..stem });
    let expand = w.network.convs().nth(1).unwrap().clone();
    let next = w.conv(&linear, &Conv { activation: Activation::Linear, ..expand });
    let file = w.model(value("image", 1, &dims(&[1, 3, 65, 65])), &[&next]);
    assert!(import_bytes(&file, "linear", &options(&spec)).is_err());
}

#[test]
fn the_file_may_normalise_the_image_and_end_in_classes() {
    let spec = symmetric(|_| {});
    let tensors = weights(&spec);
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let mean = w.floats(&[123.675, 116.28, 103.53], &[1, 3, 1, 1]);
    let std = w.floats(&[58.395, 57.12, 57.375], &[3, 1, 1]);
    let centred = w.node("Sub", &["image", &mean], &[]);
    let start = w.node("Div", &[&centred, &std], &[]);
    let logits = draw(&spec, &mut w, &start);
    let chances = w.node("Softmax", &[&logits], &[("axis", Attribute::Integer(1))]);
    let best = w.node("ArgMax", &[&logits], &[("axis", Attribute::Integer(1)), ("keepdims", Attribute::Integer(0))]);
    let bytes = w.node("Cast", &[&best], &[("to", Attribute::Integer(2))]);
    let file = w.model(value("image", 1, &dims(&[1, 3, 65, 65])), &[&chances, &bytes]);
    let given = ImportOptions { mean: None, std: None, ..options(&spec) };
    comes_back(&file, &spec, &tensors, &given, 0.0);
    let input = import_bytes(&file, "normalises", &given).unwrap().spec.input;
    for (found, expected) in input.mean.iter().chain(&input.std).zip([123.675, 116.28, 103.53, 58.395, 57.12, 57.375]) {
        assert!((found - expected).abs() < 1e-4, "{input:?}");
    }
    let negative = |w: &mut Writer<'_>| {
        let minus = w.floats(&[-1.0], &[]);
        w.node("Mul", &["image", &minus], &[])
    };
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let start = negative(&mut w);
    let logits = draw(&spec, &mut w, &start);
    let file = w.model(value("image", 1, &dims(&[1, 3, 65, 65])), &[&logits]);
    let error = import_bytes(&file, "negative", &given).unwrap_err().to_string();
    assert!(error.contains("the normalisation"), "{error}");
}

#[test]
fn one_logit_and_its_sigmoid() {
    let spec = symmetric(|spec| {
        head(spec).classes = 1;
        spec.labels = vec!["person".into()];
    });
    let tensors = weights(&spec);
    let file = write_ending(&spec, &tensors, PLAIN, |w, logits| vec![w.node("Sigmoid", &[&logits], &[])]);
    let imported = import_bytes(&file, "one", &options(&spec)).unwrap();
    assert_eq!(imported.spec.task(), Task::Alpha);
    imported.into_model().unwrap();
}

#[test]
fn open_sizes_are_asked_for() {
    let spec = symmetric(|_| {});
    let tensors = weights(&spec);
    let mut w = Writer::new(&spec, &tensors, Style { computes: true, ..PLAIN });
    let mut open = dims(&[1, 3, 65, 65]);
    open[2] = Message::default().text(2, "height");
    open[3] = Message::default().text(2, "width");
    // At another size than that of the network: rows and columns follow from the image's shape.
    let logits = draw(&spec, &mut w, "image");
    let file = w.model(value("image", 1, &open), &[&logits]);
    let sized = ImportOptions { size: Some(65), ..options(&spec) };
    comes_back(&file, &spec, &tensors, &sized, 0.0);
    let bare = ImportOptions::default();
    let ImportError::NotSaid { missing } = import_bytes(&write(&spec, &tensors, PLAIN), "bare", &bare).unwrap_err()
    else {
        panic!("nothing is missing")
    };
    assert_eq!(missing.iter().map(|missing| missing.flag).collect::<Vec<_>>(), ["--mean", "--std"]);
}

#[test]
fn a_graph_that_ends_before_the_resize_asks_for_its_rule() {
    let spec = symmetric(|_| {});
    let tensors = weights(&spec);
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let logits = draw(&spec, &mut w, "image");
    w.nodes.pop();
    let before = format!("v{}", logits[1..].parse::<usize>().unwrap() - 2);
    let file = w.model(value("image", 1, &dims(&[1, 3, 65, 65])), &[&before]);
    let error = import_bytes(&file, "low", &options(&spec)).unwrap_err().to_string();
    assert!(error.contains("--resize align_corners|half_pixel"), "{error}");
    let given = ImportOptions { resize: Some(Resize::HalfPixel), ..options(&spec) };
    comes_back(&file, &spec, &tensors, &given, 0.0);
}

#[test]
fn strangers_are_refused_with_what_was_recognised() {
    let spec = symmetric(|_| {});
    let tensors = weights(&spec);
    let refused = |draws: &dyn Fn(&mut Writer<'_>) -> String| {
        let mut w = Writer::new(&spec, &tensors, PLAIN);
        let output = draws(&mut w);
        let file = w.model(value("image", 1, &dims(&[1, 3, 65, 65])), &[&output]);
        let error = import_bytes(&file, "stranger", &options(&spec)).unwrap_err();
        assert!(matches!(&error, ImportError::UnknownNetwork { .. }), "{error}");
        error.to_string()
    };
    let network = Network::native(&spec).unwrap();
    let stem = network.conv("stem").unwrap();
    let v3 = refused(&|w| {
        let linear = w.conv("image", &Conv { activation: Activation::Linear, ..stem.clone() });
        let swish = w.node("HardSwish", &[&linear], &[]);
        w.node("GlobalAveragePool", &[&swish], &[])
    });
    assert!(v3.contains("(HardSwish") && v3.contains("only a stem") && v3.contains("a MobileNetV3"), "{v3}");
    let resnet = refused(&|w| {
        let kernel = w.floats(&vec![0.1; 64 * 3 * 49], &[64, 3, 7, 7]);
        let attributes = [("strides", Attribute::Integers(vec![2; 2])), ("pads", Attribute::Integers(vec![3; 4]))];
        let conv = w.node("Conv", &["image", &kernel], &attributes);
        let relu = w.node("Relu", &[&conv], &[]);
        w.node("MaxPool", &[&relu], &[("kernel_shape", Attribute::Integers(vec![3; 2]))])
    });
    assert!(
        resnet.contains("(Conv") && resnet.contains("nothing before it") && resnet.contains("a ResNet"),
        "{resnet}"
    );
    let unet = refused(&|w| {
        let logits = draw(&spec, w, "image");
        w.node("ConvTranspose", &[&logits], &[])
    });
    assert!(
        unet.contains("(ConvTranspose") && unet.contains("part of DeepLabV3's head") && unet.contains("a U-Net"),
        "{unet}"
    );
    // The middle of a network: a Mul of two maps, squeeze and excitation.
    let squeezed = refused(&|w| {
        let stem = w.conv("image", stem);
        let pooled = w.node("GlobalAveragePool", &[&stem], &[]);
        w.node("Mul", &[&stem, &pooled], &[])
    });
    assert!(squeezed.lines().count() == 1, "{squeezed}");
}

#[test]
fn weights_elsewhere_and_old_files_are_refused_by_name() {
    let spec = symmetric(|_| {});
    let tensors = weights(&spec);
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let logits = draw(&spec, &mut w, "image");
    let location = Message::default().text(1, "location").text(2, "model.onnx.data");
    w.constants
        .push(Message::default().integer(1, 4).integer(2, 1).text(8, "far").message(13, &location).integer(14, 1));
    let file = w.model(value("image", 1, &dims(&[1, 3, 65, 65])), &[&logits]);
    let error = import_bytes(&file, "far", &options(&spec)).unwrap_err().to_string();
    assert!(error.contains("another file (tensor 'far')") && error.contains("onnx.save"), "{error}");
    let file = write(&spec, &tensors, Style { opset: 6, pads: true, ..PLAIN });
    let error = import_bytes(&file, "old", &options(&spec)).unwrap_err().to_string();
    assert!(error.contains("opset 6"), "{error}");
}

/// A small network in the style with the most features.
fn sample() -> (Vec<u8>, Spec) {
    let spec = symmetric(|spec| {
        v2(spec).bottlenecks.truncate(3);
        v2(spec).output_stride = 8;
    });
    let tensors = weights(&spec);
    (write(&spec, &tensors, Style { computes: true, ..PLAIN }), spec)
}

#[test]
fn damaged_files_end_in_a_line() {
    let (file, spec) = sample();
    survives(&file, &options(&spec));
}

#[test]
fn hostile_files_end_in_a_line_and_cost_little() {
    let spec = symmetric(|_| {});
    let tensors = HashMap::new();
    let image = || value("image", 1, &dims(&[1, 3, 65, 65]));
    let refused = |file: &[u8], part: &str| {
        let before = std::time::Instant::now();
        let error = import_bytes(file, "hostile", &options(&spec)).unwrap_err().to_string();
        assert!(error.contains(part) && error.lines().count() == 1, "{part}: {error}");
        assert!(before.elapsed().as_secs() < 20, "{part}: {:?}", before.elapsed());
    };
    // Operators without number.
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let mut last = "image".to_owned();
    for _ in 0..20_000 {
        last = w.node("Relu", &[&last], &[]);
    }
    refused(&w.model(image(), &[&last]), "more than 16384 operators");
    // A chain as long as it may be.
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let one = w.floats(&[1.0], &[]);
    let kernel = w.floats(&vec![0.5; 32 * 27], &[32, 3, 3, 3]);
    let attributes = [("strides", Attribute::Integers(vec![2; 2])), ("pads", Attribute::Integers(vec![1; 4]))];
    let mut last = w.node("Conv", &["image", &kernel], &attributes);
    for _ in 0..16_000 {
        last = w.node("Add", &[&last, &one], &[]);
    }
    refused(&w.model(image(), &[&last]), "numbers for channels");
    // One weight that every operator reads.
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let kernel = w.floats(&vec![0.5; 1 << 12], &[64, 64, 1, 1]);
    let stem = w.floats(&vec![0.5; 64 * 27], &[64, 3, 3, 3]);
    let mut last = w.node("Conv", &["image", &stem], &attributes);
    for _ in 0..1000 {
        last = w.node("Conv", &[&last, &kernel], &[]);
    }
    refused(&w.model(image(), &[&last]), "weights (shared ones count again)");
    // Sizes that are made of others, and tensors larger than the file.
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let mut size = w.integers(&[i64::MAX, i64::MAX]);
    for _ in 0..40 {
        size = w.node("Concat", &[&size, &size], &[("axis", Attribute::Integer(0))]);
    }
    let filled = w.node("ConstantOfShape", &[&size], &[]);
    let resized = w.node("Resize", &["image", "", "", &filled], &[]);
    refused(&w.model(image(), &[&resized]), "not a known network");
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    w.constants.push(raw("big", 1, &[1 << 30, 1 << 30, 1 << 30], &[]));
    refused(&w.model(image(), &["image"]), "does not fit its shape");
    w.constants[0] = raw("big", 1, &[1 << 20], &[0; 16]);
    refused(&w.model(image(), &["image"]), "does not fit its shape");
    // What reads itself, and what nothing writes.
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    w.node("Relu", &["v1"], &[]);
    refused(&w.model(image(), &["v1"]), "before anything has written it");
    refused(&Writer::new(&spec, &tensors, PLAIN).model(image(), &["nothing"]), "nothing writes");
    // Messages in messages, which nothing goes into.
    let mut deep = Message::default();
    for _ in 0..10_000 {
        deep = Message::default().message(6, &deep);
    }
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    w.nodes.push(Message::default().text(1, "image").text(2, "v0").text(4, "If").message(5, &deep));
    refused(&w.model(image(), &["v0"]), "not a known network");
    let empty = [0x0a, 0].repeat(1 << 20);
    refused(
        &Message::default()
            .integer(1, 8)
            .text(2, "x")
            .bytes(7, &empty)
            .message(8, &Message::default().integer(2, 17))
            .0,
        "operators",
    );
}

#[test]
fn a_transposed_depthwise_kernel_is_read_in_place() {
    // tf2onnx leaves the transpose of a kernel in the graph where it does not fold constants.
    let spec = symmetric(|_| {});
    let tensors = weights(&spec);
    let network = Network::native(&spec).unwrap();
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let stem = network.conv("stem").unwrap();
    let turned = permuted(&tensors[&stem.weight().name], [2, 3, 1, 0]);
    let kernel = w.floats(&turned.data, &turned.shape);
    let order = ("perm", Attribute::Integers(vec![3, 2, 0, 1]));
    let kernel = w.node("Transpose", &[&kernel], &[order]);
    let bias = w.floats(&tensors[&stem.bias().name].data, &[stem.c_out]);
    let attributes = [("strides", Attribute::Integers(vec![2; 2])), ("pads", Attribute::Integers(vec![1; 4]))];
    let conv = w.node("Conv", &["image", &kernel, &bias], &attributes);
    let (zero, six) = (w.floats(&[0.0], &[]), w.floats(&[6.0], &[]));
    let start = w.node("Clip", &[&conv, &zero, &six], &[]);
    let rest = draw_after_stem(&spec, &mut w, &start);
    let file = w.model(value("image", 1, &dims(&[1, 3, 65, 65])), &[&rest]);
    comes_back(&file, &spec, &tensors, &options(&spec), 0.0);
}

/// The network after its stem, whose output is `stem`.
fn draw_after_stem(spec: &Spec, w: &mut Writer<'_>, stem: &str) -> String {
    struct Skipping<'w, 'a> {
        writer: &'w mut Writer<'a>,
        stem: String,
    }
    impl Pen for Skipping<'_, '_> {
        fn conv(&mut self, input: &str, conv: &Conv) -> String {
            if conv.name == "stem" { self.stem.clone() } else { self.writer.conv(input, conv) }
        }
        fn add(&mut self, left: &str, right: &str) -> String {
            self.writer.add(left, right)
        }
        fn pool(&mut self, input: &str, size: Size) -> String {
            self.writer.pool(input, size)
        }
        fn resize(&mut self, input: &str, from: Size, to: Size, rule: Resize) -> String {
            self.writer.resize(input, from, to, rule)
        }
        fn join(&mut self, inputs: &[String]) -> String {
            self.writer.join(inputs)
        }
        fn flat(&mut self, input: &str) -> String {
            self.writer.flat(input)
        }
    }
    draw(spec, &mut Skipping { writer: w, stem: stem.to_owned() }, "image")
}

#[test]
fn mobilenet_v1_is_recognised_too() {
    let mut v1 = Spec::preset("deeplabv3_mnv1_aspp").unwrap();
    (v1.input.size, v1.padding) = (65, Padding::Symmetric);
    head(&mut v1).channels = 8;
    let Extractor::MobilenetV1(extractor) = &mut v1.extractor else { panic!("not MobileNetV1") };
    extractor.width = 0.25;
    let tensors = weights(&v1);
    comes_back(&write(&v1, &tensors, PLAIN), &v1, &tensors, &options(&v1), 0.0);
}

/// Files of which lists or numbers would be many times the file; what reading each cost, in another process.
#[cfg(target_os = "linux")]
#[test]
fn what_is_refused_costs_little() {
    let spec = symmetric(|_| {});
    let tensors = HashMap::new();
    let image = || value("image", 1, &dims(&[1, 3, 65, 65]));
    // As many operators as there may be, of as many inputs as they may have.
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let mut last = "image".to_owned();
    for _ in 0..16_000 {
        last = w.node("Relu", &[last.as_str(); 63], &[]);
    }
    costs_little("operators", &w.model(image(), &[&last]), "");
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let mut last = "image".to_owned();
    for _ in 0..16_000 {
        last = w.node("Nothing", &[last.as_str(); 63], &[]);
    }
    costs_little("strangers", &w.model(image(), &[&last]), "");
    // Integers of a byte in the file and eight in memory: in one tensor, and in many.
    let listed = |count: usize, name: &str| {
        let dims = Message::default().integer(1, count as i64).integer(2, 7).text(8, name);
        dims.bytes(7, &vec![1; count])
    };
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    w.constants.push(listed(16 << 20, "many"));
    costs_little("integers", &w.model(image(), &["image"]), "one by one");
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    w.constants = (0..16_000).map(|i| listed(500, &format!("few{i}"))).collect();
    costs_little("lists", &w.model(image(), &["image"]), "");
    // Numbers one by one, each a field.
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let single = (0..1 << 21).fold(Message::default().integer(1, 1 << 21).integer(2, 1), |all, _| all.float(4, 1.0));
    w.constants.push(single.text(8, "singly"));
    costs_little("fields", &w.model(image(), &["image"]), "");
    // Constants of constants.
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    let shape = w.integers(&[8192]);
    let mut last = w.node("ConstantOfShape", &[&shape], &[]);
    for _ in 0..16_000 {
        last = w.node("Add", &[&last, &last], &[]);
    }
    costs_little("sums", &w.model(image(), &[&last]), "numbers for channels");
}
