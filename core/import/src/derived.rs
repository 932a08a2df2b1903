//! The findings of an importer, whatever its format.

use std::collections::HashMap;

use silhouette_network::spec::{Activation, Extractor, Head, Padding};
use silhouette_weights::Activations;

use crate::error::Missing;
use crate::tensor::Tensor;

/// An importer's findings about a network; `None` for what its format does not store.
pub(crate) struct Derived<'a> {
    pub(crate) extractor: Extractor,
    pub(crate) head: Head,
    pub(crate) padding: Padding,
    pub(crate) size: Option<usize>,
    /// Mean and standard deviation of a pixel from 0 to 255.
    pub(crate) normalisation: Option<([f32; 3], [f32; 3])>,
    /// One label per class.
    pub(crate) labels: Option<Vec<String>>,
    pub(crate) tensors: HashMap<String, Tensor<'a>>,
    /// The network's quantised edges.
    pub(crate) activations: Activations,
    /// The convolutions as the file has them; `None` if it has only tensors.
    pub(crate) convs: Option<Vec<FoundConv<'a>>>,
    /// Added to the variance in batch norm.
    pub(crate) batch_norm_epsilon: f64,
    /// The same in the head, if it differs.
    pub(crate) head_batch_norm_epsilon: Option<f64>,
    /// What no option supplies although the file does not store it; in its place, the rest has some value.
    pub(crate) missing: Vec<Missing>,
}

/// A convolution of the graph and the name assigned to it.
#[derive(Clone, Debug)]
pub(crate) struct FoundConv<'a> {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) depthwise: bool,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) rate: usize,
    pub(crate) c_in: usize,
    pub(crate) c_out: usize,
    pub(crate) activation: Activation,
    /// The range of the bytes after it implies a ReLU or a ReLU6.
    pub(crate) clamped: bool,
    /// Whether TensorFlow's SAME, whether symmetric padding, and whether padding of a block's input would produce the same
    /// zeros.
    pub(crate) paddings: [bool; 3],
    pub(crate) weight: Tensor<'a>,
    pub(crate) bias: Tensor<'a>,
}
