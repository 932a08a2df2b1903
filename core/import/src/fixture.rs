//! Test files made on the spot: networks with seeded weights, as an importer's tests need them.

use std::collections::HashMap;

use silhouette_network::network::Network;
use silhouette_network::spec::Spec;
use silhouette_testkit::Noise;

use crate::tensor::Tensor;

/// Numbers from -1 to 1 that only look random: the same on every machine and in every run.
pub(crate) fn numbers(seed: usize, count: usize) -> Vec<f32> {
    Noise::new(seed as u64).floats(count, 1.0)
}

/// Folded weights and biases for every convolution of the network, by our names.
pub(crate) fn weights(spec: &Spec) -> HashMap<String, Tensor> {
    let network = Network::native(spec).unwrap();
    let mut tensors = HashMap::new();
    for (seed, conv) in network.convs().enumerate() {
        for (part, wanted) in [conv.weight(), conv.bias()].into_iter().enumerate() {
            let count = wanted.shape.iter().product();
            let values = numbers(2 * seed + part, count);
            tensors.insert(wanted.name, Tensor::floats(wanted.shape, values));
        }
    }
    tensors
}

/// All values of a tensor.
pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.values().unwrap().into_owned()
}
