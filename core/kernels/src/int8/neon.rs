//! Integers in NEON: with the dot product of ARMv8.2 (`sdot`), with the matrix product of ARMv8.6 (`smmla`), and with neither.
//! Bytes are signed.
#![allow(clippy::undocumented_unsafe_blocks, reason = "each block relies on the trait's contract")]
#![allow(
    inline_always_mismatching_target_features,
    reason = "they are inlined once the body is in its entry, which has the features"
)]

use core::arch::aarch64::*;
use core::arch::asm;

use super::micro::{columns, dots, matrix};
use super::vector::{Inputs, Integers, Line, MASK, Order, Tiles};
use crate::simd::Neon;

/// NEON alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NeonBytes(());

/// NEON with `sdot`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NeonDot(());

/// NEON with `sdot` and `smmla`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NeonMatrix(());

impl NeonBytes {
    /// Every CPU with NEON.
    #[inline(always)]
    pub(crate) fn of(_: Neon) -> Self {
        Self(())
    }
}

impl NeonDot {
    /// If the CPU has `sdot`.
    #[inline(always)]
    pub(crate) fn of(_: Neon) -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }
}

impl NeonMatrix {
    /// If the CPU has `sdot` and `smmla`.
    #[inline(always)]
    pub(crate) fn of(simd: Neon) -> Option<Self> {
        let found = NeonDot::of(simd).is_some() && std::arch::is_aarch64_feature_detected!("i8mm");
        found.then_some(Self(()))
    }
}

type Four = [int32x4_t; 4];

#[inline(always)]
fn each(a: Four, f: impl Fn(int32x4_t) -> int32x4_t) -> Four {
    [f(a[0]), f(a[1]), f(a[2]), f(a[3])]
}

#[inline(always)]
fn zip(a: Four, b: Four, f: impl Fn(int32x4_t, int32x4_t) -> int32x4_t) -> Four {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

/// Sixteen sums as 16 bits: saturates.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn narrow(a: Four) -> (int16x8_t, int16x8_t) {
    unsafe {
        let low = vqmovn_high_s32(vqmovn_s32(a[0]), a[1]);
        (low, vqmovn_high_s32(vqmovn_s32(a[2]), a[3]))
    }
}

