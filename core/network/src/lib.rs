//! MobileNetV2 and DeepLabV3 as the MobileNetV2 paper (arXiv 1801.04381) describes them, as data: specs ([`spec`]),
//! unrolled for an input size ([`network`]), and their cost ([`cost`]). Nothing here computes or holds a weight.
#![forbid(unsafe_code)]

pub mod cost;
pub mod error;
pub mod network;
pub mod spec;

pub use error::ModelError;
