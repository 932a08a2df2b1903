//! Integer plans against a naive evaluation of the same network: whole maps, one loop per convolution, the formula of the
//! quantisation. The bytes must be equal, in every instruction set and for any number of threads.

#[path = "common/networks.rs"]
mod networks;

use std::collections::BTreeMap;

use silhouette_kernels::element::{DataType, Quantization};
use silhouette_kernels::int8::{AddScales, Bounds, Multiplier};
use silhouette_kernels::isa::Isa;
use silhouette_kernels::rows::Planes;
use silhouette_network::network::{Conv, Network, Operation, Size};
use silhouette_network::spec::{Activation, Aspp, DeeplabV3, Extractor, Head, MobilenetV1, Shortcut, Spec};
use silhouette_plan::{Plan, PlanOptions, is_quantised};
use silhouette_testkit::is_emulated;
use silhouette_weights::{
    ActivationElement, ActivationQuantisation, Activations, Integers, ModelFile, Quantisation, QuantisedTensor,
    QuantisedTensors, SplitMix64, Tensors, seeded,
};

use networks::cases;

/// How the made-up quantisation looks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    /// Signed weights with a scale per channel, unsigned activations.
    PerChannel,
    /// Unsigned weights with one scale and zero point, as files of 2018 have.
    PerTensor,
    /// Signed everywhere, as newer TensorFlow Lite files.
    Signed,
}

/// A seeded network with noise for weights, and scales at which most values are neither 0 nor clipped.
fn model(spec: &Spec, network: &Network, style: Style) -> ModelFile {
    let mut random = SplitMix64::new(7);
    let mut noise = move |below: u64| (random.draw() >> 20) % below;
    let mut tensors = QuantisedTensors::new();
    let mut edges = Activations::new();
    let offset = if style == Style::Signed { 128 } else { 0 };
    let element = if style == Style::Signed { ActivationElement::I8 } else { ActivationElement::U8 };
    let edge = |scale: f32, zero: i32| ActivationQuantisation { element, scale, zero_point: zero - offset };
    edges.insert("input".into(), edge(1.0 / 128.0, 128));
    let mut last = 1.0 / 128.0;
    for node in network.nodes() {
        for conv in node.convs() {
            let [_, per, k, _] = conv.weight_shape();
            let n = per * k * k;
            let (scale, zero) = match conv.activation {
                Activation::Linear => (0.05, 120),
                _ => (6.0 / 255.0, 0),
            };
            // Sums of n products of about 60 and 70, and an output that uses its range.
            let weight_scale = 60.0 * scale / (last * 60.0 * 70.0 * (n as f32).sqrt());
            let count = conv.c_out * n;
            let mut zero_point = vec![];
            let mut scales = vec![weight_scale];
            let values = if style == Style::PerTensor {
                zero_point.push(120);
                Integers::U8((0..count).map(|_| noise(256) as u8).collect())
            } else {
                scales = (0..conv.c_out).map(|_| weight_scale * (0.5 + noise(100) as f32 / 100.0)).collect();
                Integers::I8((0..count).map(|_| (noise(255) as i32 - 127) as i8).collect())
            };
            let quantisation = Quantisation { scale: scales, zero_point, axis: 0 };
            let scale_of = quantisation.scale.iter().map(|&s| s * last).collect();
            let shape = conv.weight_shape().to_vec();
            tensors.insert(format!("{}.weight", conv.name), QuantisedTensor { shape, values, quantisation });
            let bias = (0..conv.c_out).map(|_| noise(4000) as i32 - 1500).collect();
            let quantisation = Quantisation { scale: scale_of, zero_point: vec![], axis: 0 };
            let bias = QuantisedTensor { shape: vec![conv.c_out], values: Integers::I32(bias), quantisation };
            tensors.insert(format!("{}.bias", conv.name), bias);
            edges.insert(format!("{}.output", conv.name), edge(scale, zero));
            last = scale;
        }
        match &node.operation {
            Operation::Block(block) if block.shortcut == Shortcut::Bottleneck => {
                edges.insert(format!("{}.output", node.name), edge(0.06, 131));
                last = 0.06;
            }
            // The repeated bytes of image pooling, in every second network.
            Operation::Resize(_) if node.name == "head.spread" && style != Style::PerChannel => {
                edges.insert(format!("{}.output", node.name), edge(0.04, 0));
            }
            Operation::Concat => {
                edges.insert(format!("{}.output", node.name), edge(0.03, 3));
                last = 0.03;
            }
            _ => {}
        }
    }
    ModelFile::quantised(spec.clone(), Tensors::new(), tensors, edges).unwrap()
}

