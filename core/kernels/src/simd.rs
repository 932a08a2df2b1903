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
    /// Vector registers.
    const REGISTERS: usize;
    /// Pixels in a full tile of the pointwise kernel, by the vectors of output channels in it: together they fill the
    /// registers.
    const PIXELS: [usize; 5];
    /// Vectors of output channels in a full tile of the pointwise kernel.
    const VECTORS: usize;
    /// Whether a multiply-add can take one lane of a vector as its factor ([`mul_add_lane`](Self::mul_add_lane) is then
    /// one instruction, and four input channels of a pixel are read at once).
    const BY_LANE: bool = false;
    /// Outputs of a tile of [`whole_line`](Self::whole_line); 0: there is no such loop.
    const LINE_TILE: usize = 0;
    /// The token, without asking.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn assume() -> Self;
    /// Reads `LANES` values.
    unsafe fn load(self, p: *const f32) -> Self::F;
    /// Reads `N` vectors that follow one another.
    #[inline(always)]
    unsafe fn load_many<const N: usize>(self, p: *const f32) -> [Self::F; N] {
        // SAFETY: the trait's promise, for each vector.
        std::array::from_fn(|i| unsafe { self.load(p.add(i * Self::LANES)) })
    }
    /// Writes `LANES` values.
    unsafe fn store(self, p: *mut f32, v: Self::F);
    /// Reads `LANES` bytes as f32 (0 to 255).
    unsafe fn load_u8(self, p: *const u8) -> Self::F;
    /// Reads `4 * LANES` bytes as f32.
    #[inline(always)]
    unsafe fn load_u8_four(self, p: *const u8) -> [Self::F; 4] {
        // SAFETY: the trait's promise, for each vector.
        std::array::from_fn(|i| unsafe { self.load_u8(p.add(i * Self::LANES)) })
    }
    /// Sums rows of bytes in integers, where that takes fewer instructions: `o[i] = sum over t of weights[t] * p[t * row_stride + i]`
    /// for the first of `n` values; returns for how many.
    #[inline(always)]
    unsafe fn sum_bytes(self, _p: *const u8, _row_stride: usize, _weights: &[f32], _o: *mut f32, _n: usize) -> usize {
        0
    }
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
    /// The whole of pointwise tiles of `M` pixels by `V` vectors in assembly, where there is some that takes fewer instructions
    /// than what compilers make; returns whether there is.
    ///
    /// # Safety
    /// `tiles`' pointers are valid as its fields say.
    #[inline(always)]
    unsafe fn whole_tiles<const M: usize, const V: usize>(self, _tiles: &WholeTiles) -> bool {
        false
    }
    /// `LINE_TILE` outputs of a depthwise row at a time, in assembly, where there is such a loop for this stride and atrous
    /// rate; returns whether there is.
    ///
    /// # Safety
    /// `line`'s pointers are valid as its fields say.
    #[inline(always)]
    unsafe fn whole_line<const STRIDE: usize, const RATE: usize>(self, _line: &WholeLine) -> bool {
        false
    }
    /// Smaller of each lane.
    unsafe fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// Larger of each lane.
    unsafe fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// In each lane `x` where `a > b`, else `y`.
    unsafe fn where_greater(self, a: Self::F, b: Self::F, x: Self::F, y: Self::F) -> Self::F;
}

/// Tiles of the pointwise kernel whose input channels are whole vectors, side by side in a row: each `M` pixels by `V` vectors of
/// output channels. Pixels of a group of channels lie side by side; distances are in f32.
#[derive(Clone, Copy, Debug)]
pub struct WholeTiles {
    /// Input channels: the first of `M` pixels of the first of `4 * turns + rest` groups.
    pub a: *const f32,
    /// From one group of input channels to the next.
    pub a_group: usize,
    /// Groups of input channels, four at a time.
    pub turns: usize,
    /// Groups left over.
    pub rest: usize,
    /// Weights: `V` vectors for each input channel.
    pub w: *const f32,
    /// What the sums start from: `M` vectors in each of `V` groups.
    pub init: *const f32,
    /// From one of these groups to the next.
    pub init_group: usize,
    /// From a group's first vector to its fifth: 4 vectors, or 0.
    pub init_more: usize,
    /// From one tile's to the next one's: `M` vectors, or 0.
    pub init_tile: usize,
    /// Least and greatest output; null: any.
    pub clamp: *const [f32; 2],
    /// Added after the clamp: `M` vectors in each of `V` groups; null: nothing.
    pub residual: *const f32,
    /// From one of these groups to the next.
    pub residual_group: usize,
    /// Output channels: `M` vectors in each of `V` groups.
    pub c: *mut f32,
    /// From one group of output channels to the next.
    pub c_group: usize,
    /// Tiles, at least one.
    pub tiles: usize,
}

