//! Quantising seeded networks: how near the integers stay, what each step gains, what is written, and what is refused.

use silhouette_graph::Graph;
use silhouette_kernels::element::DataType;
use silhouette_kernels::rows::Planes;
use silhouette_network::network::{Network, Size};
use silhouette_network::spec::{
    Aspp, Classifier, Decoder, DeeplabV3, Extractor, Head, MobilenetV1, MobilenetV2, Padding, SeparableBlock, Shortcut,
    Skip, Spec,
};
use silhouette_plan::{Plan, PlanOptions};
use silhouette_quantise::{Choice, Options, Picture, QuantiseError, Quantised, Reference, quantise};
use silhouette_testkit::{Folder, Noise, waves};
use silhouette_weights::npy::Array;
use silhouette_weights::{Dtype, ModelFile, Tensors, seeded, to_bytes};

/// Soft shapes, as the network's input.
fn pictures(count: usize, size: Size) -> Vec<Picture> {
    let value = |byte: u8| f32::from(byte) / 127.5 - 1.0;
    (0..count)
        .map(|i| {
            let size = if i % 3 == 2 { Size { height: size.width, width: size.height } } else { size };
            let values = waves(size.width, size.height, 11 * i + 3).into_iter().map(value).collect();
            Picture { size, values }
        })
        .collect()
}

const SIZE: Size = Size { height: 49, width: 65 };

fn tensors(spec: &Spec) -> Tensors {
    seeded(&Network::native(spec).unwrap(), 7)
}

fn fixture() -> Spec {
    Spec::preset("fixture").unwrap()
}

fn model(spec: &Spec, tensors: Tensors) -> ModelFile {
    ModelFile::new(spec.clone(), tensors).unwrap()
}

fn done(model: &ModelFile, options: &Options) -> Quantised {
    quantise(model, &pictures(10, SIZE), options, &|_| {}).unwrap()
}

/// Signal to noise, in decibels.
fn ratio(signal: &[f32], other: &[f32]) -> f64 {
    let power = signal.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    let noise = signal.iter().zip(other).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    10.0 * (power / noise).log10()
}

/// Signal to noise of a quantised model's output on pictures that it has not seen, in decibels.
fn decibels(float: &ModelFile, quantised: &ModelFile) -> f64 {
    let references = [float, quantised].map(|model| Reference::new(model).unwrap());
    let outputs = references.map(|reference| {
        let output = |picture| reference.run(picture).unwrap().0;
        pictures(16, SIZE)[12..].iter().flat_map(output).collect::<Vec<f32>>()
    });
    ratio(&outputs[0], &outputs[1])
}

type Edit = fn(&mut Spec, &mut DeeplabV3);

fn v2(spec: &mut Spec) -> &mut MobilenetV2 {
    match &mut spec.extractor {
        Extractor::MobilenetV2(v2) => v2,
        Extractor::MobilenetV1(_) => unreachable!(),
    }
}

/// One network for each variant of a spec that can be quantised.
fn variants() -> Vec<(&'static str, Spec)> {
    fn decoder(strides: &[usize]) -> Decoder {
        let skip = |&stride: &usize| Skip { stride, channels: 3 + stride, out: (stride == 2).then_some(6) };
        Decoder { skips: strides.iter().map(skip).collect(), channels: 10 }
    }
    let edits: [(&str, Edit); 10] = [
        ("plain", |_, _| {}),
        ("symmetric", |s, _| s.padding = Padding::Symmetric),
        ("padded block inputs", |s, _| s.padding = Padding::BlockInput),
        ("finer", |s, _| v2(s).output_stride = 8),
        ("no shortcuts", |s, _| v2(s).shortcut = Shortcut::None),
        ("branches", |_, h| h.aspp = Aspp::Plain { rates: vec![2, 4] }),
        ("separable branches", |_, h| {
            h.aspp = Aspp::Separable { rates: vec![2, 4] };
            h.pooling_last = true;
        }),
        ("refined", |_, h| h.refine = true),
        ("one branch", |_, h| h.image_pooling = false),
        ("decoder", |_, h| h.decoder = Some(decoder(&[8, 4, 2]))),
    ];
    let mut all: Vec<_> = edits
        .into_iter()
        .map(|(name, edit)| {
            let mut spec = fixture();
            let Head::DeeplabV3(mut head) = spec.head.clone() else { unreachable!() };
            edit(&mut spec, &mut head);
            spec.head = Head::DeeplabV3(head);
            (name, spec)
        })
        .collect();
    let mut alpha = fixture();
    let Head::DeeplabV3(head) = &mut alpha.head else { unreachable!() };
    (head.classes, head.decoder) = (1, Some(decoder(&[4])));
    alpha.task = Some(silhouette_network::spec::Task::Alpha);
    alpha.labels = vec!["background".into(), "person".into()];
    all.push(("alpha", alpha));
    let mut classifier = fixture();
    classifier.head = Head::Classifier(Classifier { classes: 5 });
    classifier.labels = (0..5).map(|i| i.to_string()).collect();
    all.push(("classifier", classifier));
    let mut v1 = fixture();
    v1.extractor = Extractor::MobilenetV1(MobilenetV1 {
        width: 1.0,
        output_stride: 16,
        stem_channels: 8,
        blocks: [(16, 1), (24, 2), (32, 2), (32, 1), (48, 2)].map(|(c, s)| SeparableBlock { c, s }).to_vec(),
    });
    all.push(("MobileNetV1", v1));
    all
}

