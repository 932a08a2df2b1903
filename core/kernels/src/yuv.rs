//! YUV 4:2:0 to RGB while rows are combined: the first half of the resize for camera frames.
//!
//! Every luma sample uses the chroma sample of its 2x2 block (no chroma interpolation, like the usual converters), is
//! converted and clamped to 0..=255, and only then weighted: the result is that of converting the whole image first.
//! Lines are written as four f32 per pixel (R, G, B, unused), ready for [`filter_line`](crate::resize::filter_line).
//!
//! Three paths: rows of the buffer with chroma pixel stride 1 (I420) and 2 (NV12, NV21, most phones) in blocks of
//! vectors, any other stride and the ends of rows pixel by pixel; columns of the buffer (rotated frames) in 2x2 blocks.

use crate::isa::{Isa, isa_entry};
use crate::quad::Quads;
use crate::simd::{Simd, mul_add_one};

/// `R = luma * Y + rv * V + bias.0`, `G = luma * Y + gu * U + gv * V + bias.1`, `B = luma * Y + bu * U + bias.2`, all in
/// 0 to 255 before clamping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct YuvToRgb {
    /// Factor of Y.
    pub luma: f32,
    /// Factor of V in red.
    pub rv: f32,
    /// Factor of U in green.
    pub gu: f32,
    /// Factor of V in green.
    pub gv: f32,
    /// Factor of U in blue.
    pub bu: f32,
    /// Constants of red, green, blue.
    pub bias: [f32; 3],
}

impl YuvToRgb {
    /// From the weights of red and blue in luma (BT.601: 0.299, 0.114; BT.709: 0.2126, 0.0722) and the range of the
    /// samples: full (0 to 255) or video (16 to 235, chroma 16 to 240).
    pub fn new(kr: f64, kb: f64, full_range: bool) -> Self {
        let kg = 1.0 - kr - kb;
        let (ys, cs, black) = if full_range { (1.0, 1.0, 0.0) } else { (255.0 / 219.0, 255.0 / 224.0, 16.0) };
        let rv = 2.0 * (1.0 - kr) * cs;
        let bu = 2.0 * (1.0 - kb) * cs;
        let gu = -bu * kb / kg;
        let gv = -rv * kr / kg;
        let base = -ys * black;
        Self {
            luma: ys as f32,
            rv: rv as f32,
            gu: gu as f32,
            gv: gv as f32,
            bu: bu as f32,
            bias: [base - 128.0 * rv, base - 128.0 * (gu + gv), base - 128.0 * bu].map(|b| b as f32),
        }
    }

    #[inline(always)]
    fn rgb<S: Simd>(&self, y: f32, u: f32, v: f32) -> [f32; 3] {
        let r = mul_add_one::<S>(self.rv, v, self.bias[0]);
        let g = mul_add_one::<S>(self.gu, u, mul_add_one::<S>(self.gv, v, self.bias[1]));
        let b = mul_add_one::<S>(self.bu, u, self.bias[2]);
        [r, g, b].map(|c| clamp(mul_add_one::<S>(self.luma, y, c)))
    }
}

/// Clamped to 0..=255, by two selects that every instruction set has.
#[inline(always)]
fn clamp(x: f32) -> f32 {
    let x = if x > 0.0 { x } else { 0.0 };
    if x < 255.0 { x } else { 255.0 }
}

