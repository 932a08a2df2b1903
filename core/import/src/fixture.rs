//! Generated test files: networks with seeded weights, for the importers' tests.

use std::collections::HashMap;

use silhouette_network::network::Network;
use silhouette_network::spec::Spec;

use crate::tensor::Tensor;

/// Pseudo-random numbers from -1 to 1: the same on every machine and in every run.
pub(crate) fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) ^ 0x85eb_ca6b;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

/// Folded weights and biases for every convolution of the network, by our names.
pub(crate) fn weights(spec: &Spec) -> HashMap<String, Tensor> {
    let network = Network::native(spec).unwrap();
    let mut tensors = HashMap::new();
    for (seed, conv) in network.convs().enumerate() {
        for (part, wanted) in [conv.weight(), conv.bias()].into_iter().enumerate() {
            let count = wanted.shape.iter().product();
            let values = numbers((2 * seed + part) as u32, count);
            tensors.insert(wanted.name, Tensor::floats(wanted.shape, values));
        }
    }
    tensors
}

/// All values of a tensor.
pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.values().unwrap().into_owned()
}
