//! Mask borders that follow the image: a guided filter (He, Sun, Tang: "Guided Image Filtering", ECCV 2010, section 3;
//! the coarse-to-fine scheme is their "Fast Guided Filter", arXiv 1505.00996).
//!
//! In every window the alpha is explained as a straight line of the image's luminance, q = a I + b. The lines are
//! found at the confidence's own, small size and applied at the image's; time is linear in both, whatever the radius.

use silhouette_kernels::memory::{self, OutOfMemory};

use crate::blend::linear;
use crate::blur::window_sums;
use crate::frame::{Frame, FrameError, PixelFormat, Size};
use crate::mask::Confidence;
use crate::picture::Picture;

/// How far and how eagerly borders follow the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guide {
    /// Windows reach this many pixels of the confidence to each side; at most 64.
    pub radius: usize,
    /// Luminance differences (0 to 1) whose square is below it count as flat: there the alpha is only smoothed.
    pub epsilon: f32,
    /// Windows leave a haze: alpha of at most this much (0 up to, not including, a half) goes wholly, as much below 1 becomes 1, with a smooth step
    /// between.
    pub haze: f32,
}

impl Default for Guide {
    fn default() -> Self {
        Self { radius: 8, epsilon: 1e-3, haze: 0.25 }
    }
}

/// The sums of the largest window, 129 by 129 products of two bytes, still fit an i32.
const MAX_RADIUS: usize = 64;

/// No line is steeper: of bytes that differ at all, with the default epsilon, none comes near.
const STEEPEST: f32 = 64.0;

/// What memory is for, in errors.
const WHAT: &str = "refined borders";

/// The confidence at the image's size, its borders moved to the image's edges.
///
/// # Errors
/// [`FrameError::Empty`] if the image or the confidence is empty; [`FrameError::OutOfMemory`].
pub fn refine(confidence: &Confidence, picture: &Picture, guide: Guide) -> Result<Confidence, FrameError> {
    let width = confidence.width;
    let height = confidence.height;
    if width == 0 || height == 0 {
        return Err(FrameError::Empty { width, height });
    }
    // Colours alone: what is hidden is black, and has no edges in it.
    let mut luminances = Vec::new();
    memory::reserve(&mut luminances, picture.rgba.len() / 4, WHAT)?;
    luminances.extend(picture.rgba.as_chunks::<4>().0.iter().map(|&pixel| luminance(pixel)));
    let frame = Frame::packed(PixelFormat::Gray, &luminances, picture.width, picture.height, picture.width)?;
    let small = Picture::from_frame_at(&frame, width, height)?;
    let lines = lines(confidence, &small, guide)?;
    let columns = linear(width, picture.width)?;
    let rows = linear(height, picture.height)?;
    let mut values = memory::filled(luminances.len(), 0, WHAT)?;
    // The last two rows of lines that were needed, at the image's width.
    let mut wide = [Wide::new(picture.width)?, Wide::new(picture.width)?];
    let haze = guide.haze.clamp(0.0, 0.499);
    let steep = 1.0 / (1.0 - 2.0 * haze);
    let pixels = luminances.chunks_exact(picture.width).zip(values.chunks_exact_mut(picture.width));
    for ((row, out), &(above, below, share)) in pixels.zip(&rows) {
        for y in [above, below] {
            wide[y % 2].make(y, &lines[y * width..][..width], &columns);
        }
        let top = &wide[above % 2];
        let bottom = &wide[below % 2];
        let slopes = top.slopes.iter().zip(&bottom.slopes);
        let offsets = top.offsets.iter().zip(&bottom.offsets);
        for (((out, &luminance), slope), offset) in out.iter_mut().zip(row).zip(slopes).zip(offsets) {
            let [slope, offset] = [slope, offset].map(|(top, bottom)| top + (bottom - top) * share);
            let alpha = slope * f32::from(luminance) + offset;
            let t = ((alpha - haze) * steep).clamp(0.0, 1.0);
            *out = to_byte(t * t * (3.0 - 2.0 * t));
        }
    }
    Ok(Confidence { width: picture.width, height: picture.height, values })
}

/// Rec. 601's luminance of a pixel.
fn luminance(pixel: [u8; 4]) -> u8 {
    let [r, g, b, _] = pixel.map(u16::from);
    ((77 * r + 150 * g + 29 * b + 128) >> 8) as u8
}

/// For each pixel of the confidence the straight line that explains alpha (0 to 1) by luminance (0 to 255): slope and offset.
fn lines(confidence: &Confidence, small: &Picture, guide: Guide) -> Result<Vec<[f32; 2]>, FrameError> {
    let size = Size { height: confidence.height, width: confidence.width };
    let radius = guide.radius.min(size.width.max(size.height)).min(MAX_RADIUS);
    let epsilon = guide.epsilon.max(f32::MIN_POSITIVE);
    // Sums over windows of I, p, I p and I I, together.
    let mut sums = Vec::new();
    memory::reserve(&mut sums, confidence.values.len(), WHAT)?;
    sums.extend(small.rgba.as_chunks::<4>().0.iter().zip(&confidence.values).map(|(pixel, &alpha)| {
        let i = i32::from(pixel[0]);
        let p = i32::from(alpha);
        [i, p, i * p, i * i]
    }));
    window_sums(&mut sums, size, radius)?;
    // Equations 5 and 6, as integers whose sums over a window fit again.
    let cells = (2 * radius + 1).pow(2) as f32;
    let unit = (1 << 30) as f32 / (STEEPEST * cells);
    let mut lines = Vec::new();
    memory::reserve(&mut lines, sums.len(), WHAT)?;
    let single = 1.0 / (255.0 * cells);
    let double = 1.0 / (255.0 * 255.0 * cells);
    lines.extend(sums.iter().map(|sums| {
        let [i, p] = [sums[0], sums[1]].map(|sum| sum as f32 * single);
        let [ip, ii] = [sums[2], sums[3]].map(|sum| sum as f32 * double);
        let a = (ip - i * p) / ((ii - i * i).max(0.0) + epsilon);
        [a, p - a * i].map(|v| (v.clamp(-STEEPEST, STEEPEST) * unit) as i32)
    }));
    // The mean of the lines of all windows that hold a pixel (equation 8).
    window_sums(&mut lines, size, radius)?;
    let mut means = Vec::new();
    memory::reserve(&mut means, lines.len(), WHAT)?;
    let mean = 1.0 / (unit * cells);
    means.extend(lines.iter().map(|&[a, b]| [a as f32 * mean / 255.0, b as f32 * mean]));
    Ok(means)
}

