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
    /// Adds pairs of groups of `LANES` input channels, `groups` or one less in all, of `M` pixels (at `a`, the groups `group`
    /// f32 apart) times `V` vectors of output channels a channel (at `w`) to `acc`: loops in assembly, for tiles where it
    /// takes fewer instructions than what compilers make. Returns how many groups it added: 0 where there is no such loop.
    #[inline(always)]
    unsafe fn add_groups<const M: usize, const V: usize>(
        self,
        _a: *const f32,
        _group: usize,
        _groups: usize,
        _w: *const f32,
        _acc: &mut [[Self::F; V]; M],
    ) -> usize {
        0
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
    }
}

#[cfg(target_arch = "aarch64")]
pub use arm::Neon;

#[cfg(target_arch = "aarch64")]
#[allow(clippy::undocumented_unsafe_blocks, reason = "each block passes on the trait's promise")]
mod arm {
    use super::Simd;
    use core::arch::aarch64::*;
    use core::arch::asm;

    /// One input channel (lane `$l` of the pixels' vectors v0 to v4) times four vectors of weights, read into v28 to v31.
    macro_rules! lane {
        ($l:literal, $($weight:literal: $($sum:literal, $pixel:literal);+),+) => {
            concat!(
                "ld1 {{v28.4s, v29.4s, v30.4s, v31.4s}}, [{w}], #64\n",
                $($("fmla {", $sum, ":v}.4s, ", $weight, ".4s, ", $pixel, ".s[", $l, "]\n",)+)+
            )
        };
    }
    /// One input channel of five pixels.
    macro_rules! lane_of_five {
        ($l:literal) => {
            lane!($l,
                "v28": "a0", "v0"; "b0", "v1"; "c0", "v2"; "d0", "v3"; "e0", "v4",
                "v29": "a1", "v0"; "b1", "v1"; "c1", "v2"; "d1", "v3"; "e1", "v4",
                "v30": "a2", "v0"; "b2", "v1"; "c2", "v2"; "d2", "v3"; "e2", "v4",
                "v31": "a3", "v0"; "b3", "v1"; "c3", "v2"; "d3", "v3"; "e3", "v4")
        };
    }
    /// One input channel of four pixels.
    macro_rules! lane_of_four {
        ($l:literal) => {
            lane!($l,
                "v28": "a0", "v0"; "b0", "v1"; "c0", "v2"; "d0", "v3",
                "v29": "a1", "v0"; "b1", "v1"; "c1", "v2"; "d1", "v3",
                "v30": "a2", "v0"; "b2", "v1"; "c2", "v2"; "d2", "v3",
                "v31": "a3", "v0"; "b3", "v1"; "c3", "v2"; "d3", "v3")
        };
    }

    /// Five pixels by four vectors, `2 * pairs` groups of four channels. Twenty sums, five vectors of pixels, four of weights:
    /// one load instruction reads four vectors of weights, for twenty multiply-adds.
    ///
    /// # Safety
    /// `pairs > 0`; `a` and `w` as [`Simd::add_groups`] says.
    #[inline(always)]
    unsafe fn five_by_four(a: *const f32, group: usize, pairs: usize, w: *const f32, acc: &mut [[float32x4_t; 4]; 5]) {
        let [a_, b_, c_, d_, e_] = acc;
        // SAFETY: reads what the caller promises; registers are named.
        unsafe {
            asm!(
                "2:",
                "ldr q4, [{a}, #64]",
                "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{a}], {step}",
                lane_of_five!("0"), lane_of_five!("1"), lane_of_five!("2"), lane_of_five!("3"),
                "ldr q4, [{a}, #64]",
                "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{a}], {step}",
                lane_of_five!("0"), lane_of_five!("1"), lane_of_five!("2"), lane_of_five!("3"),
                "subs {n}, {n}, #1",
                "b.ne 2b",
                a = inout(reg) a => _, w = inout(reg) w => _, n = inout(reg) pairs => _,
                step = in(reg) group * size_of::<f32>(),
                a0 = inout(vreg) a_[0], a1 = inout(vreg) a_[1], a2 = inout(vreg) a_[2], a3 = inout(vreg) a_[3],
                b0 = inout(vreg) b_[0], b1 = inout(vreg) b_[1], b2 = inout(vreg) b_[2], b3 = inout(vreg) b_[3],
                c0 = inout(vreg) c_[0], c1 = inout(vreg) c_[1], c2 = inout(vreg) c_[2], c3 = inout(vreg) c_[3],
                d0 = inout(vreg) d_[0], d1 = inout(vreg) d_[1], d2 = inout(vreg) d_[2], d3 = inout(vreg) d_[3],
                e0 = inout(vreg) e_[0], e1 = inout(vreg) e_[1], e2 = inout(vreg) e_[2], e3 = inout(vreg) e_[3],
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _,
                out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                options(readonly, nostack),
            );
        }
    }

    /// Four pixels by four vectors; as [`five_by_four`].
    ///
    /// # Safety
    /// As [`five_by_four`].
    #[inline(always)]
    unsafe fn four_by_four(a: *const f32, group: usize, pairs: usize, w: *const f32, acc: &mut [[float32x4_t; 4]; 4]) {
        let [a_, b_, c_, d_] = acc;
        // SAFETY: reads what the caller promises; registers are named.
        unsafe {
            asm!(
                "2:",
                "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{a}], {step}",
                lane_of_four!("0"), lane_of_four!("1"), lane_of_four!("2"), lane_of_four!("3"),
                "ld1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{a}], {step}",
                lane_of_four!("0"), lane_of_four!("1"), lane_of_four!("2"), lane_of_four!("3"),
                "subs {n}, {n}, #1",
                "b.ne 2b",
                a = inout(reg) a => _, w = inout(reg) w => _, n = inout(reg) pairs => _,
                step = in(reg) group * size_of::<f32>(),
                a0 = inout(vreg) a_[0], a1 = inout(vreg) a_[1], a2 = inout(vreg) a_[2], a3 = inout(vreg) a_[3],
                b0 = inout(vreg) b_[0], b1 = inout(vreg) b_[1], b2 = inout(vreg) b_[2], b3 = inout(vreg) b_[3],
                c0 = inout(vreg) c_[0], c1 = inout(vreg) c_[1], c2 = inout(vreg) c_[2], c3 = inout(vreg) c_[3],
                d0 = inout(vreg) d_[0], d1 = inout(vreg) d_[1], d2 = inout(vreg) d_[2], d3 = inout(vreg) d_[3],
                out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                options(readonly, nostack),
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
        unsafe fn add_groups<const M: usize, const V: usize>(
            self,
            a: *const f32,
            group: usize,
            groups: usize,
            w: *const f32,
            acc: &mut [[float32x4_t; V]; M],
        ) -> usize {
            if groups < 2 {
                return 0;
            }
            // SAFETY: the caller's promise on the pointers; `acc` is the array that the condition says.
            unsafe {
                match (M, V) {
                    (5, 4) => five_by_four(a, group, groups / 2, w, &mut *std::ptr::from_mut(acc).cast()),
                    (4, 4) => four_by_four(a, group, groups / 2, w, &mut *std::ptr::from_mut(acc).cast()),
                    _ => return 0,
                }
            }
            groups / 2 * 2
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
