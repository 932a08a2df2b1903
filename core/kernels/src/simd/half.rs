//! Vectors of f16. Where the CPU multiplies f16 (ARMv8.2's `asimdhp`) they hold twice as many values as those of f32; elsewhere
//! memory holds f16, and registers f32.
#![allow(clippy::undocumented_unsafe_blocks, reason = "each block relies on the trait's contract")]
#![cfg_attr(
    target_arch = "aarch64",
    allow(
        inline_always_mismatching_target_features,
        reason = "they are inlined once the body is in its entry, which has the features"
    )
)]

#[cfg(target_arch = "aarch64")]
use core::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;

use half::f16;

#[cfg(target_arch = "aarch64")]
use super::Neon;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512};
use super::{Scalar, Vector};

/// The arithmetic of f32 vectors, for f16 that is widened when loaded.
macro_rules! arithmetic_of_f32 {
    ($f32:ty, $vector:ty) => {
        type E = f16;
        type F = $vector;
        const LANES: usize = <$f32 as Vector>::LANES;
        const REGISTERS: usize = <$f32 as Vector>::REGISTERS;
        const FUSED: bool = <$f32 as Vector>::FUSED;
        const BY_LANE: usize = <$f32 as Vector>::BY_LANE;
        #[inline(always)]
        unsafe fn splat(self, x: f32) -> $vector {
            unsafe { self.0.splat(x) }
        }
        #[inline(always)]
        unsafe fn add(self, a: $vector, b: $vector) -> $vector {
            unsafe { self.0.add(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(self, a: $vector, b: $vector) -> $vector {
            unsafe { self.0.sub(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(self, a: $vector, b: $vector) -> $vector {
            unsafe { self.0.mul(a, b) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, a: $vector, b: $vector, c: $vector) -> $vector {
            unsafe { self.0.mul_add(a, b, c) }
        }
        #[inline(always)]
        unsafe fn mul_add_lane<const LANE: i32>(self, a: $vector, b: $vector, c: $vector) -> $vector {
            unsafe { self.0.mul_add_lane::<LANE>(a, b, c) }
        }
        #[inline(always)]
        unsafe fn add_to_f32(self, sums: *mut f32, v: $vector) {
            unsafe { self.0.add_to_f32(sums, v) }
        }
        #[inline(always)]
        unsafe fn min(self, a: $vector, b: $vector) -> $vector {
            unsafe { self.0.min(a, b) }
        }
        #[inline(always)]
        unsafe fn max(self, a: $vector, b: $vector) -> $vector {
            unsafe { self.0.max(a, b) }
        }
        #[inline(always)]
        unsafe fn prefetch(self, p: *const u8) {
            unsafe { self.0.prefetch(p) }
        }
    };
}

/// One f16 at a time: the reference, on every CPU. Arithmetic is f32.
#[derive(Clone, Copy, Debug)]
pub struct ScalarF16(Scalar);

impl ScalarF16 {
    /// Always available.
    pub const ANY: Self = Self(Scalar::ANY);
}

// SAFETY: plain Rust on one value; it needs no CPU feature. Pointers: the trait's contract, upheld by the caller.
unsafe impl Vector for ScalarF16 {
    arithmetic_of_f32!(Scalar, f32);
    #[inline(always)]
    unsafe fn load(self, p: *const f16) -> f32 {
        unsafe { (*p).to_f32() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f16, v: f32) {
        unsafe { *p = f16::from_f32(v) }
    }
}

/// AVX2 with F16C: eight f16 in memory, eight f32 in a register.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Avx2F16(Avx2);

#[cfg(target_arch = "x86_64")]
impl Avx2F16 {
    /// Every CPU with that token has F16C.
    #[inline(always)]
    pub fn of(simd: Avx2) -> Self {
        Self(simd)
    }
}

// SAFETY: the token inside exists only where the CPU has AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
unsafe impl Vector for Avx2F16 {
    arithmetic_of_f32!(Avx2, __m256);
    #[inline(always)]
    unsafe fn load(self, p: *const f16) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f16, v: __m256) {
        unsafe { _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }
    #[inline(always)]
    unsafe fn load_splat(self, p: *const f16) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_set1_epi16(*p.cast())) }
    }
}

/// AVX-512: sixteen f16 in memory, sixteen f32 in a register.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Avx512F16(Avx512);

#[cfg(target_arch = "x86_64")]
impl Avx512F16 {
    /// AVX-512 F converts f16.
    #[inline(always)]
    pub fn of(simd: Avx512) -> Self {
        Self(simd)
    }
}

// SAFETY: the token inside exists only where the CPU has AVX-512.
#[cfg(target_arch = "x86_64")]
unsafe impl Vector for Avx512F16 {
    arithmetic_of_f32!(Avx512, __m512);
    #[inline(always)]
    unsafe fn load(self, p: *const f16) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f16, v: __m512) {
        unsafe { _mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }
    #[inline(always)]
    unsafe fn load_splat(self, p: *const f16) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_set1_epi16(*p.cast())) }
    }
}

/// NEON without f16 arithmetic: four f16 in memory, four f32 in a register.
#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy, Debug)]
pub struct NeonF16Storage(Neon);

#[cfg(target_arch = "aarch64")]
impl NeonF16Storage {
    /// Every NEON unit converts f16.
    #[inline(always)]
    pub fn of(simd: Neon) -> Self {
        Self(simd)
    }
}

// SAFETY: the token inside exists only where the CPU has NEON.
#[cfg(target_arch = "aarch64")]
unsafe impl Vector for NeonF16Storage {
    arithmetic_of_f32!(Neon, float32x4_t);
    #[inline(always)]
    unsafe fn load(self, p: *const f16) -> float32x4_t {
        unsafe { vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p.cast()))) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f16, v: float32x4_t) {
        unsafe { vst1_u16(p.cast(), vreinterpret_u16_f16(vcvt_f16_f32(v))) }
    }
    #[inline(always)]
    unsafe fn load_splat(self, p: *const f16) -> float32x4_t {
        unsafe { vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(*p.cast()))) }
    }
}

