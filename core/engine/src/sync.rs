//! The locks, atomics and threads of the thread pool and the barrier: std's. core/interleavings compiles the same files
//! with its scheduler's.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic};
pub(crate) use std::thread;
