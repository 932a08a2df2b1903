//! Programs of eight-bit integers: the same steps and the same arena as in f32, with a scale and zero point for every map.
//!
//! Blocks run depth-first, row by row, whatever their size: an expanded row of bytes is a quarter of one in f32, so even the
//! widest block's rows stay in the caches, and no slices with sums of 32 bits are needed.

mod build;
mod describe;
mod rows;
mod stages;
mod steps;

pub use build::IntegerBuilder;
pub use describe::{IntegerBlock, IntegerLayer, IntegerStem};
