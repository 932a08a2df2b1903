//! Refines mask borders to follow the image: a guided filter (He, Sun, Tang: "Guided Image Filtering", ECCV 2010,
//! section 3; the coarse-to-fine method is their "Fast Guided Filter", arXiv 1505.00996).
//!
//! In every window the alpha is modelled as a linear function of the image's luminance, q = a I + b. The functions are
//! fitted at the confidence's own, small size and applied at the image's; time is linear in both, whatever the radius.

use silhouette_kernels::memory;

use crate::blur::blur_quads;
use crate::frame::{Frame, FrameError};
use crate::mask::Confidence;
use crate::picture::{Picture, linear};

/// How far and how strongly borders follow the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guide {
    /// Radius of the windows, in pixels of the confidence.
    pub radius: usize,
    /// Luminance differences (0 to 1) whose square is below it count as flat: there the alpha is only smoothed.
    pub epsilon: f32,
}

impl Default for Guide {
    fn default() -> Self {
        Self { radius: 8, epsilon: 1e-3 }
    }
}

fn luminance(pixel: &[u8]) -> f32 {
    (0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2])) / 255.0
}

/// The confidence at the image's size, with its borders moved to the image's edges.
///
/// # Errors
/// [`FrameError::Empty`] if the image or the confidence is empty; [`FrameError::OutOfMemory`].
pub fn refine(confidence: &Confidence, picture: &Picture, guide: Guide) -> Result<Confidence, FrameError> {
    let width = confidence.width;
    let height = confidence.height;
    // Colours only: hidden pixels are black and have no edges.
    let frame = Frame::rgba8(&picture.rgba, picture.width, picture.height)?;
    if width == 0 || height == 0 {
        return Err(FrameError::Empty { width, height });
    }
    let small = Picture::from_frame_at(&frame, width, height)?;
    // Means over windows of I, p, I p and I I, computed together.
    let mut means: Vec<[f32; 4]> = Vec::new();
    memory::reserve(&mut means, confidence.values.len(), "refined borders")?;
    means.extend(small.rgba.chunks_exact(4).zip(&confidence.values).map(|(pixel, &alpha)| {
        let i = luminance(pixel);
        let p = f32::from(alpha) / 255.0;
        [i, p, i * p, i * i]
    }));
    let radius = guide.radius.min(width.max(height));
    blur_quads(&mut means, width, height, radius, 1)?;
    // Equations 5 and 6, then the mean of the functions of all windows that contain a pixel (equation 8).
    for m in &mut means {
        let [i, p, ip, ii] = *m;
        let a = (ip - i * p) / ((ii - i * i).max(0.0) + guide.epsilon.max(f32::MIN_POSITIVE));
        *m = [a, p - a * i, 0.0, 0.0];
    }
    blur_quads(&mut means, width, height, radius, 1)?;
    let columns = linear(width, picture.width);
    let rows = linear(height, picture.height);
    let mut values = Vec::new();
    memory::reserve(&mut values, picture.width * picture.height, "refined borders")?;
    for (row, &(y0, y1, fy)) in picture.rgba.chunks_exact(picture.width * 4).zip(&rows) {
        let top = &means[y0 * width..(y0 + 1) * width];
        let bottom = &means[y1 * width..(y1 + 1) * width];
        for (pixel, &(x0, x1, fx)) in row.chunks_exact(4).zip(&columns) {
            let mix = |k: usize| {
                let upper = top[x0][k] * (1.0 - fx) + top[x1][k] * fx;
                let lower = bottom[x0][k] * (1.0 - fx) + bottom[x1][k] * fx;
                upper * (1.0 - fy) + lower * fy
            };
            let q = mix(0) * luminance(pixel) + mix(1);
            values.push((q * 255.0 + 0.5) as u8);
        }
    }
    Ok(Confidence { width: picture.width, height: picture.height, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bright disc of radius 40 on a dark ground with some texture, 160 x 120.
    fn scene() -> (Picture, Vec<u8>) {
        let w = 160usize;
        let h = 120usize;
        let mut seed = 4u32;
        let mut rgba = Vec::new();
        let mut truth = Vec::new();
        for i in 0..w * h {
            let x = (i % w) as f64 - 80.0;
            let y = (i / w) as f64 - 60.0;
            let inside = x.hypot(y) < 40.0;
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let v = if inside { 180 } else { 60 } + (seed >> 28) as u8;
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
        // Like a network's: a quarter of the size, the border spread over some pixels and half a pixel off.
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
        // At the border: pixels on the wrong side.
        let wrong = |values: &[u8]| values.iter().zip(&truth).filter(|(v, t)| (**v > 127) != (**t > 127)).count();
        let before = wrong(&plain);
        let after = wrong(&refined.values);
        assert!(after * 4 < before, "{before} wrong pixels became {after}");
    }

    #[test]
    fn nothing_to_follow_leaves_the_alpha() {
        let grey = Picture { width: 30, height: 20, rgba: [90, 90, 90, 255].repeat(600) };
        for alpha in [0, 77, 255] {
            let flat = Confidence { width: 15, height: 10, values: vec![alpha; 150] };
            let refined = refine(&flat, &grey, Guide::default()).unwrap();
            assert!(refined.values.iter().all(|&v| v.abs_diff(alpha) <= 1));
        }
        assert!(refine(&Confidence::default(), &grey, Guide::default()).is_err());
        assert!(
            refine(&Confidence { width: 1, height: 1, values: vec![9] }, &Picture::default(), Guide::default())
                .is_err()
        );
    }
}
