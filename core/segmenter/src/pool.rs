//! A bounded pool: the state of a call (an arena), created when first needed, up to a limit; further calls wait in the
//! order in which they came.

use crate::error::{Error, Result};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Up to `limit` values of `T`, each borrowed by one call at a time.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    state: Mutex<State<T>>,
    turn: Condvar,
    limit: usize,
    owner: &'static str,
}

#[derive(Debug)]
struct State<T> {
    /// Values that are not borrowed.
    idle: Vec<T>,
    /// Values that exist, borrowed or not.
    made: usize,
    /// The number of the next caller, and the one whose turn it is: callers are served in order.
    next_ticket: u64,
    serving: u64,
    closed: bool,
}

/// A value borrowed from a [`Pool`]; returned when dropped.
pub(crate) struct Guard<'a, T> {
    pool: &'a Pool<T>,
    value: Option<T>,
}

impl<T> Pool<T> {
    /// A pool of at most `limit` (at least 1) values, including `first`. `owner` names it in errors.
    pub(crate) fn new(first: T, limit: usize, owner: &'static str) -> Self {
        let limit = limit.max(1);
        // Capacity for all of them now, so that returning one never allocates.
        let mut idle = Vec::with_capacity(limit);
        idle.push(first);
        let state = State { idle, made: 1, next_ticket: 0, serving: 0, closed: false };
        Self { state: Mutex::new(state), turn: Condvar::new(), limit, owner }
    }

    /// Waits for this call's turn and borrows a value; `make` creates one if none is idle and the limit allows it.
    ///
    /// # Errors
    /// [`Error::Closed`] once [`close`](Self::close) was called, also for waiting calls; or the error of `make`.
    pub(crate) fn acquire(&self, make: impl FnOnce() -> Result<T>) -> Result<Guard<'_, T>> {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        while !state.closed && (ticket != state.serving || (state.idle.is_empty() && state.made >= self.limit)) {
            state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.serving += 1;
        let closed = state.closed;
        let idle = if closed { None } else { state.idle.pop() };
        if !closed && idle.is_none() {
            state.made += 1;
        }
        drop(state);
        // The next in line may find another value idle, or be allowed to create one.
        self.turn.notify_all();
        if closed {
            return Err(Error::closed(self.owner));
        }
        // From here on dropping the guard corrects the count, even if `make` fails or panics.
        let mut guard = Guard { pool: self, value: idle };
        if guard.value.is_none() {
            guard.value = Some(make()?);
        }
        Ok(guard)
    }

    /// Rejects new and waiting calls; running ones end normally. Idle values are freed.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        self.turn.notify_all();
        drop(idle);
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The caller's code never runs under this lock, and each update leaves the state consistent: poisoning means
        // nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> std::ops::Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("a borrowed value exists until it is dropped")
    }
}

impl<T> std::ops::DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("a borrowed value exists until it is dropped")
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // A value that was in use when its thread panicked may be half written: it is not reused.
        let value = if std::thread::panicking() { None } else { self.value.take() };
        let mut state = self.pool.lock();
        match value {
            Some(value) if !state.closed => state.idle.push(value),
            _ => state.made -= 1,
        }
        drop(state);
        self.pool.turn.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn never_more_than_the_limit_at_once() {
        let pool = Pool::new(0_u32, 3, "pool");
        let now = AtomicUsize::new(0);
        let peak = AtomicUsize::new(0);
        let calls = AtomicUsize::new(0);
        // The first three calls wait for each other, so that many are running at once on any machine.
        let meeting = std::sync::Barrier::new(3);
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let _guard = pool.acquire(|| Ok(0)).unwrap();
                        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        if calls.fetch_add(1, Ordering::SeqCst) < 3 {
                            meeting.wait();
                        }
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(peak.load(Ordering::SeqCst), 3);
        assert_eq!(pool.lock().made, 3);
    }

    #[test]
    fn waiting_calls_end_when_it_closes_and_running_ones_finish() {
        let pool = Pool::new((), 1, "pool");
        let guard = pool.acquire(|| Ok(())).unwrap();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| pool.acquire(|| Ok(())).map(|_| ()))).collect();
            std::thread::sleep(Duration::from_millis(20));
            pool.close();
            for call in waiting {
                assert!(matches!(call.join().unwrap(), Err(Error::Closed(_))));
            }
        });
        drop(guard);
        assert_eq!(pool.lock().made, 0);
    }

    #[test]
    fn a_failed_or_panicked_call_gives_its_place_back() {
        let pool = Pool::new(7, 1, "pool");
        let panicked = std::thread::scope(|scope| {
            let call = || {
                let _guard = pool.acquire(|| Ok(0)).unwrap();
                panic!("on purpose");
            };
            scope.spawn(call).join()
        });
        assert!(panicked.is_err());
        assert_eq!(pool.lock().made, 0, "the value in use was thrown away");
        assert!(pool.acquire(|| Err(Error::internal("cannot make"))).is_err());
        assert_eq!(*pool.acquire(|| Ok(9)).unwrap(), 9);
    }
}