/// What all of them share.
macro_rules! neon {
    () => {
        const SIGNED: bool = true;
        const GROUPS: usize = 1;
        const OUTPUTS: usize = 3;
        type S = Four;
        type P = int8x16_t;
        type W = [int8x16_t; 4];
        type C = [int8x16_t; 4];
        #[inline(always)]
        unsafe fn load(self, p: *const i32) -> Self::S {
            std::array::from_fn(|i| unsafe { vld1q_s32(p.add(4 * i)) })
        }
        #[inline(always)]
        unsafe fn splat(self, x: i32) -> Self::S {
            [unsafe { vdupq_n_s32(x) }; 4]
        }
        #[inline(always)]
        unsafe fn add(self, a: Self::S, b: Self::S) -> Self::S {
            zip(a, b, |a, b| unsafe { vaddq_s32(a, b) })
        }
        #[inline(always)]
        unsafe fn mul(self, a: Self::S, b: Self::S) -> Self::S {
            zip(a, b, |a, b| unsafe { vmulq_s32(a, b) })
        }
        #[inline(always)]
        unsafe fn min(self, a: Self::S, b: Self::S) -> Self::S {
            zip(a, b, |a, b| unsafe { vminq_s32(a, b) })
        }
        #[inline(always)]
        unsafe fn max(self, a: Self::S, b: Self::S) -> Self::S {
            zip(a, b, |a, b| unsafe { vmaxq_s32(a, b) })
        }
        #[inline(always)]
        unsafe fn shift_left<const N: u32>(self, a: Self::S) -> Self::S {
            each(a, |a| unsafe { vshlq_s32(a, vdupq_n_s32(N as i32)) })
        }
        #[inline(always)]
        unsafe fn shift_left_each(self, a: Self::S, n: Self::S) -> Self::S {
            zip(a, n, |a, n| unsafe { vshlq_s32(a, n) })
        }
        #[inline(always)]
        unsafe fn scale(self, a: Self::S, mantissa: Self::S, right: Self::S, ties: bool) -> Self::S {
            let high = zip(a, mantissa, |a, m| unsafe { vqrdmulhq_s32(a, m) });
            let left = each(right, |right| unsafe { vnegq_s32(right) });
            // A negative number whose shift is not 0 is nudged down, so that its ties are rounded away from zero.
            let nudged = if ties {
                zip(high, left, |h, left| unsafe { vqaddq_s32(h, vshrq_n_s32::<31>(vandq_s32(h, left))) })
            } else {
                high
            };
            zip(nudged, left, |h, left| unsafe { vrshlq_s32(h, left) })
        }
        #[inline(always)]
        unsafe fn pixel(self, p: *const u8) -> Self::P {
            unsafe { vld1q_s8(p.cast()) }
        }
        #[inline(always)]
        unsafe fn weights(self, p: *const i8) -> Self::W {
            std::array::from_fn(|i| unsafe { vld1q_s8(p.add(16 * i)) })
        }
        #[inline(always)]
        unsafe fn column(self, rows: [*const u8; 3]) -> Self::C {
            unsafe {
                let [a, b, c] = rows.map(|row| vld1q_s8(row.cast()));
                let ab = [vreinterpretq_s16_s8(vzip1q_s8(a, b)), vreinterpretq_s16_s8(vzip2q_s8(a, b))];
                // The fourth weight is 0, whatever the fourth byte is.
                let cc = [vreinterpretq_s16_s8(vzip1q_s8(c, c)), vreinterpretq_s16_s8(vzip2q_s8(c, c))];
                [
                    vreinterpretq_s8_s16(vzip1q_s16(ab[0], cc[0])),
                    vreinterpretq_s8_s16(vzip2q_s16(ab[0], cc[0])),
                    vreinterpretq_s8_s16(vzip1q_s16(ab[1], cc[1])),
                    vreinterpretq_s8_s16(vzip2q_s16(ab[1], cc[1])),
                ]
            }
        }
        #[inline(always)]
        unsafe fn column_weights(self, p: *const i8) -> Self::C {
            unsafe { self.weights(p) }
        }
        #[inline(always)]
        unsafe fn widen(self, p: *const u8) -> Self::S {
            unsafe {
                let bytes = vld1q_s8(p.cast());
                let low = vmovl_s8(vget_low_s8(bytes));
                let high = vmovl_high_s8(bytes);
                [vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)]
            }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut u8, sums: Self::S, zero: Self::S, low: Self::S, high: Self::S) {
            unsafe {
                let (a, b) = narrow(sums);
                let (zero, _) = narrow(zero);
                let bytes = vqmovn_high_s16(vqmovn_s16(vqaddq_s16(a, zero)), vqaddq_s16(b, zero));
                let bound = |x: Four| {
                    let (half, _) = narrow(x);
                    vqmovn_high_s16(vqmovn_s16(half), half)
                };
                vst1q_s8(p.cast(), vminq_s8(vmaxq_s8(bytes, bound(low)), bound(high)));
            }
        }
        #[inline(always)]
        unsafe fn store_f32(self, p: *mut f32, sums: Self::S, zero: i32, scale: f32) {
            for i in 0..4 {
                unsafe {
                    let v = vcvtq_f32_s32(vsubq_s32(sums[i], vdupq_n_s32(zero)));
                    vst1q_f32(p.add(4 * i), vmulq_n_f32(v, scale));
                }
            }
        }
        #[inline(always)]
        unsafe fn load_f32(self, p: *const f32, factor: f32) -> Self::S {
            std::array::from_fn(|i| unsafe { vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(p.add(4 * i)), factor)) })
        }
        #[inline(always)]
        unsafe fn sum_bytes(self, first: *const u8, block: usize, blocks: usize, rest: usize) -> i32 {
            unsafe {
                let mut sums = vdupq_n_s32(0);
                let mut p = first;
                for _ in 0..blocks {
                    sums = vpadalq_s16(sums, vpaddlq_s8(vld1q_s8(p.cast())));
                    p = p.wrapping_add(block);
                }
                if rest > 0 {
                    let bytes = vandq_s8(vld1q_s8(p.cast()), vld1q_s8(MASK.as_ptr().add(16 - rest)));
                    sums = vpadalq_s16(sums, vpaddlq_s8(bytes));
                }
                vaddvq_s32(sums)
            }
        }
        #[inline(always)]
        unsafe fn sums_of_four(
            self,
            first: *const u8,
            block: usize,
            blocks: usize,
            rest: usize,
            factor: i32,
            to: *mut i32,
        ) {
            unsafe {
                let mut sums = [vdupq_n_s32(0); 4];
                let mut p = first;
                for _ in 0..blocks {
                    let four = vld1q_s8_x4(p.cast());
                    sums[0] = vpadalq_s16(sums[0], vpaddlq_s8(four.0));
                    sums[1] = vpadalq_s16(sums[1], vpaddlq_s8(four.1));
                    sums[2] = vpadalq_s16(sums[2], vpaddlq_s8(four.2));
                    sums[3] = vpadalq_s16(sums[3], vpaddlq_s8(four.3));
                    p = p.wrapping_add(block);
                }
                if rest > 0 {
                    let mask = vld1q_s8(MASK.as_ptr().add(16 - rest));
                    let four = vld1q_s8_x4(p.cast());
                    sums[0] = vpadalq_s16(sums[0], vpaddlq_s8(vandq_s8(four.0, mask)));
                    sums[1] = vpadalq_s16(sums[1], vpaddlq_s8(vandq_s8(four.1, mask)));
                    sums[2] = vpadalq_s16(sums[2], vpaddlq_s8(vandq_s8(four.2, mask)));
                    sums[3] = vpadalq_s16(sums[3], vpaddlq_s8(vandq_s8(four.3, mask)));
                }
                let all = vpaddq_s32(vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3]));
                vst1q_s32(to, vmulq_n_s32(all, factor));
            }
        }
        #[inline(always)]
        unsafe fn store_sums(self, p: *mut i32, sums: Self::S) {
            for i in 0..4 {
                unsafe { vst1q_s32(p.add(4 * i), sums[i]) }
            }
        }
    };
}

