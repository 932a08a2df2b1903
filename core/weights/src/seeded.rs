//! Random weights from a seed, for tests and fixtures: the same forever, on every machine.

use silhouette_network::network::{Network, TensorShape};

use crate::tensor::{Tensor, Tensors};

/// He-scaled random weights with batch norm for `network`.
///
/// Every tensor has its own stream: `SplitMix64` started from `seed` xor the 64-bit FNV-1a hash of the tensor's name,
/// the upper 24 bits of each number as a fraction of 1. So a tensor depends only on seed, name and size, and only
/// exactly rounded operations are used. Weights are uniform with variance 2 / fan-in; gamma and the variance are in 0.5
/// to 1.5; beta, mean and biases in -0.5 to 0.5.
pub fn seeded(network: &Network, seed: u64) -> Tensors {
    let mut tensors = Tensors::new();
    let mut add = |TensorShape { name, shape }: TensorShape, low: f32, high: f32| {
        let mut stream = SplitMix64(seed ^ fnv1a(name.as_bytes()));
        let data = (0..shape.iter().product()).map(|_| low + (high - low) * stream.fraction()).collect();
        tensors.insert(name, Tensor { shape, data });
    };
    for conv in network.convs() {
        let fan_in: usize = conv.weight_shape()[1..].iter().product();
        // Uniform in +-b has variance b^2 / 3.
        let bound = (6.0 / fan_in as f32).sqrt();
        add(conv.weight(), -bound, bound);
        if conv.batch_norm {
            let [gamma, beta, mean, var] = conv.bn();
            add(gamma, 0.5, 1.5);
            add(beta, -0.5, 0.5);
            add(mean, -0.5, 0.5);
            add(var, 0.5, 1.5);
        } else {
            add(conv.bias(), -0.5, 0.5);
        }
    }
    tensors
}

/// Steele, Lea and Flood's generator: a mixed counter. The same numbers forever, on every machine.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to 1, 1 excluded.
    fn fraction(&mut self) -> f32 {
        (self.draw() >> 40) as f32 / (1u32 << 24) as f32
    }
}

/// The 64-bit FNV-1a hash: a part of what seeded weights are, and of the tests that pin results. What is stored or compared from run to
/// run has another (`XxHash3`).
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_network::spec::Spec;

    #[test]
    fn generator_and_hash_are_the_published_ones() {
        // First numbers of SplitMix64 from seed 1234567, as produced by its authors' code.
        let mut stream = SplitMix64(1_234_567);
        assert_eq!([stream.draw(), stream.draw()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_tensor_depends_on_seed_and_name_only() {
        let spec = Spec::preset("fixture").unwrap();
        let network = Network::native(&spec).unwrap();
        let a = seeded(&network, 7);
        let b = seeded(&network, 8);
        assert_eq!(a, seeded(&network, 7));
        assert!(a.keys().eq(b.keys()));
        assert!(a.iter().zip(&b).all(|(x, y)| x.1.data != y.1.data));
        let stem = &a["stem.weight"];
        let mean_square = stem.data.iter().map(|v| v * v).sum::<f32>() / stem.data.len() as f32;
        assert!((mean_square * 27.0 / 2.0 - 1.0).abs() < 0.2, "{mean_square}");
    }
}
