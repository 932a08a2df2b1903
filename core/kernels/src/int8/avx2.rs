//! Integers in AVX2. Its product of bytes saturates at 16 bits, so bytes are widened and multiplied in pairs.
#![allow(clippy::undocumented_unsafe_blocks, reason = "each block relies on the trait's contract")]

use core::arch::x86_64::*;

use super::vector::{Integers, MASK, Order};
use crate::simd::{Avx2, Avx512};

/// The CPU has AVX2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2Int8(());

impl Avx2Int8 {
    /// Its token proves it.
    #[inline(always)]
    pub(crate) fn of(_: Avx2) -> Self {
        Self(())
    }

    /// Every CPU with AVX-512 has AVX2, FMA and F16C.
    #[inline(always)]
    pub(crate) fn of_avx512(_: Avx512) -> Self {
        Self(())
    }
}

/// Both halves of sixteen sums.
type Two = [__m256i; 2];

#[inline(always)]
fn both(a: Two, f: impl Fn(__m256i) -> __m256i) -> Two {
    [f(a[0]), f(a[1])]
}

#[inline(always)]
fn zip(a: Two, b: Two, f: impl Fn(__m256i, __m256i) -> __m256i) -> Two {
    [f(a[0], b[0]), f(a[1], b[1])]
}

