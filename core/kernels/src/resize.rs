//! Resizing an image in one pass, row by row: source rows are combined into one f32 line, and the line is filtered into
//! pixels of the network's input.
//!
//! Two paths: [`combine_rows`] if the image's rows are the buffer's rows, [`combine_columns`] if the image is rotated
//! by 90 or 270 degrees (its rows are the buffer's columns); both are followed by [`filter_line`]. Flips are in the
//! order of the [`Taps`] and cost nothing.
//!
//! The filter is the triangle of Pillow's `BILINEAR`: half-pixel centres, stretched over the source when shrinking
//! (which prevents aliasing), plain bilinear interpolation when enlarging.

use crate::isa::{Isa, isa_entry};
use crate::memory::{OutOfMemory, filled};
use crate::quad::Quads;
use crate::simd::{Simd, mul_add_one};

/// How an image is fitted into the network's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", tag = "kind")
)]
pub enum Fit {
    /// Each side is scaled to the input's side.
    #[default]
    Stretch,
    /// Both sides are scaled by one factor, so that the image just fits; the rest, at the bottom or right, is one grey
    /// level.
    Letterbox {
        /// The grey level, 0 to 255.
        fill: u8,
    },
}

/// The purpose of the memory, in errors.
const WEIGHTS: &str = "the weights of a resize";

/// For each output index, a run of source indices and their weights, which sum to 1.
///
/// All runs have the same length (shorter ones are filled with zeros) and are within `first()..end()`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taps {
    starts: Vec<u32>,
    counts: Vec<u32>,
    weights: Vec<f32>,
    longest: usize,
    first: usize,
    end: usize,
}

impl Taps {
    /// The triangle filter from `len` source samples, which begin at index `first`, to `out` samples. With `flip` the
    /// output runs from the source's end to its start.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    ///
    /// # Panics
    /// If `len` or `out` is 0, or `first + len` is over `u32::MAX`.
    pub fn triangle(first: usize, len: usize, flip: bool, out: usize) -> Result<Self, OutOfMemory> {
        assert!(len > 0 && out > 0, "nothing to resize");
        assert!(first.checked_add(len).is_some_and(|end| u32::try_from(end).is_ok()), "source too long");
        let scale = len as f64 / out as f64;
        let support = scale.max(1.0);
        let weight = |s: usize, center: f64| (1.0 - ((s as f64 + 0.5 - center) / support).abs()).max(0.0);
        let span = |i: usize| {
            let center = (i as f64 + 0.5) * scale;
            let mut lo = ((center - support + 0.5).max(0.0) as usize).min(len - 1);
            let mut hi = ((center + support + 0.5) as usize).clamp(lo + 1, len);
            while lo + 1 < hi && weight(lo, center) == 0.0 {
                lo += 1;
            }
            while lo + 1 < hi && weight(hi - 1, center) == 0.0 {
                hi -= 1;
            }
            (center, lo, hi)
        };
        let starts = filled(out, 0, WEIGHTS)?;
        let counts = filled(out, 0, WEIGHTS)?;
        let taps = (0..out).map(span).map(|(_, lo, hi)| hi - lo).max().unwrap_or(1);
        let mut this = Self {
            starts,
            counts,
            weights: filled(out.saturating_mul(taps), 0.0, WEIGHTS)?,
            longest: taps,
            first,
            end: first + len,
        };
        let mut raw = filled(taps, 0.0f64, WEIGHTS)?;
        for i in 0..out {
            let (center, lo, hi) = span(i);
            let count = hi - lo;
            for (w, s) in raw.iter_mut().zip(lo..hi) {
                *w = weight(s, center);
            }
            let sum: f64 = raw[..count].iter().sum();
            // Never zero: the run holds the sample with the nearest centre, at most half a pixel from `center`.
            raw[..count].iter_mut().for_each(|w| *w /= sum);
            // In buffer order, the run begins at `run` of the stretch; a full run of `taps` begins at `start`.
            let run = if flip { len - hi } else { lo };
            let start = run.min(len - taps);
            let row = &mut this.weights[i * taps..(i + 1) * taps];
            for (k, &w) in raw[..count].iter().enumerate() {
                row[run - start + if flip { count - 1 - k } else { k }] = w as f32;
            }
            this.starts[i] = (first + start) as u32;
            this.counts[i] = (run - start + count) as u32;
        }
        Ok(this)
    }

