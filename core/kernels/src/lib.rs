//! CPU kernels: slices in, slices out. No candle, no I/O, no threads of their own. Nearly all `unsafe` of the project
//! lives here.
//!
//! Maps are channels-last (H, W, C). Kernels compute a range of rows; who calls them decides on threads.

pub mod rows;
pub mod simd;