/// A map of unsigned bytes, channels last.
#[derive(Clone)]
struct Map {
    size: Size,
    channels: usize,
    quantization: Quantization,
    values: Vec<u8>,
}

struct Reference<'a> {
    model: &'a ModelFile,
}

impl Reference<'_> {
    fn edge(&self, name: &str) -> Quantization {
        let q = self.model.weights().activation(name).unwrap();
        let offset = if q.element == ActivationElement::I8 { 128 } else { 0 };
        Quantization { scale: q.scale, zero_point: q.zero_point + offset }
    }

    fn conv(&self, conv: &Conv, input: &Map) -> Map {
        let view = self.model.weights().tensor(&format!("{}.weight", conv.name)).unwrap().unwrap();
        let quantisation = view.quantisation.unwrap();
        let zero = quantisation.zero_point.first().copied().unwrap_or(0);
        let signed = quantisation.zero_point.is_empty();
        let weight = |i: usize| {
            let byte = view.bytes[i];
            i64::from(if signed { i32::from(byte.cast_signed()) } else { i32::from(byte) } - zero)
        };
        let bias = self.model.weights().tensor(&format!("{}.bias", conv.name)).unwrap().unwrap();
        let bias: Vec<i32> = bias.bytes.as_chunks::<4>().0.iter().map(|&b| i32::from_le_bytes(b)).collect();
        let output = self.edge(&format!("{}.output", conv.name));
        let [_, per, k, _] = conv.weight_shape();
        let mut values = Vec::new();
        for y in 0..conv.output.height {
            for x in 0..conv.output.width {
                for (o, &b) in bias.iter().enumerate() {
                    let mut sum = i64::from(b);
                    for i in 0..per {
                        for t in 0..k * k {
                            let row = (y * conv.stride + t / k * conv.rate).checked_sub(conv.pad.height);
                            let column = (x * conv.stride + t % k * conv.rate).checked_sub(conv.pad.width);
                            let (Some(row), Some(column)) = (row, column) else { continue };
                            if row >= input.size.height || column >= input.size.width {
                                continue;
                            }
                            let channel = if conv.depthwise { o } else { i };
                            let value = input.values[(row * input.size.width + column) * input.channels + channel];
                            sum += (i64::from(value) - i64::from(input.quantization.zero_point))
                                * weight((o * per + i) * k * k + t);
                        }
                    }
                    let scale = quantisation.scale[if quantisation.scale.len() == 1 { 0 } else { o }];
                    let product = if signed {
                        f64::from(input.quantization.scale) * f64::from(scale)
                    } else {
                        f64::from(input.quantization.scale * scale)
                    };
                    let real = product / f64::from(output.scale);
                    let scaled = Multiplier::new(real).unwrap().apply(sum as i32);
                    let (low, high) = match conv.activation {
                        Activation::Linear => (0, 255),
                        Activation::Relu => (output.zero_point, 255),
                        Activation::Relu6 => {
                            (output.zero_point, 255.min(output.zero_point + (6.0 / output.scale).round() as i32))
                        }
                    };
                    values.push((scaled + output.zero_point).clamp(low, high) as u8);
                }
            }
        }
        Map { size: conv.output, channels: conv.c_out, quantization: output, values }
    }

    fn run(&self, network: &Network, image: Map) -> Map {
        let mut maps = BTreeMap::<usize, Map>::new();
        maps.insert(0, image);
        for (id, node) in network.nodes().iter().enumerate().skip(1) {
            let inputs: Vec<&Map> = node.inputs.iter().map(|input| &maps[&input.index()]).collect();
            let map = match &node.operation {
                Operation::Convolution(conv) => self.conv(conv, inputs[0]),
                Operation::Block(block) => {
                    let mut map = inputs[0].clone();
                    for conv in block.convs() {
                        map = self.conv(conv, &map);
                    }
                    if block.shortcut == Shortcut::Bottleneck { self.add(&node.name, &map, inputs[0]) } else { map }
                }
                Operation::Average => {
                    let map = inputs[0];
                    let signed = self.model.weights().activation("input").unwrap().element == ActivationElement::I8;
                    let count = map.size.pixels() as i64;
                    let offset = if signed { 128 } else { 0 };
                    let mean = |c: usize| {
                        let values = map.values.iter().skip(c).step_by(map.channels);
                        let sum: i64 = values.map(|&v| i64::from(v) - offset).sum();
                        let half = if sum < 0 { -(count / 2) } else { count / 2 };
                        ((sum + half) / count + offset) as u8
                    };
                    let values = (0..map.channels).map(mean).collect();
                    Map { size: Size::square(1), values, ..map.clone() }
                }
                Operation::Resize(_) => {
                    let map = inputs[0];
                    assert!(map.size == Size::square(1) || map.size == node.size);
                    let times = (node.size.pixels() / map.size.pixels()) as usize;
                    let name = format!("{}.output", node.name);
                    let known = self.model.weights().activation(&name).is_some();
                    let quantization = if known { self.edge(&name) } else { map.quantization };
                    Map { size: node.size, values: map.values.repeat(times), quantization, ..map.clone() }
                }
                Operation::Concat => {
                    let output = self.edge(&format!("{}.output", node.name));
                    let mut values = Vec::new();
                    for pixel in 0..node.size.pixels() as usize {
                        for map in &inputs {
                            let scale = f64::from(map.quantization.scale) / f64::from(output.scale);
                            let multiplier = Multiplier::new(scale).unwrap();
                            values.extend(map.values[pixel * map.channels..][..map.channels].iter().map(|&v| {
                                let scaled = multiplier.apply(i32::from(v) - map.quantization.zero_point);
                                let value = scaled + output.zero_point;
                                if map.quantization == output { v } else { value.clamp(0, 255) as u8 }
                            }));
                        }
                    }
                    Map { size: node.size, channels: node.channels, quantization: output, values }
                }
                other => panic!("{other:?}"),
            };
            maps.insert(id, map);
        }
        maps[&network.outputs()[0].node.index()].clone()
    }

    fn add(&self, name: &str, a: &Map, b: &Map) -> Map {
        let output = self.edge(&format!("{name}.output"));
        let bounds = Bounds { zero: output.zero_point, low: 0, high: 255 };
        let q = [a.quantization, b.quantization];
        let scales = AddScales::new(q.map(|q| q.scale), q.map(|q| q.zero_point), output.scale, bounds).unwrap();
        let one = |v: u8, k: usize| scales.inputs[k].apply((i32::from(v) - q[k].zero_point) << 20);
        let values = a.values.iter().zip(&b.values).map(|(&x, &y)| {
            let sum = scales.output.apply(one(x, 0) + one(y, 1));
            (sum + output.zero_point).clamp(0, 255) as u8
        });
        Map { quantization: output, values: values.collect(), ..a.clone() }
    }
}

