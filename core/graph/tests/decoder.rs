//! Networks that no spec describes, built node by node: a decoder with a skip, resizes, concatenations, sums, several
//! outputs. The compiled plan is compared with the candle graph, on every instruction set and 1 to 3 threads: within
//! 1e-4 of the largest value.

use candle_core::{Device, Tensor};
use silhouette_graph::Graph;
use silhouette_kernels::isa::Isa;
use silhouette_kernels::rows::Planes;
use silhouette_network::network::{Layer, Network, NetworkBuilder, NodeId, Size};
use silhouette_network::spec::{Activation, Padding, Resize, Spec, Task};
use silhouette_plan::{Plan, PlanOptions};
use silhouette_weights::{Weights, seeded};

const RELU: Activation = Activation::Relu;

fn picture(size: Size) -> Vec<f32> {
    (0..3 * size.height * size.width).map(|i| ((i * 37) % 101) as f32 / 50.0 - (i as f32 / 90.0).sin()).collect()
}

/// Every output of the plan, channels-last.
fn run(plan: &Plan, picture: &[f32]) -> Vec<Vec<f32>> {
    let input = plan.input();
    let mut outputs: Vec<Vec<f32>> = plan.outputs().map(|(_, shape)| vec![f32::NAN; shape.values()]).collect();
    let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let rows = Planes::new(picture, input.width, input.height);
    plan.new_state().unwrap().run_all(&rows, &mut slices).unwrap();
    outputs
}

fn options(isa: Isa, threads: usize) -> PlanOptions {
    PlanOptions { threads, isa: Some(isa.name().to_owned()), ..PlanOptions::default() }
}

/// Plan and graph agree on every output, and the plan's bits do not depend on the number of threads.
fn agree(what: &str, network: &Network) {
    let weights = Weights::from_tensors(seeded(network, 3), 1e-3).unwrap();
    let values = picture(network.input);
    let x = Tensor::from_slice(&values, (1, 3, network.input.height, network.input.width), &Device::Cpu).unwrap();
    let expected = Graph::new(network, &weights, &Device::Cpu).unwrap().forward_all(&x).unwrap();
    for isa in Isa::all() {
        let mut first = Vec::new();
        for threads in 1..=3 {
            let plan = Plan::compile(network, &weights, &options(isa, threads)).unwrap();
            let found = run(&plan, &values);
            assert_eq!(found.len(), expected.len());
            for (output, (found, expected)) in network.outputs().iter().zip(found.iter().zip(&expected)) {
                let expected: Vec<f32> = match expected.rank() {
                    4 => expected.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap().to_vec1().unwrap(),
                    _ => expected.flatten_all().unwrap().to_vec1().unwrap(),
                };
                let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
                assert!(largest > 1e-3 && found.len() == expected.len(), "{what}, {}: {largest}", output.name);
                for (i, (f, w)) in found.iter().zip(&expected).enumerate() {
                    let close = (f - w).abs() <= 1e-4 * largest;
                    assert!(close, "{what}, {}, {isa:?}, {threads} threads, {i}: {f}, graph {w}", output.name);
                }
            }
            assert!(first.is_empty() || first == found, "{what}, {isa:?}: {threads} threads produce other bits");
            first = found;
        }
    }
}

/// A map of `size` with `channels`, computed from an image of that size.
fn map(b: &mut NetworkBuilder, name: &str, channels: usize) -> NodeId {
    b.convolution(NodeId::INPUT, Layer::new(name, 3, channels, RELU)).unwrap()
}

#[test]
fn resizes_of_odd_sizes_by_both_rules() {
    let sides = [(1, 2), (2, 7), (3, 1), (7, 33), (33, 3)];
    for (height, width) in sides {
        for (to_height, to_width) in [(1, 1), (7, 2), (3, 33), (33, 7)] {
            for rule in [Resize::AlignCorners, Resize::HalfPixel] {
                let mut b = NetworkBuilder::new(Size { height, width }, Padding::Same).unwrap();
                let x = map(&mut b, "stem", 9);
                let to = Size { height: to_height, width: to_width };
                let y = b.resize("resize", x, to, rule).unwrap();
                b.output("map", y, Task::Categories).unwrap();
                agree(&format!("{height}x{width} to {to}, {rule:?}"), &b.finish().unwrap());
            }
        }
    }
}

