//! The candle graph ([`Graph`]): a network as candle-nn layers on any candle device, the readable reference for the
//! compiled plan, and what runs on Apple's GPU; and the plan as an operation for candle programs. The only crate that
//! names candle.
#![forbid(unsafe_code)]

pub mod depthwise;
pub mod error;
pub mod graph;
mod open;
pub mod plan_op;
mod session;

pub use error::GraphError;
pub use graph::Graph;
pub use open::metal;
