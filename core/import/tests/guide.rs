//! The specification that the guide shows is one that `--spec` takes.

use silhouette_network::spec::{Head, Padding, Spec};

#[test]
fn the_guides_specification_is_valid() {
    let guide = include_str!("../../../docs/importing.md");
    let (_, after) = guide.split_once("```json\n").unwrap();
    let (json, _) = after.split_once("```").unwrap();
    let spec = Spec::from_json(json).unwrap();
    let Head::DeeplabV3(head) = &spec.head else { panic!("a classifier") };
    assert_eq!((head.classes, spec.padding), (2, Padding::BlockInput));
    // It says what it is for: a network that differs from the preset in these alone.
    let preset = Spec::preset("pytorch_deeplabv3_mnv2").unwrap();
    assert_eq!(spec.extractor, preset.extractor);
    assert_eq!((&spec.input, head.resize), (&preset.input, silhouette_network::spec::Resize::HalfPixel));
}
