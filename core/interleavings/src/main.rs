//! The source files of the thread pool, the barrier, the pool of arenas and the live stream's worker, compiled with the
//! types of a scheduler (shuttle) that runs them in thousands of random orders: a lost wake-up is a deadlock that it
//! reports, with the order that led to it. (A program rather than tests, because the files' own tests use real threads
//! and must stay out.)
#![allow(dead_code, reason = "the files contain more than is called here")]

/// Replaces `crate::sync` of the library's crates.
mod sync {
    pub(crate) use shuttle::sync::atomic;
    pub(crate) use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(crate) use shuttle::thread;
    pub(crate) use std::sync::PoisonError;
}

/// The segmenter's errors, as far as these files use them.
mod error {
    #[derive(Debug, PartialEq)]
    pub(crate) enum Error {
        Internal(String),
        Closed(String),
    }

    pub(crate) type Result<T> = std::result::Result<T, Error>;

    impl Error {
        pub(crate) fn internal(what: impl std::fmt::Display) -> Self {
            Self::Internal(what.to_string())
        }

        pub(crate) fn closed(what: &str) -> Self {
            Self::Closed(what.to_owned())
        }
    }
}

/// A wait of one round: another thread runs meanwhile.
mod backoff {
    #[derive(Default)]
    pub(crate) struct Backoff {}

    impl Backoff {
        #[expect(clippy::unused_self, reason = "as the library's")]
        pub(crate) fn pause(&mut self) {
            shuttle::thread::yield_now();
        }
    }
}

#[path = "../../engine/src/barrier.rs"]
mod barrier;
#[path = "../../segmenter/src/latest.rs"]
mod latest;
#[path = "../../segmenter/src/pool.rs"]
mod pool;
#[path = "../../engine/src/thread_pool.rs"]
mod thread_pool;

use sync::atomic::{AtomicUsize, Ordering};
use sync::{Arc, Mutex, thread};
/// Number of orders tried per check and kind of scheduler.
const ORDERS: usize = 3000;

fn in_many_orders(test: impl Fn() + Send + Sync + 'static) {
    let test = std::sync::Arc::new(test);
    let again = std::sync::Arc::clone(&test);
    shuttle::check_random(move || test(), ORDERS);
    // Orders with few switches of the running thread find bugs that random ones seldom do.
    shuttle::check_pct(move || again(), ORDERS, 3);
}

fn the_thread_pool_runs_each_index_once_and_ends() {
    in_many_orders(|| {
        let mut pool = thread_pool::ThreadPool::new(3).unwrap();
        let counts: Vec<AtomicUsize> = (0..3).map(|_| AtomicUsize::new(0)).collect();
        for round in 1..3 {
            pool.run(&|index| {
                counts[index].fetch_add(1, Ordering::SeqCst);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::SeqCst) == round));
        }
    });
}

