//! How a thread waits for another one that is about to finish: it spins, then yields, then sleeps.

use std::time::Duration;

/// Rounds of spinning: a waiting thread is seldom further ahead.
const SPINS: u32 = 4096;
/// Rounds in which the core is offered to threads of the same priority: some milliseconds, longer than a share of work
/// lasts, because a sleep in the middle of an inference costs more than it saves.
const YIELDS: u32 = 8192;
/// Sleep after those: `yield` never lets a thread of lower priority run, and a real-time caller (an audio or camera
/// thread) on the same core as the thread that it waits for would wait forever.
const SLEEP: Duration = Duration::from_micros(50);

/// The state of one wait. Created for each.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    rounds: u32,
}

impl Backoff {
    /// Waits briefly, longer as the rounds go on.
    pub(crate) fn pause(&mut self) {
        if self.rounds >= SPINS + YIELDS {
            std::thread::sleep(SLEEP);
            return;
        }
        if self.rounds < SPINS {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
        self.rounds += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_long_wait_sleeps() {
        let mut backoff = Backoff::default();
        for _ in 0..SPINS + YIELDS {
            backoff.pause();
        }
        let start = Instant::now();
        for _ in 0..20 {
            backoff.pause();
        }
        // A sleep lasts at least as long as requested, however busy the machine.
        assert!(start.elapsed() >= 20 * SLEEP);
    }
}
