//! Compares the compiled plan with the candle graph, for every kind of network that a spec can describe: logits within
//! 1e-3, and the same class wherever the two best differ by more than 2e-3. Then checks the plan's memory.

#[path = "../../plan/tests/common/networks.rs"]
mod networks;

use candle_core::{Device, Tensor};
use silhouette_graph::Graph;
use silhouette_graph::plan_op::PlanOp;
use silhouette_kernels::isa::Isa;
use silhouette_network::ModelError;
use silhouette_network::network::{Network, Size};
use silhouette_network::spec::Spec;
use silhouette_plan::{Plan, PlanOptions};
use silhouette_weights::{Weights, seeded};

use networks::cases;

/// (1, 3, H, W), smooth and rough parts.
fn picture(size: Size) -> Tensor {
    let n = 3 * size.height * size.width;
    let values: Vec<f32> = (0..n).map(|i| ((i * 37) % 101) as f32 / 101.0 - (i as f32 / 900.0).sin() * 0.5).collect();
    Tensor::from_vec(values, (1, 3, size.height, size.width), &Device::Cpu).unwrap()
}

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// The best class of pixel `p` and its margin over the next; `values` is (classes, pixels).
fn best(values: &[f32], classes: usize, p: usize) -> (usize, f32) {
    let pixels = values.len() / classes;
    let mut order: Vec<usize> = (0..classes).collect();
    order.sort_by(|&a, &b| values[b * pixels + p].total_cmp(&values[a * pixels + p]));
    (order[0], values[order[0] * pixels + p] - values[order[1] * pixels + p])
}

#[test]
fn plan_and_graph_agree_on_every_network() {
    for (name, spec) in cases() {
        for size in [Size { height: 65, width: 65 }, Size { height: 40, width: 51 }] {
            let network = Network::new(&spec, size).unwrap();
            let weights = Weights::from_tensors(seeded(&network, 11), spec.batch_norm_epsilon).unwrap();
            let x = picture(size);
            let expected = flat(&Graph::new(&network, &weights, &Device::Cpu).unwrap().forward(&x).unwrap());
            // Random weights produce logits of any magnitude; 1e-3 is required when they are as large as a trained
            // network's.
            let scale = expected.iter().fold(1.0f32, |m, v| m.max(v.abs() / 20.0));
            let (map, classes) = network.logits();
            for isa in Isa::all() {
                for threads in [1, 2] {
                    let options = PlanOptions { threads, isa: Some(isa.name().to_owned()), ..PlanOptions::default() };
                    let plan = Plan::compile(&network, &weights, &options).unwrap();
                    let found = PlanOp::new(plan).unwrap().forward(&x).unwrap();
                    assert_eq!(found.dims(), [1, classes, map.height, map.width], "{name}");
                    let found = flat(&found);
                    for (i, (f, w)) in found.iter().zip(&expected).enumerate() {
                        let close = (f - w).abs() <= 1e-3 * scale;
                        assert!(close, "{name} at {size}, {}, {threads} threads, {i}: {f}, graph {w}", isa.name());
                    }
                    // (An alpha has one value per pixel and no class.)
                    for p in (0..map.height * map.width).filter(|_| classes > 1) {
                        let (f, _) = best(&found, classes, p);
                        let (w, margin) = best(&expected, classes, p);
                        assert!(f == w || margin <= 2e-3 * scale, "{name} at {size}: pixel {p} is {f}, not {w}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_batch_is_its_pictures_one_by_one() {
    let spec = Spec::preset("fixture").unwrap();
    let size = Size::square(33);
    let network = Network::new(&spec, size).unwrap();
    let weights = Weights::from_tensors(seeded(&network, 3), spec.batch_norm_epsilon).unwrap();
    let op = PlanOp::new(Plan::compile(&network, &weights, &PlanOptions::default()).unwrap()).unwrap();
    let a = picture(size);
    let b = (picture(size) * 0.5).unwrap();
    let both = op.forward(&Tensor::cat(&[&a, &b], 0).unwrap()).unwrap();
    for (i, one) in [a, b].iter().enumerate() {
        assert_eq!(flat(&both.get(i).unwrap()), flat(&op.forward(one).unwrap()), "picture {i}");
    }
    let wrong = op.forward(&picture(Size::square(34))).unwrap_err().to_string();
    assert!(wrong.contains("33"), "{wrong}");
}

/// The paper's t-way split (section 5): the same result, in the memory that its formula predicts.
#[test]
fn a_split_changes_the_memory_and_not_the_result() {
    let spec = Spec::preset("fixture").unwrap();
    let size = Size::square(129);
    let network = Network::new(&spec, size).unwrap();
    let weights = Weights::from_tensors(seeded(&network, 5), spec.batch_norm_epsilon).unwrap();
    let x = picture(size);
    let options = PlanOptions::default();
    let expected =
        flat(&PlanOp::new(Plan::compile(&network, &weights, &options).unwrap()).unwrap().forward(&x).unwrap());
    let scale = expected.iter().fold(1.0f32, |m, v| m.max(v.abs() / 20.0));
    let mut before = usize::MAX;
    for ways in [1, 2, 3] {
        let plan = Plan::compile_split(&network, &weights, &options, ways).unwrap();
        // Block 1 expands 8 channels of 65x65 to 48 and leaves 8 of 33x33; nothing later is as large.
        let formula = 4 * (65 * 65 * 8 + 65 * 65 * 48 / ways + 33 * 33 * 8);
        let bytes = plan.arena_bytes();
        assert!(bytes < before && bytes >= formula, "{ways} ways: {bytes} bytes, formula {formula}");
        before = bytes;
        let found = flat(&PlanOp::new(plan).unwrap().forward(&x).unwrap());
        for (f, w) in found.iter().zip(&expected) {
            assert!((f - w).abs() <= 1e-3 * scale, "{ways} ways: {f}, {w}");
        }
    }
}

#[test]
fn a_plan_beyond_its_memory_limit_or_for_another_cpu_is_refused() {
    let spec = Spec::preset("fixture").unwrap();
    let network = Network::new(&spec, Size::square(257)).unwrap();
    let weights = Weights::from_tensors(seeded(&network, 1), spec.batch_norm_epsilon).unwrap();
    let options = PlanOptions { memory_limit: 10_000, ..PlanOptions::default() };
    let refused = Plan::compile(&network, &weights, &options).unwrap_err();
    assert!(matches!(&refused, ModelError::Unsupported { why, .. } if why.contains("10000")), "{refused}");
    let options = PlanOptions { isa: Some("mmx".into()), ..PlanOptions::default() };
    let refused = Plan::compile(&network, &weights, &options).unwrap_err().to_string();
    assert!(refused.contains("scalar"), "{refused}");
}
