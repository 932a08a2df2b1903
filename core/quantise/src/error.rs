//! Why a model cannot be quantised.

use silhouette_graph::GraphError;
use silhouette_kernels::memory::OutOfMemory;
use silhouette_network::ModelError;

/// Why a model cannot be quantised, or a quantised one not be run here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantiseError {
    /// The network or its weights.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model holds integers already.
    #[error("the model is already quantised ({tensor} holds integers); quantise the float model that it was made from")]
    AlreadyQuantised {
        /// The first tensor of integers.
        tensor: String,
    },
    /// A network, or a choice, that is not supported.
    #[error("{what} is not supported: {why}")]
    Unsupported {
        /// What was requested.
        what: String,
        /// Why it is unavailable, and what is available.
        why: String,
    },
    /// There is nothing to calibrate with, or too much.
    #[error("{0}")]
    Pictures(String),
    /// A value that is not a number, or infinite, on the way through the float network.
    #[error(
        "{edge} has a value that is not finite ({value}) for calibration picture {picture}; check the model's weights"
    )]
    NotFinite {
        /// The edge.
        edge: String,
        /// The value.
        value: f32,
        /// The picture, counted from 0.
        picture: usize,
    },
    /// An edge of a quantised model has no scale.
    #[error("the model does not say what the bytes of {edge} represent")]
    NoScale {
        /// The edge.
        edge: String,
    },
    /// Products failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The system has too little memory.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
}