/// Three planes of a 4:2:0 image: luma `width` by `height`, chroma half of it in both directions, rounded up.
#[derive(Clone, Copy, Debug)]
pub struct Yuv420<'a> {
    /// Luma, blue difference, red difference.
    pub planes: [&'a [u8]; 3],
    /// Bytes from row to row of each.
    pub row_strides: [usize; 3],
    /// Bytes from sample to sample of each.
    pub pixel_strides: [usize; 3],
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Yuv420<'_> {
    /// Panics unless every sample is inside its plane: the kernels read nothing else.
    fn check(&self) {
        assert!(self.width > 0 && self.height > 0, "empty picture");
        let sizes = [
            (self.width, self.height),
            (self.width.div_ceil(2), self.height.div_ceil(2)),
            (self.width.div_ceil(2), self.height.div_ceil(2)),
        ];
        for (i, (columns, rows)) in sizes.into_iter().enumerate() {
            let last = (rows - 1)
                .checked_mul(self.row_strides[i])
                .and_then(|n| n.checked_add((columns - 1).checked_mul(self.pixel_strides[i])?));
            assert!(last.is_some_and(|n| n < self.planes[i].len()), "plane {i} is too short");
        }
    }

    /// # Safety
    /// x < width, y < height, and `check` has passed.
    #[inline(always)]
    unsafe fn sample(&self, x: usize, y: usize) -> [f32; 3] {
        let [ys, us, vs] = self.row_strides;
        let [yp, up, vp] = self.pixel_strides;
        // SAFETY: `check` puts the last sample of each plane inside it, and offsets grow with x and y.
        unsafe {
            [
                f32::from(*self.planes[0].get_unchecked(y * ys + x * yp)),
                f32::from(*self.planes[1].get_unchecked(y / 2 * us + x / 2 * up)),
                f32::from(*self.planes[2].get_unchecked(y / 2 * vs + x / 2 * vp)),
            ]
        }
    }
}

/// Combines rows `row..row + weights.len()` of the image, starting at `column` (an even number), into `out`, four f32
/// per pixel: `out[4 * x + c] = sum over t of weights[t] * rgb(column + x, row + t)[c]`, and 0 for the fourth.
///
/// # Panics
/// If `column` is odd, the rows or columns reach past the image, a plane is too short for the size and strides, or the
/// length of `out` is not a multiple of four.
pub fn combine_yuv_rows(
    isa: Isa,
    picture: &Yuv420<'_>,
    color: &YuvToRgb,
    column: usize,
    row: usize,
    weights: &[f32],
    out: &mut [f32],
) {
    picture.check();
    assert!(column.is_multiple_of(2), "pairs of columns share their chroma");
    assert!(out.len().is_multiple_of(4), "four values per pixel");
    assert!(column + out.len() / 4 <= picture.width && row + weights.len() <= picture.height, "outside the picture");
    // SAFETY: checked above.
    unsafe { rows_entry(isa, picture, color, column, row, weights, out) }
}

