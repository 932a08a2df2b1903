//! MobileNetV2 and DeepLabV3 as the MobileNetV2 paper (arXiv 1801.04381) describes them: the networks as data
//! ([`spec`]), unrolled for an input size ([`network`]), their weights, the candle graph, the compiled CPU plan, cost
//! analysis.
#![deny(unsafe_code)] // but for mapping the weights' file

pub mod cost;
pub mod depthwise;
pub mod engine;
pub mod error;
pub mod graph;
pub mod import;
#[cfg(test)]
mod made_rows;
pub mod network;
pub mod npy;
pub mod plan;
pub mod plan_op;
pub mod spec;
mod weight_cache;
pub mod weights;

pub use engine::Engine;
pub use error::ModelError;
pub use weights::ModelFile;
