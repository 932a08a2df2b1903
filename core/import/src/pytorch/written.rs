//! Files written as PyTorch writes them, under the names of each implementation, for the tests.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use silhouette_network::network::Network;
use silhouette_network::spec::{Aspp, Extractor, Head, Padding, Resize, Spec};
use silhouette_weights::Tensor;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::archive::LEGACY;
use crate::fixture::numbers;
use crate::options::ImportOptions;

pub(super) type Tensors = BTreeMap<String, Tensor>;

/// Every tensor of the network with batch norm, by our names; variances are positive.
pub(super) fn tensors(spec: &Spec) -> Tensors {
    let network = Network::native(spec).unwrap();
    let mut tensors = Tensors::new();
    for (seed, conv) in network.convs().enumerate() {
        let others = if conv.batch_norm { conv.bn().to_vec() } else { vec![conv.bias()] };
        for (part, expected) in std::iter::once(conv.weight()).chain(others).enumerate() {
            let mut data = numbers(8 * seed + part, expected.shape.iter().product());
            if expected.name.ends_with("var") {
                for v in &mut data {
                    *v = v.abs() + 0.1;
                }
            }
            tensors.insert(expected.name, Tensor { shape: expected.shape, data });
        }
    }
    tensors
}

/// The prefixes of a convolution and of its batch norm in another implementation.
fn place(tensors: &Tensors, ours: &str, conv: &str, norm: &str) -> Vec<(String, Tensor)> {
    let parts = [("weight", format!("{conv}.weight")), ("bias", format!("{conv}.bias"))].into_iter().chain(
        ["weight", "bias", "running_mean", "running_var"].map(|tail| (tail, format!("{norm}.{tail}"))).into_iter().map(
            |(tail, theirs)| match tail {
                "weight" => ("bn.weight", theirs),
                "bias" => ("bn.bias", theirs),
                "running_mean" => ("bn.running_mean", theirs),
                _ => ("bn.running_var", theirs),
            },
        ),
    );
    parts.filter_map(|(tail, theirs)| Some((theirs, tensors.get(&format!("{ours}.{tail}"))?.clone()))).collect()
}

/// torchvision's names, with `layers` before an extractor layer's number and `head` before DeepLabV3's head.
pub(super) fn torchvision(spec: &Spec, layers: impl Fn(usize) -> String, head: &str) -> Tensors {
    let ours = tensors(spec);
    let network = Network::native(spec).unwrap();
    let mut theirs = Vec::new();
    theirs.extend(place(&ours, "stem", &format!("{}.0", layers(0)), &format!("{}.1", layers(0))));
    for block in network.blocks() {
        let prefix = format!("{}.conv", layers(block.index + 1));
        let mut next = 0;
        for part in ["expand", "depthwise"] {
            let placed = place(
                &ours,
                &format!("blocks.{}.{part}", block.index),
                &format!("{prefix}.{next}.0"),
                &format!("{prefix}.{next}.1"),
            );
            next += usize::from(!placed.is_empty());
            theirs.extend(placed);
        }
        let project = format!("blocks.{}.project", block.index);
        theirs.extend(place(&ours, &project, &format!("{prefix}.{next}"), &format!("{prefix}.{}", next + 1)));
    }
    let last = layers(network.blocks().count() + 1);
    theirs.extend(place(&ours, "last", &format!("{last}.0"), &format!("{last}.1")));
    theirs.extend(place(&ours, "classifier", "classifier.1", ""));
    let convs = |i: usize, conv: usize| format!("{head}0.convs.{i}.{conv}");
    theirs.extend(place(&ours, "head.branch", &convs(0, 0), &convs(0, 1)));
    let mut next = 1;
    while ours.contains_key(&format!("head.aspp.{}.weight", next - 1)) {
        theirs.extend(place(&ours, &format!("head.aspp.{}", next - 1), &convs(next, 0), &convs(next, 1)));
        next += 1;
    }
    theirs.extend(place(&ours, "head.pool", &convs(next, 1), &convs(next, 2)));
    theirs.extend(place(&ours, "head.project", &format!("{head}0.project.0"), &format!("{head}0.project.1")));
    theirs.extend(place(&ours, "head.refine", &format!("{head}1"), &format!("{head}2")));
    theirs.extend(place(&ours, "head.classifier", &format!("{head}4"), ""));
    let mut theirs: Tensors = theirs.into_iter().collect();
    if let Some(linear) = theirs.get_mut("classifier.1.weight").filter(|t| t.shape.ends_with(&[1, 1])) {
        linear.shape.truncate(2);
    }
    assert_eq!(theirs.len(), ours.len(), "a tensor has no place in torchvision's names");
    theirs
}

/// A pickle of protocol 2, as `torch.save` writes it.
pub(super) struct Pickle(pub(super) Vec<u8>);