    /// Output samples.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// No output samples.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Length of every run.
    pub fn taps(&self) -> usize {
        self.longest
    }

    /// First source index that may be read.
    pub fn first(&self) -> usize {
        self.first
    }

    /// One past the last source index that may be read.
    pub fn end(&self) -> usize {
        self.end
    }

    /// The run of output `i`: first source index and weights, without trailing zeros.
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn run(&self, i: usize) -> (usize, &[f32]) {
        (self.starts[i] as usize, &self.weights[i * self.longest..i * self.longest + self.counts[i] as usize])
    }
}

/// Calls a function with the number of taps as its last const parameter if it is small, so that its loop is unrolled,
/// and with 0 otherwise.
macro_rules! by_taps {
    ($taps:expr, $f:ident::<$s:ident, $c:literal>($($arg:expr),*)) => {
        match $taps {
            2 => $f::<$s, $c, 2>($($arg),*),
            3 => $f::<$s, $c, 3>($($arg),*),
            4 => $f::<$s, $c, 4>($($arg),*),
            5 => $f::<$s, $c, 5>($($arg),*),
            6 => $f::<$s, $c, 6>($($arg),*),
            _ => $f::<$s, $c, 0>($($arg),*),
        }
    };
}

/// Combines rows of bytes: `out[i] = sum over t of weights[t] * src[t * row_stride + i]`.
///
/// # Panics
/// If a row would reach past the end of `src`, or `weights` is empty.
pub fn combine_rows(isa: Isa, src: &[u8], row_stride: usize, weights: &[f32], out: &mut [f32]) {
    assert!(!weights.is_empty(), "no rows");
    let last = (weights.len() - 1).checked_mul(row_stride).and_then(|n| n.checked_add(out.len()));
    assert!(last.is_some_and(|n| n <= src.len()), "rows reach past the plane's end");
    // SAFETY: every index t * row_stride + i is below `last`.
    unsafe { combine_rows_entry(isa, src, row_stride, weights, out) }
}

isa_entry! { fn combine_rows_entry(src: &[u8], row_stride: usize, weights: &[f32], out: &mut [f32]) = combine_rows_body; }

/// # Safety
/// `(weights.len() - 1) * row_stride + out.len() <= src.len()`.
#[inline(always)]
unsafe fn combine_rows_body<S: Simd>(simd: S, src: &[u8], row_stride: usize, weights: &[f32], out: &mut [f32]) {
    // SAFETY: indices are in bounds as promised; vectors are only read and written where all their lanes fit.
    unsafe {
        let p = src.as_ptr();
        let o = out.as_mut_ptr();
        let n = out.len();
        let mut i = simd.sum_bytes(p, row_stride, weights, o, n);
        while i + 8 * S::LANES <= n {
            combine_quads::<S, 2>(simd, p.add(i), row_stride, weights, o.add(i));
            i += 8 * S::LANES;
        }
        while i + 4 * S::LANES <= n {
            combine_quads::<S, 1>(simd, p.add(i), row_stride, weights, o.add(i));
            i += 4 * S::LANES;
        }
        while i + S::LANES <= n {
            let mut acc = simd.splat(0.0);
            for (t, &w) in weights.iter().enumerate() {
                acc = simd.mul_add(simd.load_u8(p.add(t * row_stride + i)), simd.splat(w), acc);
            }
            simd.store(o.add(i), acc);
            i += S::LANES;
        }
        for i in i..n {
            let mut acc = 0.0;
            for (t, &w) in weights.iter().enumerate() {
                acc = mul_add_one::<S>(f32::from(*p.add(t * row_stride + i)), w, acc);
            }
            *o.add(i) = acc;
        }
    }
}

/// `4 * N` vectors of [`combine_rows`]: the larger N, the cheaper each vector's share of the rows' addresses and
/// weights.
///
/// # Safety
/// `p` holds that many bytes in each of `weights.len()` rows, `o` that many f32.
#[inline(always)]
unsafe fn combine_quads<S: Simd, const N: usize>(
    simd: S,
    p: *const u8,
    row_stride: usize,
    weights: &[f32],
    o: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [[simd.splat(0.0); 4]; N];
        for (t, &w) in weights.iter().enumerate() {
            let row = p.add(t * row_stride);
            let w = simd.splat(w);
            for (q, acc) in acc.iter_mut().enumerate() {
                for (a, values) in acc.iter_mut().zip(simd.load_u8_four(row.add(q * 4 * S::LANES))) {
                    *a = simd.mul_add(values, w, *a);
                }
            }
        }
        for (v, a) in acc.as_flattened().iter().enumerate() {
            simd.store(o.add(v * S::LANES), *a);
        }
    }
}

