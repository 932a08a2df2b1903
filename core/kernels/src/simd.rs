//! One vector of f32, in every instruction set: the small set of operations that the kernels are written in.
//!
//! A kernel is written once, generic over [`Simd`], marked `#[inline(always)]`, and gets one thin entry per instruction
//! set that carries `#[target_feature]`. A value of a token type ([`Scalar`], `Avx2`, `Avx512`, `Neon`) is the proof that
//! the CPU has the instruction set: it can only be made by `new()`, which asks the CPU.

#![allow(clippy::missing_safety_doc, reason = "the promise is the trait's, said once there")]

/// f32 vectors of one instruction set.
///
/// # Safety
/// Every method may only be called inside a function that carries the instruction set's `#[target_feature]` (or is
/// inlined into one), so that the intrinsics are inlined. Holding `Self` proves that the CPU has it. Pointers must be
/// valid for as many elements as the method reads or writes; no alignment is asked for.
pub unsafe trait Simd: Copy + Send + Sync + 'static {
    /// One vector.
    type F: Copy;
    /// f32 per vector.
    const LANES: usize;
    /// Pixels in a full tile of the pointwise kernel: with [`VECTORS`](Self::VECTORS) it fills the registers.
    const PIXELS: usize;
    /// Vectors of output channels in a full tile of the pointwise kernel.
    const VECTORS: usize;
    /// Whether a multiply-add can take one lane of a vector as its factor ([`mul_add_lane`](Self::mul_add_lane) is then
    /// one instruction, and four input channels of a pixel are read at once).
    const BY_LANE: bool = false;
    /// The token, without asking.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn assume() -> Self;
    /// Reads `LANES` values.
    unsafe fn load(self, p: *const f32) -> Self::F;
    /// Writes `LANES` values.
    unsafe fn store(self, p: *mut f32, v: Self::F);
    /// Reads the first `n < LANES` values, the rest is zero; touches no memory past them.
    unsafe fn load_part(self, p: *const f32, n: usize) -> Self::F;
    /// Writes the first `n < LANES` values; touches no memory past them.
    unsafe fn store_part(self, p: *mut f32, n: usize, v: Self::F);
    /// Reads `LANES` bytes as f32 (0 to 255).
    unsafe fn load_u8(self, p: *const u8) -> Self::F;
    /// All lanes `x`.
    unsafe fn splat(self, x: f32) -> Self::F;
    /// `a + b`.
    unsafe fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    unsafe fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    unsafe fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where the CPU can.
    unsafe fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a * b[lane] + c`; only where [`BY_LANE`](Self::BY_LANE), `lane < 4`.
    #[inline(always)]
    unsafe fn mul_add_lane<const LANE: i32>(self, a: Self::F, _b: Self::F, _c: Self::F) -> Self::F {
        debug_assert!(false, "BY_LANE says that there is none");
        a
    }
    /// Smaller of each lane.
    unsafe fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// Larger of each lane.
    unsafe fn max(self, a: Self::F, b: Self::F) -> Self::F;
}

/// One f32 at a time: the reference, on every CPU.
#[derive(Clone, Copy, Debug)]
pub struct Scalar(());

impl Scalar {
    /// Always there.
    #[allow(clippy::unnecessary_wraps, reason = "one shape for every instruction set")]
    pub fn new() -> Option<Self> {
        Some(Self(()))
    }
}

// SAFETY: plain Rust on one value; nothing is asked of the CPU. Pointers: the trait's promise, kept by the caller.
#[allow(clippy::undocumented_unsafe_blocks, reason = "each block passes on the trait's promise about its pointer")]
unsafe impl Simd for Scalar {
    type F = f32;
    const LANES: usize = 1;
    const PIXELS: usize = 2;
    const VECTORS: usize = 4;
    #[inline(always)]
    unsafe fn assume() -> Self {
        Self(())
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> f32 {
        unsafe { *p }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: f32) {
        unsafe { *p = v }
    }
    #[inline(always)]
    unsafe fn load_part(self, _: *const f32, _: usize) -> f32 {
        0.0
    }
    #[inline(always)]
    unsafe fn store_part(self, _: *mut f32, _: usize, _: f32) {}
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> f32 {
        f32::from(unsafe { *p })
    }
    #[inline(always)]
    unsafe fn splat(self, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    unsafe fn add(self, a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    unsafe fn sub(self, a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    unsafe fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
    #[inline(always)]
    unsafe fn min(self, a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
    #[inline(always)]
    unsafe fn max(self, a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "each block passes on the trait's promise")]
mod x86 {
    use super::Simd;
    use core::arch::x86_64::*;

    /// AVX2 with FMA: eight f32.
    #[derive(Clone, Copy, Debug)]
    pub struct Avx2(());

    impl Avx2 {
        /// The token, where the CPU has AVX2 and FMA.
        pub fn new() -> Option<Self> {
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
        }

        #[inline(always)]
        unsafe fn mask(n: usize) -> __m256i {
            unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
        }
    }

    // SAFETY: a token exists only where the CPU has AVX2 and FMA; masked operations touch no memory outside the mask.
    unsafe impl Simd for Avx2 {
        type F = __m256;
        const LANES: usize = 8;
        const PIXELS: usize = 6;
        const VECTORS: usize = 2;
        #[inline(always)]
        unsafe fn assume() -> Self {
            Self(())
        }
        #[inline(always)]
        unsafe fn load(self, p: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32, v: __m256) {
            unsafe { _mm256_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn load_part(self, p: *const f32, n: usize) -> __m256 {
            unsafe { _mm256_maskload_ps(p, Self::mask(n)) }
        }
        #[inline(always)]
        unsafe fn store_part(self, p: *mut f32, n: usize, v: __m256) {
            unsafe { _mm256_maskstore_ps(p, Self::mask(n), v) }
        }
        #[inline(always)]
        unsafe fn load_u8(self, p: *const u8) -> __m256 {
            unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast()))) }
        }
        #[inline(always)]
        unsafe fn splat(self, x: f32) -> __m256 {
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn add(self, a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(self, a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(self, a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn min(self, a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn max(self, a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_max_ps(a, b) }
        }
    }

    /// AVX-512 (F, BW, DQ, VL): sixteen f32, thirty-two registers.
    #[derive(Clone, Copy, Debug)]
    pub struct Avx512(());

    impl Avx512 {
        /// The token, where the CPU has AVX-512 F, BW, DQ and VL.
        pub fn new() -> Option<Self> {
            (is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("fma"))
            .then_some(Self(()))
        }
    }

    // SAFETY: a token exists only where the CPU has AVX-512; masked operations touch no memory outside the mask.
    unsafe impl Simd for Avx512 {
        type F = __m512;
        const LANES: usize = 16;
        const PIXELS: usize = 8;
        const VECTORS: usize = 3;
        #[inline(always)]
        unsafe fn assume() -> Self {
            Self(())
        }
        #[inline(always)]
        unsafe fn load(self, p: *const f32) -> __m512 {
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32, v: __m512) {
            unsafe { _mm512_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn load_part(self, p: *const f32, n: usize) -> __m512 {
            unsafe { _mm512_maskz_loadu_ps((1u16 << n) - 1, p) }
        }
        #[inline(always)]
        unsafe fn store_part(self, p: *mut f32, n: usize, v: __m512) {
            unsafe { _mm512_mask_storeu_ps(p, (1u16 << n) - 1, v) }
        }
        #[inline(always)]
        unsafe fn load_u8(self, p: *const u8) -> __m512 {
            unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()))) }
        }
        #[inline(always)]
        unsafe fn splat(self, x: f32) -> __m512 {
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn add(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn min(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn max(self, a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_max_ps(a, b) }
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub use arm::Neon;

#[cfg(target_arch = "aarch64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "each block passes on the trait's promise")]
mod arm {
    use super::Simd;
    use core::arch::aarch64::*;

    /// NEON: four f32, in every 64-bit ARM CPU.
    #[derive(Clone, Copy, Debug)]
    pub struct Neon(());

    impl Neon {
        /// The token; the aarch64 targets all have NEON, it is asked for all the same.
        pub fn new() -> Option<Self> {
            std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
        }
    }

    // SAFETY: a token exists only where the CPU has NEON. Parts are copied through a local array.
    unsafe impl Simd for Neon {
        type F = float32x4_t;
        const LANES: usize = 4;
        const PIXELS: usize = 6;
        const VECTORS: usize = 4;
        const BY_LANE: bool = true;
        #[inline(always)]
        unsafe fn assume() -> Self {
            Self(())
        }
        #[inline(always)]
        unsafe fn load(self, p: *const f32) -> float32x4_t {
            unsafe { vld1q_f32(p) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32, v: float32x4_t) {
            unsafe { vst1q_f32(p, v) }
        }
        #[inline(always)]
        unsafe fn load_part(self, p: *const f32, n: usize) -> float32x4_t {
            let mut a = [0.0f32; 4];
            unsafe {
                for (i, x) in a.iter_mut().enumerate().take(n) {
                    *x = *p.add(i);
                }
                vld1q_f32(a.as_ptr())
            }
        }
        #[inline(always)]
        unsafe fn store_part(self, p: *mut f32, n: usize, v: float32x4_t) {
            let mut a = [0.0f32; 4];
            unsafe {
                vst1q_f32(a.as_mut_ptr(), v);
                for (i, x) in a.iter().enumerate().take(n) {
                    *p.add(i) = *x;
                }
            }
        }
        #[inline(always)]
        unsafe fn load_u8(self, p: *const u8) -> float32x4_t {
            unsafe {
                let word = p.cast::<u32>().read_unaligned();
                let wide = vmovl_u8(vcreate_u8(u64::from(word)));
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)))
            }
        }
        #[inline(always)]
        unsafe fn splat(self, x: f32) -> float32x4_t {
            unsafe { vdupq_n_f32(x) }
        }
        #[inline(always)]
        unsafe fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            unsafe { vaddq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            unsafe { vsubq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            unsafe { vmulq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            unsafe { vfmaq_f32(c, a, b) }
        }
        #[inline(always)]
        unsafe fn mul_add_lane<const LANE: i32>(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            unsafe { vfmaq_laneq_f32::<LANE>(c, a, b) }
        }
        #[inline(always)]
        unsafe fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            unsafe { vminq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            unsafe { vmaxq_f32(a, b) }
        }
    }
}
