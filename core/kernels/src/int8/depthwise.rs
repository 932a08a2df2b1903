//! The 3x3 depthwise convolution of bytes, any atrous rate, stride 1 or more. A column under the kernel is three bytes of each
//! of sixteen channels; one dot product multiplies them, so a pixel takes three of them. Rows come padded with the zero point.

use crate::pointer::Pointer;

use super::dispatch::isa_entry_int8;
use super::pack::{PART, PackedDepthwise};
use super::scales::{Bounds, GROUP, SCALES};
use super::vector::{Integers, Line, bounded, shift_left};

/// One output row. Distances are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The three rows that the kernel reads, from the first padded column of the first group on.
    pub rows: [Pointer<u8>; 3],
    /// Distance from one group of channels of these rows to the next.
    pub e_group: usize,
    /// Weights, biases and scales.
    pub weights: &'a PackedDepthwise,
    /// The outputs: the first pixel of the first group.
    pub d: Pointer<u8>,
    /// Distance from one group of outputs to the next.
    pub d_group: usize,
    /// Outputs in the row.
    pub width: usize,
    /// Stride along the row.
    pub stride: usize,
    /// Atrous rate along the row.
    pub rate: usize,
    /// What the outputs are.
    pub bounds: Bounds,
    /// Whether ties below the zero point must be rounded exactly.
    pub ties: bool,
}

isa_entry_int8! {
    /// # Safety
    /// As [`super::depthwise()`].
    pub(super) fn entry(row: &Row<'_>) = body;
}

/// # Safety
/// As [`super::depthwise()`]; the contract of [`Integers`] holds for `s`.
#[inline(always)]
unsafe fn body<S: Integers>(s: S, row: &Row<'_>) {
    let row = &{ *row };
    for group in 0..row.weights.channels.div_ceil(GROUP) {
        // SAFETY: the caller's promise, for this group.
        unsafe {
            if whole(s, row, group) {
                continue;
            }
            let plain = row.weights.zeros[group] == 0 && row.weights.second[group].is_none();
            match (!plain || S::MICRO_KERNEL, row.stride, row.rate, S::OUTPUTS) {
                (false, 1, 1, 3) => line::<S, 3, 1, 1>(s, row, group),
                (false, 2, 1, 3) => line::<S, 3, 2, 1>(s, row, group),
                (false, 1, 2, 3) => line::<S, 3, 1, 2>(s, row, group),
                (false, 1, 1, 6) => line::<S, 6, 1, 1>(s, row, group),
                (false, 2, 1, 6) => line::<S, 6, 2, 1>(s, row, group),
                (false, 1, 2, 6) => line::<S, 6, 1, 2>(s, row, group),
                _ => line::<S, 1, 0, 0>(s, row, group),
            }
        }
    }
}

/// A group's row in assembly; returns false if there is none for it.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn whole<S: Integers>(s: S, row: &Row<'_>, group: usize) -> bool {
    let slides = row.stride == 1 || row.stride == 2 && row.rate == 1;
    if !S::MICRO_KERNEL || !slides || row.weights.zeros[group] != 0 || row.weights.scales.left {
        return false;
    }
    let scales = &row.weights.scales.values()[group * SCALES..][..SCALES];
    let shift: [i32; GROUP] = std::array::from_fn(|i| -scales[GROUP + i]);
    let bounds = row.bounds;
    // With an atrous rate, outputs as far apart as the columns that they read are rows of rate 1.
    for phase in 0..row.rate.min(row.width) {
        let outputs = (row.width - phase).div_ceil(row.rate);
        let columns = ((outputs - 1) * row.stride + 2) * row.rate + 1;
        let line = Line {
            rows: row.rows.map(|r| r.add(group * row.e_group + phase * GROUP).to(columns * GROUP).cast_const()),
            step: row.rate * GROUP,
            weights: Pointer::read(&row.weights.weights).add(group * PART).to(PART),
            second: row.weights.second[group].map_or(std::ptr::null(), |second| {
                Pointer::read(&row.weights.weights).add(second).to(PART).cast_const()
            }),
            bias: Pointer::read(&row.weights.bias).add(group * GROUP).to(GROUP),
            mantissa: scales.as_ptr(),
            shift: shift.as_ptr(),
            zero: bounds.zero as i16,
            low: bounds.low as i8,
            high: bounds.high as i8,
            ties: usize::from(row.ties),
            clamp: usize::from((bounds.low, bounds.high) != (-128, 127)),
            d: row.d.add(group * row.d_group + phase * GROUP).to(((outputs - 1) * row.rate + 1) * GROUP),
            d_step: row.rate * GROUP,
            outputs,
        };
        // SAFETY: the caller's promise, for these outputs.
        unsafe { if row.stride == 1 { s.depthwise_line::<1>(&line) } else { s.depthwise_line::<2>(&line) } }
    }
    true
}