impl Pickle {
    pub(super) fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.bytes());
    }

    fn int(&mut self, n: usize) {
        self.0.push(b'J');
        self.0.extend((n as i32).to_le_bytes());
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.0.push(b'(');
        for &n in sizes {
            self.int(n);
        }
        self.0.push(b't');
    }

    /// `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
    #[allow(clippy::too_many_arguments, reason = "what a pickle has, in its order")]
    pub(super) fn tensor(
        &mut self,
        class: &str,
        key: usize,
        shape: &[usize],
        strides: &[usize],
        count: usize,
        legacy: bool,
    ) {
        self.0.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.0.extend(format!("ctorch\n{class}\n").bytes());
        self.text(&key.to_string());
        self.text("cpu");
        self.int(count);
        // Before PyTorch 1.6: no part of another storage.
        self.0.extend(if legacy { &b"NtQ"[..] } else { b"tQ" });
        self.int(0);
        self.sizes(shape);
        self.sizes(strides);
        self.0.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
}

/// What a file holds.
pub(super) enum Value {
    Tensor(Tensor),
    /// An integer tensor, as batch norm's counters.
    Counter,
    Int(usize),
    Dict(Vec<(String, Value)>),
    List(Vec<Value>),
    /// An object of a class, by its module and name.
    Object(&'static str, &'static str),
}

impl Value {
    /// A dictionary under one key.
    pub(super) fn under(self, key: &str) -> Self {
        Self::Dict(vec![(key.to_owned(), self)])
    }
}

/// How a file is written.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Layout {
    Plain,
    /// Under `model_state`, next to counters, every name with the prefix `module.`.
    Checkpoint,
    /// Weights with the channels last in memory.
    ChannelsLast,
}

/// A state dict with a prefix before each name, and batch norm's counters.
pub(super) fn state(tensors: &Tensors, prefix: &str) -> Value {
    let mut entries = Vec::new();
    for (name, tensor) in tensors {
        entries.push((format!("{prefix}{name}"), Value::Tensor(tensor.clone())));
        if let Some(norm) = name.strip_suffix("running_var") {
            entries.push((format!("{prefix}{norm}num_batches_tracked"), Value::Counter));
        }
    }
    Value::Dict(entries)
}

pub(super) fn pth(tensors: &Tensors, layout: Layout) -> Vec<u8> {
    let value = match layout {
        Layout::Checkpoint => Value::Dict(vec![
            ("cur_itrs".into(), Value::Int(30000)),
            ("optimizer_state".into(), Value::Dict(Vec::new())),
            ("model_state".into(), state(tensors, "module.")),
        ]),
        Layout::Plain | Layout::ChannelsLast => state(tensors, ""),
    };
    let mut writer = Writer { channels_last: layout == Layout::ChannelsLast, ..Writer::new(false) };
    writer.value(&value);
    writer.zip()
}

/// A file of PyTorch 1.6 or newer.
pub(super) fn zipped(value: &Value) -> Vec<u8> {
    let mut writer = Writer::new(false);
    writer.value(value);
    writer.zip()
}

/// A file of before PyTorch 1.6.
pub(super) fn legacy(value: &Value) -> Vec<u8> {
    let mut writer = Writer::new(true);
    writer.value(value);
    let mut file = LEGACY.to_vec();
    file.extend(b"\x80\x02M\xe9\x03.\x80\x02}q\x00.");
    file.extend(writer.pickle.0);
    file.push(b'.');
    let mut keys = Pickle(b"\x80\x02](".to_vec());
    (0..writer.storages.len()).for_each(|key| keys.text(&key.to_string()));
    file.extend(keys.0);
    file.extend(b"e.");
    for (count, data) in writer.storages {
        file.extend((count as u64).to_le_bytes());
        file.extend(data);
    }
    file
}

struct Writer {
    pickle: Pickle,
    /// Numbers and bytes of each.
    storages: Vec<(usize, Vec<u8>)>,
    legacy: bool,
    channels_last: bool,
}

