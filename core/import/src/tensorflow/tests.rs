//! Networks written as frozen graphs in the forms of TensorFlow 1 and 2, and read back; and strangers, cut and hostile files.

use std::collections::HashMap;

use silhouette_network::network::{Conv, Network, Size};
use silhouette_network::spec::{Activation, Aspp, Padding, Resize, Spec, Task};
use silhouette_weights::Tensor;

use super::archive::tests::{member, zipped};
#[cfg(target_os = "linux")]
use crate::fixture::costs_little;
use crate::fixture::{
    Message, Pen, batch_norm, changed, comes_back, draw, head, normalised, options, permuted, survives, v2, weights,
};
use crate::{ImportError, ImportOptions, import_bytes};

#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a habit of some exporter")]
struct Style {
    /// Batch norm is an operator of this version.
    norms: Option<&'static str>,
    /// Atrous convolutions between space to batch and batch to space, as TensorFlow 1 writes them.
    batches: bool,
    /// Constants are lists of numbers instead of raw bytes, and read through an Identity.
    lists: bool,
    /// Averages as a mean, activations by bounds.
    plainer: bool,
    /// Maps with their channels first, between transposes.
    channels_first: bool,
}

const PLAIN: Style = Style { norms: None, batches: false, lists: false, plainer: false, channels_first: false };

const EPSILON: f32 = 1e-3;

struct Writer<'a> {
    style: Style,
    network: Network,
    tensors: &'a HashMap<String, Tensor>,
    nodes: Vec<Message>,
    count: usize,
}

enum Attribute<'t> {
    Text(&'t str),
    Float(f32),
    True,
    Kind(i64),
    Integer(i64),
    Integers(Vec<i64>),
    Shape(Vec<i64>),
    Shapes(Vec<i64>),
    Tensor(Message),
}

fn shape(dims: &[i64]) -> Message {
    dims.iter().fold(Message::default(), |all, &n| all.message(2, &Message::default().integer(1, n)))
}

fn tensor(kind: i64, dims: &[usize], content: &[u8]) -> Message {
    let dims: Vec<i64> = dims.iter().map(|&n| n as i64).collect();
    Message::default().integer(1, kind).message(2, &shape(&dims)).bytes(4, content)
}

impl Writer<'_> {
    fn new<'a>(spec: &Spec, tensors: &'a HashMap<String, Tensor>, style: Style) -> Writer<'a> {
        Writer { style, network: Network::native(spec).unwrap(), tensors, nodes: vec![], count: 0 }
    }

    fn named(&mut self, name: &str, operator: &str, inputs: &[&str], attributes: &[(&str, Attribute<'_>)]) {
        let mut node = Message::default().text(1, name).text(2, operator);
        for input in inputs {
            node = node.text(3, input);
        }
        for (key, attribute) in attributes {
            let value = Message::default();
            let value = match attribute {
                Attribute::Text(text) => value.text(2, text),
                Attribute::Float(number) => value.float(4, *number),
                Attribute::True => value.integer(5, 1),
                Attribute::Kind(kind) => value.integer(6, *kind),
                Attribute::Integer(number) => value.integer(3, *number),
                Attribute::Integers(numbers) => {
                    let packed: Vec<u8> = numbers.iter().map(|&n| n as u8).collect();
                    value.message(1, &Message::default().bytes(3, &packed))
                }
                Attribute::Shape(dims) => value.message(7, &shape(dims)),
                Attribute::Shapes(dims) => value.message(1, &Message::default().message(7, &shape(dims))),
                Attribute::Tensor(tensor) => value.message(8, tensor),
            };
            node = node.message(5, &Message::default().text(1, key).message(2, &value));
        }
        self.nodes.push(node);
    }

    fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, Attribute<'_>)]) -> String {
        self.count += 1;
        let name = format!("scope/{operator}_{}", self.count);
        self.named(&name, operator, inputs, attributes);
        name
    }

    fn constant(&mut self, tensor: Message) -> String {
        self.node("Const", &[], &[("value", Attribute::Tensor(tensor))])
    }

    fn floats(&mut self, values: &[f32], dims: &[usize]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        if !self.style.lists {
            return self.constant(tensor(1, dims, &bytes));
        }
        let list = tensor(1, dims, &[]).bytes(5, &bytes);
        let constant = self.constant(list);
        self.node("Identity", &[&constant], &[])
    }

    fn integers(&mut self, values: &[i32], dims: &[usize]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        if !self.style.lists {
            return self.constant(tensor(3, dims, &bytes));
        }
        let list = values.iter().fold(tensor(3, dims, &[]), |tensor, &n| tensor.integer(7, i64::from(n)));
        self.constant(list)
    }

    fn placeholder(&mut self, dims: &[i64]) {
        let attributes = [("dtype", Attribute::Kind(1)), ("shape", Attribute::Shape(dims.to_vec()))];
        self.named("image", "Placeholder", &[], &attributes);
    }

    fn file(&self) -> Vec<u8> {
        let graph = self.nodes.iter().fold(Message::default(), |graph, node| graph.message(1, node));
        graph.message(4, &Message::default().integer(1, 1087)).0
    }

    fn four(&self, down: i64, across: i64) -> Vec<i64> {
        if self.style.channels_first { vec![1, 1, down, across] } else { vec![1, down, across, 1] }
    }

    fn data_format(&self) -> (&'static str, Attribute<'static>) {
        ("data_format", Attribute::Text(if self.style.channels_first { "NCHW" } else { "NHWC" }))
    }
}

