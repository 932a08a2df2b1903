//! The pointwise (1x1) convolution: `c[p][o] = act(sum_i a[p][i] * w[o][i] + bias[o]) (+ residual[p][o])`, pixels `p` of
//! channels-last rows. Nearly all of MobileNetV2's multiply-adds are here.
//!
//! One tile is `PIXELS` pixels by up to `VECTORS` vectors of output channels, all of its sums in registers; the loop over
//! input channels reads one packed vector per output vector and one number per pixel. Panels of output channels are the
//! outer loop, so that a panel's weights stay in L1 while the pixels stream.
//!
//! A row's inputs may come in several runs ([`Job::segments`]): the 3x3 stem is a product over three runs of nine
//! numbers (three pixels of three channels each), two pixels apart.
#![allow(
    clippy::inline_always,
    clippy::needless_range_loop,
    reason = "bodies must be inlined into their #[target_feature] entries; tiles are indexed by pixel and vector"
)]

use crate::isa::isa_entry;
use crate::pack::{Packed, Panel};
use crate::simd::Simd;

/// What the sums start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Init {
    /// The bias.
    Bias,
    /// What `c` holds: the product continues an earlier one.
    Accumulate,
}

/// One product over `rows` x `width` pixels. Distances are in f32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    /// For the first row: where each run of inputs of pixel 0 begins. All runs are `run` long; `run * segments.len() = k`.
    pub(crate) segments: &'a [*const f32],
    pub(crate) run: usize,
    pub(crate) a_pixel: usize,
    pub(crate) a_row: usize,
    pub(crate) weights: &'a Packed,
    /// `c_out` rounded up to a vector.
    pub(crate) bias: *const f32,
    pub(crate) c: *mut f32,
    pub(crate) c_pixel: usize,
    pub(crate) c_row: usize,
    /// Added after the clamp, unless null.
    pub(crate) residual: *const f32,
    pub(crate) r_pixel: usize,
    pub(crate) r_row: usize,
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
/// `s` as [`Simd`] says. All pointers of `job` are valid for the pixels, rows and channels that it names; `c` overlaps
/// neither the inputs nor the weights, and the residual only where each element is its own.
#[inline(always)]
unsafe fn body<S: Simd>(s: S, job: &Job<'_>) {
    for panel in &job.weights.panels {
        for row in 0..job.rows {
            let mut x = 0;
            while x < job.width {
                let n = (job.width - x).min(S::PIXELS);
                // SAFETY: the caller's promise, for pixels x..x + n of this row.
                unsafe {
                    match panel.vectors {
                        1 => pixels::<S, 1>(s, job, panel, row, x, n),
                        2 => pixels::<S, 2>(s, job, panel, row, x, n),
                        3 => pixels::<S, 3>(s, job, panel, row, x, n),
                        _ => pixels::<S, 4>(s, job, panel, row, x, n),
                    }
                }
                x += n;
            }
        }
    }
}

/// Picks the tile for `n` pixels.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn pixels<S: Simd, const V: usize>(s: S, job: &Job<'_>, panel: &Panel, row: usize, x: usize, n: usize) {
    if V > S::VECTORS {
        return; // no panel is that wide
    }
    // SAFETY: the caller's promise. Arms above S::PIXELS are never taken and not compiled.
    unsafe {
        match n {
            1 => tile::<S, 1, V>(s, job, panel, row, x),
            2 if S::PIXELS >= 2 => tile::<S, 2, V>(s, job, panel, row, x),
            3 if S::PIXELS >= 3 => tile::<S, 3, V>(s, job, panel, row, x),
            4 if S::PIXELS >= 4 => tile::<S, 4, V>(s, job, panel, row, x),
            5 if S::PIXELS >= 5 => tile::<S, 5, V>(s, job, panel, row, x),
            6 if S::PIXELS >= 6 => tile::<S, 6, V>(s, job, panel, row, x),
            7 if S::PIXELS >= 7 => tile::<S, 7, V>(s, job, panel, row, x),
            _ if S::PIXELS >= 8 => tile::<S, 8, V>(s, job, panel, row, x),
            _ => {}
        }
    }
}

