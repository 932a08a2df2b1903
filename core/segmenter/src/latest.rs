//! A worker thread that always runs the latest job: one is running, one waits, and a newer one replaces it.

use crate::error::{Error, Result};
use crate::sync::thread::{self, JoinHandle, ThreadId};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The submitting side. Dropping it ends the worker and waits for it, except on the worker's own thread.
pub(crate) struct Latest<J> {
    shared: Arc<Shared<J>>,
    worker: Mutex<Option<JoinHandle<()>>>,
    worker_id: ThreadId,
}

struct Shared<J> {
    state: Mutex<State<J>>,
    wake: Condvar,
    /// Signals the end of a delivery.
    delivered: Condvar,
}

struct State<J> {
    pending: Option<J>,
    /// Finished jobs, for their buffers: at most the waiting one, the running one and one being filled.
    spare: Vec<J>,
    /// Counts cancellations: a job that began at another count is not delivered.
    epoch: u64,
    /// The count at which the worker is delivering right now.
    delivering: Option<u64>,
    dropped: u64,
    closed: bool,
}

/// The stream's counters when a result is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SoFar {
    /// Jobs replaced by a newer one.
    pub(crate) dropped: u64,
    /// Cancellations before the job was taken.
    pub(crate) cancelled: u64,
}

/// The worker's code.
pub(crate) trait Work<J>: Send + 'static {
    /// The long part.
    fn run(&mut self, job: &J);
    /// Delivers the result of the last [`run`](Self::run); not called if it was cancelled meanwhile.
    fn deliver(&mut self, job: &mut J, so_far: SoFar);
}

impl<J: Default + Send + 'static> Latest<J> {
    /// Starts the worker's thread under `name`.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system cannot create a thread.
    pub(crate) fn start(name: &str, mut work: impl Work<J>) -> Result<Self> {
        let state = State { pending: None, spare: Vec::new(), epoch: 0, delivering: None, dropped: 0, closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new(), delivered: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let worker = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // If the worker panics (the caller's listener can), no one may keep waiting for results.
                let _close = CloseAtEnd(&theirs);
                theirs.serve(&mut work);
            })
            .map_err(|error| Error::internal(format_args!("no thread for {name}: {error}")))?;
        let worker_id = worker.thread().id();
        Ok(Self { shared, worker: Mutex::new(Some(worker)), worker_id })
    }

    /// Submits a job that `fill` writes into a used job (or a new one). It replaces a waiting job, which then counts as
    /// dropped; returns whether it did.
    ///
    /// # Errors
    /// [`Error::Closed`] after [`close`](Self::close), or the error of `fill`.
    pub(crate) fn submit(&self, fill: impl FnOnce(&mut J) -> Result<()>) -> Result<bool> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(Error::closed("live segmenter"));
        }
        let mut job = state.spare.pop().unwrap_or_default();
        // Copying a frame takes time; the worker can take its next job meanwhile.
        drop(state);
        let filled = fill(&mut job);
        let mut state = self.shared.lock();
        if let Err(error) = filled {
            state.keep(job);
            return Err(error);
        }
        if state.closed {
            return Err(Error::closed("live segmenter"));
        }
        let replaced = state.pending.replace(job);
        let dropped = replaced.is_some();
        if let Some(old) = replaced {
            state.dropped += 1;
            state.keep(old);
        }
        drop(state);
        self.shared.wake.notify_one();
        Ok(dropped)
    }

    /// Discards the waiting job, and the result of the running one. Returns the number of cancellations so far.
    pub(crate) fn forget(&self) -> u64 {
        self.shared.lock().forget()
    }

    /// Like [`forget`](Self::forget), but also waits for a running delivery: afterwards nothing submitted before is
    /// delivered. Called by `deliver` itself it does not wait; then the current call is the last one.
    pub(crate) fn cancel(&self) -> u64 {
        let mut state = self.shared.lock();
        let epoch = state.forget();
        let own = thread::current().id() == self.worker_id;
        // (Jobs submitted since may be delivered meanwhile; it does not wait for them.)
        while !own && state.delivering.is_some_and(|begun| begun < epoch) {
            state = self.shared.delivered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        epoch
    }

    /// Number of jobs replaced by a newer one.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.lock().dropped
    }
}

impl<J> Latest<J> {
    /// Stops the worker. Afterwards nothing is delivered, unless this is called by `deliver` itself: then the current
    /// call is the last one. Can be called repeatedly, and from any thread.
    pub(crate) fn close(&self) {
        self.shared.close();
        if thread::current().id() == self.worker_id {
            return; // It would wait for itself; it ends as soon as this call returns.
        }
        // Held while joining, so that neither of two closing threads returns before the worker has ended.
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = worker.take() {
            // The worker's panic was already reported on its own thread.
            let _ = worker.join();
        }
    }
}

impl<J> Drop for Latest<J> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<J> Shared<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // The caller's code never runs under this lock: the state is consistent whatever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.epoch += 1;
        state.pending = None;
        state.spare.clear();
        drop(state);
        self.wake.notify_all();
    }

    fn serve(&self, work: &mut impl Work<J>) {
        let mut state = self.lock();
        loop {
            if state.closed {
                return;
            }
            let Some(mut job) = state.pending.take() else {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let epoch = state.epoch;
            drop(state);
            work.run(&job);
            state = self.lock();
            if state.epoch == epoch {
                let so_far = SoFar { dropped: state.dropped, cancelled: epoch };
                state.delivering = Some(epoch);
                drop(state);
                work.deliver(&mut job, so_far);
                state = self.lock();
                state.delivering = None;
                self.delivered.notify_all();
            }
            state.keep(job);
        }
    }
}

