//! The networks that tests run through every engine: golden logits in this crate, plan against graph in the graph
//! crate.

use silhouette_network::spec::{
    Activation, Aspp, Decoder, DeeplabV3, Extractor, Feature, Head, MobilenetV1, MobilenetV2, Padding, Resize,
    Shortcut, Skip, Spec,
};

/// A name, and the network as data.
pub(crate) type Case = (String, Spec);

/// A change to the extractor.
type Edit = fn(&mut MobilenetV2);

fn with(extractor: Extractor, head: DeeplabV3, padding: Padding) -> Spec {
    let mut spec = Spec::preset("fixture").unwrap();
    (spec.extractor, spec.head, spec.padding) = (extractor, Head::DeeplabV3(head), padding);
    spec
}

/// One network for each feature of a spec.
pub(crate) fn cases() -> Vec<Case> {
    let deeplab = |aspp: Aspp| DeeplabV3 { channels: 24, ..DeeplabV3::paper(21, aspp) };
    let v2 = MobilenetV2::paper;
    // Numbers of channels that do not fill a vector.
    let skip = |&stride: &usize| Skip { stride, channels: 5 + stride, out: (stride == 2).then_some(9) };
    let decoder = |strides: &[usize]| Decoder { skips: strides.iter().map(skip).collect(), channels: 20 };
    let mut cases = Vec::new();
    for padding in [Padding::Same, Padding::Symmetric] {
        for stride in [8, 16, 32] {
            for width in [0.35, 0.75] {
                let spec = with(Extractor::MobilenetV2(v2(width, stride)), deeplab(Aspp::None), padding);
                cases.push((format!("V2 {width}, output stride {stride}, {padding:?}"), spec));
            }
        }
    }
    let dilated = MobilenetV2 { dilate_first: true, ..v2(0.35, 8) };
    cases.push((
        "dilated first blocks".into(),
        with(Extractor::MobilenetV2(dilated), deeplab(Aspp::None), Padding::Symmetric),
    ));
    for stride in [8, 16] {
        let spec = with(Extractor::MobilenetV2(v2(0.35, stride)), deeplab(Aspp::None), Padding::BlockInput);
        cases.push((format!("padded block inputs, output stride {stride}"), spec));
    }
    let heads = [
        ("plain aspp", DeeplabV3 { pooling_last: true, ..deeplab(Aspp::Plain { rates: vec![1, 3, 40] }) }),
        ("separable aspp", deeplab(Aspp::Separable { rates: vec![2, 6] })),
        ("no pooling", DeeplabV3 { image_pooling: false, ..deeplab(Aspp::None) }),
        ("refined", DeeplabV3 { refine: true, ..deeplab(Aspp::None) }),
        ("decoder to stride 2", DeeplabV3 { decoder: Some(decoder(&[8, 4, 2])), ..deeplab(Aspp::None) }),
        (
            "decoder to stride 4 after a refined head, half-pixel",
            DeeplabV3 { decoder: Some(decoder(&[4])), refine: true, resize: Resize::HalfPixel, ..deeplab(Aspp::None) },
        ),
    ];
    for (name, head) in heads {
        cases.push((name.to_owned(), with(Extractor::MobilenetV2(v2(0.35, 16)), head, Padding::Same)));
    }
    let edits: [(&str, Edit); 5] = [
        ("ReLU6 bottlenecks", |m| m.bottleneck_activation = Activation::Relu6),
        ("shortcut between expansions", |m| m.shortcut = Shortcut::Expansion),
        ("no shortcut", |m| m.shortcut = Shortcut::None),
        ("last layer as feature", |m| m.feature = Feature::LastLayer),
        ("dropped blocks", |m| m.dropped_blocks = vec![4, 8]),
    ];
    for (name, edit) in edits {
        let mut extractor = v2(0.35, 16);
        edit(&mut extractor);
        cases.push((name.to_owned(), with(Extractor::MobilenetV2(extractor), deeplab(Aspp::None), Padding::Same)));
    }
    let v1 = Extractor::MobilenetV1(MobilenetV1::paper(0.25, 16));
    cases.push(("V1".to_owned(), with(v1.clone(), deeplab(Aspp::Plain { rates: vec![2] }), Padding::Same)));
    let head = DeeplabV3 { decoder: Some(decoder(&[8, 2])), ..deeplab(Aspp::None) };
    cases.push(("V1 with a decoder".to_owned(), with(v1, head, Padding::Symmetric)));
    cases.push(("an alpha".to_owned(), Spec::preset("person").unwrap()));
    cases.push(("classifier".to_owned(), Spec::preset("mobilenet_v2_0.35").unwrap()));
    cases
}
