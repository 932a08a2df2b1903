//! Hostile model files and specs: truncated, with flipped bits, oversized or invented, they cause an error and never a
//! panic. Accepted specs result in consistent networks at every input size.

use std::sync::OnceLock;

use proptest::prelude::*;
use silhouette_network::network::{MAX_MAP, Network, Size};
use silhouette_network::spec::{
    Activation, Aspp, Bottleneck, Classifier, Decoder, DeeplabV3, Extractor, Feature, Head, MobilenetV1, MobilenetV2,
    Padding, SeparableBlock, Shortcut, Skip, Spec,
};
use silhouette_weights::{Dtype, seeded, to_bytes};
use silhouette_weights::{ModelError, ModelFile};

/// A good file of a very small network, and the length of its header.
fn file() -> &'static (Vec<u8>, usize) {
    static FILE: OnceLock<(Vec<u8>, usize)> = OnceLock::new();
    FILE.get_or_init(|| {
        let mut spec = Spec::preset("fixture").unwrap();
        spec.extractor = Extractor::MobilenetV2(MobilenetV2::paper(0.1, 16));
        spec.head = Head::DeeplabV3(DeeplabV3 { channels: 8, ..DeeplabV3::paper(21, Aspp::None) });
        let model = ModelFile::new(spec.clone(), seeded(&Network::native(&spec).unwrap(), 3)).unwrap();
        let bytes = to_bytes(&spec, model.weights(), Dtype::F16).unwrap();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        (bytes, header)
    })
}

/// Opens the bytes and, if that succeeds, reads every tensor, as a caller does.
fn open_and_read(bytes: Vec<u8>) -> Result<(), Box<ModelError>> {
    let model = ModelFile::from_bytes(bytes)?;
    for conv in Network::native(model.spec())?.convs() {
        model.weights().folded(conv)?;
    }
    Ok(())
}

#[test]
fn the_good_file_is_good() {
    open_and_read(file().0.clone()).unwrap();
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let (good, header) = file();
    let near_the_header = (0..header + 64).step_by(7);
    for length in near_the_header.chain((header + 64..good.len()).step_by(997)).chain([good.len() - 1]) {
        let error = ModelFile::from_bytes(good[..length].to_vec()).unwrap_err();
        assert!(matches!(error, ModelError::BadFile { .. }), "{length}: {error}");
    }
}

#[test]
fn a_header_length_that_lies_is_refused() {
    let (good, header) = file();
    for length in [0, 1, *header as u64 - 9, *header as u64 - 7, good.len() as u64, 1 << 31, u64::MAX - 8, u64::MAX] {
        let mut bytes = good.clone();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        assert!(matches!(ModelFile::from_bytes(bytes), Err(ModelError::BadFile { .. })), "{length}");
    }
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0usize..70, 2 => 0usize..20_000, 1 => Just(usize::MAX), 1 => any::<usize>()]
}

fn number() -> impl Strategy<Value = usize> {
    prop_oneof![12 => 1usize..9, 4 => 0usize..400, 1 => any::<usize>(), 1 => Just(usize::MAX), 1 => Just(65_536)]
}

fn width() -> impl Strategy<Value = f64> {
    prop_oneof![8 => 0.05f64..2.0, 1 => any::<f64>(), 1 => Just(f64::NAN), 1 => Just(1e-300), 1 => Just(16.0)]
}

fn stride() -> impl Strategy<Value = usize> {
    prop_oneof![9 => 1usize..3, 1 => number()]
}

fn output_stride() -> impl Strategy<Value = usize> {
    prop_oneof![9 => prop::sample::select(vec![8usize, 16, 32]), 1 => number()]
}

fn bottleneck() -> impl Strategy<Value = Bottleneck> {
    (number(), number(), number(), stride()).prop_map(|(t, c, n, s)| Bottleneck { t, c, n, s })
}

fn v2() -> impl Strategy<Value = Extractor> {
    let table = prop_oneof![
        1 => prop::collection::vec(bottleneck(), 0..8),
        2 => Just(MobilenetV2::paper(1.0, 16).bottlenecks),
    ];
    let choices = (
        prop::sample::select(vec![Feature::LastBottleneck, Feature::LastLayer]),
        prop::sample::select(vec![Activation::Linear, Activation::Relu, Activation::Relu6]),
        prop::sample::select(vec![Shortcut::Bottleneck, Shortcut::Expansion, Shortcut::None]),
    );
    let divisor = prop_oneof![4 => Just(8usize), 2 => Just(1), 1 => number()];
    let dropped = prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(number(), 0..3)];
    (width(), divisor, output_stride(), number(), table, choices, number(), (dropped, any::<bool>())).prop_map(
        |(width, divisor, output_stride, stem_channels, bottlenecks, choices, last_channels, dropped)| {
            let (dropped_blocks, dilate_first) = dropped;
            let (feature, bottleneck_activation, shortcut) = choices;
            Extractor::MobilenetV2(MobilenetV2 {
                width,
                divisor,
                output_stride,
                stem_channels,
                bottlenecks,
                feature,
                last_channels,
                bottleneck_activation,
                shortcut,
                dilate_first,
                dropped_blocks,
            })
        },
    )
}

fn v1() -> impl Strategy<Value = Extractor> {
    let block = (number(), stride()).prop_map(|(c, s)| SeparableBlock { c, s });
    (width(), output_stride(), number(), prop::collection::vec(block, 0..14)).prop_map(
        |(width, output_stride, stem_channels, blocks)| {
            Extractor::MobilenetV1(MobilenetV1 { width, output_stride, stem_channels, blocks })
        },
    )
}