impl<J> State<J> {
    /// Counts a cancellation, and returns the number so far.
    fn forget(&mut self) -> u64 {
        self.epoch += 1;
        if let Some(job) = self.pending.take() {
            self.keep(job);
        }
        self.epoch
    }

    fn keep(&mut self, job: J) {
        if self.spare.len() < 3 && !self.closed {
            self.spare.push(job);
        }
    }
}

struct CloseAtEnd<'a, J>(&'a Shared<J>);

impl<J> Drop for CloseAtEnd<'_, J> {
    fn drop(&mut self) {
        self.0.close();
        // If `deliver` panicked, it has ended too.
        self.0.lock().delivering = None;
        self.0.delivered.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    /// Signals its start to the test, continues when the test allows it, and reports what it delivers.
    struct Steps {
        begun: Sender<u32>,
        go: Receiver<()>,
        delivered: Sender<(u32, u64)>,
    }

    impl Work<u32> for Steps {
        fn run(&mut self, job: &u32) {
            let _ = self.begun.send(*job);
            let _ = self.go.recv();
        }

        fn deliver(&mut self, job: &mut u32, so_far: SoFar) {
            let _ = self.delivered.send((*job, so_far.dropped));
        }
    }

    /// The stream; its jobs as they begin; permission to finish one; the deliveries.
    type Handles = (Latest<u32>, Receiver<u32>, Sender<()>, Receiver<(u32, u64)>);

    fn steps() -> Handles {
        let (begun, see) = channel();
        let (go, wait) = channel();
        let (delivered, results) = channel();
        let latest = Latest::start("test", Steps { begun, go: wait, delivered }).unwrap();
        (latest, see, go, results)
    }

    fn put(latest: &Latest<u32>, value: u32) -> Result<bool> {
        latest.submit(|job| {
            *job = value;
            Ok(())
        })
    }

    #[test]
    fn the_latest_wins_and_the_others_are_counted() {
        let (latest, begun, go, results) = steps();
        assert_eq!(put(&latest, 1), Ok(false));
        assert_eq!(begun.recv(), Ok(1));
        assert_eq!(put(&latest, 2), Ok(false));
        assert_eq!(put(&latest, 3), Ok(true));
        assert_eq!(put(&latest, 4), Ok(true));
        go.send(()).unwrap();
        assert_eq!(results.recv(), Ok((1, 2)));
        assert_eq!(begun.recv(), Ok(4));
        go.send(()).unwrap();
        assert_eq!(results.recv(), Ok((4, 2)));
        assert_eq!(latest.dropped(), 2);
    }

    #[test]
    fn a_cancelled_job_is_not_delivered_and_the_next_one_is() {
        let (latest, begun, go, results) = steps();
        put(&latest, 1).unwrap();
        begun.recv().unwrap();
        put(&latest, 2).unwrap();
        latest.cancel();
        go.send(()).unwrap();
        put(&latest, 3).unwrap();
        assert_eq!(begun.recv(), Ok(3));
        go.send(()).unwrap();
        assert_eq!(results.recv(), Ok((3, 0)));
    }

    #[test]
    fn nothing_is_delivered_after_close_and_submitting_is_refused() {
        let (latest, begun, go, results) = steps();
        put(&latest, 1).unwrap();
        begun.recv().unwrap();
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| latest.close());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!closing.is_finished(), "close waits for the job in progress");
            go.send(()).unwrap();
        });
        assert!(results.try_recv().is_err());
        assert!(matches!(put(&latest, 2), Err(Error::Closed(_))));
        latest.close();
    }

    /// Closes its own stream while delivering.
    struct ClosesItself(Arc<OnceLock<Latest<u32>>>, Sender<()>);

    impl Work<u32> for ClosesItself {
        fn run(&mut self, _: &u32) {}

        fn deliver(&mut self, _: &mut u32, _: SoFar) {
            self.0.wait().close();
            self.1.send(()).unwrap();
        }
    }

    #[test]
    fn closing_from_the_listener_does_not_wait_for_itself() {
        let place = Arc::new(OnceLock::new());
        let (done, wait) = channel();
        let latest = Latest::start("test", ClosesItself(Arc::clone(&place), done)).unwrap();
        assert!(place.set(latest).is_ok());
        put(place.get().unwrap(), 1).unwrap();
        wait.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(put(place.get().unwrap(), 2).is_err());
    }

    struct Panics;

    impl Work<u32> for Panics {
        fn run(&mut self, _: &u32) {}

        fn deliver(&mut self, _: &mut u32, _: SoFar) {
            panic!("on purpose");
        }
    }

    #[test]
    fn a_listener_that_panics_closes_the_stream() {
        let latest = Latest::start("test", Panics).unwrap();
        put(&latest, 1).unwrap();
        while put(&latest, 2).is_ok() {
            std::thread::yield_now();
        }
        latest.close();
    }

    #[test]
    fn a_job_that_cannot_be_filled_changes_nothing() {
        let (latest, begun, go, results) = steps();
        assert!(latest.submit(|_| Err(Error::frame("short", ""))).is_err());
        put(&latest, 5).unwrap();
        assert_eq!(begun.recv(), Ok(5));
        go.send(()).unwrap();
        assert_eq!(results.recv(), Ok((5, 0)));
    }
}