#[test]
fn every_variant_runs_as_the_graph_does_and_stays_near() {
    for (name, spec) in variants() {
        let float = model(&spec, tensors(&spec));
        let reference = Reference::new(&float).unwrap();
        assert_eq!(reference.arithmetic(), "f32");
        let picture = &pictures(4, SIZE)[3];
        let (output, size, channels) = reference.run(picture).unwrap();
        assert_eq!(output.len(), size.height * size.width * channels);
        let planes = (0..3).flat_map(|c| picture.values[c..].iter().step_by(3).copied()).collect();
        let input = Array { shape: [1, 3, SIZE.height, SIZE.width], data: planes };
        let graph = Graph::of(&float, SIZE, 1 << 24).unwrap().forward_array(&input, None).unwrap();
        let largest = graph.data.iter().fold(0f32, |m, v| m.max(v.abs()));
        let pixels = size.height * size.width;
        for (i, expected) in graph.data.iter().enumerate() {
            let found = output[i % pixels * channels + i / pixels];
            assert!((expected - found).abs() < 1e-4 * largest.max(1.0), "{name}: {expected} {found}");
        }

        let Quantised { model: file, report } = done(&float, &Options::default());
        assert!(file.weights().names().all(|tensor| file.weights().dtype(tensor) != Some(Dtype::F32)), "{name}");
        let found = decibels(&float, &file);
        // Random weights amplify every error from layer to layer, so a network of eighteen blocks is far from exact.
        println!("{name}: {found:.2} dB");
        assert!(found > 8.0, "{name}: {found} dB, {:?}", report.output);
        assert!(
            report.layers.iter().all(|layer| layer.clipped < 0.05 && layer.low <= 0.0 && layer.high > layer.low),
            "{name}"
        );
        // Every edge has its scale: after a ReLU the zero point is 0.
        for conv in Network::native(&spec).unwrap().convs() {
            let edge = file.weights().activation(&format!("{}.output", conv.name)).unwrap();
            if conv.activation != silhouette_network::spec::Activation::Linear {
                assert_eq!(edge.zero_point, 0, "{name}: {}", conv.name);
            }
        }
    }
}