fn head() -> impl Strategy<Value = Head> {
    let rates = || prop::collection::vec(number(), 0..4);
    let aspp = prop_oneof![
        Just(Aspp::None),
        rates().prop_map(|rates| Aspp::Plain { rates }),
        rates().prop_map(|rates| Aspp::Separable { rates })
    ];
    let skip = (
        prop_oneof![3 => prop::sample::select(vec![2usize, 4, 8, 16]), 1 => number()],
        number(),
        prop::option::of(number()),
    );
    let skip = skip.prop_map(|(stride, channels, out)| Skip { stride, channels, out });
    let decoder =
        (prop::collection::vec(skip, 0..4), number()).prop_map(|(skips, channels)| Decoder { skips, channels });
    let flags = (any::<[bool; 3]>(), prop::option::weighted(0.3, decoder));
    let deeplab = (number(), number(), flags, aspp).prop_map(|(classes, channels, (flags, decoder), aspp)| {
        let [image_pooling, pooling_last, refine] = flags;
        let paper = DeeplabV3::paper(classes, aspp);
        Head::DeeplabV3(DeeplabV3 { channels, image_pooling, pooling_last, refine, decoder, ..paper })
    });
    prop_oneof![3 => deeplab, 1 => number().prop_map(|classes| Head::Classifier(Classifier { classes }))]
}

fn spec() -> impl Strategy<Value = Spec> {
    let padding = prop::sample::select(vec![Padding::Same, Padding::Symmetric, Padding::BlockInput]);
    (prop_oneof![3 => v2(), 1 => v1()], head(), padding, size()).prop_map(|(extractor, head, padding, size)| {
        let mut spec = Spec { extractor, head, padding, ..Spec::preset("fixture").unwrap() };
        spec.input.size = size;
        // As many labels as a file of that size could hold.
        spec.labels = vec!["x".into(); spec.classes().min(70_000)];
        spec
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(ModelFile::from_bytes(bytes).is_err());
    }

    #[test]
    fn flipped_bits_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6), deep in any::<bool>()) {
        let (good, header) = file();
        let mut bytes = good.clone();
        let within = if deep { bytes.len() } else { *header };
        for (at, bit) in flips {
            bytes[at.index(within)] ^= 1 << bit;
        }
        // An error or a model; the values of a tensor may be anything.
        let _ = open_and_read(bytes);
    }

    #[test]
    fn bytes_put_into_the_spec_never_panic(at in any::<prop::sample::Index>(), text in "[0-9eE.\\-\\[\\]{}\",:a-z]{1,12}") {
        let json = Spec::preset("deeplabv3_mnv2_aspp").unwrap().to_json();
        let at = at.index(json.len());
        let broken = format!("{}{text}{}", &json[..at], json.get(at + text.len()..).unwrap_or(""));
        let _ = Spec::from_json(&broken);
    }

    #[test]
    fn any_spec_is_refused_or_holds_together(spec in spec(), height in size(), width in size()) {
        let size = Size { height, width };
        let valid = spec.validate();
        match Network::new(&spec, size) {
            // A first kernel without zeros around it needs three pixels.
            Err(ModelError::Spec { .. }) => {
                prop_assert!(valid.is_err() || spec.padding == Padding::BlockInput && height.min(width) < 3);
            }
            Err(error) => {
                prop_assert!(valid.is_ok());
                prop_assert!(matches!(error, ModelError::TooLarge { .. }), "{}", error);
            }
            Ok(network) => {
                prop_assert!(valid.is_ok());
                // JSON numbers of seventeen digits come back exact or one bit off; the network is the same.
                let back = Spec::from_json(&spec.to_json()).unwrap();
                prop_assert_eq!(&Network::new(&back, size).unwrap(), &network);
                holds_together(&network)?;
            }
        }
    }
}

/// Every layer reads what the previous one wrote, sizes follow strides, nothing exceeds the limits.
fn holds_together(network: &Network) -> Result<(), TestCaseError> {
    let mut size = network.input;
    let mut channels = 3;
    for conv in network.convs() {
        prop_assert!(conv.c_in > 0 && conv.c_out > 0 && conv.stride > 0 && conv.rate > 0);
        // A convolution without padding leaves out what is less than a kernel.
        let unpadded = conv.pad == Size::square(0) && conv.pad_after() == Size::square(0);
        let less = usize::from(conv.kernel > 1 && unpadded);
        for (input, output) in [(conv.input.height, conv.output.height), (conv.input.width, conv.output.width)] {
            let whole = input.div_ceil(conv.stride);
            prop_assert!(output == whole || output + less == whole, "{} of {}", output, input);
        }
        prop_assert!(conv.output.pixels() * conv.c_out as u64 <= MAX_MAP);
        prop_assert!(!conv.depthwise || conv.c_in == conv.c_out);
        // The last window ends inside the padded map.
        let reach = (conv.output.height - 1) * conv.stride + (conv.kernel - 1) * conv.rate;
        prop_assert!(reach < conv.input.height + conv.pad.height + conv.pad_after().height);
    }
    let stem = network.conv("stem").unwrap();
    for block in network.blocks() {
        let first = block.convs().next().unwrap();
        if block.index == 0 {
            prop_assert_eq!((first.input, first.c_in), (stem.output, stem.c_out));
        } else {
            prop_assert_eq!((first.input, first.c_in), (size, channels));
        }
        (size, channels) = (block.project.output, block.project.c_out);
    }
    prop_assert_eq!(network.logits().1, network.convs().last().unwrap().c_out);
    Ok(())
}