/// Combines columns of a packed image with `channels` (1, 3 or 4) bytes per pixel, for each of its rows:
/// `out[r * channels + c] = sum over t of weights[t] * src[r * row_stride + t * channels + c]`.
///
/// # Panics
/// If `channels` is not 1, 3 or 4, a read would reach past the end of `src`, the length of `out` is not a multiple of
/// `channels`, or `weights` is empty.
pub fn combine_columns(isa: Isa, src: &[u8], row_stride: usize, channels: usize, weights: &[f32], out: &mut [f32]) {
    assert!(matches!(channels, 1 | 3 | 4) && out.len().is_multiple_of(channels), "whole pixels of 1, 3 or 4 channels");
    assert!(!weights.is_empty(), "no columns");
    let rows = out.len() / channels;
    if rows == 0 {
        return;
    }
    let last = weights.len().checked_mul(channels).and_then(|n| (rows - 1).checked_mul(row_stride)?.checked_add(n));
    assert!(last.is_some_and(|n| n <= src.len()), "columns reach past the plane's end");
    // SAFETY: every index r * row_stride + t * channels + c is below `last`.
    unsafe {
        match channels {
            1 => columns_1(isa, src, row_stride, weights, out),
            3 => columns_3(isa, src, row_stride, weights, out),
            _ => columns_4(isa, src, row_stride, weights, out),
        }
    }
}

isa_entry! { fn columns_1(src: &[u8], row_stride: usize, weights: &[f32], out: &mut [f32]) = columns_1_body; }
isa_entry! { fn columns_3(src: &[u8], row_stride: usize, weights: &[f32], out: &mut [f32]) = columns_3_body; }
isa_entry! { fn columns_4(src: &[u8], row_stride: usize, weights: &[f32], out: &mut [f32]) = columns_4_body; }

/// # Safety
/// The contract of [`Simd`] holds for the first argument; every access to the slices is checked.
#[inline(always)]
unsafe fn columns_1_body<S: Simd>(_: S, src: &[u8], row_stride: usize, weights: &[f32], out: &mut [f32]) {
    for (r, out) in out.iter_mut().enumerate() {
        let row = &src[r * row_stride..][..weights.len()];
        *out = row.iter().zip(weights).fold(0.0, |acc, (&v, &w)| mul_add_one::<S>(f32::from(v), w, acc));
    }
}

/// # Safety
/// As [`columns`], with C = 3.
#[inline(always)]
unsafe fn columns_3_body<S: Quads>(simd: S, src: &[u8], row_stride: usize, weights: &[f32], out: &mut [f32]) {
    // SAFETY: as promised to `columns`.
    unsafe { by_taps!(weights.len(), columns::<S, 3>(simd, src, row_stride, weights, out)) }
}

/// # Safety
/// As [`columns`], with C = 4.
#[inline(always)]
unsafe fn columns_4_body<S: Quads>(simd: S, src: &[u8], row_stride: usize, weights: &[f32], out: &mut [f32]) {
    // SAFETY: as promised to `columns`.
    unsafe { by_taps!(weights.len(), columns::<S, 4>(simd, src, row_stride, weights, out)) }
}