/// Adds to each sum the products of four bytes with the `L`th four of `b`. (The standard library's own function is not stable.)
///
/// # Safety
/// The CPU has `sdot`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn sdot_lane<const L: i32>(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: one instruction on registers.
    unsafe {
        asm!(
            "sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[{lane}]", inout(vreg) sum, in(vreg) a, in(vreg) b, lane = const L,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Adds to each sum the products of four bytes.
///
/// # Safety
/// The CPU has `sdot`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn sdot(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: one instruction on registers.
    unsafe {
        asm!(
            "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) sum, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Adds the products of two rows of eight bytes with two others: two rows of two sums.
///
/// # Safety
/// The CPU has `smmla`.
#[inline]
#[target_feature(enable = "neon,i8mm")]
unsafe fn smmla(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: one instruction on registers.
    unsafe {
        asm!(
            "smmla {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) sum, in(vreg) a, in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Four products of bytes each, by `sdot`.
macro_rules! with_dot {
    () => {
        #[inline(always)]
        unsafe fn dot<const L: i32>(self, sums: Self::S, weights: Self::W, pixel: Self::P) -> Self::S {
            std::array::from_fn(|i| unsafe { sdot_lane::<L>(sums[i], weights[i], pixel) })
        }
        #[inline(always)]
        unsafe fn dot_column(self, sums: Self::S, weights: Self::C, column: Self::C) -> Self::S {
            std::array::from_fn(|i| unsafe { sdot(sums[i], weights[i], column[i]) })
        }
    };
}

/// Four products of bytes each, by 16-bit products and pairwise sums.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn dot_of_bytes(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    unsafe {
        let low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
        let high = vpaddlq_s16(vmull_high_s8(a, b));
        vaddq_s32(sum, vpaddq_s32(low, high))
    }
}

// SAFETY: a token exists only where the CPU has NEON.
unsafe impl Integers for NeonBytes {
    neon!();
    const PIXELS: [usize; 4] = [0, 4, 0, 0];
    #[inline(always)]
    unsafe fn dot<const L: i32>(self, sums: Self::S, weights: Self::W, pixel: Self::P) -> Self::S {
        unsafe {
            let four = vreinterpretq_s8_s32(vdupq_laneq_s32::<L>(vreinterpretq_s32_s8(pixel)));
            std::array::from_fn(|i| dot_of_bytes(sums[i], weights[i], four))
        }
    }
    #[inline(always)]
    unsafe fn dot_column(self, sums: Self::S, weights: Self::C, column: Self::C) -> Self::S {
        std::array::from_fn(|i| unsafe { dot_of_bytes(sums[i], weights[i], column[i]) })
    }
}

// SAFETY: a token exists only where the CPU has the dot product.
unsafe impl Integers for NeonDot {
    neon!();
    const PIXELS: [usize; 4] = [0, 5, 0, 0];
    const MICRO_KERNEL: bool = true;
    with_dot!();
    #[inline(always)]
    unsafe fn depthwise_line<const STRIDE: usize>(self, line: &Line) {
        // SAFETY: the caller's promise.
        unsafe { if STRIDE == 1 { columns::stride_one(line) } else { columns::stride_two(line) } }
    }
    #[inline(always)]
    unsafe fn micro_kernel<const M: usize>(self, tiles: &Tiles) {
        // SAFETY: the caller's promise.
        unsafe {
            match M {
                1 => dots::one(tiles),
                2 => dots::two(tiles),
                3 => dots::three(tiles),
                4 => dots::four(tiles),
                _ => dots::five(tiles),
            }
        }
    }
}

// SAFETY: a token exists only where the CPU has both products.
unsafe impl Integers for NeonMatrix {
    neon!();
    const PIXELS: [usize; 4] = [0, 4, 0, 0];
    const MICRO_KERNEL: bool = true;
    const ORDER: Order = Order::Eights;
    with_dot!();
    #[inline(always)]
    unsafe fn depthwise_line<const STRIDE: usize>(self, line: &Line) {
        // SAFETY: the caller's promise.
        unsafe { if STRIDE == 1 { columns::stride_one(line) } else { columns::stride_two(line) } }
    }
    #[inline(always)]
    unsafe fn micro_kernel<const M: usize>(self, tiles: &Tiles) {
        // SAFETY: the caller's promise.
        unsafe {
            match M {
                1 => matrix::one(tiles),
                2 => matrix::two(tiles),
                3 => matrix::three(tiles),
                _ => matrix::four(tiles),
            }
        }
    }
    #[inline(always)]
    unsafe fn products<const M: usize, const V: usize>(
        self,
        inputs: &Inputs,
        w: *const i8,
        sums: &mut [[Self::S; V]; M],
    ) {
        // A product is of two pixels and two outputs: the sums of a pair of pixels are interleaved meanwhile. An odd last pixel
        // is paired with itself.
        const PAIRS: usize = 3;
        let pairs = M.div_ceil(2);
        unsafe {
            let mut products = [[vdupq_n_s32(0); 8]; PAIRS];
            for pair in 0..pairs {
                let (a, b) = (sums[2 * pair][0], sums[(2 * pair + 1).min(M - 1)][0]);
                for i in 0..4 {
                    products[pair][2 * i] = of_pairs(vzip1q_s64(pairs_of(a[i]), pairs_of(b[i])));
                    products[pair][2 * i + 1] = of_pairs(vzip2q_s64(pairs_of(a[i]), pairs_of(b[i])));
                }
            }
            let mut first = inputs.first;
            let mut w = w;
            for _ in 0..inputs.blocks {
                w = eight::<M>(first, inputs.pixel, w, &mut products);
                w = eight::<M>(first.add(8), inputs.pixel, w, &mut products);
                first = first.wrapping_add(inputs.block);
            }
            if inputs.rest > 0 {
                w = eight::<M>(first, inputs.pixel, w, &mut products);
            }
            if inputs.rest > 2 {
                eight::<M>(first.add(8), inputs.pixel, w, &mut products);
            }
            for pair in 0..pairs {
                for i in 0..4 {
                    let (a, b) = (pairs_of(products[pair][2 * i]), pairs_of(products[pair][2 * i + 1]));
                    sums[2 * pair][0][i] = of_pairs(vzip1q_s64(a, b));
                    if 2 * pair + 1 < M {
                        sums[2 * pair + 1][0][i] = of_pairs(vzip2q_s64(a, b));
                    }
                }
            }
        }
    }
}

/// Sums two by two.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn pairs_of(a: int32x4_t) -> int64x2_t {
    unsafe { vreinterpretq_s64_s32(a) }
}

/// The reverse of [`pairs_of`].
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn of_pairs(a: int64x2_t) -> int32x4_t {
    unsafe { vreinterpretq_s32_s64(a) }
}

/// Eight inputs of `M` pixels and sixteen outputs; returns the next weights.
///
/// # Safety
/// The CPU has `smmla`; the pixels hold eight bytes each, the weights 128.
#[inline(always)]
unsafe fn eight<const M: usize>(
    p: *const u8,
    pixel: usize,
    w: *const i8,
    products: &mut [[int32x4_t; 8]; 3],
) -> *const i8 {
    unsafe {
        let mut pixels = [vdupq_n_s8(0); 3];
        for pair in 0..M.div_ceil(2) {
            let at = |m: usize| vld1_s8(p.add(m * pixel).cast());
            pixels[pair] = vcombine_s8(at(2 * pair), at((2 * pair + 1).min(M - 1)));
        }
        for i in 0..8 {
            let weights = vld1q_s8(w.add(16 * i));
            for pair in 0..M.div_ceil(2) {
                products[pair][i] = smmla(products[pair][i], pixels[pair], weights);
            }
        }
        w.add(128)
    }
}