impl Pen for Writer<'_> {
    fn conv(&mut self, input: &str, conv: &Conv) -> String {
        let seed = self.network.convs().position(|other| other.name == conv.name).unwrap();
        let weight = &self.tensors[&conv.weight().name];
        // (O, I, K, K) to (K, K, I, O); (C, 1, K, K) to (K, K, C, 1).
        let weight = permuted(weight, if conv.depthwise { [2, 3, 0, 1] } else { [2, 3, 1, 0] });
        let kernel = self.floats(&weight.data, &weight.shape);
        let batches = self.style.batches && conv.rate > 1 && conv.kernel > 1;
        let r = conv.rate as i32;
        let extra = (conv.input.height.next_multiple_of(conv.rate) - conv.input.height) as i32;
        let mut source = input.to_owned();
        if batches {
            let block = self.integers(&[r, r], &[2]);
            let pads = self.integers(&[r, r + extra, r, r + extra], &[2, 2]);
            source = self.node("SpaceToBatchND", &[&source, &block, &pads], &[]);
        }
        let stride = conv.stride as i64;
        let rate = if batches || conv.kernel == 1 { 1 } else { conv.rate as i64 };
        let attributes = [
            ("strides", Attribute::Integers(self.four(stride, stride))),
            ("dilations", Attribute::Integers(self.four(rate, rate))),
            ("padding", Attribute::Text(if batches { "VALID" } else { "SAME" })),
            self.data_format(),
        ];
        let operator = if conv.depthwise { "DepthwiseConv2dNative" } else { "Conv2D" };
        let mut value = self.node(operator, &[&source, &kernel], &attributes);
        if batches {
            let block = self.integers(&[r, r], &[2]);
            let crops = self.integers(&[0, extra, 0, extra], &[2, 2]);
            value = self.node("BatchToSpaceND", &[&value, &block, &crops], &[]);
        }
        value = if let Some(operator) = self.style.norms.filter(|_| conv.batch_norm) {
            let (four, ..) = batch_norm(seed, conv.c_out, EPSILON);
            let four = four.map(|numbers| self.floats(&numbers, &[conv.c_out]));
            let inputs = [&value, &four[0], &four[1], &four[2], &four[3]].map(String::as_str);
            let attributes = [("epsilon", Attribute::Float(EPSILON)), self.data_format()];
            self.node(operator, &inputs, &attributes)
        } else {
            let bias = self.floats(&self.tensors[&conv.bias().name].data.clone(), &[conv.c_out]);
            let data_format = self.data_format();
            self.node("BiasAdd", &[&value, &bias], &[data_format])
        };
        match conv.activation {
            Activation::Linear => value,
            Activation::Relu => self.node("Relu", &[&value], &[]),
            Activation::Relu6 if self.style.plainer => {
                let six = self.floats(&[6.0], &[]);
                let relu = self.node("Relu", &[&value], &[]);
                self.node("Minimum", &[&relu, &six], &[])
            }
            Activation::Relu6 => self.node("Relu6", &[&value], &[]),
        }
    }

    fn add(&mut self, left: &str, right: &str) -> String {
        self.node(if self.style.plainer { "AddV2" } else { "Add" }, &[left, right], &[])
    }

    fn pool(&mut self, input: &str, size: Size) -> String {
        if self.style.plainer {
            let axes = self.integers(&if self.style.channels_first { [2, 3] } else { [1, 2] }, &[2]);
            return self.node("Mean", &[input, &axes], &[("keep_dims", Attribute::True)]);
        }
        let attributes = [
            ("ksize", Attribute::Integers(self.four(size.height as i64, size.width as i64))),
            ("strides", Attribute::Integers(vec![1; 4])),
            ("padding", Attribute::Text("VALID")),
            self.data_format(),
        ];
        self.node("AvgPool", &[input], &attributes)
    }

    fn resize(&mut self, input: &str, _: Size, to: Size, rule: Resize) -> String {
        // Resizes have channels last alone.
        let mut source = input.to_owned();
        if self.style.channels_first {
            let order = self.integers(&[0, 2, 3, 1], &[4]);
            source = self.node("Transpose", &[&source, &order], &[]);
        }
        let size = self.integers(&[to.height as i32, to.width as i32], &[2]);
        let key = if rule == Resize::AlignCorners { "align_corners" } else { "half_pixel_centers" };
        let resized = self.node("ResizeBilinear", &[&source, &size], &[(key, Attribute::True)]);
        if !self.style.channels_first {
            return resized;
        }
        let order = self.integers(&[0, 3, 1, 2], &[4]);
        self.node("Transpose", &[&resized, &order], &[])
    }

    fn join(&mut self, inputs: &[String]) -> String {
        let axis = self.integers(&[if self.style.channels_first { 1 } else { 3 }], &[]);
        let inputs: Vec<&str> = inputs.iter().chain([&axis]).map(String::as_str).collect();
        self.node("ConcatV2", &inputs, &[])
    }

    fn flat(&mut self, input: &str) -> String {
        if self.style.plainer {
            let shape = self.integers(&[1, -1], &[2]);
            return self.node("Reshape", &[input, &shape], &[]);
        }
        self.node("Squeeze", &[input], &[("squeeze_dims", Attribute::Integers(vec![1, 2]))])
    }
}

