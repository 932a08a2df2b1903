//! SSE2: part of every 64-bit x86 CPU. It does not fuse a multiply-add, so its results equal the scalar path's, bit for
//! bit.
#![allow(clippy::undocumented_unsafe_blocks, reason = "each block relies on the trait's contract")]

use core::arch::x86_64::*;

use super::{Simd, Vector};

/// SSE2: four f32, part of x86-64.
#[derive(Clone, Copy, Debug)]
pub struct Sse2(());

impl Sse2 {
    /// Always available: a CPU without it does not run 64-bit code.
    #[allow(clippy::unnecessary_wraps, reason = "the same signature for every instruction set")]
    pub fn new() -> Option<Self> {
        Some(Self(()))
    }
}

// SAFETY: SSE2 is part of x86-64.
unsafe impl Vector for Sse2 {
    type E = f32;
    type F = __m128;
    const LANES: usize = 4;
    const REGISTERS: usize = 16;
    const FUSED: bool = false;
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m128 {
        unsafe { _mm_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m128) {
        unsafe { _mm_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn splat(self, x: f32) -> __m128 {
        unsafe { _mm_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn add(self, a: __m128, b: __m128) -> __m128 {
        unsafe { _mm_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(self, a: __m128, b: __m128) -> __m128 {
        unsafe { _mm_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(self, a: __m128, b: __m128) -> __m128 {
        unsafe { _mm_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: __m128, b: __m128, c: __m128) -> __m128 {
        unsafe { _mm_add_ps(_mm_mul_ps(a, b), c) }
    }
    #[inline(always)]
    unsafe fn add_to_f32(self, sums: *mut f32, v: __m128) {
        unsafe { self.store(sums, self.add(self.load(sums), v)) }
    }
    #[inline(always)]
    unsafe fn min(self, a: __m128, b: __m128) -> __m128 {
        unsafe { _mm_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(self, a: __m128, b: __m128) -> __m128 {
        unsafe { _mm_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn prefetch(self, p: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
}

// SAFETY: SSE2 is part of x86-64.
unsafe impl Simd for Sse2 {
    const LOOP: usize = 8;
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> __m128 {
        unsafe {
            let bytes = _mm_cvtsi32_si128(p.cast::<i32>().read_unaligned());
            let zero = _mm_setzero_si128();
            _mm_cvtepi32_ps(_mm_unpacklo_epi16(_mm_unpacklo_epi8(bytes, zero), zero))
        }
    }
    #[inline(always)]
    unsafe fn where_greater(self, a: __m128, b: __m128, x: __m128, y: __m128) -> __m128 {
        unsafe {
            let greater = _mm_cmpgt_ps(a, b);
            _mm_or_ps(_mm_and_ps(greater, x), _mm_andnot_ps(greater, y))
        }
    }
}