fn nobody_leaves_the_barrier_before_all_are_there() {
    in_many_orders(|| {
        let barrier = Arc::new(barrier::Barrier::new(3));
        let arrived = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let barrier = Arc::clone(&barrier);
                let arrived = Arc::clone(&arrived);
                thread::spawn(move || {
                    for round in 1..3 {
                        arrived.fetch_add(1, Ordering::SeqCst);
                        barrier.meet();
                        assert!(arrived.load(Ordering::SeqCst) >= 3 * round);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

fn the_pool_never_exceeds_its_limit_and_closing_wakes_waiting_calls() {
    in_many_orders(|| {
        let pool = Arc::new(pool::Pool::new(0_u32, 2, "pool"));
        let in_use = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let pool = Arc::clone(&pool);
                let in_use = Arc::clone(&in_use);
                thread::spawn(move || {
                    for _ in 0..2 {
                        let Ok(_value) = pool.acquire(|| Ok(0)) else { return };
                        assert!(in_use.fetch_add(1, Ordering::SeqCst) < 2, "more than the limit at once");
                        thread::yield_now();
                        in_use.fetch_sub(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let closer = Arc::clone(&pool);
        let closer = thread::spawn(move || closer.close());
        callers.into_iter().chain([closer]).for_each(|thread| thread.join().unwrap());
        assert!(matches!(pool.acquire(|| Ok(0)), Err(error::Error::Closed(_))));
    });
}

/// Records which jobs are delivered, and whether that is after the end.
struct Note {
    delivered: Delivered,
    /// Once the stream has ended, 1.
    ended: Arc<AtomicUsize>,
}

impl latest::Work<u32> for Note {
    fn run(&mut self, _: &u32) {
        thread::yield_now();
    }

    fn deliver(&mut self, job: &mut u32, so_far: latest::SoFar) {
        assert_eq!(self.ended.load(Ordering::SeqCst), 0, "delivered after the end");
        thread::yield_now();
        assert_eq!(self.ended.load(Ordering::SeqCst), 0, "still delivering after the end");
        self.delivered.lock().unwrap().push((*job, so_far.dropped));
    }
}

type Delivered = Arc<Mutex<Vec<(u32, u64)>>>;

fn stream() -> (latest::Latest<u32>, Delivered, Arc<AtomicUsize>) {
    let delivered = Arc::new(Mutex::new(Vec::new()));
    let ended = Arc::new(AtomicUsize::new(0));
    let note = Note { delivered: Arc::clone(&delivered), ended: Arc::clone(&ended) };
    (latest::Latest::start("note", note).unwrap(), delivered, ended)
}

fn put(stream: &latest::Latest<u32>, value: u32) -> bool {
    let fill = |job: &mut u32| {
        *job = value;
        Ok(())
    };
    stream.submit(fill).unwrap()
}

fn each_job_is_delivered_or_counted_in_order() {
    in_many_orders(|| {
        let (stream, delivered, _) = stream();
        let replaced = (0..4).filter(|&number| put(&stream, number)).count();
        while delivered.lock().unwrap().last().is_none_or(|last| last.0 != 3) {
            thread::yield_now();
        }
        stream.close();
        let delivered = delivered.lock().unwrap();
        assert!(delivered.is_sorted());
        assert_eq!(delivered.len() + replaced, 4);
    });
}

fn nothing_is_delivered_after_cancel_or_close() {
    for cancel in [true, false] {
        in_many_orders(move || {
            let (stream, _, ended) = stream();
            put(&stream, 0);
            put(&stream, 1);
            if cancel {
                stream.cancel();
            } else {
                stream.close();
            }
            ended.store(1, Ordering::SeqCst);
            // (Time for a delivery that should not happen.)
            thread::yield_now();
            drop(stream);
        });
    }
}

fn two_may_close_and_one_cancel_at_once() {
    in_many_orders(|| {
        let (stream, _, _) = stream();
        let stream = Arc::new(stream);
        put(&stream, 0);
        let threads: Vec<_> = (0..3)
            .map(|number| {
                let stream = Arc::clone(&stream);
                thread::spawn(move || {
                    if number == 0 {
                        stream.cancel();
                    } else {
                        stream.close();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

fn main() {
    let checks: [(&str, fn()); 6] = [
        ("the_thread_pool_runs_each_index_once_and_ends", the_thread_pool_runs_each_index_once_and_ends),
        ("nobody_leaves_the_barrier_before_all_are_there", nobody_leaves_the_barrier_before_all_are_there),
        (
            "the_pool_never_exceeds_its_limit_and_closing_wakes_waiting_calls",
            the_pool_never_exceeds_its_limit_and_closing_wakes_waiting_calls,
        ),
        ("each_job_is_delivered_or_counted_in_order", each_job_is_delivered_or_counted_in_order),
        ("nothing_is_delivered_after_cancel_or_close", nothing_is_delivered_after_cancel_or_close),
        ("two_may_close_and_one_cancel_at_once", two_may_close_and_one_cancel_at_once),
    ];
    for (name, check) in checks {
        check();
        println!("{name}: {} orders", 2 * ORDERS);
    }
}
