//! Sums of maps, value by value, and the activation after them.
#![allow(clippy::inline_always, reason = "bodies must be inlined into their #[target_feature] entries")]

use crate::isa::isa_entry;
use crate::pointer::Pointer;
use crate::simd::Simd;

isa_entry! {
    /// `out[i] = a[i] + b[i]` (`a[i]` alone if there is no `b`), clamped, for `vectors` vectors.
    ///
    /// # Safety
    /// Each slice holds `vectors` vectors; `out` is a separate slice or exactly `a`.
    pub fn add(a: Pointer, b: Option<Pointer>, clamp: Option<(f32, f32)>, vectors: usize, out: Pointer) = body;
}

/// # Safety
/// The contract of [`Simd`] holds for `s`; each slice holds `vectors` vectors; `out` is a separate slice or exactly
/// `a`.
#[inline(always)]
unsafe fn body<S: Simd>(s: S, a: Pointer, b: Option<Pointer>, clamp: Option<(f32, f32)>, vectors: usize, out: Pointer) {
    let len = vectors * S::LANES;
    let (a, b, out) = (a.to(len), b.map(|b| b.to(len)), out.to(len));
    let (low, high) = clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    // SAFETY: the caller's promise.
    unsafe {
        let low = s.splat(low);
        let high = s.splat(high);
        for at in (0..len).step_by(S::LANES) {
            let mut v = s.load(a.add(at));
            if let Some(b) = b {
                v = s.add(v, s.load(b.add(at)));
            }
            if clamp.is_some() {
                v = s.min(s.max(v, low), high);
            }
            s.store(out.add(at), v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    #[test]
    fn sums_and_activations_in_every_instruction_set() {
        for isa in Isa::all() {
            let n = 5 * isa.lanes();
            let a: Vec<f32> = (0..n).map(|i| i as f32 - 4.0).collect();
            let b: Vec<f32> = (0..n).map(|i| 0.5 * i as f32).collect();
            for second in [None, Some(&b)] {
                for clamp in [None, Some((0.0, 6.0)), Some((0.0, f32::INFINITY))] {
                    let mut out = vec![f32::NAN; n];
                    let to = Pointer::new(out.as_mut_ptr(), n);
                    // SAFETY: each slice holds `n` values.
                    unsafe { add(isa, Pointer::read(&a), second.map(|b| Pointer::read(b)), clamp, 5, to) }
                    for i in 0..n {
                        let sum = a[i] + second.map_or(0.0, |b| b[i]);
                        assert_eq!(out[i].to_bits(), clamp.map_or(sum, |(lo, hi)| sum.max(lo).min(hi)).to_bits());
                    }
                }
            }
        }
    }
}