/// A pixel is one vector of four: three channels and one extra value, which the next pixel overwrites.
///
/// # Safety
/// `(out.len() / C - 1) * row_stride + weights.len() * C <= src.len()`, `out.len()` a multiple of C; K is 0 or
/// `weights.len()`.
#[inline(always)]
unsafe fn columns<S: Quads, const C: usize, const K: usize>(
    simd: S,
    src: &[u8],
    row_stride: usize,
    weights: &[f32],
    out: &mut [f32],
) {
    let taps = if K == 0 { weights.len() } else { K };
    let rows = out.len() / C;
    let exact = |r: usize, out: &mut [f32]| {
        for c in 0..C {
            let mut acc = 0.0;
            for (t, &w) in weights.iter().enumerate() {
                acc = mul_add_one::<S>(f32::from(src[r * row_stride + t * C + c]), w, acc);
            }
            out[r * C + c] = acc;
        }
    };
    if row_stride == 0 {
        (0..rows).for_each(|r| exact(r, out));
        return;
    }
    let p = src.as_ptr();
    let o = out.as_mut_ptr();
    // The last row is handled separately: four bytes of its last pixel and four floats of its store may not exist.
    for r in 0..rows - 1 {
        // SAFETY: the fourth byte of a pixel in a row that is not the last lies before that row's end (the next pixel)
        // or, for the last pixel, is at most one byte further, where the next row's first byte lies at the latest.
        unsafe {
            let row = p.add(r * row_stride);
            // Rows lie pages apart, which no CPU prefetches by itself: prefetch what the next lines will read.
            simd.prefetch(row.wrapping_add(taps * C + 64));
            // Two alternating sums, so that one does not wait for the other.
            let mut sums = [simd.splat4(0.0); 2];
            let mut t = 0;
            while t + 2 <= taps {
                for (half, sum) in sums.iter_mut().enumerate() {
                    let w = simd.splat4(*weights.get_unchecked(t + half));
                    *sum = simd.mul_add4(simd.load4_u8(row.add((t + half) * C)), w, *sum);
                }
                t += 2;
            }
            if t < taps {
                let w = simd.splat4(*weights.get_unchecked(t));
                sums[0] = simd.mul_add4(simd.load4_u8(row.add(t * C)), w, sums[0]);
            }
            simd.store4(o.add(r * C), simd.add4(sums[0], sums[1]));
        }
    }
    exact(rows - 1, out);
}

/// What happens to a filtered pixel: `out[c] = value[order[c]] * scale[c] + offset[c]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Blue is first in the line.
    pub bgr: bool,
    /// Factor of red, green, blue.
    pub scale: [f32; 3],
    /// Added to red, green, blue.
    pub offset: [f32; 3],
}

/// Filters a line of pixels with `channels` (1, 3 or 4) f32 each into RGB: output pixel x is the sum over its run of
/// weight times pixel, then [`Affine`]. The line's first pixel has index `origin`. A grey line produces three equal
/// values before `affine`; of four channels the last is ignored.
///
/// # Panics
/// If the line does not hold all pixels from `origin` (at most `taps.first()`) to `taps.end()` and, if `channels` is 3,
/// one more value; if `out` does not hold three values per output of `taps`.
pub fn filter_line(
    isa: Isa,
    line: &[f32],
    origin: usize,
    channels: usize,
    taps: &Taps,
    affine: &Affine,
    out: &mut [f32],
) {
    assert!(matches!(channels, 1 | 3 | 4), "1, 3 or 4 channels");
    assert!(origin <= taps.first, "the line begins after the first tap");
    let need = (taps.end - origin) * channels + usize::from(channels == 3);
    assert!(line.len() >= need, "line of {} values, {need} needed", line.len());
    assert_eq!(out.len(), taps.len() * 3, "three values per output pixel");
    // SAFETY: every run is within first..end, so the checks above cover every read; `out` was checked too.
    unsafe {
        match channels {
            1 => filter_1(isa, line, origin, taps, affine, out),
            3 => filter_3(isa, line, origin, taps, affine, out),
            _ => filter_4(isa, line, origin, taps, affine, out),
        }
    }
}

isa_entry! { fn filter_1(line: &[f32], origin: usize, taps: &Taps, affine: &Affine, out: &mut [f32]) = filter_1_body; }
isa_entry! { fn filter_3(line: &[f32], origin: usize, taps: &Taps, affine: &Affine, out: &mut [f32]) = filter_3_body; }
isa_entry! { fn filter_4(line: &[f32], origin: usize, taps: &Taps, affine: &Affine, out: &mut [f32]) = filter_4_body; }

/// # Safety
/// As [`filter`], with C = 3.
#[inline(always)]
unsafe fn filter_3_body<S: Quads>(simd: S, line: &[f32], origin: usize, taps: &Taps, affine: &Affine, out: &mut [f32]) {
    // SAFETY: as promised to `filter`.
    unsafe { by_taps!(taps.longest, filter::<S, 3>(simd, line, origin, taps, affine, out)) }
}