fn logits(plan: &Plan, values: &[f32]) -> Vec<f32> {
    let size = plan.input();
    let (map, channels) = plan.logits();
    let mut logits = vec![0.0f32; map.height * map.width * channels];
    plan.new_state().unwrap().run(&Planes::new(values, size.width, size.height), &mut logits).unwrap();
    logits
}

fn options(isa: Isa, threads: usize) -> PlanOptions {
    PlanOptions { isa: Some(isa.name().to_owned()), threads, precision: DataType::I8, ..PlanOptions::default() }
}

#[test]
fn every_network_gives_the_bytes_of_the_naive_evaluation() {
    let mut ran = Vec::new();
    let mut v1 = Spec::preset("fixture").unwrap();
    let head = DeeplabV3 { channels: 24, ..DeeplabV3::paper(21, Aspp::None) };
    (v1.extractor, v1.head) = (Extractor::MobilenetV1(MobilenetV1::paper(0.25, 16)), Head::DeeplabV3(head));
    let more = ("V1 without atrous branches".to_owned(), v1);
    for (index, (name, spec)) in cases().into_iter().chain([more]).enumerate() {
        let size = Size { height: 40, width: 51 };
        let network = Network::new(&spec, size).unwrap();
        let styles = [Style::PerChannel, Style::PerTensor, Style::Signed];
        let style = styles[index % 3];
        let model = model(&spec, &network, style);
        assert!(is_quantised(model.weights()));
        let pixels = size.pixels() as usize;
        let bytes: Vec<u8> = (0..3 * pixels).map(|i| ((i * 37) % 101 + (i / 7 * 53) % 155) as u8).collect();
        let quantization = Quantization { scale: 1.0 / 128.0, zero_point: 128 };
        let values: Vec<f32> = bytes.iter().map(|&b| quantization.value(i32::from(b))).collect();
        let plan = match Plan::of(&model, size, &options(Isa::best(), 1)) {
            Ok(_) => true,
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("in int8"), "{name}: {error}");
                false
            }
        };
        if !plan {
            continue;
        }
        let interleaved = (0..3 * pixels).map(|i| bytes[i % 3 * pixels + i / 3]).collect();
        let image = Map { size, channels: 3, quantization, values: interleaved };
        let expected = Reference { model: &model }.run(&network, image);
        let real: Vec<f32> = expected.values.iter().map(|&v| expected.quantization.value(i32::from(v))).collect();
        let distinct = expected.values.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert!(distinct > 10, "{name}: only {distinct} different logits");
        for isa in Isa::all() {
            for threads in if is_emulated() { 1..=2 } else { 1..=3 } {
                let plan = Plan::of(&model, size, &options(isa, threads)).unwrap();
                let found = logits(&plan, &values);
                let wrong = found.iter().zip(&real).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
                assert_eq!(wrong, 0, "{name}, {style:?}, {}, {threads} threads: of {}", isa.name(), real.len());
            }
        }
        ran.push(name);
    }
    assert!(ran.len() >= 14, "{ran:?}");
    for part in ["output stride 8", "no pooling", "V1", "classifier", "separable aspp", "dropped blocks"] {
        assert!(ran.iter().any(|name| name.contains(part) || name == part), "{part}: {ran:?}");
    }
}