impl Writer {
    fn new(legacy: bool) -> Self {
        Self { pickle: Pickle(b"\x80\x02".to_vec()), storages: Vec::new(), legacy, channels_last: false }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Tensor(tensor) => self.tensor(tensor),
            Value::Counter => {
                self.pickle.tensor("LongStorage", self.storages.len(), &[], &[], 1, self.legacy);
                self.storages.push((1, 7i64.to_le_bytes().to_vec()));
            }
            Value::Int(n) => self.pickle.int(*n),
            Value::Dict(entries) => {
                self.pickle.0.extend(b"ccollections\nOrderedDict\n)R(");
                for (key, value) in entries {
                    self.pickle.text(key);
                    self.value(value);
                }
                self.pickle.0.push(b'u');
            }
            Value::List(elements) => {
                self.pickle.0.extend(b"](");
                for element in elements {
                    self.value(element);
                }
                self.pickle.0.push(b'e');
            }
            Value::Object(module, name) => {
                self.pickle.0.extend(format!("c{module}\n{name}\n)").bytes());
                self.pickle.0.extend(b"\x81}b");
            }
        }
    }

    fn tensor(&mut self, tensor: &Tensor) {
        let mut strides = vec![1; tensor.shape.len()];
        for i in (1..tensor.shape.len()).rev() {
            strides[i - 1] = strides[i] * tensor.shape[i];
        }
        let mut data = tensor.data.clone();
        if let (true, &[_, i, h, w]) = (self.channels_last, tensor.shape.as_slice()) {
            strides = vec![h * w * i, 1, w * i, i];
            for (at, value) in tensor.data.iter().enumerate() {
                let x = at % w;
                let y = at / w % h;
                let c = at / w / h % i;
                let o = at / w / h / i;
                data[o * h * w * i + c + y * w * i + x * i] = *value;
            }
        }
        let key = self.storages.len();
        self.pickle.tensor("FloatStorage", key, &tensor.shape, &strides, data.len(), self.legacy);
        self.storages.push((data.len(), data.iter().flat_map(|v| v.to_le_bytes()).collect()));
    }

    fn zip(self) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file("archive/data.pkl", stored).unwrap();
        zip.write_all(&self.pickle.0).unwrap();
        zip.write_all(b".").unwrap();
        zip.start_file("archive/byteorder", stored).unwrap();
        zip.write_all(b"little").unwrap();
        for (key, (_, data)) in self.storages.iter().enumerate() {
            zip.start_file(format!("archive/data/{key}"), stored).unwrap();
            zip.write_all(data).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }
}

/// A `.safetensors` file.
pub(super) fn safetensors_of(tensors: &Tensors) -> Vec<u8> {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, t)| (name.clone(), t.shape.clone(), t.data.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, shape, data)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap();
        (name.as_str(), view)
    });
    safetensors::serialize(views, None).unwrap()
}

/// The names of `segmentation_models_pytorch`.
pub(super) fn smp(spec: &Spec) -> Tensors {
    let theirs = torchvision(spec, |i| format!("encoder.features.{i}"), "");
    let rename = |name: String| match name.split_once('.') {
        Some(("0", rest)) => format!("decoder.aspp.{rest}"),
        Some(("1", rest)) => format!("decoder.conv.{rest}"),
        Some(("2", rest)) => format!("decoder.bn.{rest}"),
        Some(("4", rest)) => format!("segmentation_head.0.{rest}"),
        _ => name,
    };
    theirs.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect()
}

/// Hugging Face's names.
pub(super) fn hugging_face(spec: &Spec) -> Tensors {
    let ours = tensors(spec);
    let mut theirs = Vec::new();
    let mut layer = |from: &str, to: String| {
        theirs.extend(place(&ours, from, &format!("{to}.convolution"), &format!("{to}.normalization")));
    };
    layer("stem", "mobilenet_v2.conv_stem.first_conv".into());
    for block in Network::native(spec).unwrap().blocks() {
        let prefix = match block.index {
            0 => "mobilenet_v2.conv_stem".to_owned(),
            index => format!("mobilenet_v2.layer.{}", index - 1),
        };
        for (part, name) in [("expand", "expand_1x1"), ("depthwise", "conv_3x3"), ("project", "reduce_1x1")] {
            layer(&format!("blocks.{}.{part}", block.index), format!("{prefix}.{name}"));
        }
    }
    layer("last", "mobilenet_v2.conv_1x1".into());
    for (from, to) in
        [("pool", "conv_pool"), ("branch", "conv_aspp"), ("project", "conv_projection"), ("classifier", "classifier")]
    {
        layer(&format!("head.{from}"), format!("segmentation_head.{to}"));
    }
    theirs.extend(place(&ours, "classifier", "classifier", ""));
    assert_eq!(theirs.len(), ours.len(), "a tensor has no place in Hugging Face's names");
    let mut theirs: Tensors = theirs.into_iter().collect();
    if let Some(linear) = theirs.get_mut("classifier.weight") {
        linear.shape.truncate(2);
    }
    theirs
}

pub(super) fn classifier() -> Spec {
    let mut spec = Spec::preset("torchvision_mobilenet_v2").unwrap();
    if let (Extractor::MobilenetV2(v2), Head::Classifier(head)) = (&mut spec.extractor, &mut spec.head) {
        (v2.width, head.classes) = (0.35, 5);
    }
    spec.labels = (0..5).map(|i| format!("class {i}")).collect();
    spec
}

pub(super) fn deeplab() -> Spec {
    let mut spec = Spec::preset("fixture").unwrap();
    let Head::DeeplabV3(head) = &mut spec.head else { panic!("a classifier") };
    (head.aspp, head.channels) = (Aspp::Plain { rates: vec![6, 12, 18] }, 16);
    (head.pooling_last, head.refine, head.resize) = (true, true, Resize::HalfPixel);
    spec.padding = Padding::Symmetric;
    spec
}

pub(super) fn with_spec(spec: &Spec) -> ImportOptions {
    ImportOptions { spec: Some(spec.clone()), ..ImportOptions::default() }
}
