//! Generated test files: networks with seeded weights, for the importers' tests.

use std::collections::HashMap;

use silhouette_network::network::{Conv, Network, Operation, Size};
use silhouette_network::spec::{DeeplabV3, Extractor, Head, MobilenetV2, Resize, Shortcut, Spec};
use silhouette_weights::Tensor;

use crate::{ImportOptions, import_bytes};

use crate::tensor::{self, Made, Number};

/// Pseudo-random numbers from -1 to 1, the same on every machine and in every run: those of `scripts/compare/goldens.py`, of which the expected logits are
/// made.
pub(crate) fn numbers(seed: usize, count: usize) -> Vec<f32> {
    let mut state = (seed as u32).wrapping_mul(0x9e37_79b9) ^ 0x85eb_ca6b;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

/// Folded weights and biases for every convolution of the network, by our names.
pub(crate) fn weights(spec: &Spec) -> HashMap<String, Tensor> {
    let network = Network::native(spec).unwrap();
    let mut tensors = HashMap::new();
    for (seed, conv) in network.convs().enumerate() {
        for (part, expected) in [conv.weight(), conv.bias()].into_iter().enumerate() {
            let count = expected.shape.iter().product();
            let values = numbers(2 * seed + part, count);
            tensors.insert(expected.name, Tensor { shape: expected.shape, data: values });
        }
    }
    tensors
}

/// The same values with the dimensions in another order: the new dimension `i` is the old `order[i]`.
pub(crate) fn permuted(tensor: &Tensor, order: [usize; 4]) -> Tensor {
    let bytes: Vec<u8> = tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect();
    let permuted = tensor::Tensor::new(Number::F32, &bytes, tensor.shape.clone()).unwrap().permuted(order);
    let Ok(Made::Float(tensor)) = permuted.made() else { panic!("it is of floats") };
    tensor
}

/// A message of a protocol buffer, written field by field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn integer(mut self, number: u64, value: i64) -> Self {
        self.varint(number << 3);
        self.varint(value.cast_unsigned());
        self
    }

    pub(crate) fn float(mut self, number: u64, value: f32) -> Self {
        self.varint(number << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, number: u64, value: &[u8]) -> Self {
        self.varint(number << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    pub(crate) fn text(self, number: u64, value: &str) -> Self {
        self.bytes(number, value.as_bytes())
    }

    pub(crate) fn message(self, number: u64, value: &Message) -> Self {
        self.bytes(number, &value.0)
    }
}

/// Writes a network operator by operator in some format; values are names.
pub(crate) trait Pen {
    /// A convolution with its bias, or batch norm, and its activation.
    fn conv(&mut self, input: &str, conv: &Conv) -> String;
    fn add(&mut self, left: &str, right: &str) -> String;
    /// The average of a map of this size.
    fn pool(&mut self, input: &str, size: Size) -> String;
    /// A resize, of what is not yet of this size.
    fn resize(&mut self, input: &str, from: Size, to: Size, rule: Resize) -> String;
    fn join(&mut self, inputs: &[String]) -> String;
    /// From a map of one pixel to logits without rows and columns.
    fn flat(&mut self, input: &str) -> String;
}

/// Writes the whole network to its logits, at the size of the image where it segments.
pub(crate) fn draw(spec: &Spec, pen: &mut impl Pen, input: &str) -> String {
    let network = Network::native(spec).unwrap();
    let mut value = pen.conv(input, network.conv("stem").unwrap());
    for block in network.blocks() {
        let start = value.clone();
        let wide = block.expand.as_ref().map_or(start.clone(), |expand| pen.conv(&start, expand));
        value = pen.conv(&wide, &block.depthwise);
        if block.shortcut == Shortcut::Expansion {
            value = pen.add(&value, &wide);
        }
        value = pen.conv(&value, &block.project);
        if block.shortcut == Shortcut::Bottleneck {
            value = pen.add(&start, &value);
        }
    }
    let conv = |name: &str| network.conv(name);
    if let Some(last) = conv("last") {
        value = pen.conv(&value, last);
    }
    let average = network.nodes().iter().find(|node| matches!(node.operation, Operation::Average));
    let pooled = average.map(|average| network.nodes()[average.inputs[0].index()].size);
    let Some(project) = conv("head.project") else {
        let pooled = pen.pool(&value, pooled.unwrap());
        let logits = pen.conv(&pooled, conv("classifier").unwrap());
        return pen.flat(&logits);
    };
    let Head::DeeplabV3(head) = &spec.head else { unreachable!() };
    let mut ends = vec![pen.conv(&value, conv("head.branch").unwrap())];
    for branch in network.convs().filter(|conv| conv.name.starts_with("head.aspp.") && !conv.depthwise) {
        let before = branch.name.strip_suffix(".pointwise").and_then(|name| conv(&format!("{name}.depthwise")));
        let inner = before.map_or(value.clone(), |filter| pen.conv(&value, filter));
        ends.push(pen.conv(&inner, branch));
    }
    if let (Some(pool), Some(size)) = (conv("head.pool"), pooled) {
        let pooled = pen.pool(&value, size);
        let narrow = pen.conv(&pooled, pool);
        let spread = pen.resize(&narrow, Size::square(1), size, head.resize);
        ends.insert(if head.pooling_last { ends.len() } else { 0 }, spread);
    }
    let joined = if ends.len() > 1 { pen.join(&ends) } else { ends.remove(0) };
    let mut logits = pen.conv(&joined, project);
    if let Some(refine) = conv("head.refine") {
        logits = pen.conv(&logits, refine);
    }
    logits = pen.conv(&logits, conv("head.classifier").unwrap());
    pen.resize(&logits, project.input, network.input, head.resize)
}

/// Batch norm's four of a convolution's channels and its folded scale and offset, with `epsilon` added to the variance.
pub(crate) fn batch_norm(seed: usize, channels: usize, epsilon: f32) -> ([Vec<f32>; 4], Vec<f64>, Vec<f64>) {
    let part = |i: usize| numbers(4000 + 4 * seed + i, channels);
    let gamma: Vec<f32> = part(0).into_iter().map(|n| 1.0 + n / 4.0).collect();
    let variance: Vec<f32> = part(3).into_iter().map(|n| 1.0 + n / 2.0).collect();
    let (beta, mean) = (part(1), part(2));
    let scale: Vec<f64> = gamma
        .iter()
        .zip(&variance)
        .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + f64::from(epsilon)).sqrt())
        .collect();
    let offset = (0..channels).map(|i| f64::from(beta[i]) - f64::from(mean[i]) * scale[i]).collect();
    ([gamma, beta, mean, variance], scale, offset)
}

