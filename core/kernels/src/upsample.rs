//! Low-resolution logits to a mask or a confidence of any size, row by row: the full-size planes of 21 classes never
//! exist.
//!
//! A row of the output first mixes two rows of logits (class-major, so that vectors run over columns). Between two
//! neighbouring columns every class is then a straight line, which removes most of the work: a class that is best at
//! both columns is best at every pixel between them (the difference of two lines that is not negative at both ends is
//! not negative in between), so the span is filled at once. Where the best classes differ, only classes that neither of
//! the two dominates at both ends can win, and only those are evaluated pixel by pixel.
//!
//! Ties: the lowest class index always wins. Two classes that differ by less than f32's rounding along a whole span are
//! decided by exact arithmetic on its end points. The mixing uses no fused operations, so every instruction set
//! produces the same mask, bit for bit.

use std::ops::Range;

use crate::isa::{Isa, isa_entry};
use crate::memory::{OutOfMemory, filled, reserve};
use crate::simd::{Simd, mul_add_one};

/// How a map is resized, and thus how the grid of logits is laid over the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Resize {
    /// Corner pixels' centres coincide: `x_in = x_out * (in - 1) / (out - 1)`.
    AlignCorners,
    /// Pixel areas coincide: `x_in = (x_out + 0.5) * in / out - 0.5`, clamped.
    HalfPixel,
}

/// The purpose of the memory, in errors.
const WEIGHTS: &str = "the weights of an upsampling";

/// Columns are padded to whole vectors of the widest instruction set.
const BLOCK: usize = 16;
/// Pixels that a span evaluates at a time.
const CHUNK: usize = 16;

/// Outputs between the same two logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    low: u32,
    start: u32,
    end: u32,
}

/// For each output index of one axis: the two logits around it, and its distance from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    len: usize,
    low: Vec<u32>,
    /// Weight of the lower and of the upper neighbour, `CHUNK` values longer than the output.
    near: Vec<f32>,
    far: Vec<f32>,
    spans: Vec<Span>,
}

impl Axis {
    /// `len` logits are laid over `input` pixels of the network's input by `rule`; the first `valid` of those pixels
    /// are the image (all, unless it is letterboxed), and `out` outputs are spread over them, with pixel areas
    /// coinciding. With `out == valid == input` this is the plain resize of the logits to the input's size.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    ///
    /// # Panics
    /// If a size is 0 or over 2^24, or `valid > input`.
    pub fn new(len: usize, input: usize, valid: usize, out: usize, rule: Resize) -> Result<Self, OutOfMemory> {
        let fits = |n: usize| n > 0 && n <= 1 << 24;
        assert!(fits(len) && fits(input) && fits(valid) && fits(out) && valid <= input, "impossible sizes");
        let mut axis = Self {
            len,
            low: Vec::new(),
            near: filled(out + CHUNK, 1.0, WEIGHTS)?,
            far: filled(out + CHUNK, 0.0, WEIGHTS)?,
            spans: Vec::new(),
        };
        reserve(&mut axis.low, out, WEIGHTS)?;
        reserve(&mut axis.spans, out.min(len), WEIGHTS)?;
        for i in 0..out {
            let x = ((i as f64 + 0.5) * valid as f64 / out as f64 - 0.5).clamp(0.0, (valid - 1) as f64);
            let p = match rule {
                Resize::AlignCorners => x * (len - 1) as f64 / (input.max(2) - 1) as f64,
                Resize::HalfPixel => (x + 0.5) * len as f64 / input as f64 - 0.5,
            };
            let p = p.clamp(0.0, (len - 1) as f64);
            let mut low = p as u32;
            let mut far = (p - f64::from(low)) as f32;
            if far >= 1.0 {
                (low, far) = (low + 1, 0.0);
            }
            axis.low.push(low);
            (axis.near[i], axis.far[i]) = (1.0 - far, far);
            match axis.spans.last_mut() {
                Some(span) if span.low == low => span.end = i as u32 + 1,
                _ => axis.spans.push(Span { low, start: i as u32, end: i as u32 + 1 }),
            }
        }
        Ok(axis)
    }