/// `M` pixels by `V` vectors.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn tile<S: Simd, const M: usize, const V: usize>(s: S, job: &Job<'_>, panel: &Panel, row: usize, x: usize) {
    let lanes = S::LANES;
    // Channels in the last vector, where it is not full.
    let part = panel.channels % lanes;
    // SAFETY: the caller's promise; the packed weights hold k * V vectors from the panel's offset on.
    unsafe {
        let c = job.c.add(row * job.c_row + x * job.c_pixel + panel.first);
        let mut acc = [[s.splat(0.0); V]; M];
        match job.init {
            Init::Accumulate => {
                for m in 0..M {
                    for v in 0..V {
                        let p = c.add(m * job.c_pixel + v * lanes);
                        acc[m][v] = if part != 0 && v == V - 1 { s.load_part(p, part) } else { s.load(p) };
                    }
                }
            }
            Init::Bias => {
                for v in 0..V {
                    let b = s.load(job.bias.add(panel.first + v * lanes));
                    for a in &mut acc {
                        a[v] = b;
                    }
                }
            }
        }
        let mut w = job.weights.weights.as_ptr().add(panel.offset);
        for segment in job.segments {
            let a = segment.add(row * job.a_row + x * job.a_pixel);
            let mut k = 0;
            if S::BY_LANE {
                while k + 4 <= job.run {
                    let mut quad = [s.splat(0.0); M];
                    for m in 0..M {
                        quad[m] = s.load(a.add(m * job.a_pixel + k));
                    }
                    w = lane_step::<S, M, V, 0>(s, w, &quad, &mut acc);
                    w = lane_step::<S, M, V, 1>(s, w, &quad, &mut acc);
                    w = lane_step::<S, M, V, 2>(s, w, &quad, &mut acc);
                    w = lane_step::<S, M, V, 3>(s, w, &quad, &mut acc);
                    k += 4;
                }
            }
            while k < job.run {
                let mut b = [s.splat(0.0); V];
                for v in 0..V {
                    b[v] = s.load(w.add(v * lanes));
                }
                for m in 0..M {
                    let f = s.splat(*a.add(m * job.a_pixel + k));
                    for v in 0..V {
                        acc[m][v] = s.mul_add(b[v], f, acc[m][v]);
                    }
                }
                w = w.add(V * lanes);
                k += 1;
            }
        }
        if let Some((lo, hi)) = job.clamp {
            let (lo, hi) = (s.splat(lo), s.splat(hi));
            for a in &mut acc {
                for v in a {
                    *v = s.min(s.max(*v, lo), hi);
                }
            }
        }
        if !job.residual.is_null() {
            let r = job.residual.add(row * job.r_row + x * job.r_pixel + panel.first);
            for m in 0..M {
                for v in 0..V {
                    let p = r.add(m * job.r_pixel + v * lanes);
                    let from = if part != 0 && v == V - 1 { s.load_part(p, part) } else { s.load(p) };
                    acc[m][v] = s.add(acc[m][v], from);
                }
            }
        }
        for m in 0..M {
            for v in 0..V {
                let p = c.add(m * job.c_pixel + v * lanes);
                if part != 0 && v == V - 1 {
                    s.store_part(p, part, acc[m][v]);
                } else {
                    s.store(p, acc[m][v]);
                }
            }
        }
    }
}

/// One input channel (lane `LANE` of each pixel's quad) times one row of the panel; returns the next row of weights.
///
/// # Safety
/// As [`body`]; `w` holds `V` vectors.
#[inline(always)]
unsafe fn lane_step<S: Simd, const M: usize, const V: usize, const LANE: i32>(
    s: S,
    w: *const f32,
    quad: &[S::F; M],
    acc: &mut [[S::F; V]; M],
) -> *const f32 {
    // SAFETY: the caller's promise.
    unsafe {
        for v in 0..V {
            let b = s.load(w.add(v * S::LANES));
            for m in 0..M {
                acc[m][v] = s.mul_add_lane::<LANE>(b, quad[m], acc[m][v]);
            }
        }
        w.add(V * S::LANES)
    }
}
