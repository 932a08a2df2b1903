//! What the integer kernels are written in: sixteen sums at a time, in every instruction set.
#![allow(clippy::missing_safety_doc, reason = "the contract is documented once, on the trait")]

use super::scales::{GROUP, divide, high_product};

/// Bytes from a pixel on that a kernel may read: it reads sixteen inputs at once.
pub const SLACK: usize = 16;

/// Sixteen bytes from `16 - n` on keep the first `n` of sixteen.
pub(super) const MASK: [i8; 32] = {
    let mut mask = [0; 32];
    let mut i = 0;
    while i < 16 {
        mask[i] = -1;
        i += 1;
    }
    mask
};

/// The order of packed weights of sixteen outputs.
#[allow(dead_code, reason = "each target constructs only its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Four inputs of every output, output by output.
    Fours,
    /// Four inputs of every output, eight outputs at a time: their first two inputs, then their last two.
    Pairs,
    /// Eight inputs of every output, output by output.
    Eights,
}

/// Sixteen 32-bit sums, and products of bytes that are added to them.
///
/// # Safety
/// Every method may only be called inside a function that carries the instruction set's `#[target_feature]` (or is
/// inlined into one). Holding `Self` proves that the CPU has it. Pointers must be valid for what the method reads or
/// writes; they need no alignment.
pub(crate) unsafe trait Integers: Copy + Send + Sync + 'static {
    /// Whether maps hold signed bytes.
    const SIGNED: bool;
    /// Groups of output channels in the widest tile.
    const GROUPS: usize;
    /// Pixels in a tile, by the groups of output channels in it.
    const PIXELS: [usize; 4];
    /// Outputs of a depthwise tile.
    const OUTPUTS: usize;
    /// Whether whole tiles of one group of outputs are in assembly.
    const MICRO_KERNEL: bool = false;
    /// Sixteen sums.
    type S: Copy;
    /// Up to sixteen inputs of a pixel, four by four.
    type P: Copy;
    /// Four weights of each of sixteen outputs.
    type W: Copy;
    /// Three bytes of each of sixteen channels: a column under the depthwise kernel.
    type C: Copy;
    /// How weights of sixteen outputs are packed.
    const ORDER: Order = Order::Fours;
    /// Reads sixteen sums.
    unsafe fn load(self, p: *const i32) -> Self::S;
    /// Sixteen times `x`.
    unsafe fn splat(self, x: i32) -> Self::S;
    /// `a + b`, wrapping.
    unsafe fn add(self, a: Self::S, b: Self::S) -> Self::S;
    /// `a * b`, the low 32 bits.
    unsafe fn mul(self, a: Self::S, b: Self::S) -> Self::S;
    /// Smaller of each.
    unsafe fn min(self, a: Self::S, b: Self::S) -> Self::S;
    /// Larger of each.
    unsafe fn max(self, a: Self::S, b: Self::S) -> Self::S;
    /// `a << n`, for the same `n` below 32 everywhere.
    unsafe fn shift_left<const N: u32>(self, a: Self::S) -> Self::S;
    /// `a << n` for each.
    unsafe fn shift_left_each(self, a: Self::S, n: Self::S) -> Self::S;
    /// [`high_product`] of each, then [`divide`] by `2^right` of each. `ties`: whether ties of the division are rounded away
    /// from zero; else they may be rounded up, where the result is negative and does not matter.
    unsafe fn scale(self, a: Self::S, mantissa: Self::S, right: Self::S, ties: bool) -> Self::S;
    /// Reads up to sixteen inputs of a pixel; sixteen bytes are readable.
    unsafe fn pixel(self, p: *const u8) -> Self::P;
    /// Reads four weights of each output.
    unsafe fn weights(self, p: *const i8) -> Self::W;
    /// Adds the products of inputs `4 * L` to `4 * L + 3` of a pixel with their weights.
    unsafe fn dot<const L: i32>(self, sums: Self::S, weights: Self::W, pixel: Self::P) -> Self::S;
    /// Reads a column: sixteen bytes of each of three rows.
    unsafe fn column(self, rows: [*const u8; 3]) -> Self::C;
    /// Weights of a column, packed as `[channel][4]` (the fourth is 0).
    unsafe fn column_weights(self, p: *const i8) -> Self::C;
    /// Adds the products of a column with its weights, channel by channel.
    unsafe fn dot_column(self, sums: Self::S, weights: Self::C, column: Self::C) -> Self::S;
    /// Reads sixteen bytes.
    unsafe fn widen(self, p: *const u8) -> Self::S;
    /// Adds the zero point, clamps, and writes sixteen bytes. (The sums are far from overflowing.)
    unsafe fn store(self, p: *mut u8, sums: Self::S, zero: Self::S, low: Self::S, high: Self::S);
    /// `a` as sixteen f32, each minus `zero` and times `scale`.
    unsafe fn store_f32(self, p: *mut f32, sums: Self::S, zero: i32, scale: f32);
    /// Sixteen f32, each times `factor`, rounded to nearest (ties to even). Beyond a million any number as far from 0; NaN is 0.
    unsafe fn load_f32(self, p: *const f32, factor: f32) -> Self::S;
    /// The sum of `blocks` times sixteen bytes, `block` bytes apart, and of `rest` (below 16) of the next sixteen.
    unsafe fn sum_bytes(self, first: *const u8, block: usize, blocks: usize, rest: usize) -> i32;
    /// The same of four adjacent pixels, sixteen bytes apart, each sum times `factor`.
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
        for i in 0..4 {
            // SAFETY: the caller's promise, for a pixel.
            unsafe { *to.add(i) = self.sum_bytes(first.add(16 * i), block, blocks, rest).wrapping_mul(factor) }
        }
    }
    /// Writes sixteen sums.
    unsafe fn store_sums(self, p: *mut i32, sums: Self::S);

    /// Computes tiles of `M` pixels in assembly; only where there is a [`MICRO_KERNEL`](Self::MICRO_KERNEL).
    #[inline(always)]
    unsafe fn micro_kernel<const M: usize>(self, _tiles: &Tiles) {
        debug_assert!(false, "there is no assembly");
    }
    /// Computes outputs of a depthwise row of stride 1 or 2 in assembly; only where there is a
    /// [`MICRO_KERNEL`](Self::MICRO_KERNEL).
    #[inline(always)]
    unsafe fn depthwise_line<const STRIDE: usize>(self, _line: &Line) {
        debug_assert!(false, "there is no assembly");
    }
    /// Adds to the sums of `M` pixels the products of all inputs with `V` groups of outputs. Weights stand as
    /// [`PackedPointwise`](super::PackedPointwise) packs them.
    #[inline(always)]
    unsafe fn products<const M: usize, const V: usize>(
        self,
        inputs: &Inputs,
        w: *const i8,
        sums: &mut [[Self::S; V]; M],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let (mut p, mut w) = (inputs.first, w);
            for _ in 0..inputs.blocks {
                w = block::<Self, M, V>(self, p, inputs.pixel, 4, w, sums);
                p = p.wrapping_add(inputs.block);
            }
            if inputs.rest > 0 {
                block::<Self, M, V>(self, p, inputs.pixel, inputs.rest, w, sums);
            }
        }
    }
}