    /// Outputs.
    pub fn out(&self) -> usize {
        self.low.len()
    }

    /// Logits.
    pub fn logits(&self) -> usize {
        self.len
    }
}

/// Both axes of an upsampling, computed once per geometry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Upsample {
    /// Rows.
    pub rows: Axis,
    /// Columns.
    pub columns: Axis,
}

impl Upsample {
    /// Logit columns, plus one extra, in whole blocks.
    fn padded(&self) -> usize {
        (self.columns.len + 1).next_multiple_of(BLOCK)
    }

    /// f32 of scratch for [`categories`], [`confidence`] and [`confidence_u8`].
    pub fn scratch(&self, classes: usize) -> usize {
        self.padded() * (3 * classes + 2) + classes
    }

    fn check(&self, logits: &[f32], classes: usize, rows: &Range<usize>, out: usize, scratch: bool) {
        assert!((1..=256).contains(&classes), "{classes} classes: a category is one byte");
        let expected = self.rows.len.checked_mul(self.columns.len).and_then(|n| n.checked_mul(classes));
        assert_eq!(Some(logits.len()), expected, "logits are not rows x columns x classes");
        assert!(rows.start <= rows.end && rows.end <= self.rows.out(), "rows outside the output");
        assert_eq!(out, (rows.end - rows.start) * self.columns.out(), "output does not hold the requested rows");
        assert!(scratch, "scratch too short");
    }
}

/// Which class has the largest logit at each pixel.
///
/// `logits` is `[h][w][classes]`; `out` receives rows `rows` of the mask, `up.columns.out()` bytes each.
///
/// # Panics
/// If `logits`, `out` or `scratch` have the wrong length, `rows` is out of range, or `classes` is not 1 to 256.
pub fn categories(
    isa: Isa,
    logits: &[f32],
    classes: usize,
    up: &Upsample,
    rows: Range<usize>,
    scratch: &mut [f32],
    out: &mut [u8],
) {
    up.check(logits, classes, &rows, out.len(), scratch.len() >= up.scratch(classes));
    // SAFETY: the body requires only the instruction set; it checks its lengths.
    unsafe { categories_entry(isa, logits, classes, up, rows, scratch, out) }
}

isa_entry! {
    fn categories_entry(
        logits: &[f32], classes: usize, up: &Upsample, rows: Range<usize>, scratch: &mut [f32], out: &mut [u8],
    ) = categories_body;
}

/// # Safety
/// The contract of [`Simd`] holds for `s`; every access to the slices is checked.
#[inline(always)]
unsafe fn categories_body<S: Simd>(
    s: S,
    logits: &[f32],
    classes: usize,
    up: &Upsample,
    rows: Range<usize>,
    scratch: &mut [f32],
    out: &mut [u8],
) {
    let (mut maps, rest) = Maps::split(up, classes, scratch);
    let candidates = &mut rest[..classes];
    let width = up.columns.out();
    for (y, out) in rows.zip(out.chunks_exact_mut(width)) {
        maps.mix(s, logits, up, y);
        for span in &up.columns.spans {
            let j = span.low as usize;
            let start = span.start as usize;
            let end = span.end as usize;
            let first = maps.best[j];
            let last = maps.best[j + 1];
            #[allow(clippy::float_cmp, reason = "class numbers, not measurements")]
            if first == last || (end - start == 1 && up.columns.far[start] == 0.0) {
                let class = first as u8;
                if end - start <= 16 && start + 16 <= width {
                    // One store; whatever it writes past the span is overwritten by the next ones.
                    out[start..start + 16].copy_from_slice(&[class; 16]);
                } else {
                    out[start..end].fill(class);
                }
                continue;
            }
            // Which classes can win in between: those not below the left winner at the right end (none is above it at
            // the left one), and not below the right winner at the left end.
            let first = first as usize;
            let last = last as usize;
            let left = |class: usize| maps.mixed[class * maps.padded + j];
            let right = |class: usize| maps.mixed[class * maps.padded + j + 1];
            let bar_right = right(first);
            let bar_left = left(last);
            let mut count = 0;
            for class in 0..classes {
                candidates[count] = class as f32;
                let wins = right(class) > bar_right && left(class) > bar_left;
                count += usize::from(wins || class == first || class == last);
            }
            let mut x = start;
            while x < end {
                let near: &[f32; CHUNK] = up.columns.near[x..].first_chunk().expect("padded");
                let far: &[f32; CHUNK] = up.columns.far[x..].first_chunk().expect("padded");
                let mut best = [f32::NEG_INFINITY; CHUNK];
                let mut who = [candidates[0]; CHUNK];
                for &class in &candidates[..count] {
                    let a = left(class as usize);
                    let b = right(class as usize);
                    for i in 0..CHUNK {
                        let v = near[i] * a + far[i] * b;
                        let better = v > best[i];
                        best[i] = if better { v } else { best[i] };
                        who[i] = if better { class } else { who[i] };
                    }
                }
                let n = CHUNK.min(end - x);
                for (o, w) in out[x..x + n].iter_mut().zip(who) {
                    *o = w as u8;
                }
                x += n;
            }
        }
    }
}

