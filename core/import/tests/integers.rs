//! The quantised reference models in their own integers: LiteRT's logits, byte for byte (`scripts/compare/goldens.py`).

#[path = "common/inputs.rs"]
mod inputs;

use serde::Deserialize;
use silhouette_import::{ImportOptions, import};
use silhouette_kernels::element::DataType;
use silhouette_network::network::{Network, Size};
use silhouette_plan::{Plan, PlanOptions};
use silhouette_testkit::{is_emulated, shared_folder};
use silhouette_weights::{ActivationElement, fnv1a};

use inputs::{Rows, input};

#[derive(Deserialize)]
struct Golden {
    model: String,
    size: usize,
    classes: usize,
    /// Input, FNV-1a of the bytes of its logits, channels last.
    outputs: Vec<(String, u64)>,
}

fn integers_give_the_bytes_of_litert() {
    let shared = shared_folder();
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("golden/integers.json")).unwrap();
    assert_eq!(goldens.len(), 3);
    for golden in goldens {
        let labels = Some((0..golden.classes).map(|i| format!("class {i}")).collect());
        let file = shared.join("models").join(format!("{}.tflite", golden.model));
        let imported = import(&file, &ImportOptions { labels, ..ImportOptions::default() }).unwrap();
        let mean = imported.spec.input.mean[0];
        let model = imported.into_model().unwrap();
        let size = Size::square(golden.size);
        let options = PlanOptions { threads: 2, precision: DataType::I8, ..PlanOptions::default() };
        let plan = Plan::of(&model, size, &options).unwrap();
        let last = Network::new(model.spec(), size).unwrap().convs().last().unwrap().name.clone();
        let edge = model.weights().activation(&format!("{last}.output")).unwrap();
        assert_eq!(edge.element, ActivationElement::U8);
        let mut state = plan.new_state().unwrap();
        let (map, channels) = plan.logits();
        let mut logits = vec![0.0f32; map.height * map.width * channels];
        let count = if is_emulated() { 1 } else { golden.outputs.len() };
        for (name, expected) in &golden.outputs[..count] {
            let rows = Rows { size: golden.size, pixels: input(&shared, name, golden.size), mean };
            state.run(&rows, &mut logits).unwrap();
            let byte = |v: &f32| ((v / edge.scale).round_ties_even() as i32 + edge.zero_point) as u8;
            let bytes: Vec<u8> = logits.iter().map(byte).collect();
            assert_eq!(fnv1a(&bytes), *expected, "{}, {name}", golden.model);
        }
    }
}

silhouette_testkit::tests_with_shared!(integers_give_the_bytes_of_litert);
