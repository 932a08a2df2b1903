//! The interface of every engine ([`engine`]), and the CPU engine: a network compiled to steps over one arena
//! ([`program`]), and the threads that run it ([`thread_pool`]). No candle, and no I/O except reading the sizes of the
//! caches.
//!
//! Maps between layers are blocked rows (H, C / lanes, W, lanes; see [`program`]); the output is channels-last. Kernels
//! (`silhouette-kernels`) compute the steps; this crate decides which rows are computed, and on which thread.

mod arena;
mod backoff;
mod barrier;
pub mod caches;
pub mod engine;
pub mod program;
mod sync;
pub mod thread_pool;