/// What batch norm makes of a convolution without bias, for every convolution of the network.
pub(crate) fn normalised(spec: &Spec, epsilon: f32) -> HashMap<String, Tensor> {
    let mut tensors = weights(spec);
    let network = Network::native(spec).unwrap();
    for (seed, conv) in network.convs().enumerate().filter(|(_, conv)| conv.batch_norm) {
        let (_, scale, offset) = batch_norm(seed, conv.c_out, epsilon);
        let weight = tensors.get_mut(&conv.weight().name).unwrap();
        let inner = weight.data.len() / conv.c_out;
        for (i, value) in weight.data.iter_mut().enumerate() {
            *value *= scale[i / inner] as f32;
        }
        let bias = Tensor { shape: vec![conv.c_out], data: offset.iter().map(|&n| n as f32).collect() };
        tensors.insert(conv.bias().name, bias);
    }
    tensors
}

/// The options that a file of this network needs, if it says nothing of pixels.
pub(crate) fn options(spec: &Spec) -> ImportOptions {
    ImportOptions {
        labels: Some(spec.labels.clone()),
        mean: Some(spec.input.mean),
        std: Some(spec.input.std),
        ..ImportOptions::default()
    }
}

/// The smallest preset with part of it changed.
pub(crate) fn changed(change: impl Fn(&mut Spec)) -> Spec {
    let mut spec = Spec::preset("fixture").unwrap();
    change(&mut spec);
    spec.validate().unwrap();
    spec
}

pub(crate) fn head(spec: &mut Spec) -> &mut DeeplabV3 {
    match &mut spec.head {
        Head::DeeplabV3(head) => head,
        Head::Classifier(_) => panic!("a classifier"),
    }
}