/// Class-major copies of the two logit rows around an output row, their mix, and the best class of each column.
struct Maps<'s> {
    padded: usize,
    classes: usize,
    top: &'s mut [f32],
    bottom: &'s mut [f32],
    held: [usize; 2],
    mixed: &'s mut [f32],
    peak: &'s mut [f32],
    best: &'s mut [f32],
}

impl<'s> Maps<'s> {
    #[inline(always)]
    fn split(up: &Upsample, classes: usize, scratch: &'s mut [f32]) -> (Self, &'s mut [f32]) {
        let padded = up.padded();
        let (top, rest) = scratch.split_at_mut(padded * classes);
        let (bottom, rest) = rest.split_at_mut(padded * classes);
        let (mixed, rest) = rest.split_at_mut(padded * classes);
        let (peak, rest) = rest.split_at_mut(padded);
        let (best, rest) = rest.split_at_mut(padded);
        (Self { padded, classes, top, bottom, held: [usize::MAX; 2], mixed, peak, best }, rest)
    }

    /// Computes `mixed`, `peak` and `best` for output row `y`.
    #[inline(always)]
    fn mix<S: Simd>(&mut self, s: S, logits: &[f32], up: &Upsample, y: usize) {
        let low = up.rows.low[y] as usize;
        let high = (low + 1).min(up.rows.len - 1);
        if self.held[0] != low && self.held[1] == low {
            std::mem::swap(&mut self.top, &mut self.bottom);
            self.held.swap(0, 1);
        }
        let width = up.columns.len;
        let classes = self.classes;
        let padded = self.padded;
        let fetch = |row: usize, to: &mut [f32]| {
            for (x, pixel) in logits[row * width * classes..][..width * classes].chunks_exact(classes).enumerate() {
                for (class, &v) in pixel.iter().enumerate() {
                    to[class * padded + x] = v;
                }
            }
            // Past the last column: copies of it, so that the last span needs no special case.
            for line in to.chunks_exact_mut(padded) {
                let last = line[width - 1];
                line[width..].fill(last);
            }
        };
        if self.held[0] != low {
            fetch(low, self.top);
            self.held[0] = low;
        }
        if self.held[1] != high {
            fetch(high, self.bottom);
            self.held[1] = high;
        }
        let weights = (up.rows.near[y], up.rows.far[y]);
        for x in (0..padded).step_by(BLOCK) {
            // SAFETY: guaranteed by the entry; lines are whole blocks.
            unsafe {
                match S::LANES {
                    16 => self.mix_block::<S, 1>(s, weights, x),
                    8 => self.mix_block::<S, 2>(s, weights, x),
                    4 => self.mix_block::<S, 4>(s, weights, x),
                    _ => self.mix_block::<S, BLOCK>(s, weights, x),
                }
            }
        }
    }

