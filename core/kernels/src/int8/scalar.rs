//! Integers in plain Rust: the reference, on every CPU.
#![allow(clippy::undocumented_unsafe_blocks, reason = "each block relies on the trait's contract")]

use super::vector::{Integers, scale_one};

/// Always available.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScalarInt8;

fn zip(a: [i32; 16], b: [i32; 16], f: impl Fn(i32, i32) -> i32) -> [i32; 16] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

// SAFETY: plain Rust, which needs no CPU feature. Pointers: the trait's contract, upheld by the caller.
unsafe impl Integers for ScalarInt8 {
    const SIGNED: bool = false;
    const GROUPS: usize = 1;
    const PIXELS: [usize; 4] = [0, 2, 0, 0];
    const OUTPUTS: usize = 2;
    type S = [i32; 16];
    type P = [u8; 16];
    type W = [i8; 64];
    type C = [i32; 48];
    #[inline(always)]
    unsafe fn load(self, p: *const i32) -> Self::S {
        unsafe { p.cast::<Self::S>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn splat(self, x: i32) -> Self::S {
        [x; 16]
    }
    #[inline(always)]
    unsafe fn add(self, a: Self::S, b: Self::S) -> Self::S {
        zip(a, b, i32::wrapping_add)
    }
    #[inline(always)]
    unsafe fn mul(self, a: Self::S, b: Self::S) -> Self::S {
        zip(a, b, i32::wrapping_mul)
    }
    #[inline(always)]
    unsafe fn min(self, a: Self::S, b: Self::S) -> Self::S {
        zip(a, b, i32::min)
    }
    #[inline(always)]
    unsafe fn max(self, a: Self::S, b: Self::S) -> Self::S {
        zip(a, b, i32::max)
    }
    #[inline(always)]
    unsafe fn shift_left<const N: u32>(self, a: Self::S) -> Self::S {
        a.map(|v| v << N)
    }
    #[inline(always)]
    unsafe fn shift_left_each(self, a: Self::S, n: Self::S) -> Self::S {
        zip(a, n, |v, n| v << n)
    }
    #[inline(always)]
    unsafe fn scale(self, a: Self::S, mantissa: Self::S, right: Self::S, _: bool) -> Self::S {
        std::array::from_fn(|i| scale_one(a[i], mantissa[i], right[i]))
    }
    #[inline(always)]
    unsafe fn pixel(self, p: *const u8) -> Self::P {
        unsafe { p.cast::<Self::P>().read() }
    }
    #[inline(always)]
    unsafe fn weights(self, p: *const i8) -> Self::W {
        unsafe { p.cast::<Self::W>().read() }
    }
    #[inline(always)]
    unsafe fn dot<const L: i32>(self, sums: Self::S, weights: Self::W, pixel: Self::P) -> Self::S {
        let four: [i32; 4] = std::array::from_fn(|i| i32::from(pixel[4 * L as usize + i]));
        std::array::from_fn(|o| {
            (0..4).fold(sums[o], |sum, i| sum.wrapping_add(four[i] * i32::from(weights[4 * o + i])))
        })
    }
    #[inline(always)]
    unsafe fn column(self, rows: [*const u8; 3]) -> Self::C {
        std::array::from_fn(|i| i32::from(unsafe { *rows[i % 3].add(i / 3) }))
    }
    #[inline(always)]
    unsafe fn column_weights(self, p: *const i8) -> Self::C {
        std::array::from_fn(|i| i32::from(unsafe { *p.add(i / 3 * 4 + i % 3) }))
    }
    #[inline(always)]
    unsafe fn dot_column(self, sums: Self::S, weights: Self::C, column: Self::C) -> Self::S {
        std::array::from_fn(|c| (0..3).fold(sums[c], |sum, i| sum.wrapping_add(weights[3 * c + i] * column[3 * c + i])))
    }
    #[inline(always)]
    unsafe fn widen(self, p: *const u8) -> Self::S {
        std::array::from_fn(|i| i32::from(unsafe { *p.add(i) }))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut u8, sums: Self::S, zero: Self::S, low: Self::S, high: Self::S) {
        for i in 0..16 {
            unsafe { *p.add(i) = (sums[i] + zero[i]).max(low[i]).min(high[i]) as u8 }
        }
    }
    #[inline(always)]
    unsafe fn store_f32(self, p: *mut f32, sums: Self::S, zero: i32, scale: f32) {
        for i in 0..16 {
            unsafe { *p.add(i) = (sums[i] - zero) as f32 * scale }
        }
    }
    #[inline(always)]
    unsafe fn load_f32(self, p: *const f32, factor: f32) -> Self::S {
        std::array::from_fn(|i| (unsafe { *p.add(i) } * factor).clamp(-1e6, 1e6).round_ties_even() as i32)
    }
    #[inline(always)]
    unsafe fn sum_bytes(self, first: *const u8, block: usize, blocks: usize, rest: usize) -> i32 {
        let of = |i: usize, n: usize| (0..n).map(|b| i32::from(unsafe { *first.add(i * block + b) })).sum::<i32>();
        (0..blocks).map(|i| of(i, 16)).sum::<i32>() + of(blocks, rest)
    }
    #[inline(always)]
    unsafe fn store_sums(self, p: *mut i32, sums: Self::S) {
        unsafe { p.cast::<Self::S>().write_unaligned(sums) }
    }
}
