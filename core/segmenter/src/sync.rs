//! The locks and threads of what waits here (the pool, the live stream): std's. core/interleavings compiles the same files against its scheduler's.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
pub(crate) use std::thread;
