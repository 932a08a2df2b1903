//! Sequences made from one image, which simulate a hand-held camera on a still scene. The window shifts, the exposure changes, the sensor is noisy.

use silhouette::eval::Shift;
use silhouette::{Frame, Picture, Size};
use silhouette_weights::{SplitMix64, fnv1a};

/// Maximum longer side of the image.
pub(super) const LONGEST: usize = 1280;
/// Maximum shift of the window from its middle, as a share of the longer side.
const REACH: f64 = 0.0025;
/// Maximum change of exposure.
const EXPOSURE: f32 = 0.05;
/// Standard deviation of the noise, of 255.
const NOISE: f32 = 2.0;

/// The frames of one image.
pub(super) struct Jitter {
    picture: Picture,
    /// Maximum shift, and the width of what is cut off around the middle.
    reach: usize,
    random: SplitMix64,
}

/// A frame's size with a longer side of at most [`LONGEST`].
pub(super) fn reduced(Size { height, width }: Size) -> Size {
    let long = width.max(height);
    if long <= LONGEST {
        return Size { height, width };
    }
    let scaled = |side: usize| ((side * LONGEST + long / 2) / long).max(1);
    Size { height: scaled(height), width: scaled(width) }
}

impl Jitter {
    /// Creates the sequence of an image, whose name seeds the random numbers.
    ///
    /// # Errors
    /// For an image that is too small, or too large for the memory.
    pub(super) fn new(frame: &Frame<'_>, name: &str) -> Result<Self, String> {
        let Size { height, width } = reduced(frame.upright_size());
        let reach = ((REACH * width.max(height) as f64).round() as usize).max(1);
        if width.min(height) <= 2 * reach {
            return Err(format!("too small for a sequence: {width}x{height} pixels"));
        }
        let picture = Picture::from_frame_at(frame, width, height).map_err(|error| error.to_string())?;
        Ok(Self { picture, reach, random: SplitMix64::new(fnv1a(name.as_bytes())) })
    }

    /// The next frame, and the position of its window.
    pub(super) fn next(&mut self) -> (Picture, Shift) {
        let Self { picture, reach, random } = self;
        let mut offset = || (random.draw() % (2 * *reach as u64 + 1)) as usize;
        let left = offset();
        let top = offset();
        let exposure = 1.0 + EXPOSURE * (2.0 * (random.draw() >> 40) as f32 / (1u32 << 24) as f32 - 1.0);
        let width = picture.width - 2 * *reach;
        let height = picture.height - 2 * *reach;
        let mut rgba = Vec::with_capacity(width * height * 4);
        for y in 0..height {
            let row = &picture.rgba[((top + y) * picture.width + left) * 4..][..width * 4];
            for pixel in row.chunks_exact(4) {
                for &value in &pixel[..3] {
                    rgba.push((f32::from(value) * exposure + NOISE * normal(random) + 0.5).clamp(0.0, 255.0) as u8);
                }
                rgba.push(255);
            }
        }
        (Picture { width, height, rgba }, Shift { x: left as f64, y: top as f64 })
    }
}

/// Close to normal, with mean 0 and variance 1: the sum of four uniform numbers of 16 bits.
fn normal(random: &mut SplitMix64) -> f32 {
    /// Twice the mean of the sum, and its deviation.
    const TWICE_MEAN: f32 = 4.0 * 65_535.0;
    const DEVIATION: f32 = 37_837.2;
    let bits = random.draw();
    let sum: u32 = (0..4).map(|part| (bits >> (16 * part)) as u32 & 0xffff).sum();
    (sum as f32 - TWICE_MEAN / 2.0) / DEVIATION
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(width: usize, height: usize, name: &str, frames: usize) -> Vec<(Picture, Shift)> {
        // A scene whose red counts columns and whose green counts rows.
        let rgb: Vec<u8> =
            (0..width * height).flat_map(|i| [(i % width / 2) as u8, (i / width / 2) as u8, 100]).collect();
        let mut jitter = Jitter::new(&Frame::rgb(&rgb, width, height).unwrap(), name).unwrap();
        (0..frames).map(|_| jitter.next()).collect()
    }

    #[test]
    fn frames_are_windows_of_the_scene_with_noise_and_exposure() {
        let frames = sequence(480, 360, "a", 24);
        let mut left = Vec::new();
        let mut light = Vec::new();
        for (picture, shift) in &frames {
            // 0.25 % of 480 is one pixel.
            assert_eq!((picture.width, picture.height), (478, 358));
            let blue: Vec<f32> = picture.rgba.chunks_exact(4).map(|pixel| f32::from(pixel[2])).collect();
            let mean = blue.iter().sum::<f32>() / blue.len() as f32;
            let deviation = (blue.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / blue.len() as f32).sqrt();
            assert!((94.9..105.1).contains(&mean) && (1.9..2.2).contains(&deviation), "{mean} {deviation}");
            // The window's middle, read from the scene's colours, is where the shift puts it.
            for (channel, half, shift) in [(0, 239.0 - 0.5, shift.x), (1, 179.0 - 0.5, shift.y)] {
                let values = picture.rgba.chunks_exact(4).map(|pixel| f64::from(pixel[channel]));
                let found = values.sum::<f64>() / blue.len() as f64 / f64::from(mean) * 100.0;
                assert!((found - (f64::midpoint(half, shift) - 0.25)).abs() < 0.1, "{found} for {shift}");
            }
            left.push(shift.x as usize);
            light.push(mean);
        }
        assert!((0..3).all(|x| left.contains(&x)), "{left:?}");
        let range = light.iter().copied().fold(f32::MIN, f32::max) - light.iter().copied().fold(f32::MAX, f32::min);
        assert!(range > 5.0, "{range}");
    }

    #[test]
    fn the_same_in_every_run_and_another_for_another_name() {
        let frames = sequence(300, 200, "a", 8);
        assert_eq!(frames, sequence(300, 200, "a", 8));
        assert_ne!(frames[7].0, sequence(300, 200, "b", 8)[7].0);
    }

    #[test]
    fn large_images_are_reduced_and_tiny_ones_refused() {
        assert_eq!(reduced(Size { height: 720, width: 1280 }), Size { height: 720, width: 1280 });
        assert_eq!(reduced(Size { height: 4000, width: 3000 }), Size { height: 1280, width: 960 });
        assert_eq!(reduced(Size { height: 1, width: 100_000 }), Size { height: 1, width: 1280 });
        assert!(Jitter::new(&Frame::rgb(&[0; 300], 2, 50).unwrap(), "a").is_err());
    }
}