#[test]
fn concatenations_for_every_reader() {
    for channels in [vec![5, 3], vec![8, 16, 1], vec![7, 17, 4, 15]] {
        let size = Size { height: 9, width: 12 };
        let mut b = NetworkBuilder::new(size, Padding::Symmetric).unwrap();
        let x = map(&mut b, "stem", 6);
        let mut parts: Vec<NodeId> = channels
            .iter()
            .enumerate()
            .map(|(i, &c)| b.convolution(x, Layer::new(format!("part.{i}"), 1, c, RELU)).unwrap())
            .collect();
        let mean = b.average("mean", x).unwrap();
        let pooled = b.convolution(mean, Layer::new("pool", 1, 5, RELU)).unwrap();
        let spread =
            [mean, pooled].map(|v| b.resize(format!("spread.{}", v.index()), v, size, Resize::HalfPixel).unwrap());
        parts.insert(1, spread[0]);
        parts.push(spread[1]);
        let inner = b.concat("inner", &parts[..2]).unwrap();
        let both = b.concat("outer", &[vec![inner], parts[2..].to_vec()].concat()).unwrap();
        // A 1x1 convolution reads the parts, and a broadcast part as a bias; a 3x3 reads the parts; the others read one
        // map.
        let one = b.convolution(both, Layer::new("one", 1, 10, RELU)).unwrap();
        let three = b.convolution(both, Layer { rate: 2, ..Layer::new("three", 3, 7, RELU) }).unwrap();
        let deep = b.convolution(both, Layer::depthwise("deep", 2, 1, Activation::Relu6)).unwrap();
        let all = b.average("all", both).unwrap();
        let scores = b.convolution(all, Layer::linear("scores", 11)).unwrap();
        let sum = b.sum("sum", &[both, both], Activation::Relu6).unwrap();
        let constant = b.concat("constant", &spread).unwrap();
        let constant = b.convolution(constant, Layer::linear("of constants", 3)).unwrap();
        for (node, task) in [
            (one, Task::Categories),
            (three, Task::Categories),
            (deep, Task::Categories),
            (scores, Task::Scores),
            (sum, Task::Categories),
            (both, Task::Categories),
            (constant, Task::Categories),
        ] {
            b.output(format!("output {}", node.index()), node, task).unwrap();
        }
        agree(&format!("{channels:?}"), &b.finish().unwrap());
    }
}

/// `DeepLabV3+`'s idea on an extractor: its map resized to a quarter of the image, concatenated with the intermediate
/// map of that size, a separable 3x3 over both, a classifier; and an alpha from the same features.
fn decoder(size: Size, skips: bool) -> Network {
    let spec = Spec::preset("fixture").unwrap();
    let mut b = NetworkBuilder::new(size, spec.padding).unwrap();
    let feature = b.extractor(&spec).unwrap();
    let deep = b.convolution(feature, Layer::new("encoder.project", 1, 24, RELU)).unwrap();
    let logits = b.convolution(deep, Layer::linear("encoder.classifier", 5)).unwrap();
    b.output("coarse", logits, Task::Categories).unwrap();
    if skips {
        let low = b.node("blocks.1").unwrap();
        let (quarter, _) = b.shape(low).unwrap();
        let skip = b.convolution(low, Layer::new("decoder.skip", 1, 6, RELU)).unwrap();
        let up = b.resize("decoder.up", deep, quarter, Resize::AlignCorners).unwrap();
        let both = b.concat("decoder.concat", &[up, skip]).unwrap();
        let own = b.convolution(both, Layer::depthwise("decoder.depthwise", 1, 1, RELU)).unwrap();
        let refined = b.convolution(own, Layer::new("decoder.pointwise", 1, 16, RELU)).unwrap();
        let fine = b.convolution(refined, Layer::linear("decoder.classifier", 5)).unwrap();
        let alpha = b.convolution(refined, Layer::linear("decoder.alpha", 1)).unwrap();
        b.output("fine", fine, Task::Categories).unwrap();
        b.output("alpha", alpha, Task::Alpha).unwrap();
        b.output("low", low, Task::Categories).unwrap();
        // A tap of the stem too, for a reader of its own.
        let stem = b.node("stem").unwrap();
        let sum = b.sum("stem.again", &[stem], Activation::Linear).unwrap();
        b.output("stem", sum, Task::Categories).unwrap();
    }
    b.finish().unwrap()
}

#[test]
fn a_decoder_with_a_skip_from_a_quarter_of_the_size() {
    for size in [Size::square(65), Size { height: 40, width: 51 }, Size { height: 33, width: 7 }, Size::square(1)] {
        let network = decoder(size, true);
        let low = network.node("blocks.1").unwrap().size;
        assert_eq!(low, Size { height: size.height.div_ceil(4), width: size.width.div_ceil(4) });
        agree(&format!("a decoder at {size}"), &network);
    }
}

/// A skip from the first chain leaves the chain whole: the same steps and the same bits as without it, and the tapped
/// maps equal the candle graph's (which [`agree`] compares, as outputs).
#[test]
fn a_tap_leaves_the_chain_whole() {
    let size = Size { height: 97, width: 65 };
    let plain = decoder(size, false);
    let tapped = decoder(size, true);
    // Weights by name: the encoder's are the same in both.
    let weights = seeded(&tapped, 3);
    let of = |network: &Network| {
        let names: std::collections::BTreeSet<String> = network
            .convs()
            .flat_map(|conv| [conv.weight(), conv.bias()].into_iter().chain(conv.bn()).map(|tensor| tensor.name))
            .collect();
        let kept = weights.iter().filter(|(name, _)| names.contains(*name)).map(|(name, t)| (name.clone(), t.clone()));
        Weights::from_tensors(kept.collect(), 1e-3).unwrap()
    };
    let values = picture(size);
    for isa in Isa::all() {
        for threads in 1..=3 {
            let [plain, tapped] =
                [&plain, &tapped].map(|network| Plan::compile(network, &of(network), &options(isa, threads)).unwrap());
            let names = |plan: &Plan| plan.steps().map(|step| step.name.to_owned()).collect::<Vec<_>>();
            let before = names(&plain);
            let after = names(&tapped);
            assert!(before[0].starts_with("stem..blocks."), "{before:?}");
            let encoder = before.len() - 1;
            assert_eq!(before[..encoder], after[..encoder], "{isa:?}, {threads} threads");
            assert!(run(&plain, &values)[0] == run(&tapped, &values)[0], "{isa:?}, {threads} threads: other bits");
        }
    }
    agree("taps", &tapped);
}

