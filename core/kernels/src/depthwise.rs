//! The 3x3 depthwise convolution on channels-last rows, any atrous rate, stride 1 or more:
//! `d[x][c] = act(sum over rows r, columns j of e[r][x * stride + j * rate][c] * w[r][j][c] + bias[c])`.
//!
//! The vector runs over channels, so that stride and rate cost nothing. A group of channels keeps its nine weights in
//! registers while it walks along the row, four outputs at a time: neighbours share the columns that they read. Rows
//! come padded (zeros left and right, a row of zeros above and below), so that there are no edges here.
#![allow(
    clippy::inline_always,
    clippy::needless_range_loop,
    reason = "bodies must be inlined into their #[target_feature] entries; tiles are indexed by pixel and vector"
)]

use crate::isa::isa_entry;
use crate::pack::PackedDepthwise;
use crate::simd::Simd;

/// One output row. Distances are in f32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    /// The three rows that the kernel reads, from the first padded column on.
    pub(crate) rows: [*const f32; 3],
    pub(crate) e_pixel: usize,
    pub(crate) weights: &'a PackedDepthwise,
    /// First channel of the weights, a multiple of a vector (the rows hold a slice of channels only).
    pub(crate) first: usize,
    pub(crate) channels: usize,
    pub(crate) d: *mut f32,
    pub(crate) d_pixel: usize,
    pub(crate) width: usize,
    pub(crate) stride: usize,
    pub(crate) rate: usize,
    pub(crate) clamp: Option<(f32, f32)>,
    /// Adds the input pixel under the kernel's middle after the activation (the shortcut between expansions).
    pub(crate) add_input: bool,
}

/// Outputs computed together.
const TILE: usize = 4;

isa_entry! {
    /// Computes the row.
    ///
    /// # Safety
    /// As [`body`], but for the token.
    pub(crate) fn run(row: &Row<'_>) = body;
}

/// # Safety
/// `s` as [`Simd`] says. The three rows hold `(width - 1) * stride + 2 * rate + 1` pixels, `d` holds `width`; they do not
/// overlap.
#[inline(always)]
unsafe fn body<S: Simd>(s: S, row: &Row<'_>) {
    let mut c = 0;
    while c < row.channels {
        let n = (row.channels - c).min(S::LANES);
        // SAFETY: the caller's promise, for channels c..c + n.
        unsafe {
            if n == S::LANES {
                if row.stride == 1 {
                    // Outputs `rate` apart share columns: each of the `rate` interleaved rows is a row of rate 1.
                    for q in 0..row.rate.min(row.width) {
                        columns::<S, 1, false>(s, row, c, n, q, row.rate, (row.width - q).div_ceil(row.rate));
                    }
                } else if row.stride == 2 && row.rate == 1 {
                    columns::<S, 2, false>(s, row, c, n, 0, 1, row.width);
                } else {
                    columns::<S, 0, false>(s, row, c, n, 0, 1, row.width);
                }
            } else {
                columns::<S, 0, true>(s, row, c, n, 0, 1, row.width);
            }
        }
        c += n;
    }
}

/// Channels `c..c + n` of the outputs `q, q + step, …` (`count` of them). `STRIDE` 1: columns and outputs both lie `step`
/// apart; 2: two columns an output; 0: anything, one output at a time.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn columns<S: Simd, const STRIDE: usize, const PART: bool>(
    s: S,
    row: &Row<'_>,
    c: usize,
    n: usize,
    q: usize,
    step: usize,
    count: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut w = [s.splat(0.0); 9];
        let weights = row.weights.weights.as_ptr().add(row.first + c);
        for (t, w) in w.iter_mut().enumerate() {
            *w = s.load(weights.add(t * row.weights.stride));
        }
        let bias = s.load(row.weights.bias.as_ptr().add(row.first + c));
        // From one tap's column to the next, and from one output's first column to the next one's.
        let tap = row.rate * row.e_pixel;
        let next = if STRIDE == 0 { row.stride * row.e_pixel } else { STRIDE * tap };
        let mut i = 0;
        if STRIDE != 0 {
            while i + TILE <= count {
                tile::<S, TILE, STRIDE, PART>(s, row, &w, bias, c, n, i, next, tap, q, step);
                i += TILE;
            }
        }
        while i < count {
            tile::<S, 1, STRIDE, PART>(s, row, &w, bias, c, n, i, next, tap, q, step);
            i += 1;
        }
    }
}

/// `X` outputs from output `i` on.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn tile<S: Simd, const X: usize, const STRIDE: usize, const PART: bool>(
    s: S,
    row: &Row<'_>,
    w: &[S::F; 9],
    bias: S::F,
    c: usize,
    n: usize,
    i: usize,
    next: usize,
    tap: usize,
    q: usize,
    step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let from = q * row.e_pixel + i * next + c;
        let mut acc = [bias; X];
        for r in 0..3 {
            let p = row.rows[r].add(from);
            if STRIDE == 0 {
                for j in 0..3 {
                    let e = if PART { s.load_part(p.add(j * tap), n) } else { s.load(p.add(j * tap)) };
                    acc[0] = s.mul_add(e, w[3 * r + j], acc[0]);
                }
            } else {
                // Each column is read once and given to every output that it belongs to.
                for column in 0..(X - 1) * STRIDE + 3 {
                    let e = s.load(p.add(column * tap));
                    for j in 0..3 {
                        if column >= j && (column - j) % STRIDE.max(1) == 0 && (column - j) / STRIDE.max(1) < X {
                            let x = (column - j) / STRIDE.max(1);
                            acc[x] = s.mul_add(e, w[3 * r + j], acc[x]);
                        }
                    }
                }
            }
        }
        if let Some((lo, hi)) = row.clamp {
            let (lo, hi) = (s.splat(lo), s.splat(hi));
            for a in &mut acc {
                *a = s.min(s.max(*a, lo), hi);
            }
        }
        if row.add_input {
            let p = row.rows[1].add(from + tap);
            for (x, a) in acc.iter_mut().enumerate() {
                let p = p.add(x * next);
                *a = s.add(*a, if PART { s.load_part(p, n) } else { s.load(p) });
            }
        }
        let d = row.d.add((q + i * step) * row.d_pixel + c);
        for (x, a) in acc.iter().enumerate() {
            let p = d.add(x * step * row.d_pixel);
            if PART {
                s.store_part(p, n, *a);
            } else {
                s.store(p, *a);
            }
        }
    }
}
