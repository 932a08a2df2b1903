//! Generated test files: networks with seeded weights, for the importers' tests.

use std::collections::HashMap;

use silhouette_network::network::Network;
use silhouette_network::spec::Spec;
use silhouette_weights::Tensor;

use crate::tensor::{self, Made, Number};

/// Pseudo-random numbers from -1 to 1, the same on every machine and in every run: those of `scripts/compare/goldens.py`, of which the expected logits are
/// made.
pub(crate) fn numbers(seed: usize, count: usize) -> Vec<f32> {
    let mut state = (seed as u32).wrapping_mul(0x9e37_79b9) ^ 0x85eb_ca6b;
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
        for (part, expected) in [conv.weight(), conv.bias()].into_iter().enumerate() {
            let count = expected.shape.iter().product();
            let values = numbers(2 * seed + part, count);
            tensors.insert(expected.name, Tensor { shape: expected.shape, data: values });
        }
    }
    tensors
}

/// The same values with the dimensions in another order: the new dimension `i` is the old `order[i]`.
pub(crate) fn permuted(tensor: &Tensor, order: [usize; 4]) -> Tensor {
    let bytes: Vec<u8> = tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect();
    let permuted = tensor::Tensor::new(Number::F32, &bytes, tensor.shape.clone()).unwrap().permuted(order);
    let Ok(Made::Float(tensor)) = permuted.made() else { panic!("it is of floats") };
    tensor
}