    /// Columns `x..x + BLOCK`, `N` vectors of them. Compilers do not find these vectors by themselves.
    ///
    /// # Safety
    /// The contract of [`Simd`] holds for `s`; `N * LANES` is `BLOCK`, and all lines hold that many columns from `x`
    /// on.
    #[inline(always)]
    unsafe fn mix_block<S: Simd, const N: usize>(&mut self, s: S, (near, far): (f32, f32), x: usize) {
        let at = |class: usize| class * self.padded + x;
        assert!(N * S::LANES == BLOCK && x + BLOCK <= self.padded, "whole blocks");
        // SAFETY: columns inside the lines, as just checked; the slices hold a line for each class, `peak` and `best` one.
        unsafe {
            let near = s.splat(near);
            let far = s.splat(far);
            let mut peak = [s.splat(f32::NEG_INFINITY); N];
            let mut best = [s.splat(0.0); N];
            for class in 0..self.classes {
                let top = s.load_many::<N>(self.top[at(class)..][..BLOCK].as_ptr());
                let bottom = s.load_many::<N>(self.bottom[at(class)..][..BLOCK].as_ptr());
                let mixed = self.mixed[at(class)..][..BLOCK].as_mut_ptr();
                let number = s.splat(class as f32);
                for i in 0..N {
                    let v = s.add(s.mul(near, top[i]), s.mul(far, bottom[i]));
                    s.store(mixed.add(i * S::LANES), v);
                    best[i] = s.where_greater(v, peak[i], number, best[i]);
                    peak[i] = s.where_greater(v, peak[i], v, peak[i]);
                }
            }
            let to_peak = self.peak[x..][..BLOCK].as_mut_ptr();
            let to_best = self.best[x..][..BLOCK].as_mut_ptr();
            for i in 0..N {
                s.store(to_peak.add(i * S::LANES), peak[i]);
                s.store(to_best.add(i * S::LANES), best[i]);
            }
        }
    }
}

/// The softmax probability that a pixel belongs to one of the classes `chosen` (one flag per class): rows `rows` of a
/// map of `up.columns.out()` values per row, 0 to 1.
///
/// # Panics
/// As [`categories`], or if `chosen` does not have one flag per class.
pub fn confidence(
    isa: Isa,
    logits: &[f32],
    chosen: &[bool],
    up: &Upsample,
    rows: Range<usize>,
    scratch: &mut [f32],
    out: &mut [f32],
) {
    up.check(logits, chosen.len(), &rows, out.len(), scratch.len() >= up.scratch(chosen.len()));
    // SAFETY: the body requires only the instruction set; it checks its lengths.
    unsafe { confidence_entry(isa, logits, chosen, up, rows, scratch, out) }
}

/// As [`confidence`], in 0 to 255, rounded.
///
/// # Panics
/// As [`confidence`].
pub fn confidence_u8(
    isa: Isa,
    logits: &[f32],
    chosen: &[bool],
    up: &Upsample,
    rows: Range<usize>,
    scratch: &mut [f32],
    out: &mut [u8],
) {
    up.check(logits, chosen.len(), &rows, out.len(), scratch.len() >= up.scratch(chosen.len()));
    // SAFETY: the body requires only the instruction set; it checks its lengths.
    unsafe { confidence_u8_entry(isa, logits, chosen, up, rows, scratch, out) }
}

isa_entry! {
    fn confidence_entry(
        logits: &[f32], chosen: &[bool], up: &Upsample, rows: Range<usize>, scratch: &mut [f32], out: &mut [f32],
    ) = confidence_body;
}
isa_entry! {
    fn confidence_u8_entry(
        logits: &[f32], chosen: &[bool], up: &Upsample, rows: Range<usize>, scratch: &mut [f32], out: &mut [u8],
    ) = confidence_u8_body;
}

/// # Safety
/// The contract of [`Simd`] holds for `s`; every access to the slices is checked.
#[inline(always)]
unsafe fn confidence_body<S: Simd>(
    s: S,
    logits: &[f32],
    chosen: &[bool],
    up: &Upsample,
    rows: Range<usize>,
    scratch: &mut [f32],
    out: &mut [f32],
) {
    probabilities(s, logits, chosen, up, rows, scratch, |at, values| {
        out[at..at + values.len()].copy_from_slice(values);
    });
}

