//! How the threads that run one inference synchronise: a barrier without locks. The threads themselves belong to the
//! caller.

use crate::backoff::Backoff;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A barrier for a fixed number of members.
#[derive(Debug)]
pub(crate) struct Barrier {
    count: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
    broken: AtomicBool,
}

impl Barrier {
    pub(crate) fn new(count: usize) -> Self {
        Self { count, arrived: AtomicUsize::new(0), round: AtomicUsize::new(0), broken: AtomicBool::new(false) }
    }

    /// Waits until every member has arrived. Afterwards all members see what each wrote before.
    ///
    /// # Panics
    /// If another member has panicked, since it will never arrive.
    pub(crate) fn meet(&self) {
        if self.count == 1 {
            return;
        }
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.count {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut backoff = Backoff::default();
        while self.round.load(Ordering::Acquire) == round {
            assert!(!self.broken.load(Ordering::Relaxed), "another thread of this inference panicked");
            backoff.pause();
        }
    }

    /// Held by each member while it works: if it panics, the others are released.
    pub(crate) fn member(&self) -> Member<'_> {
        Member(self)
    }
}

/// See [`Barrier::member`].
pub(crate) struct Member<'a>(&'a Barrier);

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}

/// The part of `0..n` that member `index` of `count` computes: parts differ in size by at most one.
pub(crate) fn share(n: usize, index: usize, count: usize) -> std::ops::Range<usize> {
    n * index / count..n * (index + 1) / count
}
