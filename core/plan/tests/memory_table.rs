//! The memory of a plan has one limit on every machine: plans are compiled for given caches, threads and instruction
//! sets. Their results are the same bit for bit, whatever the caches.

use silhouette_engine::caches::Caches;
use silhouette_kernels::isa::Isa;
use silhouette_network::network::{Network, Size};
use silhouette_network::spec::Spec;
use silhouette_plan::{Plan, PlanOptions};
use silhouette_testkit::{GreyRows, is_emulated};
use silhouette_weights::{Weights, seeded};

/// L2 sizes of cores in KiB, phones' first.
const L2: [usize; 5] = [256, 512, 1024, 1280, 2048];

fn options(isa: Isa, threads: usize, l1: usize, l2: usize) -> PlanOptions {
    let caches = Some(Caches { l1: l1 << 10, l2: l2 << 10 });
    PlanOptions { threads, isa: Some(isa.name().into()), caches, ..PlanOptions::default() }
}

/// The paper's network at `side` x `side`, with random weights.
fn papers(side: usize) -> (Network, Weights) {
    let spec = Spec::preset("deeplabv3_mnv2").unwrap();
    let network = Network::new(&spec, Size::square(side)).unwrap();
    let weights = Weights::from_tensors(seeded(&network, 1), spec.batch_norm_epsilon).unwrap();
    (network, weights)
}

/// Besides the arena and the packed weights, a process grows by at most 2.5 MiB at 513x513 (the rows of the image,
/// logits, mask, stacks of threads; `silhouette bench --json`, `growth_mib`, reports the total). The total must be at
/// most 14 MiB on one and two threads, 16 on four.
#[test]
fn arena_and_weights_have_one_limit_on_every_machine() {
    let (network, weights) = papers(513);
    for isa in Isa::all() {
        for (l2, l1) in L2.iter().flat_map(|&l2| [(l2, 32), (l2, 48)]) {
            for (threads, arena, growth) in [(1, 2.6, 14.0), (2, 3.1, 14.0), (4, 5.0, 16.0), (8, 7.0, 18.0)] {
                let plan = Plan::compile(&network, &weights, &options(isa, threads, l1, l2)).unwrap();
                let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
                let found = mib(plan.arena_bytes());
                let packed = mib(plan.weight_bytes());
                assert!(
                    found <= arena && found + packed + 2.5 <= growth,
                    "{}, L1 {l1} KiB, L2 {l2} KiB, {threads} threads: arena {found:.2} MiB, weights {packed:.2} MiB",
                    isa.name()
                );
            }
        }
    }
}

/// Chains end and slices begin elsewhere; the order of summation does not change.
#[test]
fn caches_and_threads_do_not_change_a_bit() {
    let side = if is_emulated() { 129 } else { 257 };
    let (network, weights) = papers(side);
    for isa in Isa::all() {
        let mut expected: Option<Vec<f32>> = None;
        let mut ways = std::collections::BTreeSet::new();
        // Scalar kernels are slow: the ends of the table suffice for them.
        let all: &[usize] = if isa.name() == "scalar" { &[256, 2048] } else { &L2 };
        for (&l2, threads) in all.iter().flat_map(|l2| [(l2, 1), (l2, 4)]) {
            let plan = Plan::compile(&network, &weights, &options(isa, threads, 32, l2)).unwrap();
            ways.insert(plan.steps().map(|step| step.explain.to_owned()).collect::<Vec<_>>());
            let (size, classes) = plan.logits();
            let mut found = vec![0.0; size.height * size.width * classes];
            let rows = GreyRows { width: side, height: side };
            plan.new_state().unwrap().run(&rows, &mut found).unwrap();
            let expected = expected.get_or_insert_with(|| found.clone());
            let same = found.iter().zip(&*expected).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{}, L2 {l2} KiB, {threads} threads: other bits", isa.name());
        }
        assert!(ways.len() > 1, "{}: every cache size results in the same plan, so nothing was compared", isa.name());
    }
}