/// The inputs of adjacent pixels: blocks of sixteen, then some fours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs {
    /// The first pixel's first block.
    pub(crate) first: *const u8,
    /// From one pixel to the next.
    pub(crate) pixel: usize,
    /// From one block to the next.
    pub(crate) block: usize,
    /// Whole blocks.
    pub(crate) blocks: usize,
    /// Fours of the last block, below 4.
    pub(crate) rest: usize,
}

/// Adjacent tiles of a row, each some pixels by one group of outputs, none of which is shifted to the left. Distances are in bytes.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_arch = "aarch64"), allow(dead_code, reason = "only assembly reads them"))]
pub(crate) struct Tiles {
    /// Inputs: the first pixel's first block of sixteen channels.
    pub(crate) first: *const u8,
    /// From one block to the next.
    pub(crate) block: usize,
    /// Whole blocks.
    pub(crate) blocks: usize,
    /// Fours of the last block, below 4.
    pub(crate) rest: usize,
    /// The panel's weights.
    pub(crate) w: *const i8,
    /// Initial sums of the sixteen outputs; with [`Order::Eights`] each two of them twice.
    pub(crate) bias: *const i32,
    /// Added to the sums of each pixel; null: nothing.
    pub(crate) less: *const i32,
    /// Sixteen mantissas.
    pub(crate) mantissa: *const i32,
    /// Sixteen shifts to the left: 0 or negative.
    pub(crate) shift: *const i32,
    /// The outputs' zero point.
    pub(crate) zero: i16,
    /// Least output.
    pub(crate) low: i8,
    /// Greatest output.
    pub(crate) high: i8,
    /// Not 0 if ties below 0 must be rounded away from zero.
    pub(crate) ties: usize,
    /// The first pixel's outputs.
    pub(crate) c: *mut u8,
    /// Number of tiles, at least one.
    pub(crate) count: usize,
}