/// Outputs of a group of channels of a 3x3 depthwise row, `tiles` times [`LINE_TILE`](Simd::LINE_TILE) of them.
#[derive(Clone, Copy, Debug)]
pub struct WholeLine {
    /// The three rows, from the first column on.
    pub rows: [*const f32; 3],
    /// Nine vectors.
    pub weights: *const f32,
    /// The bias's vector, four times.
    pub bias: *const f32,
    /// Least and greatest output; null: any.
    pub clamp: *const [f32; 2],
    /// Outputs.
    pub d: *mut f32,
    /// At least one.
    pub tiles: usize,
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
    const REGISTERS: usize = 16;
    const PIXELS: [usize; 5] = [0, 2, 2, 2, 2];
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
    #[inline(always)]
    unsafe fn where_greater(self, a: f32, b: f32, x: f32, y: f32) -> f32 {
        if a > b { x } else { y }
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
    }

    // SAFETY: a token exists only where the CPU has AVX2 and FMA.
    unsafe impl Simd for Avx2 {
        type F = __m256;
        const LANES: usize = 8;
        const REGISTERS: usize = 16;
        const PIXELS: [usize; 5] = [0, 6, 6, 0, 0];
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
        #[inline(always)]
        unsafe fn where_greater(self, a: __m256, b: __m256, x: __m256, y: __m256) -> __m256 {
            unsafe { _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) }
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

    // SAFETY: a token exists only where the CPU has AVX-512.
    unsafe impl Simd for Avx512 {
        type F = __m512;
        const LANES: usize = 16;
        const REGISTERS: usize = 32;
        const PIXELS: [usize; 5] = [0, 8, 8, 8, 0];
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
        #[inline(always)]
        unsafe fn where_greater(self, a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
            unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), y, x) }
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub use arm::Neon;

#[cfg(target_arch = "aarch64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "each block passes on the trait's promise")]
mod arm {
    use super::{Simd, WholeLine, WholeTiles};
    use crate::{neon_depthwise, neon_pointwise};
    use core::arch::aarch64::*;
    use core::arch::asm;

