//! Sums of a row's pixels, channel by channel.
#![allow(clippy::inline_always, reason = "bodies must be inlined into their #[target_feature] entries")]

use crate::isa::isa_entry;
use crate::pointer::Pointer;
use crate::simd::Simd;

isa_entry! {
    /// `sum[c]` = the sum of channel `c` over the `width` pixels of a blocked row of `groups` groups without padding.
    ///
    /// # Safety
    /// The row holds `groups * width` vectors and `sum` holds `groups`; they do not overlap.
    pub fn sum_pixels(row: Pointer, groups: usize, width: usize, sum: Pointer) = body;
}

/// # Safety
/// The contract of [`Simd`] holds for `s`; the row holds `groups * width` vectors and `sum` holds `groups`; they do not
/// overlap.
#[inline(always)]
unsafe fn body<S: Simd>(s: S, row: Pointer, groups: usize, width: usize, sum: Pointer) {
    for group in 0..groups {
        let pixels = row.add(group * width * S::LANES).to(width * S::LANES);
        // SAFETY: the caller's promise, for this group.
        unsafe {
            let mut total = s.splat(0.0);
            for x in 0..width {
                total = s.add(total, s.load(pixels.add(x * S::LANES)));
            }
            s.store(sum.add(group * S::LANES).to(S::LANES), total);
        }
    }
}
