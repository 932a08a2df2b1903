//! What every engine is ([`engine`]), and the CPU's: a network compiled to steps over one arena ([`program`]), and the threads that
//! run it ([`thread_pool`]).
//! No candle, no I/O but reading the sizes of the caches.
//!
//! Maps between layers are blocked rows (H, C / lanes, W, lanes; see [`program`]); the output is channels-last. What a step
//! computes is a kernel's business (`silhouette-kernels`); which rows it computes, and on which thread, is decided here.

mod arena;
mod backoff;
mod barrier;
pub mod caches;
pub mod engine;
pub mod program;
mod sync;
pub mod thread_pool;
