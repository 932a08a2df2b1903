//! The 3x3 depthwise convolution on blocked rows, any atrous rate, stride 1 or more:
//! `d[x][c] = act(sum over rows r, columns j of e[r][x * stride + j * rate][c] * w[r][j][c] + bias[c])`.
//!
//! The vector runs over channels, so stride and rate cost nothing, and the pixels of one group of channels are
//! contiguous. A group keeps its nine weights in registers while it walks along the row, several outputs at a time:
//! each column is read once and used for every output that it contributes to. Rows come padded (zeros left and right, a
//! row of zeros above and below), so there are no edge cases here.
#![allow(
    clippy::inline_always,
    clippy::needless_range_loop,
    reason = "bodies must be inlined into their #[target_feature] entries; tiles are indexed by pixel and vector"
)]

#[cfg(target_arch = "aarch64")]
mod neon;
mod tiles;

use std::mem::MaybeUninit;

use half::f16;

use crate::element::{Element, Real};
use crate::isa::{Isa, isa_entry, isa_entry_f16};
use crate::memory::OutOfMemory;
use crate::pack::{DEPTHWISE_GROUP, PackedDepthwise, PackedReader};
use crate::pointer::Pointer;
use tiles::{DepthwiseTiles, WholeLine};

/// A depthwise convolution of inputs `Self` and weights `W` with outputs `O`: how its weights are packed, and how it
/// runs.
///
/// Another precision is another implementation of this trait, as for [`pointwise::Kernel`](crate::pointwise::Kernel).
pub trait Kernel<W: Element, O: Element>: Element {
    /// The type of weights and bias before packing.
    type Weight: Element;

    /// Packs `weight(c, tap)` (tap = 3 * row + column) and `bias(c)`.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    fn pack(
        isa: Isa,
        channels: usize,
        weight: impl Fn(usize, usize) -> Self::Weight,
        bias: impl Fn(usize) -> Self::Weight,
    ) -> Result<PackedDepthwise<W>, OutOfMemory>;

    /// The same, from weights packed earlier. `None` if too few values are left.
    fn from_packed(isa: Isa, reader: &mut PackedReader, channels: usize) -> Option<PackedDepthwise<W>>;

    /// Computes the row.
    ///
    /// # Safety
    /// The three rows hold `(width - 1) * stride + 2 * rate + 1` pixels of each group of channels, `d` holds `width`; they do
    /// not overlap. The weights were packed for this instruction set.
    unsafe fn run(isa: Isa, row: &Row<'_, Self, W, O>);
}

/// f32 throughout.
impl Kernel<f32, f32> for f32 {
    type Weight = f32;

    fn pack(
        isa: Isa,
        channels: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Result<PackedDepthwise, OutOfMemory> {
        PackedDepthwise::new(channels, isa.lanes(), weight, bias)
    }

    fn from_packed(isa: Isa, reader: &mut PackedReader, channels: usize) -> Option<PackedDepthwise> {
        PackedDepthwise::from_packed(reader, channels, isa.lanes())
    }

    unsafe fn run(isa: Isa, row: &Row<'_>) {
        // SAFETY: the caller's promise.
        unsafe { entry(isa, row) }
    }
}

/// f16 in memory, and in the sums where the CPU multiplies f16. Weights and bias are rounded to f16 when packed.
impl Kernel<f16, f16> for f16 {
    type Weight = f32;