isa_entry! {
    fn rows_entry(picture: &Yuv420<'_>, color: &YuvToRgb, column: usize, row: usize, weights: &[f32], out: &mut [f32])
        = rows_body;
}

/// # Safety
/// All of `combine_yuv_rows`'s checks have passed.
#[inline(always)]
unsafe fn rows_body<S: Simd>(
    _: S,
    picture: &Yuv420<'_>,
    color: &YuvToRgb,
    column: usize,
    row: usize,
    weights: &[f32],
    out: &mut [f32],
) {
    let n = out.len() / 4;
    // SAFETY: blocks are used only where all their pixels are inside.
    unsafe {
        let mut x = 0;
        match (S::LOOP, picture.pixel_strides) {
            (0, _) => {}
            (16, [1, 1, 1]) => x = blocks::<S, 16, 1>(picture, color, column, row, weights, out),
            (16, [1, 2, 2]) => x = blocks::<S, 16, 2>(picture, color, column, row, weights, out),
            (_, [1, 1, 1]) => x = blocks::<S, 8, 1>(picture, color, column, row, weights, out),
            (_, [1, 2, 2]) => x = blocks::<S, 8, 2>(picture, color, column, row, weights, out),
            _ => {}
        }
        for x in x..n {
            let mut acc = [0.0f32; 4];
            for (t, &w) in weights.iter().enumerate() {
                let [y, u, v] = picture.sample(column + x, row + t);
                let rgb = color.rgb::<S>(y, u, v);
                for c in 0..3 {
                    acc[c] = mul_add_one::<S>(rgb[c], w, acc[c]);
                }
            }
            out.as_mut_ptr().add(x * 4).cast::<[f32; 4]>().write(acc);
        }
    }
}

/// N pairs of bytes, the first of each in the low half.
///
/// # Safety
/// 2 N bytes can be read.
#[inline(always)]
unsafe fn pairs<const N: usize>(p: *const u8) -> [u16; N] {
    // SAFETY: the caller's promise.
    unsafe { p.cast::<[u16; N]>().read_unaligned() }.map(u16::from_le)
}

/// N samples, C bytes apart, in the low halves.
///
/// # Safety
/// N * C bytes can be read.
#[inline(always)]
unsafe fn samples<const N: usize, const C: usize>(p: *const u8) -> [u16; N] {
    // SAFETY: the caller's promise.
    if C == 2 { unsafe { pairs(p) } } else { unsafe { p.cast::<[u8; N]>().read() }.map(u16::from) }
}

/// P pairs of pixels at a time, the even and the odd ones separate, so that a chroma sample is in the same lane as both
/// of its luma samples. Returns how many pixels are done.
///
/// # Safety
/// All of `combine_yuv_rows`'s checks have passed; luma's pixel stride is 1, both chroma planes' is C.
#[inline(always)]
unsafe fn blocks<S: Simd, const P: usize, const C: usize>(
    picture: &Yuv420<'_>,
    color: &YuvToRgb,
    column: usize,
    row: usize,
    weights: &[f32],
    out: &mut [f32],
) -> usize {
    let n = out.len() / 4;
    let [ys, us, vs] = picture.row_strides;
    let mut x = 0;
    // One more pixel than the block holds must exist: with C = 2 the last chroma read touches one byte past its sample.
    while x + 2 * P < n {
        let mut even = [[0.0f32; P]; 3];
        let mut odd = [[0.0f32; P]; 3];
        for (t, &w) in weights.iter().enumerate() {
            let y = row + t;
            // SAFETY: 2 P luma samples from column + x on; P chroma samples C apart, of which the last is followed by
            // another (pixel x + 2 P exists), so that all P * C bytes lie inside the plane.
            let (luma, u, v) = unsafe {
                (
                    picture.planes[0].as_ptr().add(y * ys + column + x),
                    picture.planes[1].as_ptr().add(y / 2 * us + (column / 2 + x / 2) * C),
                    picture.planes[2].as_ptr().add(y / 2 * vs + (column / 2 + x / 2) * C),
                )
            };
            // SAFETY: as above.
            let (luma, u, v) = unsafe { (pairs::<P>(luma), samples::<P, C>(u), samples::<P, C>(v)) };
            let mut c = [[0.0f32; P]; 3];
            let mut y0 = [0.0f32; P];
            let mut y1 = [0.0f32; P];
            for i in 0..P {
                // Widened whole, then split: cheaper than picking bytes.
                (y0[i], y1[i]) = ((i32::from(luma[i]) & 0xFF) as f32, (i32::from(luma[i]) >> 8) as f32);
                let u = (i32::from(u[i]) & 0xFF) as f32;
                let v = (i32::from(v[i]) & 0xFF) as f32;
                c[0][i] = mul_add_one::<S>(color.rv, v, color.bias[0]);
                c[1][i] = mul_add_one::<S>(color.gu, u, mul_add_one::<S>(color.gv, v, color.bias[1]));
                c[2][i] = mul_add_one::<S>(color.bu, u, color.bias[2]);
            }
            for ch in 0..3 {
                for i in 0..P {
                    even[ch][i] =
                        mul_add_one::<S>(clamp(mul_add_one::<S>(color.luma, y0[i], c[ch][i])), w, even[ch][i]);
                    odd[ch][i] = mul_add_one::<S>(clamp(mul_add_one::<S>(color.luma, y1[i], c[ch][i])), w, odd[ch][i]);
                }
            }
        }
        // SAFETY: pixels x..x + 2 P lie inside `out`.
        let o = unsafe { out.as_mut_ptr().add(x * 4).cast::<[f32; 8]>() };
        for i in 0..P {
            // SAFETY: as above.
            unsafe { o.add(i).write([even[0][i], even[1][i], even[2][i], 0.0, odd[0][i], odd[1][i], odd[2][i], 0.0]) }
        }
        x += 2 * P;
    }
    x
}

/// Combines columns `column..column + weights.len()` of the image for rows starting at `row` (an even number):
/// `out[4 * r + c] = sum over t of weights[t] * rgb(column + t, row + r)[c]`, and 0 for the fourth.
///
/// # Panics
/// As [`combine_yuv_rows`].
pub fn combine_yuv_columns(
    isa: Isa,
    picture: &Yuv420<'_>,
    color: &YuvToRgb,
    column: usize,
    row: usize,
    weights: &[f32],
    out: &mut [f32],
) {
    picture.check();
    assert!(row.is_multiple_of(2), "pairs of rows share their chroma");
    assert!(out.len().is_multiple_of(4), "four values per pixel");
    assert!(row + out.len() / 4 <= picture.height && column + weights.len() <= picture.width, "outside the picture");
    // SAFETY: checked above.
    unsafe { columns_entry(isa, picture, color, column, row, weights, out) }
}

isa_entry! {
    fn columns_entry(picture: &Yuv420<'_>, color: &YuvToRgb, column: usize, row: usize, weights: &[f32], out: &mut [f32])
        = columns_body;
}

/// # Safety
/// All of `combine_yuv_columns`'s checks have passed.
#[inline(always)]
unsafe fn columns_body<S: Quads>(
    simd: S,
    picture: &Yuv420<'_>,
    color: &YuvToRgb,
    column: usize,
    row: usize,
    weights: &[f32],
    out: &mut [f32],
) {
    let n = out.len() / 4;
    let [br, bg, bb] = color.bias;
    let taps = weights.len();
    let skip = column % 2;
    let mut r = 0;
    // SAFETY: row + r + 1 < height and column + t < width throughout; pixels r and r + 1 lie inside `out`.
    unsafe {
        let from_u = simd.load4([0.0, color.gu, color.bu, 0.0].as_ptr());
        let from_v = simd.load4([color.rv, color.gv, 0.0, 0.0].as_ptr());
        let base = simd.load4([br, bg, bb, 0.0].as_ptr());
        let luma = simd.splat4(color.luma);
        let [y_row, u_row, v_row] = picture.row_strides;
        let [y_step, u_step, v_step] = picture.pixel_strides;
        while r + 2 <= n {
            let y = picture.planes[0].as_ptr().add((row + r) * y_row);
            let u = picture.planes[1].as_ptr().add((row / 2 + r / 2) * u_row);
            let v = picture.planes[2].as_ptr().add((row / 2 + r / 2) * v_row);
            let mut sums = [simd.splat4(0.0); 2];
            let mut t = 0;
            while t < taps {
                // Columns of one chroma sample: two, or one at either end.
                let pair = if t == 0 && skip == 1 { 1 } else { 2.min(taps - t) };
                let x = column + t;
                let half = (column + t) >> 1;
                let cu = f32::from(*u.add(half * u_step));
                let cv = f32::from(*v.add(half * v_step));
                let chroma = simd.mul_add4(from_u, simd.splat4(cu), simd.mul_add4(from_v, simd.splat4(cv), base));
                for i in 0..pair {
                    let w = simd.splat4(*weights.get_unchecked(t + i));
                    for (half, sum) in sums.iter_mut().enumerate() {
                        let level = simd.splat4(f32::from(*y.add(half * y_row + (x + i) * y_step)));
                        *sum = simd.mul_add4(simd.clamp4(simd.mul_add4(luma, level, chroma)), w, *sum);
                    }
                }
                t += pair;
            }
            simd.store4(out.as_mut_ptr().add(r * 4), sums[0]);
            simd.store4(out.as_mut_ptr().add(r * 4 + 4), sums[1]);
            r += 2;
        }
    }
    if r < n {
        let mut acc = [0.0f32; 4];
        for (t, &w) in weights.iter().enumerate() {
            // SAFETY: column + t < width, row + r < height.
            let [y, u, v] = unsafe { picture.sample(column + t, row + r) };
            let rgb = color.rgb::<S>(y, u, v);
            for c in 0..3 {
                acc[c] = mul_add_one::<S>(rgb[c], w, acc[c]);
            }
        }
        out[r * 4..].copy_from_slice(&acc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Noise;

    fn reference(p: &Yuv420<'_>, x: usize, y: usize, kr: f64, kb: f64, full: bool) -> [f64; 3] {
        let at = |i: usize, x: usize, y: usize| f64::from(p.planes[i][y * p.row_strides[i] + x * p.pixel_strides[i]]);
        let l = at(0, x, y);
        let u = at(1, x / 2, y / 2) - 128.0;
        let v = at(2, x / 2, y / 2) - 128.0;
        let (l, u, v) =
            if full { (l, u, v) } else { ((l - 16.0) * 255.0 / 219.0, u * 255.0 / 224.0, v * 255.0 / 224.0) };
        let r = l + 2.0 * (1.0 - kr) * v;
        let b = l + 2.0 * (1.0 - kb) * u;
        let g = (l - kr * r - kb * b) / (1.0 - kr - kb);
        [r, g, b].map(|c| c.clamp(0.0, 255.0))
    }

    #[test]
    fn rows_and_columns_agree_with_the_formula() {
        for isa in Isa::all() {
            for (width, height) in [(1usize, 1usize), (2, 2), (7, 5), (64, 4), (65, 6), (131, 3)] {
                for chroma_stride in [1usize, 2, 3] {
                    for (kr, kb, full) in [(0.299, 0.114, true), (0.2126, 0.0722, false)] {
                        let cw = width.div_ceil(2);
                        let ch = height.div_ceil(2);
                        let uv_row = (cw - 1) * chroma_stride + 3;
                        let luma = Noise::new(5).bytes((height - 1) * (width + 3) + width);
                        let u = Noise::new(6).bytes((ch - 1) * uv_row + (cw - 1) * chroma_stride + 1);
                        let v = Noise::new(8).bytes((ch - 1) * uv_row + (cw - 1) * chroma_stride + 1);
                        let picture = Yuv420 {
                            planes: [&luma, &u, &v],
                            row_strides: [width + 3, uv_row, uv_row],
                            pixel_strides: [1, chroma_stride, chroma_stride],
                            width,
                            height,
                        };
                        let color = YuvToRgb::new(kr, kb, full);
                        for taps in 1..=height.min(3) {
                            let weights: Vec<f32> = (0..taps).map(|t| 0.5 - 0.1 * t as f32).collect();
                            for column in [0, 2] {
                                if column >= width {
                                    continue;
                                }
                                let row = height - taps;
                                let mut out = vec![f32::NAN; (width - column) * 4];
                                combine_yuv_rows(isa, &picture, &color, column, row, &weights, &mut out);
                                for x in 0..width - column {
                                    for c in 0..3 {
                                        let want: f64 = (0..taps)
                                            .map(|t| {
                                                let rgb = reference(&picture, column + x, row + t, kr, kb, full);
                                                f64::from(weights[t]) * rgb[c]
                                            })
                                            .sum();
                                        assert!((f64::from(out[x * 4 + c]) - want).abs() < 1e-2, "{}", isa.name());
                                    }
                                }
                            }
                        }
                        for taps in 1..=width.min(5) {
                            let weights: Vec<f32> = (0..taps).map(|t| 0.5 - 0.1 * t as f32).collect();
                            for column in [0, width - taps] {
                                for row in [0, 2] {
                                    if row >= height {
                                        continue;
                                    }
                                    let mut out = vec![f32::NAN; (height - row) * 4];
                                    combine_yuv_columns(isa, &picture, &color, column, row, &weights, &mut out);
                                    for r in 0..height - row {
                                        for c in 0..3 {
                                            let want: f64 = (0..taps)
                                                .map(|t| {
                                                    let rgb = reference(&picture, column + t, row + r, kr, kb, full);
                                                    f64::from(weights[t]) * rgb[c]
                                                })
                                                .sum();
                                            assert!((f64::from(out[r * 4 + c]) - want).abs() < 1e-2, "{}", isa.name());
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn short_chroma_is_refused() {
        let picture = Yuv420 {
            planes: [&[0; 16], &[0; 3], &[0; 4]],
            row_strides: [4, 2, 2],
            pixel_strides: [1, 1, 1],
            width: 4,
            height: 4,
        };
        combine_yuv_rows(Isa::best(), &picture, &YuvToRgb::new(0.299, 0.114, true), 0, 0, &[1.0], &mut [0.0; 16]);
    }
}