/// # Safety
/// The contract of [`Simd`] holds for `s`; every access to the slices is checked.
#[inline(always)]
unsafe fn confidence_u8_body<S: Simd>(
    s: S,
    logits: &[f32],
    chosen: &[bool],
    up: &Upsample,
    rows: Range<usize>,
    scratch: &mut [f32],
    out: &mut [u8],
) {
    probabilities(s, logits, chosen, up, rows, scratch, |at, values| {
        for (o, &p) in out[at..at + values.len()].iter_mut().zip(values) {
            *o = (p * 255.0 + 0.5) as u8;
        }
    });
}

/// Calls `emit` with the position in the output and up to `CHUNK` probabilities. It loops over all classes of a chunk
/// twice, for the maximum and for the sum; both stay in registers.
#[inline(always)]
fn probabilities<S: Simd>(
    s: S,
    logits: &[f32],
    chosen: &[bool],
    up: &Upsample,
    rows: Range<usize>,
    scratch: &mut [f32],
    mut emit: impl FnMut(usize, &[f32]),
) {
    let (mut maps, rest) = Maps::split(up, chosen.len(), scratch);
    let flags = &mut rest[..chosen.len()];
    for (flag, &is_chosen) in flags.iter_mut().zip(chosen) {
        *flag = f32::from(u8::from(is_chosen));
    }
    for (i, y) in rows.enumerate() {
        maps.mix(s, logits, up, y);
        for span in &up.columns.spans {
            let mut x = span.start as usize;
            let end = span.end as usize;
            let ends = || {
                maps.mixed.chunks_exact(maps.padded).map(|line| (line[span.low as usize], line[span.low as usize + 1]))
            };
            while x < end {
                let near: &[f32; CHUNK] = up.columns.near[x..].first_chunk().expect("padded");
                let far: &[f32; CHUNK] = up.columns.far[x..].first_chunk().expect("padded");
                let mut peak = [f32::NEG_INFINITY; CHUNK];
                for (a, b) in ends() {
                    for k in 0..CHUNK {
                        let v = mul_add_one::<S>(near[k], a, far[k] * b);
                        peak[k] = if v > peak[k] { v } else { peak[k] };
                    }
                }
                let mut sum = [0.0f32; CHUNK];
                let mut part = [0.0f32; CHUNK];
                for ((a, b), &flag) in ends().zip(flags.iter()) {
                    for k in 0..CHUNK {
                        let e = exp::<S>(mul_add_one::<S>(near[k], a, far[k] * b) - peak[k]);
                        sum[k] += e;
                        part[k] = mul_add_one::<S>(e, flag, part[k]);
                    }
                }
                for k in 0..CHUNK {
                    part[k] /= sum[k];
                }
                let n = CHUNK.min(end - x);
                emit(i * up.columns.out() + x, &part[..n]);
                x += n;
            }
        }
    }
}