/// Three ones of each channel.
const ONES: [i8; 4 * GROUP] = {
    let mut ones = [1; 4 * GROUP];
    let mut c = 0;
    while c < GROUP {
        ones[4 * c + 3] = 0;
        c += 1;
    }
    ones
};

/// A group's row, `X` outputs at a time. If `STRIDE` and `RATE` are 0, the row's are used.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn line<S: Integers, const X: usize, const STRIDE: usize, const RATE: usize>(s: S, row: &Row<'_>, group: usize) {
    let rows = row.rows.map(|r| r.add(group * row.e_group));
    let d = row.d.add(group * row.d_group);
    // SAFETY: the caller's promise.
    unsafe {
        let weights = Pointer::read(&row.weights.weights).add(group * PART).to(PART).cast_const();
        let bias = s.load(Pointer::read(&row.weights.bias).add(group * GROUP).to(GROUP));
        let columns: [S::C; 3] = std::array::from_fn(|j| s.column_weights(weights.add(j * 4 * GROUP)));
        let mut x = 0;
        while x + X <= row.width {
            tile::<S, X, STRIDE, RATE>(s, row, group, bias, &columns, rows, d, x);
            x += X;
        }
        if x < row.width {
            if row.width >= X {
                // The remainder: a tile that computes a few outputs again.
                tile::<S, X, STRIDE, RATE>(s, row, group, bias, &columns, rows, d, row.width - X);
            } else {
                while x < row.width {
                    tile::<S, 1, STRIDE, RATE>(s, row, group, bias, &columns, rows, d, x);
                    x += 1;
                }
            }
        }
    }
}

/// Outputs `x..x + X`.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn tile<S: Integers, const X: usize, const STRIDE: usize, const RATE: usize>(
    s: S,
    row: &Row<'_>,
    group: usize,
    bias: S::S,
    weights: &[S::C; 3],
    rows: [Pointer<u8>; 3],
    d: Pointer<u8>,
    x: usize,
) {
    let (stride, rate) = if STRIDE == 0 { (row.stride, row.rate) } else { (STRIDE, RATE) };
    // SAFETY: the caller's promise.
    unsafe {
        let columns = (X - 1) * stride + 2 * rate + 1;
        let p = rows.map(|r| r.add(x * stride * GROUP).to(columns * GROUP).cast_const());
        let mut sums = [bias; X];
        if X == 1 {
            // Weights that still have a zero point: it is multiplied with the sum of the inputs.
            let mut inputs = s.splat(0);
            let ones = s.column_weights(ONES.as_ptr());
            for j in 0..3 {
                let column = s.column(p.map(|p| p.add(j * rate * GROUP)));
                sums[0] = s.dot_column(sums[0], weights[j], column);
                if let Some(second) = row.weights.second[group] {
                    let second = Pointer::read(&row.weights.weights).add(second + j * 4 * GROUP).to(4 * GROUP);
                    sums[0] = s.dot_column(sums[0], s.column_weights(second), column);
                }
                inputs = s.dot_column(inputs, ones, column);
            }
            let zero = row.weights.zeros[group];
            if zero != 0 {
                sums[0] = s.add(sums[0], s.mul(inputs, s.splat(-zero)));
            }
        } else {
            // Each column is read once, and used for every output that it contributes to.
            macro_rules! column {
                ($($c:literal)+) => {
                    $(if $c < (X - 1) * STRIDE + 2 * RATE + 1 {
                        let column = s.column(p.map(|p| p.add($c * GROUP)));
                        for x in 0..X {
                            for j in 0..3 {
                                if x * STRIDE + j * RATE == $c {
                                    sums[x] = s.dot_column(sums[x], weights[j], column);
                                }
                            }
                        }
                    })+
                };
            }
            column!(0 1 2 3 4 5 6 7 8 9 10 11 12);
        }
        let scales = row.weights.scales.values().as_ptr().add(group * SCALES);
        let mantissa = s.load(scales);
        let right = s.load(scales.add(GROUP));
        let zero = s.splat(row.bounds.zero);
        let low = s.splat(row.bounds.low);
        let high = s.splat(row.bounds.high);
        let d = d.add(x * GROUP).to(X * GROUP);
        for x in 0..X {
            let mut sum = sums[x];
            if row.weights.scales.left {
                sum = shift_left(s, sum, scales.add(2 * GROUP));
            }
            let scaled = s.scale(sum, mantissa, right, row.ties);
            s.store(d.add(x * GROUP), bounded(s, scaled, row.weights.scales.left), zero, low, high);
        }
    }
}