fn write_ending(
    spec: &Spec,
    tensors: &HashMap<String, Tensor>,
    style: Style,
    end: impl Fn(&mut Writer<'_>, String),
) -> Vec<u8> {
    let mut w = Writer::new(spec, tensors, style);
    let size = w.network.input;
    w.placeholder(&[1, size.height as i64, size.width as i64, 3]);
    let mut start = "image".to_owned();
    if style.channels_first {
        let order = w.integers(&[0, 3, 1, 2], &[4]);
        start = w.node("Transpose", &[&start, &order], &[]);
    }
    let logits = draw(spec, &mut w, &start);
    end(&mut w, logits);
    w.file()
}

fn write(spec: &Spec, tensors: &HashMap<String, Tensor>, style: Style) -> Vec<u8> {
    write_ending(spec, tensors, style, |_, _| {})
}

#[test]
fn the_forms_of_frozen_graphs() {
    for output_stride in [8, 16] {
        let spec = changed(|spec| {
            v2(spec).output_stride = output_stride;
            head(spec).aspp = Aspp::Plain { rates: vec![2, 3] };
        });
        let tensors = weights(&spec);
        for style in [
            PLAIN,
            Style { batches: true, ..PLAIN },
            Style { lists: true, plainer: true, ..PLAIN },
            Style { channels_first: true, ..PLAIN },
            Style { channels_first: true, plainer: true, ..PLAIN },
        ] {
            comes_back(&write(&spec, &tensors, style), &spec, &tensors, &options(&spec), 0.0);
        }
        let expected = normalised(&spec, EPSILON);
        for operator in ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"] {
            let style = Style { norms: Some(operator), batches: true, ..PLAIN };
            comes_back(&write(&spec, &tensors, style), &spec, &expected, &options(&spec), 1e-6);
        }
    }
    let half = changed(|spec| head(spec).resize = Resize::HalfPixel);
    let tensors = weights(&half);
    comes_back(&write(&half, &tensors, PLAIN), &half, &tensors, &options(&half), 0.0);
    let mut classifier = Spec::preset("mobilenet_v2_0.35").unwrap();
    classifier.input.size = 64;
    let tensors = weights(&classifier);
    for style in [PLAIN, Style { plainer: true, ..PLAIN }] {
        let file = write_ending(&classifier, &tensors, style, |w, logits| drop(w.node("Softmax", &[&logits], &[])));
        comes_back(&file, &classifier, &tensors, &options(&classifier), 0.0);
    }
}