/// # Safety
/// As [`filter`], with C = 4.
#[inline(always)]
unsafe fn filter_4_body<S: Quads>(simd: S, line: &[f32], origin: usize, taps: &Taps, affine: &Affine, out: &mut [f32]) {
    // SAFETY: as promised to `filter`.
    unsafe { by_taps!(taps.longest, filter::<S, 4>(simd, line, origin, taps, affine, out)) }
}

/// # Safety
/// The contract of [`Simd`] holds for the first argument; every access to the slices is checked.
#[inline(always)]
unsafe fn filter_1_body<S: Simd>(_: S, line: &[f32], origin: usize, taps: &Taps, affine: &Affine, out: &mut [f32]) {
    for (x, px) in out.chunks_exact_mut(3).enumerate() {
        let start = taps.starts[x] as usize - origin;
        let weights = &taps.weights[x * taps.longest..(x + 1) * taps.longest];
        let mut acc = 0.0;
        for (&v, &w) in line[start..start + taps.longest].iter().zip(weights) {
            acc = mul_add_one::<S>(v, w, acc);
        }
        for c in 0..3 {
            px[c] = mul_add_one::<S>(acc, affine.scale[c], affine.offset[c]);
        }
    }
}

/// # Safety
/// `line` holds the pixels from `origin` to `taps.end` and, for C = 3, one more value; `out` is `taps.len() * 3` long;
/// K is 0 or `taps.longest`.
#[inline(always)]
unsafe fn filter<S: Quads, const C: usize, const K: usize>(
    simd: S,
    line: &[f32],
    origin: usize,
    taps: &Taps,
    affine: &Affine,
    out: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe {
        if affine.bgr {
            filter_pixels::<S, C, K, true>(simd, line, origin, taps, affine, out);
        } else {
            filter_pixels::<S, C, K, false>(simd, line, origin, taps, affine, out);
        }
    }
}