/// Adds nodes and returns the output's.
type Make = fn(&mut NetworkBuilder) -> NodeId;

#[test]
fn what_the_plan_cannot_express_says_so() {
    let size = Size::square(9);
    let cases: [(&str, Make); 3] = [
        ("3x3 convolution can read the image", |b| b.average("mean", NodeId::INPUT).unwrap()),
        ("read the image", |b| b.convolution(NodeId::INPUT, Layer::linear("one", 4)).unwrap()),
        ("can have a stride", |b| {
            let x = map(b, "stem", 4);
            b.convolution(x, Layer { stride: 2, ..Layer::new("second", 3, 4, RELU) }).unwrap()
        }),
    ];
    for (part, make) in cases {
        let mut b = NetworkBuilder::new(size, Padding::Same).unwrap();
        let node = make(&mut b);
        b.output("out", node, Task::Categories).unwrap();
        let network = b.finish().unwrap();
        let weights = Weights::from_tensors(seeded(&network, 3), 1e-3).unwrap();
        let error = Plan::compile(&network, &weights, &PlanOptions::default()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        // The candle graph still runs them all.
        let x = Tensor::from_slice(&picture(size), (1, 3, 9, 9), &Device::Cpu).unwrap();
        assert_eq!(Graph::new(&network, &weights, &Device::Cpu).unwrap().forward_all(&x).unwrap().len(), 1);
    }
}

#[test]
fn outputs_are_asked_for_together() {
    let network = decoder(Size::square(33), true);
    let weights = Weights::from_tensors(seeded(&network, 3), 1e-3).unwrap();
    let plan = Plan::compile(&network, &weights, &PlanOptions::default()).unwrap();
    let values = picture(plan.input());
    let mut logits = vec![0.0; 3];
    let rows = Planes::new(&values, 33, 33);
    let error = plan.new_state().unwrap().run(&rows, &mut logits).unwrap_err().to_string();
    assert!(error.contains("5 slices"), "{error}");
    let names: Vec<_> =
        plan.outputs().map(|(output, shape)| (output.name.as_str(), output.task, shape.channels)).collect();
    assert_eq!(names[1..3], [("fine", Task::Categories, 5), ("alpha", Task::Alpha, 1)]);
}

/// A decoder's stage: `below` resized to the size of `beside`, whose 1x1 convolution follows it.
fn stage(b: &mut NetworkBuilder, name: &str, below: NodeId, beside: NodeId, channels: usize) -> NodeId {
    let part = |part: &str| format!("{name}.{part}");
    let (size, _) = b.shape(beside).unwrap();
    let up = b.resize(part("up"), below, size, Resize::HalfPixel).unwrap();
    let skip = b.convolution(beside, Layer::new(part("skip"), 1, 5, RELU)).unwrap();
    let both = b.concat(part("concat"), &[up, skip]).unwrap();
    let deep = b.convolution(both, Layer::depthwise(part("depthwise"), 1, 1, RELU)).unwrap();
    b.convolution(deep, Layer::new(part("pointwise"), 1, channels, RELU)).unwrap()
}

/// Decoders of other shapes than the spec's: one whose map is another's skip, one with two readers, one without a
/// classifier at the end. Each matches the graph, however much of it becomes one step.
#[test]
fn decoders_that_read_each_other() {
    for size in [Size::square(65), Size { height: 40, width: 51 }] {
        let spec = Spec::preset("fixture").unwrap();
        let mut b = NetworkBuilder::new(size, spec.padding).unwrap();
        let feature = b.extractor(&spec).unwrap();
        let deep = b.convolution(feature, Layer::new("deep", 1, 12, RELU)).unwrap();
        let eighth = b.node("blocks.4").unwrap();
        let quarter = b.node("blocks.1").unwrap();
        let first = stage(&mut b, "first", deep, quarter, 9);
        // Reads the first one's map as its skip: the first one's would-be classifier is a part of this one.
        let second = stage(&mut b, "second", deep, first, 6);
        let alpha = b.convolution(second, Layer::linear("alpha", 1)).unwrap();
        b.output("alpha", alpha, Task::Alpha).unwrap();
        // A chain of two stages, the first of which is also an output.
        let third = stage(&mut b, "third", deep, eighth, 7);
        let fourth = stage(&mut b, "fourth", third, quarter, 4);
        b.output("third", third, Task::Categories).unwrap();
        b.output("fourth", fourth, Task::Categories).unwrap();
        agree(&format!("decoders at {size}"), &b.finish().unwrap());
    }
}
