//! Sums of maps, value by value, and the activation after them.
#![allow(clippy::inline_always, reason = "bodies must be inlined into their #[target_feature] entries")]

use half::f16;

use crate::element::{Element, Real as _};
use crate::isa::{Isa, isa_entry, isa_entry_f16};
use crate::pointer::Pointer;
use crate::simd::Vector;

/// Elements whose maps can be added.
pub trait Kernel: Element {
    /// `out[i] = a[i] + b[i]` (`a[i]` alone if there is no `b`), clamped, for `vectors` vectors.
    ///
    /// # Safety
    /// Each slice holds `vectors` vectors; `out` is a separate slice or exactly `a`.
    unsafe fn add(
        isa: Isa,
        a: Pointer<Self>,
        b: Option<Pointer<Self>>,
        clamp: Option<(f32, f32)>,
        vectors: usize,
        out: Pointer<Self>,
    );
}

impl Kernel for f32 {
    unsafe fn add(isa: Isa, a: Pointer, b: Option<Pointer>, clamp: Option<(f32, f32)>, vectors: usize, out: Pointer) {
        // SAFETY: the caller's promise.
        unsafe { add_f32(isa, a, b, clamp, vectors, out) }
    }
}

impl Kernel for f16 {
    unsafe fn add(
        isa: Isa,
        a: Pointer<f16>,
        b: Option<Pointer<f16>>,
        clamp: Option<(f32, f32)>,
        vectors: usize,
        out: Pointer<f16>,
    ) {
        // SAFETY: the caller's promise.
        unsafe { add_f16(isa, a, b, clamp, vectors, out) }
    }
}

isa_entry! {
    /// # Safety
    /// As [`body`], except for the token.
    fn add_f32(a: Pointer, b: Option<Pointer>, clamp: Option<(f32, f32)>, vectors: usize, out: Pointer) = body;
}
isa_entry_f16! {
    /// # Safety
    /// As [`body`], except for the token.
    fn add_f16(a: Pointer<f16>, b: Option<Pointer<f16>>, clamp: Option<(f32, f32)>, vectors: usize, out: Pointer<f16>) = body;
}

/// # Safety
/// The contract of [`Vector`] holds for `s`; each slice holds `vectors` vectors; `out` is a separate slice or exactly
/// `a`.
#[inline(always)]
unsafe fn body<S: Vector>(
    s: S,
    a: Pointer<S::E>,
    b: Option<Pointer<S::E>>,
    clamp: Option<(f32, f32)>,
    vectors: usize,
    out: Pointer<S::E>,
) {
    let len = vectors * S::LANES;
    let a = a.to(len);
    let b = b.map(|b| b.to(len));
    let out = out.to(len);
    let (low, high) = clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    // SAFETY: the caller's promise.
    unsafe {
        let low = s.splat(S::E::finite(low));
        let high = s.splat(S::E::finite(high));
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
    use crate::element::Real;

    fn check<E: Kernel + Real>(isa: Isa, lanes: usize) {
        let n = 5 * lanes;
        let a: Vec<f32> = (0..n).map(|i| i as f32 - 4.0).collect();
        let b: Vec<f32> = (0..n).map(|i| 0.5 * i as f32).collect();
        let rounded = |values: &[f32]| values.iter().map(|&v| E::from_f32(v)).collect::<Vec<E>>();
        for second in [None, Some(rounded(&b))] {
            for clamp in [None, Some((0.0, 6.0)), Some((0.0, f32::INFINITY))] {
                let mut out = vec![E::from_f32(f32::NAN); n];
                let to = Pointer::new(out.as_mut_ptr(), n);
                let from = rounded(&a);
                // SAFETY: each slice holds `n` values.
                unsafe { E::add(isa, Pointer::read(&from), second.as_deref().map(Pointer::read), clamp, 5, to) }
                for i in 0..n {
                    // Halves below 2048 are exact in both types.
                    let sum = a[i] + second.as_ref().map_or(0.0, |_| b[i]);
                    let expected = clamp.map_or(sum, |(lo, hi)| sum.max(lo).min(hi));
                    assert_eq!(out[i].to_f32().to_bits(), expected.to_bits(), "{isa:?} {:?}", E::TYPE);
                }
            }
        }
    }

    #[test]
    fn sums_and_activations_in_every_instruction_set() {
        for isa in Isa::all() {
            check::<f32>(isa, isa.lanes());
            check::<f16>(isa, isa.lanes_f16());
        }
    }
}