/// A row of lines at the image's width.
struct Wide {
    made: usize,
    slopes: Vec<f32>,
    offsets: Vec<f32>,
}

impl Wide {
    fn new(width: usize) -> Result<Self, OutOfMemory> {
        let row = || memory::filled(width, 0.0, WHAT);
        Ok(Self { made: usize::MAX, slopes: row()?, offsets: row()? })
    }

    /// Makes row `y` of `lines`, unless it is there.
    fn make(&mut self, y: usize, lines: &[[f32; 2]], columns: &[(usize, usize, f32)]) {
        if self.made == y {
            return;
        }
        self.made = y;
        for ((slope, offset), &(left, right, share)) in self.slopes.iter_mut().zip(&mut self.offsets).zip(columns) {
            let left = lines[left];
            let right = lines[right];
            *slope = left[0] + (right[0] - left[0]) * share;
            *offset = left[1] + (right[1] - left[1]) * share;
        }
    }
}

/// 0 to 1 as 0 to 255, rounded; adding 1.5 * 2^23 leaves the integer in the low byte, and the compiler no range to check.
fn to_byte(value: f32) -> u8 {
    (value * 255.0 + 12_582_912.0).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Noise;

    /// A bright disc of radius 40 on a dark ground with some texture, 160 x 120.
    fn scene() -> (Picture, Vec<u8>) {
        let w = 160usize;
        let h = 120usize;
        let noise = Noise::new(4).bytes(w * h);
        let mut rgba = Vec::new();
        let mut truth = Vec::new();
        for (i, texture) in noise.into_iter().enumerate() {
            let x = (i % w) as f64 - 80.0;
            let y = (i / w) as f64 - 60.0;
            let inside = x.hypot(y) < 40.0;
            let v = if inside { 180 } else { 60 } + (texture >> 4);
            rgba.extend([v, v, v, 255]);
            truth.push(if inside { 255 } else { 0 });
        }
        (Picture { width: w, height: h, rgba }, truth)
    }

    fn error(values: &[u8], truth: &[u8]) -> f64 {
        values.iter().zip(truth).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / values.len() as f64
    }

    #[test]
    fn borders_move_to_the_pictures_edges() {
        let (picture, truth) = scene();
        // As a network outputs it: a quarter of the size, the border spread over some pixels and half a pixel off.
        let values = (0..40 * 30)
            .map(|i| {
                let x = (i % 40) as f64 + 0.5 - 20.0 - 0.5;
                let y = (i / 40) as f64 + 0.5 - 15.0;
                (255.0 / (1.0 + (x.hypot(y) - 10.0).exp())) as u8
            })
            .collect();
        let coarse = Confidence { width: 40, height: 30, values };
        let plain: Vec<u8> = (0..160 * 120).map(|i| coarse.values[i / 160 / 4 * 40 + i % 160 / 4]).collect();
        let refined = refine(&coarse, &picture, Guide::default()).unwrap();
        assert_eq!((refined.width, refined.height), (160, 120));
        let before = error(&plain, &truth);
        let after = error(&refined.values, &truth);
        assert!(after < 0.8 * before, "mean difference {before} became {after}");
        // Where the border runs: pixels on its wrong side.
        let wrong = |values: &[u8]| values.iter().zip(&truth).filter(|(v, t)| (**v > 127) != (**t > 127)).count();
        let before = wrong(&plain);
        let after = wrong(&refined.values);
        assert!(after * 4 < before, "{before} wrong pixels became {after}");
    }

    #[test]
    fn nothing_to_follow_leaves_the_alpha() {
        let grey = Picture { width: 30, height: 20, rgba: [90, 90, 90, 255].repeat(600) };
        // Sure or half sure it stays; haze goes.
        for (alpha, expected) in [(0, 0), (50, 0), (128, 128), (205, 255), (255, 255)] {
            let flat = Confidence { width: 15, height: 10, values: vec![alpha; 150] };
            let refined = refine(&flat, &grey, Guide::default()).unwrap();
            assert!(refined.values.iter().all(|&v| v.abs_diff(expected) <= 2), "{alpha}: {:?}", refined.values[0]);
        }
        assert!(refine(&Confidence::default(), &grey, Guide::default()).is_err());
        assert!(
            refine(&Confidence { width: 1, height: 1, values: vec![9] }, &Picture::default(), Guide::default())
                .is_err()
        );
    }
}
