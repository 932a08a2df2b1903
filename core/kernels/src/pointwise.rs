//! The pointwise (1x1) convolution: `c[p][o] = act(sum_i a[p][i] * w[o][i] + bias[o]) (+ residual[p][o])` for the pixels `p`
//! of blocked rows. Nearly all of MobileNetV2's multiply-adds are here.
//!
//! One tile is `PIXELS` pixels by up to `VECTORS` vectors of output channels, all of its sums in registers; the loop over
//! input channels reads one packed vector per output vector and one number per pixel. Panels of output channels are the
//! outer loop, so that a panel's weights stay in L1 while the pixels stream. A row is cut into tiles as evenly as it goes:
//! a single pixel left over would wait for its own sums.
//!
//! The first layer is a product too: its inputs come in three runs of nine numbers (three pixels of three channels each)
//! from the picture's rows ([`Source::Runs`]).
#![allow(
    clippy::inline_always,
    clippy::needless_range_loop,
    reason = "bodies must be inlined into their #[target_feature] entries; tiles are indexed by pixel and vector"
)]

use crate::isa::isa_entry;
use crate::pack::{Packed, Panel};
use crate::pointer::Pointer;
use crate::simd::Simd;

/// What the sums start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Init {
    /// The bias.
    Bias,
    /// What `c` holds: the product continues an earlier one.
    Accumulate,
}

/// Where the inputs of a pixel lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// A blocked row: pixel `p`, channel `i` at `first + i / LANES * group + p * LANES + i % LANES`.
    Groups { first: Pointer, group: usize },
    /// Several runs of `len` numbers each; those of pixel `p` begin at `run + p * pixel`.
    Runs { runs: &'a [Pointer], len: usize, pixel: usize },
}

/// One product over `rows` x `width` pixels. Distances are in f32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    /// Of the first row.
    pub(crate) source: Source<'a>,
    /// From one row of inputs to the next.
    pub(crate) a_row: usize,
    pub(crate) weights: &'a Packed,
    /// Output channels, rounded up to a vector.
    pub(crate) bias: Pointer,
    /// The first pixel of the first group of output channels.
    pub(crate) c: Pointer,
    pub(crate) c_group: usize,
    pub(crate) c_row: usize,
    /// Added after the clamp: its first pixel, the distance of its groups, of its rows.
    pub(crate) residual: Option<(Pointer, usize, usize)>,
    pub(crate) width: usize,
    pub(crate) rows: usize,
    pub(crate) init: Init,
    /// Sums are clamped to `[lo, hi]` before the store.
    pub(crate) clamp: Option<(f32, f32)>,
}

isa_entry! {
    /// Runs the product.
    ///
    /// # Safety
    /// As [`body`], but for the token.
    pub(crate) fn run(job: &Job<'_>) = body;
}

/// # Safety
/// `s` as [`Simd`] says. All pointers of `job` are valid for the pixels, rows and channels that it names (channels of maps
/// rounded up to vectors); `c` overlaps neither the inputs nor the weights, and the residual only where each element is
/// its own.
#[inline(always)]
unsafe fn body<S: Simd>(s: S, job: &Job<'_>) {
    for panel in &job.weights.panels {
        let tiles = job.width.div_ceil(S::PIXELS[panel.vectors]);
        for row in 0..job.rows {
            let mut x = 0;
            for tile in 0..tiles {
                let n = (job.width - x).div_ceil(tiles - tile);
                // SAFETY: the caller's promise, for pixels x..x + n of this row.
                unsafe {
                    match job.source {
                        Source::Groups { first, group } => match panel.vectors {
                            1 => pixels::<S, 1>(s, job, panel, row, x, n, first, group),
                            2 => pixels::<S, 2>(s, job, panel, row, x, n, first, group),
                            3 => pixels::<S, 3>(s, job, panel, row, x, n, first, group),
                            _ => pixels::<S, 4>(s, job, panel, row, x, n, first, group),
                        },
                        Source::Runs { runs, len, pixel } => match panel.vectors {
                            1 => pixels_of_runs::<S, 1>(s, job, panel, row, x, n, runs, len, pixel),
                            2 => pixels_of_runs::<S, 2>(s, job, panel, row, x, n, runs, len, pixel),
                            3 => pixels_of_runs::<S, 3>(s, job, panel, row, x, n, runs, len, pixel),
                            _ => pixels_of_runs::<S, 4>(s, job, panel, row, x, n, runs, len, pixel),
                        },
                    }
                }
                x += n;
            }
        }
    }
}

/// Picks the tile for `n` pixels of blocked rows.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn pixels<S: Simd, const V: usize>(
    s: S,
    job: &Job<'_>,
    panel: &Panel,
    row: usize,
    x: usize,
    n: usize,
    first: Pointer,
    group: usize,
) {
    if V > S::VECTORS {
        return; // no panel is that wide
    }
    let a = first.add(row * job.a_row + x * S::LANES);
    // SAFETY: the caller's promise. Arms above S::PIXELS are never taken and not compiled.
    unsafe {
        match n {
            1 => tile::<S, 1, V>(s, job, panel, row, x, a, group),
            2 if S::PIXELS[V] >= 2 => tile::<S, 2, V>(s, job, panel, row, x, a, group),
            3 if S::PIXELS[V] >= 3 => tile::<S, 3, V>(s, job, panel, row, x, a, group),
            4 if S::PIXELS[V] >= 4 => tile::<S, 4, V>(s, job, panel, row, x, a, group),
            5 if S::PIXELS[V] >= 5 => tile::<S, 5, V>(s, job, panel, row, x, a, group),
            6 if S::PIXELS[V] >= 6 => tile::<S, 6, V>(s, job, panel, row, x, a, group),
            7 if S::PIXELS[V] >= 7 => tile::<S, 7, V>(s, job, panel, row, x, a, group),
            _ if S::PIXELS[V] >= 8 => tile::<S, 8, V>(s, job, panel, row, x, a, group),
            _ => {}
        }
    }
}