/// The zoo's graphs: an image of any size, padded with grey to the network's and normalised; classes and probabilities, cut to
/// the image and resized to it.
fn as_the_zoo_does(spec: &Spec, tensors: &HashMap<String, Tensor>, noted: bool) -> Vec<u8> {
    let mut w = Writer::new(spec, tensors, Style { batches: true, norms: Some("FusedBatchNormV3"), ..PLAIN });
    let side = w.network.input.height as i32;
    w.placeholder(&[1, -1, -1, 3]);
    let plane = w.node("Squeeze", &["image"], &[("squeeze_dims", Attribute::Integers(vec![0]))]);
    let plane = w.node("Cast", &[&plane], &[("DstT", Attribute::Kind(1))]);
    let shape = w.node("Shape", &[&plane], &[]);
    let [zero, one, two, three] = [0, 1, 2, 3].map(|i| w.integers(&[i], &[1]));
    let part = |w: &mut Writer<'_>, from: &str, to: &str| {
        w.node("StridedSlice", &[&shape, from, to, &one], &[("shrink_axis_mask", Attribute::Integer(1))])
    };
    let (height, width) = (part(&mut w, &zero, &one), part(&mut w, &one, &two));
    let nothing = w.integers(&[0], &[]);
    let target = w.integers(&[side], &[]);
    let pairs: Vec<String> = [height, width]
        .into_iter()
        .map(|side| {
            let missing = w.node("Sub", &[&target, &side], &[]);
            let missing = w.node("Maximum", &[&missing, &nothing], &[]);
            w.node("Pack", &[&nothing, &missing], &[])
        })
        .collect();
    let none = w.integers(&[0, 0], &[2]);
    let pads = w.node("Pack", &[&none, &pairs[0], &pairs[1], &none], &[]);
    let grey = w.floats(&[127.5; 3], &[1, 1, 3]);
    let text = w.constant(Message::default().integer(1, 7).bytes(8, b"wrong rank"));
    w.named("check", "Assert", &[&nothing, &text], &[]);
    let dark = w.node("Sub", &[&plane, &grey, "^check"], &[]);
    let dark = w.node("ExpandDims", &[&dark, &nothing], &[]);
    let padded = w.node("Pad", &[&dark, &pads], &[]);
    let padded = w.node("Squeeze", &[&padded], &[("squeeze_dims", Attribute::Integers(vec![0]))]);
    let padded = w.node("AddV2", &[&padded, &grey], &[]);
    let image = w.node("ExpandDims", &[&padded, &nothing], &[]);
    let factor = w.floats(&[1.0 / 127.5], &[]);
    let ones = w.floats(&[1.0], &[]);
    let scaled = w.node("Mul", &[&factor, &image], &[]);
    let noted_shape = vec![1, i64::from(side), i64::from(side), 3];
    let attributes = [("_output_shapes", Attribute::Shapes(noted_shape))];
    let start = w.node("Sub", &[&scaled, &ones], if noted { &attributes } else { &[] });
    let logits = draw(spec, &mut w, &start);
    let axis = w.integers(&[3], &[]);
    let chances = w.node("Softmax", &[&logits], &[]);
    let best = w.node("ArgMax", &[&logits, &axis], &[]);
    let best = w.node("Cast", &[&best], &[("DstT", Attribute::Kind(3))]);
    // (rows and columns of the image itself)
    let size = w.node("StridedSlice", &[&shape, &zero, &two, &one], &[("begin_mask", Attribute::Integer(1))]);
    let rows = w.node("StridedSlice", &[&size, &zero, &one, &one], &[("shrink_axis_mask", Attribute::Integer(1))]);
    let columns = w.node("StridedSlice", &[&size, &one, &two, &one], &[("shrink_axis_mask", Attribute::Integer(1))]);
    let end = w.node("Pack", &[&nothing, &rows, &columns], &[]);
    let zeros = w.integers(&[0; 3], &[3]);
    let steps = w.integers(&[1; 3], &[3]);
    let masks = [("begin_mask", Attribute::Integer(7)), ("end_mask", Attribute::Integer(1))];
    let cut = w.node("StridedSlice", &[&best, &zeros, &end, &steps], &masks);
    let cut = w.node("ExpandDims", &[&cut, &axis], &[]);
    let resized = w.node("ResizeNearestNeighbor", &[&cut, &size], &[("align_corners", Attribute::True)]);
    w.named("SemanticPredictions", "Squeeze", &[&resized], &[("squeeze_dims", Attribute::Integers(vec![3]))]);
    w.named("SemanticProbabilities", "Identity", &[&chances], &[]);
    drop(three);
    w.file()
}