    fn pack(
        isa: Isa,
        channels: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Result<PackedDepthwise<f16>, OutOfMemory> {
        PackedDepthwise::new(channels, isa.lanes_f16(), weight, bias)
    }

    fn from_packed(isa: Isa, reader: &mut PackedReader, channels: usize) -> Option<PackedDepthwise<f16>> {
        PackedDepthwise::from_packed(reader, channels, isa.lanes_f16())
    }

    unsafe fn run(isa: Isa, row: &Row<'_, f16, f16, f16>) {
        // SAFETY: the caller's promise.
        unsafe { entry_f16(isa, row) }
    }
}

/// Computes a row, by the kernel of its element types.
///
/// # Safety
/// As [`Kernel::run`].
pub unsafe fn run<I: Kernel<W, O>, W: Element, O: Element>(isa: Isa, row: &Row<'_, I, W, O>) {
    // SAFETY: the caller's promise.
    unsafe { I::run(isa, row) }
}

/// One output row. Distances are in elements.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a, I: Kernel<W, O> = f32, W: Element = f32, O: Element = f32> {
    /// The three rows that the kernel reads, from the first padded column of the first group on.
    pub rows: [Pointer<I>; 3],
    /// Distance from one group of channels of these rows to the next.
    pub e_group: usize,
    /// Nine weights a channel, and its bias.
    pub weights: &'a PackedDepthwise<W>,
    /// First channel of the weights, a multiple of a vector (the rows may hold only a slice of the channels).
    pub first: usize,
    /// Channels to compute.
    pub channels: usize,
    /// The outputs: the first pixel of the first group.
    pub d: Pointer<O>,
    /// Distance from one group of outputs to the next.
    pub d_group: usize,
    /// Outputs in the row.
    pub width: usize,
    /// Stride along the row.
    pub stride: usize,
    /// Atrous rate along the row.
    pub rate: usize,
    /// Least and greatest output; `None`: no bounds.
    pub clamp: Option<(f32, f32)>,
    /// Adds the input pixel under the kernel's middle after the activation (the shortcut between expansions).
    pub add_input: bool,
}

isa_entry! {
    /// # Safety
    /// As [`body`], except for the token.
    fn entry(row: &Row<'_>) = body;
}
isa_entry_f16! {
    /// # Safety
    /// As [`body`], except for the token.
    fn entry_f16(row: &Row<'_, f16, f16, f16>) = body;
}

/// A float kernel: inputs, weights and outputs of one type.
trait Float: Real + Kernel<Self, Self> {}

impl<E: Real + Kernel<E, E>> Float for E {}

/// # Safety
/// The contract of [`Vector`](crate::simd::Vector) holds for `s`. The three rows hold `(width - 1) * stride + 2 * rate + 1`
/// pixels of each group of channels, `d` holds `width`; they do not overlap.
#[inline(always)]
unsafe fn body<S: DepthwiseTiles>(s: S, row: &Row<'_, S::E, S::E, S::E>)
where
    S::E: Float,
{
    // SAFETY: the caller's promise. As many outputs as possible while sums, weights and a column fit the registers.
    unsafe {
        match (row.stride, row.rate) {
            (1, 1) if S::REGISTERS >= 32 => lines::<S, 8, 1, 1, 10>(s, row),
            (1, 2) if S::REGISTERS >= 32 => lines::<S, 8, 1, 2, 12>(s, row),
            (1, 4) if S::REGISTERS >= 32 => lines::<S, 8, 1, 4, 16>(s, row),
            (1, 1) => lines::<S, 4, 1, 1, 6>(s, row),
            (1, 2) => lines::<S, 4, 1, 2, 8>(s, row),
            (2, 1) => lines::<S, 4, 2, 1, 9>(s, row),
            _ => lines::<S, 1, 0, 0, 0>(s, row),
        }
    }
}

/// All groups of the row, `X` outputs at a time, which read `COLUMNS` = `(X - 1) * STRIDE + 2 * RATE + 1` columns. If
/// `STRIDE`, `RATE` and `COLUMNS` are 0, the row's values are used.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn lines<S: DepthwiseTiles, const X: usize, const STRIDE: usize, const RATE: usize, const COLUMNS: usize>(
    s: S,
    row: &Row<'_, S::E, S::E, S::E>,
) where
    S::E: Float,
{
    let vectors = DEPTHWISE_GROUP * S::LANES;
    let mut weights = Pointer::read(&row.weights.weights).add(row.first / S::LANES * vectors);
    let mut rows = row.rows;
    let mut d = row.d;
    for _ in 0..row.channels.div_ceil(S::LANES) {
        // SAFETY: the caller's promise, for this group.
        unsafe { line::<S, X, STRIDE, RATE, COLUMNS>(s, row, weights.to(vectors), rows, d) }
        weights = weights.add(vectors);
        rows = rows.map(|r| r.add(row.e_group));
        d = d.add(row.d_group);
    }
}

/// A group's row.
///
/// # Safety
/// As [`body`]; `weights` holds the group's weights and bias.
#[inline(always)]
unsafe fn line<S: DepthwiseTiles, const X: usize, const STRIDE: usize, const RATE: usize, const COLUMNS: usize>(
    s: S,
    row: &Row<'_, S::E, S::E, S::E>,
    weights: *const S::E,
    rows: [Pointer<S::E>; 3],
    d: Pointer<S::E>,
) where
    S::E: Float,
{
    // SAFETY: the caller's promise.
    if unsafe { whole::<S, STRIDE, RATE>(s, row, weights, rows, d) } {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let w = s.load_many::<9>(weights);
        let bias = s.load(weights.add(9 * S::LANES));
        let mut x = 0;
        while x + X <= row.width {
            tile::<S, X, STRIDE, RATE, COLUMNS>(s, row, &w, bias, rows, d, x);
            x += X;
        }
        // The remainder: a tile that computes a few outputs again, or one output at a time.
        if row.width - x > 2 && row.width >= X {
            tile::<S, X, STRIDE, RATE, COLUMNS>(s, row, &w, bias, rows, d, row.width - X);
        } else {
            while x < row.width {
                tile::<S, 1, STRIDE, RATE, COLUMNS>(s, row, &w, bias, rows, d, x);
                x += 1;
            }
        }
    }
}

/// A group's row in assembly; returns false if this instruction set has none.
///
/// # Safety
/// As [`line()`].
#[inline(always)]
unsafe fn whole<S: DepthwiseTiles, const STRIDE: usize, const RATE: usize>(
    s: S,
    row: &Row<'_, S::E, S::E, S::E>,
    weights: *const S::E,
    rows: [Pointer<S::E>; 3],
    d: Pointer<S::E>,
) -> bool
where
    S::E: Float,
{
    if S::LINE_TILE == 0 || row.add_input || row.width < S::LINE_TILE {
        return false;
    }
    let lanes = S::LANES;
    // A tile reads its bias four vectors at a time instead of copying it.
    let mut bias = [MaybeUninit::<[u64; 2]>::uninit(); 4];
    // SAFETY: the caller's promise; a vector is sixteen bytes here, since no other instruction set has such a loop.
    unsafe {
        let value = s.load(weights.add(9 * lanes));
        for copy in &mut bias {
            s.store(copy.as_mut_ptr().cast(), value);
        }
    }
    let clamp = row.clamp.map(|(lo, hi)| [lo, hi].map(|v| S::E::from_f32(S::E::finite(v))));
    let tiles = |x: usize, tiles: usize| {
        let outputs = tiles * S::LINE_TILE;
        let columns = (outputs - 1) * STRIDE + 2 * RATE + 1;
        let line = WholeLine {
            rows: rows.map(|r| r.add(x * STRIDE * lanes).to(columns * lanes).cast_const()),
            weights,
            bias: bias.as_ptr().cast(),
            clamp: clamp.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
            d: d.add(x * lanes).to(outputs * lanes),
            tiles,
        };
        // SAFETY: the caller's promise, for outputs x..x + outputs.
        unsafe { s.whole_line::<STRIDE, RATE>(&line) }
    };
    let whole = tiles(0, row.width / S::LINE_TILE);
    // The remainder: a tile that computes a few outputs again.
    if whole && !row.width.is_multiple_of(S::LINE_TILE) {
        tiles(row.width - S::LINE_TILE, 1);
    }
    whole
}

/// Outputs `x..x + X`.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn tile<S: DepthwiseTiles, const X: usize, const STRIDE: usize, const RATE: usize, const COLUMNS: usize>(
    s: S,
    row: &Row<'_, S::E, S::E, S::E>,
    w: &[S::F; 9],
    bias: S::F,
    rows: [Pointer<S::E>; 3],
    d: Pointer<S::E>,
    x: usize,
) where
    S::E: Float,
{
    let lanes = S::LANES;
    let (stride, rate) = if STRIDE == 0 { (row.stride, row.rate) } else { (STRIDE, RATE) };
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [bias; X];
        for r in 0..3 {
            let p = rows[r].add(x * stride * lanes).to(((X - 1) * stride + 2 * rate + 1) * lanes);
            if X == 1 {
                for j in 0..3 {
                    acc[0] = s.mul_add(s.load(p.add(j * rate * lanes)), w[3 * r + j], acc[0]);
                }
            } else {
                let read = s.load_many::<COLUMNS>(p);
                for j in 0..3 {
                    for x in 0..X {
                        acc[x] = s.mul_add(read[x * STRIDE + j * RATE], w[3 * r + j], acc[x]);
                    }
                }
            }
        }
        if let Some((lo, hi)) = row.clamp {
            let lo = s.splat(S::E::finite(lo));
            let hi = s.splat(S::E::finite(hi));
            for a in &mut acc {
                *a = s.min(s.max(*a, lo), hi);
            }
        }
        if row.add_input {
            let p = rows[1].add((x * stride + rate) * lanes);
            for (x, a) in acc.iter_mut().enumerate() {
                *a = s.add(*a, s.load(p.add(x * stride * lanes).to(lanes)));
            }
        }
        let d = d.add(x * lanes).to(X * lanes);
        for (x, a) in acc.iter().enumerate() {
            s.store(d.add(x * lanes), *a);
        }
    }
}