/// `n` pixels of the first layer: a full tile, or one pixel after the other.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn pixels_of_runs<S: Simd, const V: usize>(
    s: S,
    job: &Job<'_>,
    panel: &Panel,
    row: usize,
    x: usize,
    n: usize,
    runs: &[Pointer],
    len: usize,
    pixel: usize,
) {
    if V > S::VECTORS {
        return; // no panel is that wide
    }
    // SAFETY: the caller's promise.
    unsafe {
        if n == 8 && S::PIXELS[V] >= 8 {
            tile_of_runs::<S, 8, V>(s, job, panel, row, x, runs, len, pixel);
        } else if n == 5 && S::PIXELS[V] == 5 {
            tile_of_runs::<S, 5, V>(s, job, panel, row, x, runs, len, pixel);
        } else {
            let mut at = x;
            while at + 3 <= x + n {
                tile_of_runs::<S, 3, V>(s, job, panel, row, at, runs, len, pixel);
                at += 3;
            }
            while at < x + n {
                tile_of_runs::<S, 1, V>(s, job, panel, row, at, runs, len, pixel);
                at += 1;
            }
        }
    }
}

/// `M` pixels by `V` vectors, from blocked rows; `a`: the first of these pixels.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn tile<S: Simd, const M: usize, const V: usize>(
    s: S,
    job: &Job<'_>,
    panel: &Panel,
    row: usize,
    x: usize,
    a: Pointer,
    group: usize,
) {
    // SAFETY: the caller's promise; the packed weights hold k * V vectors from the panel's offset on.
    unsafe {
        let mut acc = begin::<S, M, V>(s, job, panel, row, x);
        let mut w = Pointer::read(&job.weights.weights).add(panel.offset);
        let (mut a, mut left) = (a, job.weights.k);
        let groups = left / S::LANES;
        for g in 0..if cfg!(debug_assertions) { groups } else { 0 } {
            a.add(g * group).to(M * S::LANES);
        }
        let weights = w.to(groups * S::LANES * V * S::LANES);
        let done = s.add_groups::<M, V>(a.to(0), group, groups, weights, &mut acc);
        a = a.add(done * group);
        w = w.add(done * S::LANES * V * S::LANES);
        left -= done * S::LANES;
        while left >= S::LANES {
            w = sums::<S, M, V>(s, a, S::LANES, S::LANES, w, &mut acc);
            a = a.add(group);
            left -= S::LANES;
        }
        if left > 0 {
            sums::<S, M, V>(s, a, S::LANES, left, w, &mut acc);
        }
        end::<S, M, V>(s, job, panel, row, x, acc);
    }
}

/// `M` pixels by `V` vectors, from the picture's rows.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn tile_of_runs<S: Simd, const M: usize, const V: usize>(
    s: S,
    job: &Job<'_>,
    panel: &Panel,
    row: usize,
    x: usize,
    runs: &[Pointer],
    len: usize,
    pixel: usize,
) {
    // SAFETY: as in `tile`.
    unsafe {
        let mut acc = begin::<S, M, V>(s, job, panel, row, x);
        let mut w = Pointer::read(&job.weights.weights).add(panel.offset);
        for run in runs {
            w = sums::<S, M, V>(s, run.add(row * job.a_row + x * pixel), pixel, len, w, &mut acc);
        }
        end::<S, M, V>(s, job, panel, row, x, acc);
    }
}

