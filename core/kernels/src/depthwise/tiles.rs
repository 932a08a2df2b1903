//! The parts of the depthwise kernel that instruction sets implement in assembly.
#![allow(clippy::inline_always, reason = "bodies must be inlined into the functions that carry the target features")]

#[cfg(target_arch = "aarch64")]
use crate::simd::half::NeonF16Storage;
use crate::simd::half::ScalarF16;
#[cfg(target_arch = "x86_64")]
use crate::simd::half::{Avx2F16, Avx512F16};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512, Sse2};
use crate::simd::{Scalar, Vector};

/// The row loop of an instruction set.
///
/// # Safety
/// As [`Vector`].
pub(crate) unsafe trait DepthwiseTiles: Vector {
    /// Outputs in a tile of [`whole_line`](Self::whole_line), each a vector of sixteen bytes; 0: there is no such loop.
    const LINE_TILE: usize = 0;
    /// Computes `LINE_TILE` outputs of a row at a time in assembly; returns false if there is no such loop for this
    /// stride and atrous rate.
    ///
    /// # Safety
    /// `line`'s pointers are valid as documented on its fields.
    #[inline(always)]
    unsafe fn whole_line<const STRIDE: usize, const RATE: usize>(self, _line: &WholeLine<Self::E>) -> bool {
        false
    }
}

// SAFETY: no unsafe code of its own.
unsafe impl DepthwiseTiles for Scalar {}
// SAFETY: no unsafe code of its own.
#[cfg(target_arch = "x86_64")]
unsafe impl DepthwiseTiles for Sse2 {}
// SAFETY: no unsafe code of its own.
#[cfg(target_arch = "x86_64")]
unsafe impl DepthwiseTiles for Avx2 {}
// SAFETY: no unsafe code of its own.
#[cfg(target_arch = "x86_64")]
unsafe impl DepthwiseTiles for Avx512 {}
// SAFETY: no unsafe code of its own.
unsafe impl DepthwiseTiles for ScalarF16 {}
// SAFETY: no unsafe code of its own.
#[cfg(target_arch = "x86_64")]
unsafe impl DepthwiseTiles for Avx2F16 {}
// SAFETY: no unsafe code of its own.
#[cfg(target_arch = "x86_64")]
unsafe impl DepthwiseTiles for Avx512F16 {}
// SAFETY: no unsafe code of its own.
#[cfg(target_arch = "aarch64")]
unsafe impl DepthwiseTiles for NeonF16Storage {}

/// Outputs of a group of channels of a 3x3 depthwise row, `tiles` times [`LINE_TILE`](DepthwiseTiles::LINE_TILE) of them.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_arch = "aarch64"), allow(dead_code, reason = "only assembly reads them"))]
pub(crate) struct WholeLine<E> {
    /// The three rows, from the first column on.
    pub(crate) rows: [*const E; 3],
    /// Nine vectors.
    pub(crate) weights: *const E,
    /// The bias's vector, four times.
    pub(crate) bias: *const E,
    /// Least and greatest output; null: no bounds.
    pub(crate) clamp: *const [E; 2],
    /// Outputs.
    pub(crate) d: *mut E,
    /// At least one.
    pub(crate) tiles: usize,
}