/// # Safety
/// As [`filter`]; BGR is `affine.bgr`.
#[inline(always)]
unsafe fn filter_pixels<S: Quads, const C: usize, const K: usize, const BGR: bool>(
    simd: S,
    line: &[f32],
    origin: usize,
    taps: &Taps,
    affine: &Affine,
    out: &mut [f32],
) {
    let [sr, sg, sb] = affine.scale;
    let [or, og, ob] = affine.offset;
    let n = taps.len();
    let k = if K == 0 { taps.longest } else { K };
    // SAFETY: start + k <= end for every run; a quad of three channels reads one value past the pixel, which the line
    // has. A quad store past the last pixel is avoided.
    unsafe {
        let scale = simd.load4([sr, sg, sb, 0.0].as_ptr());
        let offset = simd.load4([or, og, ob, 0.0].as_ptr());
        for x in 0..n {
            let p = line.as_ptr().add((*taps.starts.get_unchecked(x) as usize - origin) * C);
            let w = taps.weights.as_ptr().add(x * k);
            let mut sum = simd.sum4(p, C, w, k, simd.splat4(0.0));
            if BGR {
                sum = simd.swap4(sum);
            }
            let pixel = simd.mul_add4(sum, scale, offset);
            let o = out.as_mut_ptr().add(x * 3);
            if x + 1 < n {
                simd.store4(o, pixel);
            } else {
                let mut last = [0.0f32; 4];
                simd.store4(last.as_mut_ptr(), pixel);
                o.cast::<[f32; 3]>().write([last[0], last[1], last[2]]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Noise;

    #[test]
    fn weights_that_no_memory_holds_are_an_error() {
        for out in [usize::MAX, usize::MAX / 8] {
            assert_eq!(Taps::triangle(0, 5, false, out).unwrap_err().what, WEIGHTS);
        }
    }

    #[test]
    fn weights_sum_to_one_and_stay_inside() {
        for len in [1, 2, 3, 7, 16, 100, 513] {
            for out in [1, 2, 5, 16, 33, 513] {
                for flip in [false, true] {
                    let taps = Taps::triangle(5, len, flip, out).unwrap();
                    for i in 0..out {
                        let (start, weights) = taps.run(i);
                        assert!(start >= 5 && start + weights.len() <= 5 + len && start + taps.taps() <= 5 + len);
                        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
                        assert!((sum - 1.0).abs() < 1e-5);
                        assert!(weights.iter().all(|&w| w >= 0.0));
                    }
                }
            }
        }
    }

    #[test]
    fn flipped_taps_are_the_mirror_image() {
        for (len, out) in [(10, 4), (4, 10), (7, 7), (9, 5)] {
            let a = Taps::triangle(0, len, false, out).unwrap();
            let b = Taps::triangle(0, len, true, out).unwrap();
            let dense = |taps: &Taps, i: usize| {
                let mut v = vec![0.0f32; len];
                let (start, weights) = taps.run(i);
                v[start..start + weights.len()].copy_from_slice(weights);
                v
            };
            for i in 0..out {
                let mut w = dense(&a, i);
                w.reverse();
                assert_eq!(w, dense(&b, i));
            }
        }
    }

    #[test]
    fn rows_agree_with_the_formula() {
        for isa in Isa::all() {
            for n in [0, 1, 7, 15, 16, 17, 63, 64, 65, 200] {
                for taps in [1, 2, 3, 9] {
                    let stride = n + 5;
                    let src = Noise::new(7).bytes((taps - 1) * stride + n);
                    let mut weights: Vec<f32> = (0..taps).map(|t| 0.1 + t as f32 * 0.07).collect();
                    // NEON represents weights that sum to 1, as a resize's do, as integer multiples of 2^-15.
                    let parts = n % 2 == 0;
                    if parts {
                        let sum: f32 = weights.iter().sum();
                        for w in &mut weights {
                            *w /= sum;
                        }
                    }
                    let most = if parts && isa.name() == "neon" { 2e-2 } else { 1e-3 };
                    let mut out = vec![0.0; n];
                    combine_rows(isa, &src, stride, &weights, &mut out);
                    for i in 0..n {
                        let want: f64 = (0..taps).map(|t| f64::from(weights[t]) * f64::from(src[t * stride + i])).sum();
                        assert!((f64::from(out[i]) - want).abs() < most, "{} {n} {taps}", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn columns_agree_with_the_formula() {
        for isa in Isa::all() {
            for channels in [1, 3, 4] {
                for rows in [0, 1, 2, 9] {
                    for taps in [1, 2, 5] {
                        let stride = taps * channels; // no padding: the tightest plane
                        let src = Noise::new(3).bytes(rows * stride);
                        let weights: Vec<f32> = (0..taps).map(|t| 0.3 - t as f32 * 0.05).collect();
                        let mut out = vec![0.0; rows * channels];
                        combine_columns(isa, &src, stride, channels, &weights, &mut out);
                        for r in 0..rows {
                            for c in 0..channels {
                                let want: f64 = (0..taps)
                                    .map(|t| f64::from(weights[t]) * f64::from(src[r * stride + t * channels + c]))
                                    .sum();
                                assert!((f64::from(out[r * channels + c]) - want).abs() < 1e-3);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn lines_agree_with_the_formula() {
        for isa in Isa::all() {
            for channels in [1usize, 3, 4] {
                for (len, out_len, flip) in
                    [(1, 1, false), (1, 9, true), (40, 13, false), (13, 40, true), (33, 33, false)]
                {
                    let origin = 3;
                    let first = 4;
                    let taps = Taps::triangle(first, len, flip, out_len).unwrap();
                    let line: Vec<f32> = Noise::new(11)
                        .bytes((first + len - origin) * channels + usize::from(channels == 3))
                        .into_iter()
                        .map(f32::from)
                        .collect();
                    let affine = Affine { bgr: channels == 4, scale: [0.5, 2.0, 1.0], offset: [1.0, -2.0, 3.0] };
                    let mut out = vec![f32::NAN; out_len * 3];
                    filter_line(isa, &line, origin, channels, &taps, &affine, &mut out);
                    for x in 0..out_len {
                        let (start, weights) = taps.run(x);
                        for c in 0..3 {
                            let from = if channels == 1 {
                                0
                            } else if affine.bgr {
                                2 - c
                            } else {
                                c
                            };
                            let sum: f64 = weights
                                .iter()
                                .enumerate()
                                .map(|(t, &w)| f64::from(w) * f64::from(line[(start + t - origin) * channels + from]))
                                .sum();
                            let want = sum * f64::from(affine.scale[c]) + f64::from(affine.offset[c]);
                            assert!((f64::from(out[x * 3 + c]) - want).abs() < 1e-3, "{} {channels} {x}", isa.name());
                        }
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "past the plane's end")]
    fn short_planes_are_refused() {
        combine_rows(Isa::best(), &[0; 9], 5, &[0.5, 0.5], &mut [0.0; 5]);
    }
}