#[test]
fn the_zoos_graphs_and_archives() {
    let spec = changed(|_| {});
    let tensors = weights(&spec);
    let expected = normalised(&spec, EPSILON);
    let given = ImportOptions { mean: None, std: None, ..options(&spec) };
    let file = as_the_zoo_does(&spec, &tensors, true);
    comes_back(&file, &spec, &expected, &given, 1e-6);
    let imported = import_bytes(&file, "zoo", &given).unwrap();
    let input = imported.spec.input;
    for value in input.mean.iter().chain(&input.std) {
        assert!((value - 127.5).abs() < 1e-3, "{input:?}");
    }
    // Where the size of the network is not noted either, the error requests it.
    let file = as_the_zoo_does(&spec, &tensors, false);
    let error = import_bytes(&file, "zoo", &given).unwrap_err().to_string();
    assert!(error.contains("--size N"), "{error}");
    let sized = ImportOptions { size: Some(65), ..given.clone() };
    comes_back(&file, &spec, &expected, &sized, 1e-6);
    let checkpoint = member("deeplab/model.ckpt-0.index", &[7; 700]);
    let archive = [checkpoint, member("deeplab/frozen_inference_graph.pb", &file), vec![0; 1024]].concat();
    comes_back(&zipped(&archive), &spec, &expected, &sized, 1e-6);
}

#[test]
fn one_logit_and_its_sigmoid() {
    let spec = changed(|spec| {
        head(spec).classes = 1;
        spec.labels = vec!["person".into()];
    });
    let tensors = weights(&spec);
    let file = write_ending(&spec, &tensors, PLAIN, |w, logits| drop(w.node("Sigmoid", &[&logits], &[])));
    let imported = import_bytes(&file, "one", &options(&spec)).unwrap();
    assert_eq!((imported.spec.task(), imported.spec.padding), (Task::Alpha, Padding::Same));
    imported.into_model().unwrap();
}

