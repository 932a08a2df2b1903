//! Integers in AVX-512 with VNNI: `vpdpbusd` multiplies four unsigned by four signed bytes and adds them to a sum.
#![allow(clippy::undocumented_unsafe_blocks, reason = "each block relies on the trait's contract")]

use core::arch::x86_64::*;

use super::vector::{Integers, MASK};
use crate::simd::Avx512;

/// The CPU has AVX-512 and VNNI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512Vnni(());

impl Avx512Vnni {
    /// If the CPU has it too.
    #[inline(always)]
    pub(crate) fn of(_: Avx512) -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx512vnni").then_some(Self(()))
    }
}

// SAFETY: the token exists only where the CPU has AVX-512 and VNNI.
unsafe impl Integers for Avx512Vnni {
    const SIGNED: bool = false;
    const GROUPS: usize = 3;
    const PIXELS: [usize; 4] = [0, 8, 8, 8];
    const OUTPUTS: usize = 6;
    type S = __m512i;
    type P = *const u8;
    type W = __m512i;
    type C = __m512i;
    #[inline(always)]
    unsafe fn load(self, p: *const i32) -> Self::S {
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn splat(self, x: i32) -> Self::S {
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    unsafe fn add(self, a: Self::S, b: Self::S) -> Self::S {
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(self, a: Self::S, b: Self::S) -> Self::S {
        unsafe { _mm512_mullo_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn min(self, a: Self::S, b: Self::S) -> Self::S {
        unsafe { _mm512_min_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn max(self, a: Self::S, b: Self::S) -> Self::S {
        unsafe { _mm512_max_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn shift_left<const N: u32>(self, a: Self::S) -> Self::S {
        unsafe { _mm512_slli_epi32::<N>(a) }
    }
    #[inline(always)]
    unsafe fn shift_left_each(self, a: Self::S, n: Self::S) -> Self::S {
        unsafe { _mm512_sllv_epi32(a, n) }
    }
    #[inline(always)]
    unsafe fn scale(self, a: Self::S, mantissa: Self::S, right: Self::S, _: bool) -> Self::S {
        unsafe {
            // The product of even lanes, and of odd ones: bits 31 to 62 are the result.
            let nudge = _mm512_set1_epi64(1 << 30);
            let even = _mm512_add_epi64(_mm512_mul_epi32(a, mantissa), nudge);
            let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(mantissa));
            let odd = _mm512_add_epi64(odd, nudge);
            let even = _mm512_srli_epi64::<31>(even);
            let high = _mm512_mask_mov_epi32(even, 0xaaaa, _mm512_slli_epi64::<1>(odd));
            // Half of 2^right, less 1 for negative numbers; both 0 for a shift by 0.
            let half = _mm512_srli_epi32::<1>(_mm512_sllv_epi32(_mm512_set1_epi32(1), right));
            let negative =
                _mm512_and_si512(_mm512_srai_epi32::<31>(high), _mm512_min_epi32(right, _mm512_set1_epi32(1)));
            let nudged = _mm512_sub_epi32(_mm512_add_epi32(high, half), negative);
            _mm512_srav_epi32(nudged, right)
        }
    }
    #[inline(always)]
    unsafe fn pixel(self, p: *const u8) -> Self::P {
        p
    }
    #[inline(always)]
    unsafe fn weights(self, p: *const i8) -> Self::W {
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn dot<const L: i32>(self, sums: Self::S, weights: Self::W, pixel: Self::P) -> Self::S {
        unsafe {
            let four = pixel.add(4 * L as usize).cast::<i32>().read_unaligned();
            _mm512_dpbusd_epi32(sums, _mm512_set1_epi32(four), weights)
        }
    }
    #[inline(always)]
    unsafe fn column(self, rows: [*const u8; 3]) -> Self::C {
        unsafe {
            let [a, b, c] = rows.map(|row| _mm512_cvtepu8_epi32(_mm_loadu_si128(row.cast())));
            // a | b << 8 | c << 16
            _mm512_ternarylogic_epi32::<0xfe>(a, _mm512_slli_epi32::<8>(b), _mm512_slli_epi32::<16>(c))
        }
    }
    #[inline(always)]
    unsafe fn column_weights(self, p: *const i8) -> Self::C {
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn dot_column(self, sums: Self::S, weights: Self::C, column: Self::C) -> Self::S {
        unsafe { _mm512_dpbusd_epi32(sums, column, weights) }
    }
    #[inline(always)]
    unsafe fn widen(self, p: *const u8) -> Self::S {
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut u8, sums: Self::S, zero: Self::S, low: Self::S, high: Self::S) {
        unsafe {
            let v = _mm512_min_epi32(_mm512_max_epi32(_mm512_add_epi32(sums, zero), low), high);
            _mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(v));
        }
    }
    #[inline(always)]
    unsafe fn store_f32(self, p: *mut f32, sums: Self::S, zero: i32, scale: f32) {
        unsafe {
            let v = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums, _mm512_set1_epi32(zero)));
            _mm512_storeu_ps(p, _mm512_mul_ps(v, _mm512_set1_ps(scale)));
        }
    }
    #[inline(always)]
    unsafe fn load_f32(self, p: *const f32, factor: f32) -> Self::S {
        unsafe {
            let v = _mm512_mul_ps(_mm512_loadu_ps(p), _mm512_set1_ps(factor));
            let known = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(v, v);
            let tame = _mm512_min_ps(_mm512_max_ps(v, _mm512_set1_ps(-1e6)), _mm512_set1_ps(1e6));
            _mm512_maskz_cvtps_epi32(known, tame)
        }
    }
    #[inline(always)]
    unsafe fn sum_bytes(self, first: *const u8, block: usize, blocks: usize, rest: usize) -> i32 {
        unsafe {
            let zero = _mm_setzero_si128();
            let mut sums = zero;
            let mut p = first;
            for _ in 0..blocks {
                sums = _mm_add_epi32(sums, _mm_sad_epu8(_mm_loadu_si128(p.cast()), zero));
                p = p.wrapping_add(block);
            }
            if rest > 0 {
                let mask = _mm_loadu_si128(MASK.as_ptr().add(16 - rest).cast());
                sums = _mm_add_epi32(sums, _mm_sad_epu8(_mm_and_si128(_mm_loadu_si128(p.cast()), mask), zero));
            }
            _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums)))
        }
    }
    #[inline(always)]
    unsafe fn store_sums(self, p: *mut i32, sums: Self::S) {
        unsafe { _mm512_storeu_si512(p.cast(), sums) }
    }
}
