//! CPU kernels: slices in, slices out. No candle, no I/O, no threads of their own. Nearly all of the project's `unsafe`
//! is here.
//!
//! Frames and logits are channels-last (H, W, C); maps between layers are blocked rows (H, C / lanes, W, lanes). Kernels
//! compute a range of rows; their caller (`silhouette-engine`) decides on threads.
#![allow(clippy::wildcard_imports, reason = "core::arch, whose names are self-explanatory")]
#![allow(clippy::inline_always, reason = "bodies must be inlined into the functions that carry the target features")]
#![allow(clippy::needless_range_loop, reason = "one index runs over several arrays of lanes")]

pub mod average;
pub mod bilinear;
pub mod depthwise;
pub mod depthwise_ref;
pub mod element;
pub mod elementwise;
pub mod int8;
pub mod isa;
pub mod memory;
pub mod pack;
pub mod peak;
pub mod pointer;
pub mod pointwise;
mod quad;
pub mod resize;
pub mod rows;
pub mod simd;
pub mod size;
pub mod upsample;
pub mod yuv;