// SAFETY: the token exists only where the CPU has AVX2.
unsafe impl Integers for Avx2Int8 {
    const SIGNED: bool = false;
    const GROUPS: usize = 1;
    const PIXELS: [usize; 4] = [0, 4, 0, 0];
    const OUTPUTS: usize = 2;
    type S = Two;
    type P = *const u8;
    // For each half of the outputs: their first two weights, and their last two.
    type W = [Two; 2];
    // For each half of the channels: the first two rows, and the third.
    type C = [Two; 2];
    const ORDER: Order = Order::Pairs;
    #[inline(always)]
    unsafe fn load(self, p: *const i32) -> Self::S {
        unsafe { [_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(8).cast())] }
    }
    #[inline(always)]
    unsafe fn splat(self, x: i32) -> Self::S {
        [unsafe { _mm256_set1_epi32(x) }; 2]
    }
    #[inline(always)]
    unsafe fn add(self, a: Self::S, b: Self::S) -> Self::S {
        zip(a, b, |a, b| unsafe { _mm256_add_epi32(a, b) })
    }
    #[inline(always)]
    unsafe fn mul(self, a: Self::S, b: Self::S) -> Self::S {
        zip(a, b, |a, b| unsafe { _mm256_mullo_epi32(a, b) })
    }
    #[inline(always)]
    unsafe fn min(self, a: Self::S, b: Self::S) -> Self::S {
        zip(a, b, |a, b| unsafe { _mm256_min_epi32(a, b) })
    }
    #[inline(always)]
    unsafe fn max(self, a: Self::S, b: Self::S) -> Self::S {
        zip(a, b, |a, b| unsafe { _mm256_max_epi32(a, b) })
    }
    #[inline(always)]
    unsafe fn shift_left<const N: u32>(self, a: Self::S) -> Self::S {
        both(a, |a| unsafe { _mm256_sll_epi32(a, _mm_cvtsi32_si128(N as i32)) })
    }
    #[inline(always)]
    unsafe fn shift_left_each(self, a: Self::S, n: Self::S) -> Self::S {
        zip(a, n, |a, n| unsafe { _mm256_sllv_epi32(a, n) })
    }
    #[inline(always)]
    unsafe fn scale(self, a: Self::S, mantissa: Self::S, right: Self::S, _: bool) -> Self::S {
        let half = |a: __m256i, mantissa: __m256i, right: __m256i| unsafe {
            // The product of even lanes, and of odd ones: bits 31 to 62 are the result.
            let nudge = _mm256_set1_epi64x(1 << 30);
            let even = _mm256_add_epi64(_mm256_mul_epi32(a, mantissa), nudge);
            let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(mantissa));
            let odd = _mm256_add_epi64(odd, nudge);
            let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<31>(even), _mm256_slli_epi64::<1>(odd));
            // Half of 2^right, less 1 for negative numbers; both 0 for a shift by 0.
            let half = _mm256_srli_epi32::<1>(_mm256_sllv_epi32(_mm256_set1_epi32(1), right));
            let negative =
                _mm256_and_si256(_mm256_srai_epi32::<31>(high), _mm256_min_epi32(right, _mm256_set1_epi32(1)));
            _mm256_srav_epi32(_mm256_sub_epi32(_mm256_add_epi32(high, half), negative), right)
        };
        [half(a[0], mantissa[0], right[0]), half(a[1], mantissa[1], right[1])]
    }
    #[inline(always)]
    unsafe fn pixel(self, p: *const u8) -> Self::P {
        p
    }
    #[inline(always)]
    unsafe fn weights(self, p: *const i8) -> Self::W {
        let load = |at: usize| unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(p.add(at).cast())) };
        [[load(0), load(16)], [load(32), load(48)]]
    }
    #[inline(always)]
    unsafe fn dot<const L: i32>(self, sums: Self::S, weights: Self::W, pixel: Self::P) -> Self::S {
        unsafe {
            let four = _mm256_set1_epi32(pixel.add(4 * L as usize).cast::<i32>().read_unaligned());
            // Bytes 0 and 1, and 2 and 3, as 16 bits.
            let first = _mm256_shuffle_epi8(four, _mm256_set1_epi32(0x8001_8000_u32.cast_signed()));
            let second = _mm256_shuffle_epi8(four, _mm256_set1_epi32(0x8003_8002_u32.cast_signed()));
            std::array::from_fn(|h| {
                let sum = _mm256_add_epi32(sums[h], _mm256_madd_epi16(first, weights[h][0]));
                _mm256_add_epi32(sum, _mm256_madd_epi16(second, weights[h][1]))
            })
        }
    }
    #[inline(always)]
    unsafe fn column(self, rows: [*const u8; 3]) -> Self::C {
        let half = |at: usize| unsafe {
            let [a, b, c] = rows.map(|row| _mm256_cvtepu8_epi32(_mm_loadl_epi64(row.add(at).cast())));
            [_mm256_or_si256(a, _mm256_slli_epi32::<16>(b)), c]
        };
        [half(0), half(8)]
    }
    #[inline(always)]
    unsafe fn column_weights(self, p: *const i8) -> Self::C {
        let half = |at: usize| unsafe {
            let four = _mm256_loadu_si256(p.add(at).cast());
            let low = _mm256_set1_epi32(0xffff);
            let byte = |v: __m256i| _mm256_srai_epi32::<24>(v);
            let first = _mm256_and_si256(byte(_mm256_slli_epi32::<24>(four)), low);
            let second = _mm256_slli_epi32::<16>(byte(_mm256_slli_epi32::<16>(four)));
            let third = _mm256_and_si256(byte(_mm256_slli_epi32::<8>(four)), low);
            [_mm256_or_si256(first, second), third]
        };
        [half(0), half(32)]
    }
    #[inline(always)]
    unsafe fn dot_column(self, sums: Self::S, weights: Self::C, column: Self::C) -> Self::S {
        std::array::from_fn(|h| unsafe {
            let sum = _mm256_add_epi32(sums[h], _mm256_madd_epi16(column[h][0], weights[h][0]));
            _mm256_add_epi32(sum, _mm256_madd_epi16(column[h][1], weights[h][1]))
        })
    }
    #[inline(always)]
    unsafe fn widen(self, p: *const u8) -> Self::S {
        std::array::from_fn(|h| unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.add(8 * h).cast())) })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut u8, sums: Self::S, zero: Self::S, low: Self::S, high: Self::S) {
        unsafe {
            let v: Two = std::array::from_fn(|h| {
                _mm256_min_epi32(_mm256_max_epi32(_mm256_add_epi32(sums[h], zero[h]), low[h]), high[h])
            });
            // Packing works within halves of a register: 0..4, 8..12, 4..8, 12..16.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(v[0], v[1]));
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(p.cast(), bytes);
        }
    }
    #[inline(always)]
    unsafe fn store_f32(self, p: *mut f32, sums: Self::S, zero: i32, scale: f32) {
        for h in 0..2 {
            unsafe {
                let v = _mm256_cvtepi32_ps(_mm256_sub_epi32(sums[h], _mm256_set1_epi32(zero)));
                _mm256_storeu_ps(p.add(8 * h), _mm256_mul_ps(v, _mm256_set1_ps(scale)));
            }
        }
    }
    #[inline(always)]
    unsafe fn load_f32(self, p: *const f32, factor: f32) -> Self::S {
        std::array::from_fn(|h| unsafe {
            let v = _mm256_mul_ps(_mm256_loadu_ps(p.add(8 * h)), _mm256_set1_ps(factor));
            let known = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_ORD_Q>(v, v));
            let tame = _mm256_min_ps(_mm256_max_ps(v, _mm256_set1_ps(-1e6)), _mm256_set1_ps(1e6));
            _mm256_and_si256(_mm256_cvtps_epi32(tame), known)
        })
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
        unsafe {
            _mm256_storeu_si256(p.cast(), sums[0]);
            _mm256_storeu_si256(p.add(8).cast(), sums[1]);
        }
    }
}
