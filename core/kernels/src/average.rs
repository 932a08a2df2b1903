//! Sums of a row's pixels, channel by channel, in f32 whatever the map holds: an average over thousands of pixels in f16
//! would lose the small ones.
#![allow(clippy::inline_always, reason = "bodies must be inlined into their #[target_feature] entries")]

use half::f16;

use crate::element::Element;
use crate::isa::{Isa, isa_entry, isa_entry_f16};
use crate::pointer::Pointer;
use crate::simd::Vector;

/// Elements whose pixels can be summed.
pub trait Kernel: Element {
    /// `sum[c]` = the sum of channel `c` over the `width` pixels of a blocked row of `groups` groups without padding.
    ///
    /// # Safety
    /// The row holds `groups * width` vectors and `sum` holds `groups` times as many values; they do not overlap.
    unsafe fn sum_pixels(isa: Isa, row: Pointer<Self>, groups: usize, width: usize, sum: Pointer);
}

impl Kernel for f32 {
    unsafe fn sum_pixels(isa: Isa, row: Pointer, groups: usize, width: usize, sum: Pointer) {
        // SAFETY: the caller's promise.
        unsafe { sum_f32(isa, row, groups, width, sum) }
    }
}

impl Kernel for f16 {
    unsafe fn sum_pixels(isa: Isa, row: Pointer<f16>, groups: usize, width: usize, sum: Pointer) {
        // SAFETY: the caller's promise.
        unsafe { sum_f16(isa, row, groups, width, sum) }
    }
}

isa_entry! {
    /// # Safety
    /// As [`body`], except for the token.
    fn sum_f32(row: Pointer, groups: usize, width: usize, sum: Pointer) = body;
}
isa_entry_f16! {
    /// # Safety
    /// As [`body`], except for the token.
    fn sum_f16(row: Pointer<f16>, groups: usize, width: usize, sum: Pointer) = body;
}

/// # Safety
/// The contract of [`Vector`] holds for `s`; the row holds `groups * width` vectors and `sum` holds `groups` times as
/// many values; they do not overlap.
#[inline(always)]
unsafe fn body<S: Vector>(s: S, row: Pointer<S::E>, groups: usize, width: usize, sum: Pointer) {
    for group in 0..groups {
        let pixels = row.add(group * width * S::LANES).to(width * S::LANES);
        let sum = sum.add(group * S::LANES).to(S::LANES);
        // SAFETY: the caller's promise, for this group.
        unsafe {
            sum.write_bytes(0, S::LANES);
            for x in 0..width {
                s.add_to_f32(sum, s.load(pixels.add(x * S::LANES)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Real;

    /// Two groups of seven pixels; sums beyond the integers that f16 holds.
    fn check<E: Kernel + Real>(isa: Isa, lanes: usize) {
        let values: Vec<f32> = (0..2 * 7 * lanes).map(|i| 1000.0 + (i * 5 % 11) as f32).collect();
        let row: Vec<E> = values.iter().map(|&v| E::from_f32(v)).collect();
        let mut sum = vec![f32::NAN; 2 * lanes];
        // SAFETY: fourteen vectors, and two of sums.
        unsafe { E::sum_pixels(isa, Pointer::read(&row), 2, 7, Pointer::new(sum.as_mut_ptr(), sum.len())) }
        for (c, sum) in sum.iter().enumerate() {
            let expected: f32 = (0..7).map(|x| values[(c / lanes * 7 + x) * lanes + c % lanes]).sum();
            assert_eq!(sum.to_bits(), expected.to_bits(), "{isa:?} {:?} channel {c}", E::TYPE);
        }
    }

    #[test]
    fn pixels_are_summed_in_f32_in_every_instruction_set() {
        for isa in Isa::all() {
            check::<f32>(isa, isa.lanes());
            check::<f16>(isa, isa.lanes_f16());
        }
    }
}