/// NEON with f16 arithmetic (ARMv8.2, `asimdhp`): eight f16.
#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy, Debug)]
pub struct NeonF16(());

#[cfg(target_arch = "aarch64")]
impl NeonF16 {
    /// The token, if the CPU computes in f16.
    #[inline(always)]
    pub fn of(simd: Neon) -> Option<Self> {
        simd.has_fp16().then_some(Self(()))
    }
}

// SAFETY: a token exists only where the CPU computes in f16.
#[cfg(target_arch = "aarch64")]
unsafe impl Vector for NeonF16 {
    type E = f16;
    type F = float16x8_t;
    const LANES: usize = 8;
    const REGISTERS: usize = 32;
    const FUSED: bool = true;
    const BY_LANE: usize = 8;
    #[inline(always)]
    unsafe fn load(self, p: *const f16) -> float16x8_t {
        unsafe { vreinterpretq_f16_u16(vld1q_u16(p.cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f16, v: float16x8_t) {
        unsafe { vst1q_u16(p.cast(), vreinterpretq_u16_f16(v)) }
    }
    #[inline(always)]
    unsafe fn splat(self, x: f32) -> float16x8_t {
        unsafe { vreinterpretq_f16_u16(vdupq_n_u16(f16::from_f32(x).to_bits())) }
    }
    #[inline(always)]
    unsafe fn load_splat(self, p: *const f16) -> float16x8_t {
        unsafe { vreinterpretq_f16_u16(vdupq_n_u16(*p.cast())) }
    }
    #[inline(always)]
    unsafe fn add(self, a: float16x8_t, b: float16x8_t) -> float16x8_t {
        unsafe { vaddq_f16(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(self, a: float16x8_t, b: float16x8_t) -> float16x8_t {
        unsafe { vsubq_f16(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(self, a: float16x8_t, b: float16x8_t) -> float16x8_t {
        unsafe { vmulq_f16(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: float16x8_t, b: float16x8_t, c: float16x8_t) -> float16x8_t {
        unsafe { vfmaq_f16(c, a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add_lane<const LANE: i32>(self, a: float16x8_t, b: float16x8_t, c: float16x8_t) -> float16x8_t {
        unsafe { vfmaq_laneq_f16::<LANE>(c, a, b) }
    }
    #[inline(always)]
    unsafe fn add_to_f32(self, sums: *mut f32, v: float16x8_t) {
        unsafe {
            let low = vcvt_f32_f16(vget_low_f16(v));
            let high = vcvt_f32_f16(vget_high_f16(v));
            vst1q_f32(sums, vaddq_f32(vld1q_f32(sums), low));
            vst1q_f32(sums.add(4), vaddq_f32(vld1q_f32(sums.add(4)), high));
        }
    }
    #[inline(always)]
    unsafe fn min(self, a: float16x8_t, b: float16x8_t) -> float16x8_t {
        unsafe { vminq_f16(a, b) }
    }
    #[inline(always)]
    unsafe fn max(self, a: float16x8_t, b: float16x8_t) -> float16x8_t {
        unsafe { vmaxq_f16(a, b) }
    }
}