#[test]
fn tensors_of_fewer_numbers_than_elements() {
    let spec = changed(|_| {});
    let mut tensors = weights(&spec);
    let name = "stem.bias".to_owned();
    tensors.get_mut(&name).unwrap().data.fill(0.25);
    let network = Network::native(&spec).unwrap();
    let channels = network.conv("stem").unwrap().c_out;
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    w.placeholder(&[1, 65, 65, 3]);
    draw(&spec, &mut w, "image");
    // The bias of the stem is the second constant: one number stands for all.
    let all: Vec<u8> = vec![0.25f32; channels].iter().flat_map(|value| value.to_le_bytes()).collect();
    let whole = tensor(1, &[channels], &all);
    let once = tensor(1, &[channels], &[]).float(5, 0.25);
    let twice = tensor(1, &[channels], &[]).float(5, 0.25).float(5, 0.25);
    for short in [once, twice] {
        let mut nodes = w.nodes.clone();
        let key = |value: &Message| {
            let value = Message::default().message(8, value);
            Message::default().text(1, "value").message(2, &value)
        };
        let before = Message::default().message(5, &key(&whole)).0;
        let after = Message::default().message(5, &key(&short)).0;
        let at = nodes.iter().position(|node| node.0.ends_with(&before)).unwrap();
        let kept = nodes[at].0.len() - before.len();
        nodes[at].0.truncate(kept);
        nodes[at].0.extend(after);
        let short = Writer { nodes, ..Writer::new(&spec, &tensors, PLAIN) };
        comes_back(&short.file(), &spec, &tensors, &options(&spec), 0.0);
    }
}

#[test]
fn strangers_and_unfrozen_graphs_are_refused_by_name() {
    let spec = changed(|_| {});
    let tensors = weights(&spec);
    let refused = |draws: &dyn Fn(&mut Writer<'_>)| {
        let mut w = Writer::new(&spec, &tensors, PLAIN);
        w.placeholder(&[1, 65, 65, 3]);
        draws(&mut w);
        let error = import_bytes(&w.file(), "stranger", &options(&spec)).unwrap_err();
        assert!(error.to_string().lines().count() == 1, "{error}");
        error
    };
    let resnet = refused(&|w| {
        let kernel = w.floats(&vec![0.1; 49 * 3 * 64], &[7, 7, 3, 64]);
        let strides = ("strides", Attribute::Integers(vec![1, 2, 2, 1]));
        let conv = w.node("Conv2D", &["image", &kernel], &[strides, ("padding", Attribute::Text("SAME"))]);
        w.node("MaxPool", &[&conv], &[]);
    });
    assert!(resnet.to_string().contains("a ResNet"), "{resnet}");
    let unet = refused(&|w| {
        let logits = draw(&spec, w, "image");
        w.node("Conv2DBackpropInput", &[&logits], &[]);
    });
    let text = unet.to_string();
    assert!(text.contains("(Conv2DBackpropInput") && text.contains("a U-Net"), "{text}");
    let unfrozen = refused(&|w| {
        let weights = w.node("VariableV2", &[], &[]);
        let read = w.node("Identity", &[&weights], &[]);
        w.node("Conv2D", &["image", &read], &[]);
    });
    assert!(matches!(&unfrozen, ImportError::Unsupported { .. }), "{unfrozen}");
    assert!(unfrozen.to_string().contains("freeze_graph"), "{unfrozen}");
    let two = refused(&|w| w.named("mask", "Placeholder", &[], &[]));
    assert!(two.to_string().contains("2 inputs"), "{two}");
}

#[test]
fn damaged_files_end_in_a_line() {
    let spec = changed(|spec| {
        v2(spec).bottlenecks.truncate(3);
        v2(spec).output_stride = 8;
    });
    let tensors = weights(&spec);
    let file = write(&spec, &tensors, Style { norms: Some("FusedBatchNormV3"), batches: true, ..PLAIN });
    survives(&file, &options(&spec));
}