#[test]
fn what_has_no_integers_is_refused_by_name() {
    let spec = Spec::preset("fixture").unwrap();
    let size = Size::square(33);
    let network = Network::new(&spec, size).unwrap();
    let float = ModelFile::new(spec.clone(), seeded(&network, 1)).unwrap();
    assert!(!is_quantised(float.weights()));
    let error = Plan::of(&float, size, &options(Isa::best(), 1)).unwrap_err().to_string();
    assert!(error.contains("input") && error.contains("quantize"), "{error}");
    // A layer whose edge is unknown; one whose sums could overflow.
    let whole = model(&spec, &network, Style::PerChannel);
    let edges = whole.weights().activations().clone();
    let tensors = || -> QuantisedTensors {
        whole
            .weights()
            .names()
            .map(|name| {
                let view = whole.weights().tensor(name).unwrap().unwrap();
                let values = if name.ends_with("bias") {
                    Integers::I32(view.bytes.as_chunks::<4>().0.iter().map(|&b| i32::from_le_bytes(b)).collect())
                } else {
                    Integers::I8(view.bytes.iter().map(|b| b.cast_signed()).collect())
                };
                let quantisation = view.quantisation.unwrap().clone();
                (name.to_owned(), QuantisedTensor { shape: view.shape.to_vec(), values, quantisation })
            })
            .collect()
    };
    let plan = |tensors, edges| {
        let model = ModelFile::quantised(spec.clone(), Tensors::new(), tensors, edges).unwrap();
        Plan::of(&model, size, &options(Isa::best(), 1)).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(plan(tensors(), edges.clone()), Ok(()));
    let mut fewer = edges.clone();
    fewer.remove("blocks.1.depthwise.output").unwrap();
    let error = plan(tensors(), fewer).unwrap_err();
    assert!(error.contains("blocks.1.depthwise.output"), "{error}");
    let mut large = tensors();
    let Integers::I32(bias) = &mut large.get_mut("stem.bias").unwrap().values else { panic!("a bias") };
    bias[3] = i32::MAX;
    let error = plan(large, edges).unwrap_err();
    assert!(error.contains("stem") && error.contains("channel 3"), "{error}");
}

/// A quarter of f32's weights (and biases, scales, padding to whole groups), and a smaller arena.
#[test]
fn integers_take_a_quarter_of_the_memory() {
    let spec = Spec::preset("deeplabv3_mnv2").unwrap();
    let size = Size::square(257);
    let network = Network::new(&spec, size).unwrap();
    let integers = Plan::of(&model(&spec, &network, Style::PerChannel), size, &options(Isa::best(), 1)).unwrap();
    let float = ModelFile::new(spec, seeded(&network, 1)).unwrap();
    let float = Plan::of(&float, size, &PlanOptions::default()).unwrap();
    assert_eq!(integers.precision(), DataType::I8);
    assert!(
        integers.weight_bytes() * 100 < float.weight_bytes() * 32,
        "{} {}",
        integers.weight_bytes(),
        float.weight_bytes()
    );
    assert!(integers.arena_bytes() < float.arena_bytes(), "{} {}", integers.arena_bytes(), float.arena_bytes());
}
