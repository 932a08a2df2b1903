//! The weights of a network's convolutions in the order in which they are multiplied here, batch norm folded.

use silhouette_graph::matrix::Matrix;
use silhouette_network::network::Conv;
use silhouette_weights::Weights;

use crate::error::QuantiseError;

/// A convolution's weight and bias.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// Output by output: [`reads`] weights each.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// A layer ready to run.
#[derive(Debug)]
pub(crate) enum Ready {
    /// The product with each pixel's patch.
    Product(Matrix, Vec<f32>),
    /// Tap by tap: a weight per channel.
    Depthwise(Vec<Vec<f32>>, Vec<f32>),
}

/// Weights of one output: what a patch has, row by row, column by column, channel by channel.
pub(crate) fn reads(conv: &Conv) -> usize {
    conv.weight_shape()[1..].iter().product()
}

impl Layer {
    /// The layers of all convolutions.
    ///
    /// # Errors
    /// As [`Weights::folded`].
    pub(crate) fn all(convs: &[Conv], weights: &Weights) -> Result<Vec<Self>, QuantiseError> {
        let layer = |conv| {
            let folded = weights.folded(conv)?;
            Ok(Self { weight: ordered(conv, &folded.weight), bias: folded.bias })
        };
        convs.iter().map(layer).collect()
    }

    /// Packs it for running.
    ///
    /// # Errors
    /// If there is no memory.
    pub(crate) fn ready(&self, conv: &Conv) -> Result<Ready, QuantiseError> {
        if conv.depthwise {
            let taps = reads(conv);
            let tap = |t| self.weight.iter().skip(t).step_by(taps).copied().collect();
            return Ok(Ready::Depthwise((0..taps).map(tap).collect(), self.bias.clone()));
        }
        Ok(Ready::Product(Matrix::new(&self.weight, conv.c_out)?, self.bias.clone()))
    }
}

/// A weight (O, I, K, K) in the order here: (O, K, K, I).
pub(crate) fn ordered<T: Copy>(conv: &Conv, weight: &[T]) -> Vec<T> {
    let [_, i, k, _] = conv.weight_shape();
    let taps = k * k;
    weight.chunks_exact(i * taps).flat_map(|row| (0..i * taps).map(|at| row[at % i * taps + at / i])).collect()
}

/// The reverse: a weight in the order of a model file.
pub(crate) fn stored<T: Copy>(conv: &Conv, weight: &[T]) -> Vec<T> {
    let [_, i, k, _] = conv.weight_shape();
    let taps = k * k;
    weight.chunks_exact(i * taps).flat_map(|row| (0..i * taps).map(|at| row[at % taps * i + at / taps])).collect()
}
