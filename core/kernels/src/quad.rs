//! Vectors of exactly four f32: a pixel in the image kernels, whose channels are interleaved; a row of the blocks in
//! which weights are transposed. Compilers do not find these vectors by themselves.

#![allow(clippy::inline_always, clippy::missing_safety_doc, reason = "the contract is documented once, on the trait")]

use crate::simd::{Scalar, Simd};

/// Four f32 in each instruction set.
///
/// # Safety
/// As [`Simd`]: only inside a function that carries the instruction set's `#[target_feature]`, with pointers valid for
/// four values, at any alignment.
pub(crate) unsafe trait Quads: Simd {
    /// Four f32.
    type Q: Copy;
    /// Reads four values.
    unsafe fn load4(self, p: *const f32) -> Self::Q;
    /// Reads four bytes as 0 to 255.
    unsafe fn load4_u8(self, p: *const u8) -> Self::Q;
    /// Writes four values.
    unsafe fn store4(self, p: *mut f32, q: Self::Q);
    /// All four `x`.
    unsafe fn splat4(self, x: f32) -> Self::Q;
    /// `a + b`.
    unsafe fn add4(self, a: Self::Q, b: Self::Q) -> Self::Q;
    /// `a * b + c`.
    unsafe fn mul_add4(self, a: Self::Q, b: Self::Q, c: Self::Q) -> Self::Q;
    /// The sum of `t` pixels' products: pixel `i` at `p + i * step`, its weight at `w + i`, added to `sum` one by one.
    #[inline(always)]
    unsafe fn sum4(self, p: *const f32, step: usize, w: *const f32, t: usize, sum: Self::Q) -> Self::Q {
        let mut sum = sum;
        let mut i = 0;
        // SAFETY: the trait's contract, for each pixel.
        unsafe {
            // Four at a time, to share addresses and the loop's end; the order of summation does not change.
            while i + 4 <= t {
                for i in i..i + 4 {
                    sum = self.mul_add4(self.load4(p.add(i * step)), self.splat4(*w.add(i)), sum);
                }
                i += 4;
            }
            while i < t {
                sum = self.mul_add4(self.load4(p.add(i * step)), self.splat4(*w.add(i)), sum);
                i += 1;
            }
        }
        sum
    }
    /// At least 0, at most 255.
    unsafe fn clamp4(self, q: Self::Q) -> Self::Q;
    /// Swaps first and third: BGR becomes RGB.
    unsafe fn swap4(self, q: Self::Q) -> Self::Q;
    /// Transposes: rows become columns.
    unsafe fn transpose4(self, rows: [Self::Q; 4]) -> [Self::Q; 4];
}