/// e^x for x <= 0 (below -87: e^-87), to about 2 ulp: 2^n times a polynomial on ±ln 2 / 2.
#[inline(always)]
fn exp<S: Simd>(x: f32) -> f32 {
    // Adding this rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = mul_add_one::<S>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add_one::<S>(n, -0.693_145_75, x);
    let r = mul_add_one::<S>(n, -1.428_606_8e-6, r);
    let p = mul_add_one::<S>(r, 1.0 / 720.0, 1.0 / 120.0);
    let p = mul_add_one::<S>(p, r, 1.0 / 24.0);
    let p = mul_add_one::<S>(p, r, 1.0 / 6.0);
    let p = mul_add_one::<S>(p, r, 0.5);
    let p = mul_add_one::<S>(p, r, 1.0);
    let p = mul_add_one::<S>(p, r, 1.0);
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Noise;

    /// Logits like a network's: smooth, with integer steps every so often so that ties happen.
    fn logits(n: usize, seed: u64, integers: bool) -> Vec<f32> {
        let values = Noise::new(seed).floats(n, 10.0).into_iter();
        values.map(|v| if integers { (v / 4.0).round() } else { v }).collect()
    }

    /// Every class at a pixel, straight from the definition, in f64.
    fn values(logits: &[f32], classes: usize, up: &Upsample, x: usize, y: usize) -> Vec<f64> {
        let w = up.columns.len;
        let h = up.rows.len;
        let x0 = up.columns.low[x] as usize;
        let y0 = up.rows.low[y] as usize;
        let x1 = (x0 + 1).min(w - 1);
        let y1 = (y0 + 1).min(h - 1);
        let fx = f64::from(up.columns.far[x]);
        let fy = f64::from(up.rows.far[y]);
        let at = |y: usize, x: usize, c: usize| f64::from(logits[(y * w + x) * classes + c]);
        (0..classes)
            .map(|c| {
                let left = at(y0, x0, c) * (1.0 - fy) + at(y1, x0, c) * fy;
                let right = at(y0, x1, c) * (1.0 - fy) + at(y1, x1, c) * fy;
                left * (1.0 - fx) + right * fx
            })
            .collect()
    }

    fn run(isa: Isa, l: &[f32], classes: usize, up: &Upsample) -> Vec<u8> {
        let mut scratch = vec![f32::NAN; up.scratch(classes)];
        let mut out = vec![255; up.rows.out() * up.columns.out()];
        categories(isa, l, classes, up, 0..up.rows.out(), &mut scratch, &mut out);
        out
    }

    fn cases() -> Vec<Upsample> {
        let mut all = Vec::new();
        for rule in [Resize::AlignCorners, Resize::HalfPixel] {
            for (len, input, valid, out) in [
                (1, 1, 1, 1),
                (1, 16, 16, 7),
                (2, 17, 17, 17),
                (3, 33, 20, 50),
                (9, 129, 129, 129),
                (17, 257, 193, 100),
                (5, 65, 65, 2),
                (8, 8, 8, 8),
            ] {
                let axis = Axis::new(len, input, valid, out, rule).unwrap();
                let other = Axis::new(4, 49, 49, 19, rule).unwrap();
                all.push(Upsample { rows: other.clone(), columns: axis.clone() });
                all.push(Upsample { rows: axis, columns: other });
            }
        }
        all
    }

    #[test]
    fn masks_agree_with_the_definition() {
        for up in cases() {
            for classes in [1, 2, 3, 8, 21, 150] {
                for integers in [false, true] {
                    let l = logits(up.rows.len * up.columns.len * classes, 9 + classes as u64, integers);
                    let scalar = run(*Isa::all().last().unwrap(), &l, classes, &up);
                    for isa in Isa::all() {
                        assert_eq!(run(isa, &l, classes, &up), scalar, "{}", isa.name());
                    }
                    for y in 0..up.rows.out() {
                        for x in 0..up.columns.out() {
                            let v = values(&l, classes, &up, x, y);
                            let got = usize::from(scalar[y * up.columns.out() + x]);
                            let best = v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                            assert!(v[got] >= best - 1e-5, "{classes} classes at {x}, {y}: {got} of {v:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn exact_ties_go_to_the_lowest_class() {
        // Fractions are multiples of 1/8 and logits small integers: all arithmetic is exact.
        let axis = Axis::new(5, 33, 33, 33, Resize::AlignCorners).unwrap();
        let up = Upsample { rows: axis.clone(), columns: axis };
        for seed in 0..40 {
            for classes in [2, 8, 21] {
                let l = logits(25 * classes, seed, true);
                for isa in Isa::all() {
                    let mask = run(isa, &l, classes, &up);
                    for y in 0..33 {
                        for x in 0..33 {
                            let v = values(&l, classes, &up, x, y);
                            let mut want = 0;
                            for c in 1..classes {
                                if v[c] > v[want] {
                                    want = c;
                                }
                            }
                            assert_eq!(usize::from(mask[y * 33 + x]), want, "{} {seed} {classes} {x} {y}", isa.name());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_range_of_rows_is_those_rows() {
        let up = Upsample {
            rows: Axis::new(5, 65, 65, 40, Resize::HalfPixel).unwrap(),
            columns: Axis::new(7, 97, 97, 31, Resize::HalfPixel).unwrap(),
        };
        let l = logits(35 * 21, 3, false);
        let whole = run(Isa::best(), &l, 21, &up);
        let mut part = vec![0; 9 * 31];
        let mut scratch = vec![0.0; up.scratch(21)];
        categories(Isa::best(), &l, 21, &up, 13..22, &mut scratch, &mut part);
        assert_eq!(part, whole[13 * 31..22 * 31]);
    }

    #[test]
    fn aligned_corners_meet_and_half_pixels_clamp() {
        let a = Axis::new(33, 513, 513, 513, Resize::AlignCorners).unwrap();
        assert_eq!((a.low[0], a.far[0], a.low[512], a.far[512]), (0, 0.0, 32, 0.0));
        assert_eq!((a.low[8], a.far[8]), (0, 0.5));
        let h = Axis::new(33, 513, 513, 513, Resize::HalfPixel).unwrap();
        assert_eq!((h.low[0], h.far[0], h.low[512], h.far[512]), (0, 0.0, 32, 0.0));
    }

    #[test]
    fn confidence_is_the_softmax() {
        for up in cases() {
            for classes in [1, 2, 21] {
                let l = logits(up.rows.len * up.columns.len * classes, 77, false);
                let chosen: Vec<bool> = (0..classes).map(|c| c % 3 == 0).collect();
                for isa in Isa::all() {
                    let n = up.rows.out() * up.columns.out();
                    let mut scratch = vec![f32::NAN; up.scratch(classes)];
                    let mut out = vec![f32::NAN; n];
                    confidence(isa, &l, &chosen, &up, 0..up.rows.out(), &mut scratch, &mut out);
                    let mut bytes = vec![0; n];
                    confidence_u8(isa, &l, &chosen, &up, 0..up.rows.out(), &mut scratch, &mut bytes);
                    for y in 0..up.rows.out() {
                        for x in 0..up.columns.out() {
                            let e: Vec<f64> = values(&l, classes, &up, x, y).into_iter().map(f64::exp).collect();
                            let want: f64 = e.iter().zip(&chosen).filter(|(_, c)| **c).map(|(e, _)| e).sum::<f64>()
                                / e.iter().sum::<f64>();
                            let got = f64::from(out[y * up.columns.out() + x]);
                            assert!((got - want).abs() < 1e-5, "{}: {got} for {want}", isa.name());
                            let byte = f64::from(bytes[y * up.columns.out() + x]);
                            assert!((byte - want * 255.0).abs() < 0.51);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn huge_and_broken_logits_do_not_panic() {
        let axis = Axis::new(2, 9, 9, 9, Resize::AlignCorners).unwrap();
        let up = Upsample { rows: axis.clone(), columns: axis };
        let mut l = vec![f32::NAN, 1e38, -1e38, f32::INFINITY, 0.0, 5.0, f32::NEG_INFINITY, 1.0];
        for isa in Isa::all() {
            run(isa, &l, 2, &up);
            let mut scratch = vec![0.0; up.scratch(2)];
            confidence(isa, &l, &[true, false], &up, 0..9, &mut scratch, &mut [0.0; 81]);
        }
        // Far apart, but finite: probabilities stay 0 or 1.
        l = vec![-3000.0, 3000.0, -3000.0, 3000.0, 3000.0, -3000.0, 3000.0, -3000.0];
        let mut out = [0.0; 81];
        let mut scratch = vec![0.0; up.scratch(2)];
        confidence(Isa::best(), &l, &[true, false], &up, 0..9, &mut scratch, &mut out);
        assert!(out.iter().all(|p| (0.0..=1.0).contains(p)));
        assert!(out[0] < 1e-6 && out[80] > 0.999_999);
    }
}
