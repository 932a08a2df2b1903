//! The candle graph ([`Graph`]): a network as candle-nn layers on any candle device, the readable reference for the
//! compiled plan, and what runs on Apple's GPU; the plan as an operation for candle programs; and matrix products for
//! programs that are not. The only crate that names candle.
#![forbid(unsafe_code)]

pub mod depthwise;
pub mod error;
pub mod graph;
pub mod matrix;
mod open;
pub mod plan_op;
mod session;

pub use error::GraphError;
pub use graph::Graph;
pub use open::metal;
