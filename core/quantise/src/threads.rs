//! Work on many pictures by several threads, with results that do not depend on how many there are.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Pictures per thread that are worked on before their results are folded.
const AHEAD: usize = 2;

/// `work(i)` for each `i` below `count`, in order of `i`; after an error no more is begun.
///
/// # Errors
/// The error of the lowest `i` that failed.
pub(crate) fn map<T: Send, E: Send>(
    threads: usize,
    count: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let threads = threads.clamp(1, count.max(1));
    if threads == 1 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let results: Mutex<Vec<(usize, Result<T, E>)>> = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= count {
                        break;
                    }
                    let result = work(i);
                    if result.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((i, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|&(i, _)| i);
    results.into_iter().map(|(_, result)| result).collect()
}

/// `fold(work(i))` for each `i` below `count`: the work on several threads, the folding in order of `i`, so that sums of
/// floats are the same for any number of threads. Few results wait at a time.
///
/// # Errors
/// The error of the lowest `i` that failed.
pub(crate) fn fold<T: Send, E: Send>(
    threads: usize,
    count: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
    mut fold: impl FnMut(T),
) -> Result<(), E> {
    let part = threads.max(1).saturating_mul(AHEAD);
    let mut from = 0;
    while from < count {
        let len = part.min(count - from);
        map(threads, len, |i| work(from + i))?.into_iter().for_each(&mut fold);
        from += len;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_the_first_error_wins() {
        for threads in [1, 2, 7, 64] {
            let squares = map(threads, 20, |i| Ok::<_, ()>(i * i)).unwrap();
            assert!(squares.iter().enumerate().all(|(i, &square)| square == i * i));
            let mut seen = Vec::new();
            fold(threads, 11, Ok::<_, ()>, |i| seen.push(i)).unwrap();
            assert_eq!(seen, (0..11).collect::<Vec<_>>());
            assert_eq!(map(threads, 9, |i| if i == 4 { Err(i) } else { Ok(i) }), Err(4));
            assert_eq!(fold(threads, 0, |_| Err::<(), _>(1), |()| {}), Ok(()));
        }
    }
}
