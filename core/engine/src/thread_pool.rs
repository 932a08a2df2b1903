//! The threads of one inference: they wait without using the CPU, run one piece of work together, and wait again.
//! Handing out work allocates nothing. (The pool is in this crate rather than beside its caller, because passing a
//! borrowed closure to threads that outlive the call needs `unsafe`.)

use crate::backoff::Backoff;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Work that every thread does with its own index.
type Work = dyn Fn(usize) + Sync + 'static;

struct Order {
    /// Counts the pieces of work handed out.
    number: u64,
    work: Option<&'static Work>,
    quit: bool,
}

struct Shared {
    order: Mutex<Order>,
    wake: Condvar,
    /// Helpers that have not finished the current piece of work.
    busy: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// No code under these locks leaves a half-changed value behind.
fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fixed number of threads, including the caller's.
pub struct ThreadPool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ThreadPool of {}", self.threads())
    }
}

impl ThreadPool {
    /// `threads` threads; all but the caller's are started here.
    ///
    /// # Errors
    /// If the system refuses another thread.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            order: Mutex::new(Order { number: 0, work: None, quit: false }),
            wake: Condvar::new(),
            busy: AtomicUsize::new(0),
            panic: Mutex::new(None),
        });
        let mut pool = Self { shared, helpers: Vec::new() };
        for index in 1..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let name = format!("silhouette-{index}");
            pool.helpers.push(thread::Builder::new().name(name).spawn(move || help(&shared, index))?);
        }
        Ok(pool)
    }

    /// Number of threads, including the caller's.
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Runs `work` once for each index `0..threads()`, all at the same time, and returns when all are done.
    ///
    /// # Panics
    /// If the work panics on any thread: that panic is propagated after all are done.
    pub fn run(&mut self, work: &(dyn Fn(usize) + Sync)) {
        if self.helpers.is_empty() {
            work(0);
            return;
        }
        // SAFETY: only the lifetime is changed. The helpers use the reference before they count themselves off `busy`,
        // and this function does not return before `busy` is 0, whatever panics.
        let borrowed = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static Work>(work) };
        self.shared.busy.store(self.helpers.len(), Ordering::Relaxed);
        {
            let mut order = lock(&self.shared.order);
            order.number += 1;
            order.work = Some(borrowed);
            self.shared.wake.notify_all();
        }
        let own = catch_unwind(AssertUnwindSafe(|| work(0)));
        let mut backoff = Backoff::default();
        while self.shared.busy.load(Ordering::Acquire) > 0 {
            backoff.pause();
        }
        lock(&self.shared.order).work = None;
        if let Some(panic) = lock(&self.shared.panic).take() {
            resume_unwind(panic);
        }
        if let Err(panic) = own {
            resume_unwind(panic);
        }
    }
}

fn help(shared: &Shared, index: usize) {
    let mut seen = 0;
    loop {
        let work = {
            let mut order = lock(&shared.order);
            while order.number == seen && !order.quit {
                order = shared.wake.wait(order).unwrap_or_else(PoisonError::into_inner);
            }
            if order.quit {
                return;
            }
            seen = order.number;
            order.work
        };
        if let Some(work) = work
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(index)))
        {
            *lock(&shared.panic) = Some(panic);
        }
        shared.busy.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        lock(&self.shared.order).quit = true;
        self.shared.wake.notify_all();
        for helper in self.helpers.drain(..) {
            // A helper's panics were caught and propagated when they happened.
            let _ = helper.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_runs_once_each_time() {
        for threads in 1..5 {
            let mut pool = ThreadPool::new(threads).unwrap();
            let counts: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            for round in 1..if cfg!(miri) { 5 } else { 200 } {
                pool.run(&|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == round));
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let mut pool = ThreadPool::new(3).unwrap();
        for bad in 0..3 {
            let caught = catch_unwind(AssertUnwindSafe(|| pool.run(&|i| assert!(i != bad, "on purpose"))));
            assert!(caught.is_err());
            let count = AtomicUsize::new(0);
            pool.run(&|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.into_inner(), 3);
        }
    }
}