#[test]
fn hostile_files_end_in_a_line_and_cost_little() {
    let spec = changed(|_| {});
    let tensors = HashMap::new();
    let refused = |draws: &dyn Fn(&mut Writer<'_>), part: &str| {
        let mut w = Writer::new(&spec, &tensors, PLAIN);
        w.placeholder(&[1, 65, 65, 3]);
        draws(&mut w);
        let before = std::time::Instant::now();
        let error = import_bytes(&w.file(), "hostile", &options(&spec)).unwrap_err().to_string();
        assert!(error.contains(part) && error.lines().count() == 1, "{part}: {error}");
        assert!(before.elapsed().as_secs() < 20, "{part}: {:?}", before.elapsed());
    };
    let chain = |w: &mut Writer<'_>, count: usize| {
        let mut last = "image".to_owned();
        for _ in 0..count {
            last = w.node("Relu", &[&last], &[]);
        }
    };
    refused(&|w| chain(w, 20_000), "more than 16384 operators");
    refused(&|w| chain(w, 16_000), "a 3x3 convolution");
    // Operators that read each other, and what is not there.
    let circle = |w: &mut Writer<'_>| {
        w.named("a", "Add", &["b", "image"], &[]);
        w.named("b", "Relu", &["a"], &[]);
        w.named("end", "Relu", &["b"], &[]);
    };
    refused(&circle, "reads its own output");
    refused(&|w| w.named("a", "Relu", &["far"], &[]), "'far', which is not there");
    refused(&|w| w.named("image", "Relu", &["image"], &[]), "two of this name");
    // Tensors larger than the file: of one number, of none, of the wrong number.
    let big = |count: i64| Message::default().integer(1, 1).message(2, &shape(&[count, 3, 3, 4096]));
    let conv = |w: &mut Writer<'_>, kernel: Message| {
        let kernel = w.constant(kernel);
        let strides = ("strides", Attribute::Integers(vec![1, 2, 2, 1]));
        w.node("Conv2D", &["image", &kernel], &[strides, ("padding", Attribute::Text("SAME"))]);
    };
    let filled = Message::default().integer(1, 1).message(2, &shape(&[3, 3, 3, 1 << 20])).float(5, 0.5);
    refused(&|w| conv(w, filled.clone().bytes(5, &0.5f32.to_le_bytes())), "does not fit its shape");
    let packed =
        Message::default().integer(1, 1).message(2, &shape(&[3, 3, 3, 1 << 20])).bytes(5, &0.5f32.to_le_bytes());
    refused(&|w| conv(w, packed.clone()), "weights (shared ones count again)");
    refused(&|w| conv(w, big(1 << 40)), "its kernel is");
    refused(&|w| conv(w, big(3).bytes(4, &[0; 12])), "does not fit its shape");
}

/// What reading files of the same kinds cost, in another process.
#[cfg(target_os = "linux")]
#[test]
fn what_is_refused_costs_little() {
    let spec = changed(|_| {});
    let tensors = HashMap::new();
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    w.placeholder(&[1, 65, 65, 3]);
    let mut last = "image".to_owned();
    for _ in 0..16_000 {
        last = w.node("Nothing", &[last.as_str(); 63], &[]);
    }
    costs_little("operators", &w.file(), "");
    // A few numbers of which the last stands for more.
    let mut w = Writer::new(&spec, &tensors, PLAIN);
    w.placeholder(&[1, 65, 65, 3]);
    let few = Message::default().integer(1, 9).message(2, &shape(&[1000])).integer(10, 1).integer(10, 2);
    let all: Vec<String> = (0..16_000).map(|_| w.constant(few.clone())).collect();
    for pair in all.chunks(60) {
        let names: Vec<&str> = pair.iter().map(String::as_str).collect();
        w.node("Concat", &names, &[]);
    }
    costs_little("repeated", &w.file(), "");
    let bomb = zipped(&[member("big.pb", &vec![0; 48 << 20]), vec![0; 1024]].concat());
    costs_little("bomb", &bomb, "more than 8 times");
}
