//! The core's peak arithmetic throughput: the yardstick for every kernel.

use crate::isa::{Isa, isa_entry};
use crate::simd::Simd;

/// Multiply-adds of one round, in vectors.
const ROUND: usize = 24;

/// Runs `rounds` x 24 independent vector multiply-adds on registers; returns the number of f32 operations (a
/// multiply-add counts as two).
pub fn spin(isa: Isa, rounds: u32) -> u64 {
    let mut sum = 0.0;
    // SAFETY: the body touches no memory but `sum`.
    unsafe { run(isa, rounds, &mut sum) };
    std::hint::black_box(sum);
    (ROUND * 2 * isa.lanes()) as u64 * u64::from(rounds)
}

isa_entry! {
    /// # Safety
    /// None beyond the token's.
    fn run(rounds: u32, sum: &mut f32) = body;
}

/// # Safety
/// The contract of [`Simd`] holds for `s`.
#[allow(clippy::inline_always, reason = "inlined into its #[target_feature] entries")]
#[inline(always)]
unsafe fn body<S: Simd>(s: S, rounds: u32, sum: &mut f32) {
    // Few enough for sixteen registers, many enough to hide the latency.
    const CHAINS: usize = 12;
    // SAFETY: the caller's promise; the array holds one vector.
    unsafe {
        let a = s.splat(0.999_9);
        let b = s.splat(1e-6);
        let mut acc = [s.splat(1.0); CHAINS];
        for _ in 0..rounds {
            for _ in 0..ROUND / CHAINS {
                for x in &mut acc {
                    *x = s.mul_add(*x, a, b);
                }
            }
        }
        let mut total = acc[0];
        for x in &acc[1..] {
            total = s.add(total, *x);
        }
        let mut out = [0.0f32; 16];
        s.store(out.as_mut_ptr(), total);
        *sum = out[0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_it_does_on_every_instruction_set() {
        for isa in Isa::all() {
            assert_eq!(spin(isa, 10), 10 * 24 * 2 * isa.lanes() as u64);
        }
    }
}
