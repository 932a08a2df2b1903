//! Errors of the graph, its own and candle's.

use silhouette_engine::engine::EngineError;
use silhouette_network::ModelError;

/// Why a graph cannot be created or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The network or its weights.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Something that this network does not support.
    #[error("{what} is not supported: {why}")]
    Unsupported {
        /// What was requested.
        what: String,
        /// Why it is unavailable, and what is available.
        why: String,
    },
    /// Input or output that does not match the network.
    #[error("{what}: the network expects {expected}, got {found}")]
    Mismatch {
        /// Which buffer.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was passed.
        found: String,
    },
    /// candle failed.
    // Its errors may carry a backtrace after their first line.
    #[error("candle: {}", .0.to_string().lines().next().unwrap_or_default())]
    Candle(#[from] candle_core::Error),
}

impl From<GraphError> for EngineError {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Mismatch { what, expected, found } => Self::Mismatch { what, expected, found },
            GraphError::Unsupported { what, why } => Self::Unsupported { what, why },
            other => Self::Failed { engine: "the candle graph", source: Box::new(other) },
        }
    }
}