/// The engine computes in integers what the reference computes in floats that are rounded to the same integers.
#[test]
fn the_integer_engine_agrees() {
    let supported = [
        "plain",
        "symmetric",
        "finer",
        "no shortcuts",
        "separable branches",
        "one branch",
        "classifier",
        "MobileNetV1",
    ];
    for (name, spec) in variants().into_iter().filter(|(name, _)| supported.contains(name)) {
        let float = model(&spec, tensors(&spec));
        let file = done(&float, &Options::default()).model;
        let network = Network::new(&spec, SIZE).unwrap();
        let options = PlanOptions { precision: DataType::I8, ..PlanOptions::default() };
        let plan = Plan::compile(&network, file.weights(), &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        let reference = Reference::new(&file).unwrap();
        assert!(reference.arithmetic().contains("rounded"));
        let picture = &pictures(4, SIZE)[3];
        let planes: Vec<f32> = (0..3).flat_map(|c| picture.values[c..].iter().step_by(3).copied()).collect();
        let mut found = vec![0.0; reference.run(picture).unwrap().0.len()];
        plan.new_state().unwrap().run(&Planes::new(&planes, SIZE.width, SIZE.height), &mut found).unwrap();
        let expected = reference.run(picture).unwrap().0;
        // Where a sum is half-way between two integers the two may round differently. From layer to layer that grows until
        // their rounding errors are independent, so they are about as far from each other as from the float network.
        let float = ratio(&expected, &Reference::new(&float).unwrap().run(picture).unwrap().0);
        let engine = ratio(&expected, &found);
        println!("{name}: {engine:.2} dB, {float:.2} dB from the float network");
        assert!(engine > float - 3.0, "{name}: {engine} dB, {float} dB from the float network");
        assert!(name != "MobileNetV1" || engine > 30.0, "few layers amplify little: {engine} dB");
    }
}

#[test]
#[allow(clippy::float_cmp, reason = "stored and read")]
fn the_file_comes_back_and_is_within_half_a_step() {
    let spec = fixture();
    let float = model(&spec, tensors(&spec));
    let bare = Options { equalise: false, cut: false, compensate: false, correct: false, ..Options::default() };
    let Quantised { model: made, .. } = done(&float, &bare);
    let folder = Folder::new();
    let path = folder.path("int8.safetensors");
    made.save(&path, Dtype::F32).unwrap();
    let back = ModelFile::open(&path).unwrap();
    assert_eq!(back.weights().activations(), made.weights().activations());
    assert!(back.weights().names().eq(made.weights().names()));
    let network = Network::native(&spec).unwrap();
    let names: Vec<String> = network.convs().flat_map(|conv| [conv.bias().name, conv.weight().name]).collect();
    assert_eq!(back.weights().names().len(), names.len(), "no batch norm is left");
    assert!(names.iter().all(|name| back.weights().dtype(name).is_some()));
    for conv in network.convs() {
        let expected = float.weights().folded(conv).unwrap();
        let found = back.weights().folded(conv).unwrap();
        let tensor = |name: &str| back.weights().tensor(name).unwrap().unwrap();
        let (weight, bias) = (tensor(&conv.weight().name), tensor(&conv.bias().name));
        assert_eq!((weight.dtype, bias.dtype), (Dtype::I8, Dtype::I32));
        assert!(weight.bytes.iter().all(|&byte| byte != 0x80), "-128 is not used");
        let (weight, bias) = (weight.quantisation.unwrap(), bias.quantisation.unwrap());
        assert!(weight.zero_point.is_empty() && bias.zero_point.is_empty() && weight.axis == 0);
        assert_eq!((weight.scale.len(), bias.scale.len()), (conv.c_out, conv.c_out));
        let filter = expected.weight.len() / conv.c_out;
        for (i, (a, b)) in expected.weight.iter().zip(found.weight.iter()).enumerate() {
            assert!((a - b).abs() <= 0.5001 * weight.scale[i / filter], "{}: {a} {b}", conv.name);
        }
        for (i, (a, b)) in expected.bias.iter().zip(&found.bias).enumerate() {
            assert!((a - b).abs() <= 0.5001 * bias.scale[i] + a.abs() * 1e-6, "{}: {a} {b}", conv.name);
        }
        // A bias has the step of the sums: of its input times the weight.
        let edge = if conv.name == "stem" { "input" } else { "stem.output" };
        if ["stem", "blocks.0.depthwise"].contains(&conv.name.as_str()) {
            let input = back.weights().activation(edge).unwrap().scale;
            assert!(weight.scale.iter().zip(&bias.scale).all(|(w, b)| *b == input * w));
        }
    }
}

#[test]
fn the_same_for_any_number_of_threads_and_another_for_another_seed() {
    let spec = fixture();
    let float = model(&spec, tensors(&spec));
    let bytes = |threads, seed| {
        let Quantised { model, report } = done(&float, &Options { threads, seed, ..Options::default() });
        (to_bytes(model.spec(), model.weights(), Dtype::F32).unwrap(), report)
    };
    let first = bytes(1, 1);
    for threads in [2, 3, 16] {
        assert!(bytes(threads, 1) == first, "{threads} threads");
    }
    assert!(bytes(2, 2).0 != first.0);
}

/// The same function, with the channels of some maps scaled very differently: each by its own factor, which the next
/// layer takes back.
fn badly_scaled(spec: &Spec) -> Tensors {
    let mut tensors = tensors(spec);
    let mut noise = Noise::new(5);
    let network = Network::native(spec).unwrap();
    for block in network.blocks().filter(|block| block.expand.is_some()) {
        let (depthwise, project) = (&block.depthwise, &block.project);
        // Through batch norm: its gain and shift scale what it writes. Scaled down, a ReLU6 only cuts off less.
        let factors: Vec<f32> = (0..depthwise.c_out).map(|_| 0.03f32.powf(noise.fraction())).collect();
        let expand = block.expand.as_ref().unwrap();
        let [gamma, beta, ..] = expand.bn();
        for name in [gamma.name, beta.name] {
            tensors.get_mut(&name).unwrap().data.iter_mut().zip(&factors).for_each(|(v, f)| *v *= f);
        }
        let weight = &mut tensors.get_mut(&depthwise.weight().name).unwrap().data;
        weight.chunks_exact_mut(9).zip(&factors).for_each(|(taps, f)| taps.iter_mut().for_each(|tap| *tap /= f));
        let _ = project;
    }
    tensors
}

#[test]
fn equalisation_helps_where_channels_differ_in_scale() {
    let spec = fixture();
    let float = model(&spec, badly_scaled(&spec));
    let with = done(&float, &Options::default());
    let without = done(&float, &Options { equalise: false, ..Options::default() });
    let [maps, of] = with.report.equalised;
    assert!(maps > 0 && maps <= of && without.report.equalised[0] == 0, "{maps} of {of}");
    let (with, without) = (decibels(&float, &with.model), decibels(&float, &without.model));
    assert!(with > without + 1.0, "{with} dB with, {without} dB without");
}

#[test]
fn bias_correction_takes_back_a_shift() {
    let spec = fixture();
    let mut shifted = tensors(&spec);
    // All weights of the projections a third of a step above an integer: what reads maps of values above 0 is shifted.
    for (name, tensor) in &mut shifted {
        if name.ends_with(".project.weight") {
            let filter: usize = tensor.shape[1..].iter().product();
            for row in tensor.data.chunks_exact_mut(filter) {
                let most = row.iter().fold(0f32, |m, v| m.max(v.abs()));
                let step = most / 127.0;
                for weight in row.iter_mut().filter(|weight| weight.abs() < most) {
                    *weight = ((*weight / step).round().min(126.0) + 0.33) * step;
                }
            }
        }
    }
    let float = model(&spec, shifted);
    let nearest = Options { compensate: false, cut: false, equalise: false, ..Options::default() };
    let with = done(&float, &nearest);
    let without = done(&float, &Options { correct: false, ..nearest.clone() });
    assert!(with.report.bias_corrected && !without.report.bias_corrected);
    let (with, without) = (decibels(&float, &with.model), decibels(&float, &without.model));
    assert!(with > without + 1.0, "{with} dB with, {without} dB without");
}

#[test]
fn rounding_by_the_output_is_no_worse_than_to_the_nearest() {
    let spec = fixture();
    let float = model(&spec, tensors(&spec));
    let best = decibels(&float, &done(&float, &Options::default()).model);
    let nearest = Options { compensate: false, cut: false, ..Options::default() };
    let plain = decibels(&float, &done(&float, &nearest).model);
    println!("{best} dB, to the nearest {plain} dB");
    assert!(best > plain - 0.5, "{best} dB, to the nearest {plain} dB");
    for ranges in [Choice::Extremes, Choice::Percentile, Choice::SquaredError] {
        let fixed = done(&float, &Options { ranges: Some(ranges), ..Options::default() });
        assert!(fixed.report.layers.iter().skip(1).all(|layer| layer.range == ranges));
        assert_eq!(fixed.report.layers[0].range, Choice::Pixels);
    }
}

#[test]
fn channels_without_values_or_weights_are_no_problem() {
    let spec = fixture();
    let mut tensors = tensors(&spec);
    for (name, tensor) in &mut tensors {
        let filter = tensor.data.len() / tensor.shape[0];
        if name.ends_with("blocks.2.expand.bn.bias") {
            // Dead after the ReLU6.
            tensor.data[..3].fill(-1e3);
        } else if name.ends_with(".weight") && tensor.shape.len() == 4 {
            tensor.data[filter..2 * filter].fill(0.0);
        } else if name == "stem.bn.weight" {
            tensor.data[2] = 0.0;
        } else if name == "head.classifier.bias" {
            tensor.data[1] = 40.0;
        }
    }
    let float = model(&spec, tensors);
    let found = decibels(&float, &done(&float, &Options::default()).model);
    assert!(found > 8.0, "{found}");
    // Nothing but zeros.
    let mut zeros = seeded(&Network::native(&spec).unwrap(), 7);
    zeros.iter_mut().filter(|(name, _)| !name.ends_with("_var")).for_each(|(_, tensor)| tensor.data.fill(0.0));
    let made = done(&model(&spec, zeros), &Options::default());
    let (output, ..) = Reference::new(&made.model).unwrap().run(&pictures(1, SIZE)[0]).unwrap();
    assert!(output.iter().all(|&v| v == 0.0));
}

#[test]
fn layers_that_are_kept_lose_nothing() {
    let spec = fixture();
    let float = model(&spec, tensors(&spec));
    let keep = Options { keep: vec!["stem".into(), "blocks".into(), "head".into()], ..Options::default() };
    let all = done(&float, &keep);
    assert!(all.report.layers.iter().filter(|layer| layer.name != "input").all(|l| l.kept || l.weights.is_none()));
    let some = done(&float, &Options { keep: vec!["blocks.3.expand".into()], ..Options::default() });
    assert_eq!(some.report.layers.iter().filter(|layer| layer.kept).count(), 1);
    let none = done(&float, &Options::default());
    let [all, some, none] = [all, some, none].map(|done| decibels(&float, &done.model));
    assert!(all > none - 1.0 && some > none - 1.0, "{all} {some} {none}");
}

#[test]
fn what_cannot_be_quantised_is_refused() {
    let spec = fixture();
    let float = model(&spec, tensors(&spec));
    let refused = |model: &ModelFile, pictures: &[Picture], options: &Options| {
        quantise(model, pictures, options, &|_| {}).expect_err("refused")
    };
    let options = Options::default();
    let some = pictures(2, SIZE);
    let integers = done(&float, &options).model;
    assert!(matches!(refused(&integers, &some, &options), QuantiseError::AlreadyQuantised { .. }));
    assert!(matches!(refused(&float, &[], &options), QuantiseError::Pictures(_)));
    let short = [Picture { size: SIZE, values: vec![0.0; 5] }];
    assert!(matches!(refused(&float, &short, &options), QuantiseError::Pictures(_)));
    assert!(matches!(Reference::new(&float).unwrap().run(&short[0]), Err(QuantiseError::Pictures(_))));
    let unknown = Options { keep: vec!["blocks.1.exp".into()], ..Options::default() };
    let text = refused(&float, &some, &unknown).to_string();
    assert!(text.contains("blocks.1.exp") && text.contains("blocks.1.expand"), "{text}");
    let mut nan = some.clone();
    nan[1].values[7] = f32::NAN;
    let text = refused(&float, &nan, &options).to_string();
    assert!(text.contains("input") && text.contains("picture 1"), "{text}");
    // Finite weights, infinite sums.
    let mut huge = tensors(&spec);
    huge.get_mut("blocks.1.project.bn.weight").unwrap().data.fill(1e38);
    let text = refused(&model(&spec, huge), &some, &options).to_string();
    assert!(text.contains("blocks.") && text.contains("not finite"), "{text}");
    let mut expansion = spec.clone();
    v2(&mut expansion).shortcut = Shortcut::Expansion;
    let text = refused(&model(&expansion, tensors(&expansion)), &some, &options).to_string();
    assert!(text.contains("shortcut between expansions"), "{text}");
    // A single picture is enough.
    assert!(quantise(&float, &some[..1], &options, &|_| {}).is_ok());
}