pub(crate) fn v2(spec: &mut Spec) -> &mut MobilenetV2 {
    match &mut spec.extractor {
        Extractor::MobilenetV2(v2) => v2,
        Extractor::MobilenetV1(_) => panic!("MobileNetV1"),
    }
}

/// Import yields the network and the tensors, within `tolerance` of the largest value of each.
pub(crate) fn comes_back(
    file: &[u8],
    spec: &Spec,
    tensors: &HashMap<String, Tensor>,
    options: &ImportOptions,
    tolerance: f32,
) {
    let imported = import_bytes(file, "fixture", options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Network::native(&imported.spec).unwrap(), Network::native(spec).unwrap());
    assert_eq!((&imported.spec.head, imported.spec.padding), (&spec.head, spec.padding));
    let mut read = imported.tensors.clone();
    for (name, tensor) in &imported.quantised {
        let data = tensor.dequantise().unwrap();
        read.insert(name.clone(), Tensor { shape: tensor.shape.clone(), data });
    }
    assert_eq!(read.len(), tensors.len());
    for (name, tensor) in tensors {
        let largest = tensor.data.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let off = tensor.data.iter().zip(&read[name].data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!(read[name].shape, tensor.shape, "{name}");
        assert!(off <= tolerance * largest, "{name} is off by {off} of {largest}");
    }
    imported.into_model().unwrap();
}

/// Nothing in a file, cut anywhere or with any byte changed, is more than an error in a line.
pub(crate) fn survives(file: &[u8], options: &ImportOptions) {
    let one_line = |bytes: &[u8], what: &str, at: usize| match import_bytes(bytes, "damaged", options) {
        Ok(imported) => assert!(Network::native(&imported.spec).is_ok()),
        Err(error) => {
            let text = error.to_string();
            assert!(text.lines().count() == 1 && text.len() < 1000, "{what} {at}: {text}");
        }
    };
    let length = file.len();
    let ends = |n: usize| (0..n.min(length)).chain(length - n.min(length)..length);
    for at in ends(512).chain((0..length).step_by((length / 300).max(1))) {
        // (The last field may be one that nothing needs.)
        assert!(at + 8 > length || import_bytes(&file[..at], "cut", options).is_err(), "{at} of {length} bytes");
        one_line(&file[..at], "cut at", at);
    }
    let mut damaged = file.to_vec();
    for (i, at) in ends(250).chain((0..length).step_by((length / 400).max(1))).enumerate() {
        let bits = [0x01, 0x80, 0xff, 0x10][i % 4];
        damaged[at] ^= bits;
        one_line(&damaged, "changed at", at);
        damaged[at] ^= bits;
    }
}

/// The variable that names a file to another process.
const FILE: &str = "SILHOUETTE_TEST_IMPORT";

/// What reading a file cost, in another process, and the error that it ended in.
#[cfg(target_os = "linux")]
pub(crate) fn cost(bytes: &[u8]) -> (usize, String) {
    let folder = silhouette_testkit::Folder::new();
    let path = folder.write("file", bytes);
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fixture::imports_what_it_is_told_to", "--nocapture", "--test-threads", "1"])
        .env(FILE, &path)
        .output()
        .unwrap();
    let text = String::from_utf8(child.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("cost: ")).unwrap_or_else(|| panic!("{text}"));
    let (peak, error) = line.split_once(' ').unwrap();
    (peak.parse().unwrap(), error.to_owned())
}

/// The other process; by itself it has nothing to do.
#[test]
fn imports_what_it_is_told_to() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let error = crate::import(path.as_ref(), &ImportOptions::default()).unwrap_err().to_string();
    println!("\ncost: {} {}", silhouette_testkit::peak_memory(), error.replace('\n', " "));
}

/// Fails where a refused file costs more than 64 MB and twice its size.
#[cfg(target_os = "linux")]
pub(crate) fn costs_little(name: &str, bytes: &[u8], part: &str) {
    let (peak, error) = cost(bytes);
    println!("{name}: {} MB for {} MB: {error}", peak >> 20, bytes.len() >> 20);
    assert!(error.contains(part), "{name}: {error}");
    assert!(peak <= (64 << 20) + 2 * bytes.len(), "{name} of {} bytes cost {peak}", bytes.len());
}
