//! The compiled CPU plan ([`Plan`]): a network and its weights as steps of `silhouette-engine`, packed for the kernels
//! of this CPU, and a cache file for packed weights.
#![forbid(unsafe_code)]

mod decoders;
mod describe;
mod integers;
#[cfg(test)]
mod made_rows;
pub mod plan;
mod session;
mod weight_cache;

pub use integers::is_quantised;
pub use plan::{MAX_THREADS, Plan, PlanOptions, PlanState};
pub use silhouette_network::ModelError;