// SAFETY: plain Rust, which needs no CPU feature.
#[allow(clippy::undocumented_unsafe_blocks, reason = "each block relies on the trait's contract for its pointer")]
unsafe impl Quads for Scalar {
    type Q = [f32; 4];
    #[inline(always)]
    unsafe fn load4(self, p: *const f32) -> [f32; 4] {
        unsafe { p.cast::<[f32; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn load4_u8(self, p: *const u8) -> [f32; 4] {
        unsafe { p.cast::<[u8; 4]>().read() }.map(f32::from)
    }
    #[inline(always)]
    unsafe fn store4(self, p: *mut f32, q: [f32; 4]) {
        unsafe { p.cast::<[f32; 4]>().write(q) }
    }
    #[inline(always)]
    unsafe fn splat4(self, x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn add4(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
    }
    #[inline(always)]
    unsafe fn mul_add4(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        [a[0] * b[0] + c[0], a[1] * b[1] + c[1], a[2] * b[2] + c[2], a[3] * b[3] + c[3]]
    }
    #[inline(always)]
    unsafe fn clamp4(self, q: [f32; 4]) -> [f32; 4] {
        q.map(|x| x.clamp(0.0, 255.0))
    }
    #[inline(always)]
    unsafe fn swap4(self, [a, b, c, d]: [f32; 4]) -> [f32; 4] {
        [c, b, a, d]
    }
    #[inline(always)]
    unsafe fn transpose4(self, rows: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
        std::array::from_fn(|i| rows.map(|row| row[i]))
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "each block relies on the trait's contract")]
mod x86 {
    use core::arch::x86_64::*;

    use super::Quads;
    use crate::simd::{Avx2, Avx512, Sse2};

    /// The instruction sets have the same 128-bit operations, except for two: widening four bytes, and the
    /// multiply-add.
    macro_rules! quads {
        ($token:ty, $widen:expr, $mul_add:expr) => {
            // SAFETY: the token proves that the CPU has the instruction set.
            unsafe impl Quads for $token {
                type Q = __m128;
                #[inline(always)]
                unsafe fn load4(self, p: *const f32) -> __m128 {
                    unsafe { _mm_loadu_ps(p) }
                }
                #[inline(always)]
                unsafe fn load4_u8(self, p: *const u8) -> __m128 {
                    unsafe { _mm_cvtepi32_ps($widen(_mm_cvtsi32_si128(p.cast::<i32>().read_unaligned()))) }
                }
                #[inline(always)]
                unsafe fn store4(self, p: *mut f32, q: __m128) {
                    unsafe { _mm_storeu_ps(p, q) }
                }
                #[inline(always)]
                unsafe fn splat4(self, x: f32) -> __m128 {
                    unsafe { _mm_set1_ps(x) }
                }
                #[inline(always)]
                unsafe fn add4(self, a: __m128, b: __m128) -> __m128 {
                    unsafe { _mm_add_ps(a, b) }
                }
                #[inline(always)]
                unsafe fn mul_add4(self, a: __m128, b: __m128, c: __m128) -> __m128 {
                    unsafe { $mul_add(a, b, c) }
                }
                #[inline(always)]
                unsafe fn clamp4(self, q: __m128) -> __m128 {
                    unsafe { _mm_min_ps(_mm_max_ps(q, _mm_setzero_ps()), _mm_set1_ps(255.0)) }
                }
                #[inline(always)]
                unsafe fn swap4(self, q: __m128) -> __m128 {
                    unsafe { _mm_shuffle_ps::<0b11_00_01_10>(q, q) }
                }
                #[inline(always)]
                unsafe fn transpose4(self, [a, b, c, d]: [__m128; 4]) -> [__m128; 4] {
                    unsafe {
                        let ab = _mm_unpacklo_ps(a, b);
                        let cd = _mm_unpacklo_ps(c, d);
                        let ab_high = _mm_unpackhi_ps(a, b);
                        let cd_high = _mm_unpackhi_ps(c, d);
                        [
                            _mm_movelh_ps(ab, cd),
                            _mm_movehl_ps(cd, ab),
                            _mm_movelh_ps(ab_high, cd_high),
                            _mm_movehl_ps(cd_high, ab_high),
                        ]
                    }
                }
            }
        };
    }
    quads!(Sse2, widen, mul_then_add);
    quads!(Avx2, _mm_cvtepu8_epi32, _mm_fmadd_ps);
    quads!(Avx512, _mm_cvtepu8_epi32, _mm_fmadd_ps);

    /// The four low bytes as four i32. Only SSE4.1 has an instruction for it.
    ///
    /// # Safety
    /// Only inside a function for which SSE2 is enabled: the baseline of `x86_64`.
    #[inline(always)]
    unsafe fn widen(bytes: __m128i) -> __m128i {
        unsafe {
            let zero = _mm_setzero_si128();
            _mm_unpacklo_epi16(_mm_unpacklo_epi8(bytes, zero), zero)
        }
    }

    /// `a * b + c`, rounded twice: SSE2 has no fused multiply-add.
    ///
    /// # Safety
    /// As [`widen`].
    #[inline(always)]
    unsafe fn mul_then_add(a: __m128, b: __m128, c: __m128) -> __m128 {
        unsafe { _mm_add_ps(_mm_mul_ps(a, b), c) }
    }
}

#[cfg(target_arch = "aarch64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "each block relies on the trait's contract")]
mod arm {
    use core::arch::aarch64::*;

    use super::Quads;
    use crate::simd::{Neon, Simd};

    // SAFETY: a vector of NEON is a quad.
    unsafe impl Quads for Neon {
        type Q = float32x4_t;
        #[inline(always)]
        unsafe fn load4(self, p: *const f32) -> float32x4_t {
            unsafe { vld1q_f32(p) }
        }
        #[inline(always)]
        unsafe fn load4_u8(self, p: *const u8) -> float32x4_t {
            unsafe { self.load_u8(p) }
        }
        #[inline(always)]
        unsafe fn store4(self, p: *mut f32, q: float32x4_t) {
            unsafe { vst1q_f32(p, q) }
        }
        #[inline(always)]
        unsafe fn splat4(self, x: f32) -> float32x4_t {
            unsafe { vdupq_n_f32(x) }
        }
        #[inline(always)]
        unsafe fn add4(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            unsafe { vaddq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn mul_add4(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            unsafe { vfmaq_f32(c, a, b) }
        }
        #[inline(always)]
        unsafe fn sum4(
            self,
            mut p: *const f32,
            step: usize,
            mut w: *const f32,
            t: usize,
            mut sum: float32x4_t,
        ) -> float32x4_t {
            // One instruction loads four weights; each multiply-add uses one lane.
            unsafe {
                for _ in 0..t / 4 {
                    let weights = vld1q_f32(w);
                    sum = vfmaq_laneq_f32::<0>(sum, vld1q_f32(p), weights);
                    sum = vfmaq_laneq_f32::<1>(sum, vld1q_f32(p.add(step)), weights);
                    sum = vfmaq_laneq_f32::<2>(sum, vld1q_f32(p.add(2 * step)), weights);
                    sum = vfmaq_laneq_f32::<3>(sum, vld1q_f32(p.add(3 * step)), weights);
                    (p, w) = (p.add(4 * step), w.add(4));
                }
                if t % 4 >= 2 {
                    let weights = vld1_f32(w);
                    sum = vfmaq_lane_f32::<0>(sum, vld1q_f32(p), weights);
                    sum = vfmaq_lane_f32::<1>(sum, vld1q_f32(p.add(step)), weights);
                    (p, w) = (p.add(2 * step), w.add(2));
                }
                if t % 2 == 1 {
                    sum = vfmaq_n_f32(sum, vld1q_f32(p), *w);
                }
            }
            sum
        }
        #[inline(always)]
        unsafe fn clamp4(self, q: float32x4_t) -> float32x4_t {
            unsafe { vminq_f32(vmaxq_f32(q, vdupq_n_f32(0.0)), vdupq_n_f32(255.0)) }
        }
        #[inline(always)]
        unsafe fn swap4(self, q: float32x4_t) -> float32x4_t {
            unsafe { vcopyq_laneq_f32::<2, 0>(vcopyq_laneq_f32::<0, 2>(q, q), q) }
        }
        #[inline(always)]
        unsafe fn transpose4(self, [a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
            unsafe {
                let pairs = |x, y| (vreinterpretq_f64_f32(vtrn1q_f32(x, y)), vreinterpretq_f64_f32(vtrn2q_f32(x, y)));
                let ((ab_even, ab_odd), (cd_even, cd_odd)) = (pairs(a, b), pairs(c, d));
                [
                    vreinterpretq_f32_f64(vtrn1q_f64(ab_even, cd_even)),
                    vreinterpretq_f32_f64(vtrn1q_f64(ab_odd, cd_odd)),
                    vreinterpretq_f32_f64(vtrn2q_f64(ab_even, cd_even)),
                    vreinterpretq_f32_f64(vtrn2q_f64(ab_odd, cd_odd)),
                ]
            }
        }
    }
}