    /// Adds eight products of 16 bits to their sums. Compilers move the upper half down first, which the instruction does not
    /// need.
    #[inline(always)]
    fn add_products(low: &mut uint32x4_t, high: &mut uint32x4_t, a: uint16x8_t, b: uint16x8_t) {
        // SAFETY: NEON is part of every 64-bit ARM target; registers alone are touched.
        unsafe {
            asm!(
                "umlal {low:v}.4s, {a:v}.4h, {b:v}.4h",
                "umlal2 {high:v}.4s, {a:v}.8h, {b:v}.8h",
                low = inout(vreg) *low,
                high = inout(vreg) *high,
                a = in(vreg) a,
                b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }

    /// NEON: four f32, in every 64-bit ARM CPU.
    #[derive(Clone, Copy, Debug)]
    pub struct Neon(());

    impl Neon {
        /// The token; the aarch64 targets all have NEON, it is asked for all the same.
        pub fn new() -> Option<Self> {
            std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
        }
    }

    // SAFETY: a token exists only where the CPU has NEON.
    unsafe impl Simd for Neon {
        type F = float32x4_t;
        const LANES: usize = 4;
        const REGISTERS: usize = 32;
        const PIXELS: [usize; 5] = [0, 8, 8, 7, 5];
        const VECTORS: usize = 4;
        const BY_LANE: bool = true;
        const LINE_TILE: usize = neon_depthwise::OUTPUTS;
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
        unsafe fn load_u8(self, p: *const u8) -> float32x4_t {
            unsafe {
                let word = p.cast::<u32>().read_unaligned();
                let wide = vmovl_u8(vcreate_u8(u64::from(word)));
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)))
            }
        }
        #[inline(always)]
        unsafe fn load_u8_four(self, p: *const u8) -> [float32x4_t; 4] {
            // One table look-up widens four bytes: what the index does not name becomes zero.
            const WIDEN: [[u8; 16]; 4] = {
                let mut index = [[255; 16]; 4];
                let mut i = 0;
                while i < 16 {
                    index[i / 4][i % 4 * 4] = i as u8;
                    i += 1;
                }
                index
            };
            // SAFETY: sixteen bytes, as the caller promises; the indices are sixteen bytes each.
            unsafe {
                let bytes = vld1q_u8(p);
                WIDEN
                    .each_ref()
                    .map(|index| vcvtq_f32_u32(vreinterpretq_u32_u8(vqtbl1q_u8(bytes, vld1q_u8(index.as_ptr())))))
            }
        }
        #[inline(always)]
        unsafe fn sum_bytes(self, p: *const u8, row_stride: usize, weights: &[f32], o: *mut f32, n: usize) -> usize {
            const STEP: usize = 64;
            const MOST: usize = 64;
            // A product of 16 bits costs half of what widening a byte to f32 does. Weights are whole parts of 2^15, so that their
            // sum fits with every byte; how far rounding takes that sum from 1 goes to the heaviest, so that even areas stay.
            let mut parts = [0u16; MOST];
            if n < STEP || weights.len() > MOST || weights.iter().any(|w| !(0.0..=1.0).contains(w)) {
                return 0;
            }
            let (mut left, mut whole, mut heaviest) = (32768, 0.0, 0);
            for (t, (part, &w)) in parts.iter_mut().zip(weights).enumerate() {
                *part = (w * 32768.0 + 0.5) as u16;
                (left, whole) = (left - i32::from(*part), whole + w);
                if w > weights[heaviest] {
                    heaviest = t;
                }
            }
            if (whole - 1.0).abs() > 1e-5 {
                return 0;
            }
            parts[heaviest] = (i32::from(parts[heaviest]) + left) as u16;
            let mut i = 0;
            // SAFETY: values i..i + STEP of each row and of `o`, which the caller promises.
            unsafe {
                while i + STEP <= n {
                    let mut sums = [[vdupq_n_u32(0); 4]; 4];
                    for (t, &part) in parts[..weights.len()].iter().enumerate() {
                        let part = vdupq_n_u16(part);
                        let uint8x16x4_t(a, b, c, d) = vld1q_u8_x4(p.add(t * row_stride + i));
                        for ([s0, s1, s2, s3], bytes) in sums.iter_mut().zip([a, b, c, d]) {
                            let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
                            add_products(s0, s1, low, part);
                            add_products(s2, s3, high, part);
                        }
                    }
                    for (v, &sum) in sums.as_flattened().iter().enumerate() {
                        vst1q_f32(o.add(i + 4 * v), vcvtq_n_f32_u32::<15>(sum));
                    }
                    i += STEP;
                }
            }
            i
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
        unsafe fn whole_tiles<const M: usize, const V: usize>(self, tiles: &WholeTiles) -> bool {
            unsafe {
                match (M, V) {
                    (8, 2) => neon_pointwise::eight_by_two(tiles),
                    (7, 2) => neon_pointwise::seven_by_two(tiles),
                    (7, 3) => neon_pointwise::seven_by_three(tiles),
                    (6, 3) => neon_pointwise::six_by_three(tiles),
                    (5, 3) => neon_pointwise::five_by_three(tiles),
                    (5, 4) => neon_pointwise::five_by_four(tiles),
                    (4, 4) => neon_pointwise::four_by_four(tiles),
                    _ => return false,
                }
            }
            true
        }
        #[inline(always)]
        unsafe fn whole_line<const STRIDE: usize, const RATE: usize>(self, line: &WholeLine) -> bool {
            unsafe {
                match (STRIDE, RATE) {
                    (1, 1) => neon_depthwise::rate_1(line),
                    (1, 2) => neon_depthwise::rate_2(line),
                    (1, 4) => neon_depthwise::rate_4(line),
                    (2, 1) => neon_depthwise::stride_2(line),
                    _ => return false,
                }
            }
            true
        }
        #[inline(always)]
        unsafe fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            unsafe { vminq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            unsafe { vmaxq_f32(a, b) }
        }
        #[inline(always)]
        unsafe fn where_greater(self, a: float32x4_t, b: float32x4_t, x: float32x4_t, y: float32x4_t) -> float32x4_t {
            unsafe { vbslq_f32(vcgtq_f32(a, b), x, y) }
        }
    }
}
