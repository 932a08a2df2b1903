//! The locks and threads of the pool and the live stream: std's. core/interleavings compiles the same files with its
//! scheduler's.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
pub(crate) use std::thread;