/// Outputs of a depthwise row, of one group of channels, none of which is shifted to the left. Distances are in bytes.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_arch = "aarch64"), allow(dead_code, reason = "only assembly reads them"))]
pub(crate) struct Line {
    /// The first column in each row; of stride `s`, `s * (outputs - 1) + 3` columns are read.
    pub(crate) rows: [*const u8; 3],
    /// From one column to the next.
    pub(crate) step: usize,
    /// The group's weights.
    pub(crate) weights: *const i8,
    /// What is added to them; null: nothing.
    pub(crate) second: *const i8,
    /// Sixteen initial sums.
    pub(crate) bias: *const i32,
    /// Sixteen mantissas.
    pub(crate) mantissa: *const i32,
    /// Sixteen shifts to the left: 0 or negative.
    pub(crate) shift: *const i32,
    /// The outputs' zero point.
    pub(crate) zero: i16,
    /// Least output.
    pub(crate) low: i8,
    /// Greatest output.
    pub(crate) high: i8,
    /// Not 0 if ties below 0 must be rounded away from zero.
    pub(crate) ties: usize,
    /// Not 0 if the bounds are not those of the type.
    pub(crate) clamp: usize,
    /// The first output.
    pub(crate) d: *mut u8,
    /// From one output to the next.
    pub(crate) d_step: usize,
    /// Number of outputs, at least one.
    pub(crate) outputs: usize,
}

/// Adds the products of a block of `fours` times four inputs of `M` pixels; returns the next weights.
///
/// # Safety
/// The contract of [`Integers`] holds for `s`; `p` holds `M` pixels, `pixel` bytes apart, with sixteen readable bytes each; `w` holds
/// `fours * V` times 64 weights.
#[inline(always)]
pub(super) unsafe fn block<S: Integers, const M: usize, const V: usize>(
    s: S,
    p: *const u8,
    pixel: usize,
    fours: usize,
    w: *const i8,
    sums: &mut [[S::S; V]; M],
) -> *const i8 {
    // SAFETY: the caller's promise.
    unsafe {
        let mut pixels = [s.pixel(p); M];
        for m in 1..M {
            pixels[m] = s.pixel(p.add(m * pixel));
        }
        if fours == 4 {
            four::<S, M, V, 0>(s, w, &pixels, sums);
            four::<S, M, V, 1>(s, w.add(V * 64), &pixels, sums);
            four::<S, M, V, 2>(s, w.add(V * 128), &pixels, sums);
            four::<S, M, V, 3>(s, w.add(V * 192), &pixels, sums);
        } else {
            four::<S, M, V, 0>(s, w, &pixels, sums);
            if fours > 1 {
                four::<S, M, V, 1>(s, w.add(V * 64), &pixels, sums);
            }
            if fours > 2 {
                four::<S, M, V, 2>(s, w.add(V * 128), &pixels, sums);
            }
        }
        w.add(fours * V * 64)
    }
}

/// Four inputs, the `L`th four of a block.
///
/// # Safety
/// As [`block`].
#[inline(always)]
unsafe fn four<S: Integers, const M: usize, const V: usize, const L: i32>(
    s: S,
    w: *const i8,
    pixels: &[S::P; M],
    sums: &mut [[S::S; V]; M],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut weights = [s.weights(w); V];
        for v in 1..V {
            weights[v] = s.weights(w.add(v * 64));
        }
        for m in 0..M {
            for v in 0..V {
                sums[m][v] = s.dot::<L>(sums[m][v], weights[v], pixels[m]);
            }
        }
    }
}

/// The arithmetic of [`Integers::scale`] on one value.
#[inline(always)]
pub(super) fn scale_one(a: i32, mantissa: i32, right: i32) -> i32 {
    divide(high_product(a, mantissa), right)
}

/// Sums shifted to the left before the product; those that would overflow saturate.
///
/// # Safety
/// The contract of [`Integers`] holds for `s`; `shifts` holds sixteen values below 31.
#[inline(always)]
pub(super) unsafe fn shift_left<S: Integers>(s: S, sums: S::S, shifts: *const i32) -> S::S {
    // SAFETY: the caller's promise.
    unsafe {
        let mut most = [0i32; GROUP];
        for (i, most) in most.iter_mut().enumerate() {
            *most = i32::MAX >> *shifts.add(i);
        }
        let least = most.map(|most| -most);
        let sums = s.max(s.min(sums, s.load(most.as_ptr())), s.load(least.as_ptr()));
        s.shift_left_each(sums, s.load(shifts))
    }
}

/// Within 30 bits, so that adding a zero point does not overflow, where sums were shifted to the left.
///
/// # Safety
/// The contract of [`Integers`] holds for `s`.
#[inline(always)]
pub(super) unsafe fn bounded<S: Integers>(s: S, sums: S::S, left: bool) -> S::S {
    if !left {
        return sums;
    }
    // SAFETY: the caller's promise.
    unsafe { s.max(s.min(sums, s.splat(1 << 30)), s.splat(-(1 << 30))) }
}