/// The sums before the first input.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn begin<S: Simd, const M: usize, const V: usize>(
    s: S,
    job: &Job<'_>,
    panel: &Panel,
    row: usize,
    x: usize,
) -> [[S::F; V]; M] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [[s.splat(0.0); V]; M];
        match job.init {
            Init::Accumulate => {
                let c = job.c.add(row * job.c_row + panel.first / S::LANES * job.c_group + x * S::LANES);
                for v in 0..V {
                    let c = c.add(v * job.c_group).to(M * S::LANES);
                    for m in 0..M {
                        acc[m][v] = s.load(c.add(m * S::LANES));
                    }
                }
            }
            Init::Bias => {
                let bias = job.bias.add(panel.first).to(V * S::LANES);
                for v in 0..V {
                    let b = s.load(bias.add(v * S::LANES));
                    for a in &mut acc {
                        a[v] = b;
                    }
                }
            }
        }
        acc
    }
}

/// Adds `n` inputs of each pixel times their rows of the panel; returns the next row of weights.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn sums<S: Simd, const M: usize, const V: usize>(
    s: S,
    a: Pointer,
    pixel: usize,
    n: usize,
    mut w: Pointer,
    acc: &mut [[S::F; V]; M],
) -> Pointer {
    // SAFETY: the caller's promise.
    unsafe {
        let mut k = 0;
        if S::BY_LANE {
            while k + 4 <= n {
                let quad = if pixel == S::LANES {
                    s.load_many::<M>(a.add(k).to(4 * M))
                } else {
                    let mut quad = [s.splat(0.0); M];
                    for m in 0..M {
                        quad[m] = s.load(a.add(m * pixel + k).to(4));
                    }
                    quad
                };
                let rows = w.to(4 * V * S::LANES);
                lane_step::<S, M, V, 0>(s, rows, &quad, acc);
                lane_step::<S, M, V, 1>(s, rows, &quad, acc);
                lane_step::<S, M, V, 2>(s, rows, &quad, acc);
                lane_step::<S, M, V, 3>(s, rows, &quad, acc);
                w = w.add(4 * V * S::LANES);
                k += 4;
            }
        }
        while k < n {
            let mut b = [s.splat(0.0); V];
            let rows = w.to(V * S::LANES);
            for v in 0..V {
                b[v] = s.load(rows.add(v * S::LANES));
            }
            for m in 0..M {
                let f = s.splat(*a.add(m * pixel + k).to(1));
                for v in 0..V {
                    acc[m][v] = s.mul_add(b[v], f, acc[m][v]);
                }
            }
            w = w.add(V * S::LANES);
            k += 1;
        }
        w
    }
}

/// Input channel `LANE` of each pixel's four times its row of the panel.
///
/// # Safety
/// As [`body`]; `rows` holds `4 * V` vectors.
#[inline(always)]
unsafe fn lane_step<S: Simd, const M: usize, const V: usize, const LANE: i32>(
    s: S,
    rows: *const f32,
    quad: &[S::F; M],
    acc: &mut [[S::F; V]; M],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let b = s.load_many::<V>(rows.add(LANE as usize * V * S::LANES));
        for v in 0..V {
            for m in 0..M {
                acc[m][v] = s.mul_add_lane::<LANE>(b[v], quad[m], acc[m][v]);
            }
        }
    }
}

/// Activation, residual, store.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn end<S: Simd, const M: usize, const V: usize>(
    s: S,
    job: &Job<'_>,
    panel: &Panel,
    row: usize,
    x: usize,
    mut acc: [[S::F; V]; M],
) {
    let (lanes, group) = (S::LANES, panel.first / S::LANES);
    // SAFETY: the caller's promise.
    unsafe {
        if let Some((lo, hi)) = job.clamp {
            let (lo, hi) = (s.splat(lo), s.splat(hi));
            for a in &mut acc {
                for v in a {
                    *v = s.min(s.max(*v, lo), hi);
                }
            }
        }
        if let Some((residual, r_group, r_row)) = job.residual {
            for v in 0..V {
                let r = residual.add(row * r_row + (group + v) * r_group + x * lanes).to(M * lanes);
                for m in 0..M {
                    acc[m][v] = s.add(acc[m][v], s.load(r.add(m * lanes)));
                }
            }
        }
        for v in 0..V {
            let c = job.c.add(row * job.c_row + (group + v) * job.c_group + x * lanes).to(M * lanes);
            for m in 0..M {
                s.store(c.add(m * lanes), acc[m][v]);
            }
        }
    }
}
