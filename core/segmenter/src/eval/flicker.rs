//! Flicker: how much an alpha changes from frame to frame where nothing moves. The camera may shift between frames; then the
//! alphas are compared at the same place of the scene.

use crate::camera::{Grey, Grid, Shift, each_overlap, gain, same_size};
use crate::error::Result;
use silhouette_imaging::frame::Size;
use silhouette_imaging::mask::Confidence;
use silhouette_kernels::memory::filled;

/// Side of the blocks in which movement is looked for.
const BLOCK: usize = 16;
/// Mean difference of brightness (of 255) from which a block counts as moved: above the noise of a camera.
const MOVED: f32 = 8.0;

/// The change of an alpha over pairs of frames.
///
/// ```
/// use silhouette::Confidence;
/// use silhouette::eval::{Flicker, Shift};
///
/// let before = Confidence { width: 2, height: 1, values: vec![0, 255] };
/// let now = Confidence { width: 2, height: 1, values: vec![0, 204] };
/// let mut flicker = Flicker::default();
/// flicker.add(&before, &now, Shift::default(), None)?;
/// assert_eq!(flicker.mean(), Some(0.1));
/// # Ok::<(), silhouette::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flicker {
    change: f64,
    pixels: u64,
}

impl Flicker {
    /// Adds two consecutive frames' alphas, where both show the same place and, with `still`, nothing moved.
    ///
    /// # Errors
    /// [`Error::InvalidFrame`](crate::Error::InvalidFrame) if sizes differ.
    pub fn add(&mut self, before: &Confidence, now: &Confidence, shift: Shift, still: Option<&Still>) -> Result<()> {
        let size = Size { height: now.height, width: now.width };
        same_size(size, Size { height: before.height, width: before.width })?;
        let earlier = Grid { values: &before.values, width: size.width };
        each_overlap(size, shift, |x, y, at| {
            if still.is_none_or(|still| still.at(x, y)) {
                let change = f32::from(now.values[y * size.width + x]) - earlier.between(at);
                self.change += f64::from(change.abs());
                self.pixels += 1;
            }
        });
        Ok(())
    }

    /// Mean absolute change from one frame to the next, 0 to 1; `None` if there was nothing to compare.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.pixels > 0).then(|| self.change / (255.0 * self.pixels as f64))
    }

    /// The number of compared pixels.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        self.pixels
    }
}

/// Where a scene did not move between two frames, in blocks of 16 pixels.
#[derive(Clone, Debug)]
pub struct Still {
    columns: usize,
    still: Vec<bool>,
}

impl Still {
    /// Compares two frames after undoing the camera's shift and the change of exposure. A block whose brightness differs by more than
    /// a camera's noise (8 of 255) moved, and so did its eight neighbours.
    ///
    /// # Errors
    /// [`Error::InvalidFrame`](crate::Error::InvalidFrame) if sizes differ; [`Error::Unsupported`](crate::Error::Unsupported) if memory runs out.
    pub fn between(before: &Grey, now: &Grey, shift: Shift) -> Result<Self> {
        const BLOCKS: &str = "the blocks of a frame";
        same_size(now.size, before.size)?;
        let Size { height, width } = now.size;
        let columns = width.div_ceil(BLOCK);
        let rows = height.div_ceil(BLOCK);
        let gain = gain(before, now);
        let grid = Grid { values: &before.values, width };
        let mut sums = filled(columns * rows, (0.0_f32, 0_u32), BLOCKS)?;
        each_overlap(now.size, shift, |x, y, at| {
            let (sum, count) = &mut sums[y / BLOCK * columns + x / BLOCK];
            *sum += (f32::from(now.values[y * width + x]) - gain * grid.between(at)).abs();
            *count += 1;
        });
        let mut still = filled(sums.len(), true, BLOCKS)?;
        for (i, (sum, count)) in sums.into_iter().enumerate() {
            if sum > MOVED * count as f32 {
                let column = i % columns;
                let row = i / columns;
                for row in row.saturating_sub(1)..(row + 2).min(rows) {
                    for column in column.saturating_sub(1)..(column + 2).min(columns) {
                        still[row * columns + column] = false;
                    }
                }
            }
        }
        Ok(Self { columns, still })
    }

    fn at(&self, x: usize, y: usize) -> bool {
        self.still[y / BLOCK * self.columns + x / BLOCK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::camera_shift;
    use silhouette_testkit::Noise;

    const WIDTH: usize = 331;
    const HEIGHT: usize = 247;

    /// A scene of waves, seen by a camera at (x, y), with noise and exposure; a bright disc at `disc`.
    fn seen(x: f32, y: f32, exposure: f32, noise: &mut Noise, disc: Option<(f32, f32)>) -> Grey {
        let mut values = Vec::new();
        for row in 0..HEIGHT {
            for column in 0..WIDTH {
                let u = column as f32 + x;
                let v = row as f32 + y;
                // Waves of which no shift makes the same scene.
                let slanted = 25.0 * ((0.6 * u + v) / 17.0).sin() + 20.0 * ((u - 1.7 * v) / 41.0).sin();
                let scene = 120.0 + 30.0 * (u / 9.0).sin() + 25.0 * (v / 7.0 + (u / 31.0).cos()).cos() + slanted;
                let moving = disc.is_some_and(|(cx, cy)| (u - cx).hypot(v - cy) < 30.0);
                let light = if moving { 230.0 } else { scene };
                values.push((exposure * light + 3.0 * noise.signed()).clamp(0.0, 255.0) as u8);
            }
        }
        Grey { size: Size { height: HEIGHT, width: WIDTH }, values }
    }

    fn alpha(of: impl Fn(f32, f32) -> f32) -> Confidence {
        let values = (0..WIDTH * HEIGHT).map(|i| of((i % WIDTH) as f32, (i / WIDTH) as f32) as u8).collect();
        Confidence { width: WIDTH, height: HEIGHT, values }
    }

    #[test]
    fn the_cameras_shift_is_found_through_noise_exposure_and_movement() {
        let mut noise = Noise::new(9);
        for (x, y) in [(0.0, 0.0), (3.0, -2.0), (0.5, 0.25), (-5.3, 8.8), (14.0, 11.6)] {
            let before = seen(40.0, 30.0, 1.0, &mut noise, Some((150.0, 120.0)));
            let now = seen(40.0 + x, 30.0 + y, 1.06, &mut noise, Some((175.0, 130.0)));
            let found = camera_shift(&before, &now).unwrap();
            let off = (found.x - f64::from(x)).hypot(found.y - f64::from(y));
            assert!(off < 0.12, "{found:?} for {x}, {y}");
        }
        let flat = Grey { values: vec![90; WIDTH * HEIGHT], size: Size { height: HEIGHT, width: WIDTH } };
        assert_eq!(camera_shift(&flat, &flat).unwrap(), Shift::default());
    }

    #[test]
    fn tiny_and_unequal_frames_are_no_trouble() {
        let grey = |height, width| Grey { size: Size { height, width }, values: vec![7; height * width] };
        for size in [(1, 1), (1, 500), (2, 3), (9, 4000)] {
            let one = grey(size.0, size.1);
            assert_eq!(camera_shift(&one, &one).unwrap(), Shift::default());
            assert!(Still::between(&one, &one, Shift { x: 0.5, y: -0.5 }).is_ok());
        }
        assert!(camera_shift(&grey(2, 3), &grey(3, 2)).is_err());
        let mut flicker = Flicker::default();
        let other = Confidence { width: 2, height: 2, values: vec![0; 4] };
        assert!(
            flicker.add(&other, &Confidence { width: 1, height: 4, ..other.clone() }, Shift::default(), None).is_err()
        );
        assert_eq!(flicker.mean(), None);
    }

    #[test]
    fn an_alpha_that_moves_with_the_camera_does_not_flicker() {
        let soft = |x: f32, y: f32| (255.0 - 4.0 * (x - 150.0).hypot(y - 100.0)).clamp(0.0, 255.0);
        let before = alpha(soft);
        for (shift, most) in [(Shift { x: 3.0, y: -2.0 }, 1e-9), (Shift { x: 1.5, y: 0.25 }, 5e-4)] {
            let now = alpha(|x, y| soft(x + shift.x as f32, y + shift.y as f32));
            let mut flicker = Flicker::default();
            flicker.add(&before, &now, shift, None).unwrap();
            assert!(flicker.mean().unwrap() <= most, "{flicker:?}");
            let mut unaligned = Flicker::default();
            unaligned.add(&before, &now, Shift::default(), None).unwrap();
            assert!(unaligned.mean().unwrap() > 2e-3);
        }
        // Counted by hand: everything but the last column and two rows overlaps, and changes by 51 of 255.
        let mut flicker = Flicker::default();
        flicker.add(&alpha(|_, _| 51.0), &alpha(|_, _| 102.0), Shift { x: 1.0, y: -2.0 }, None).unwrap();
        assert_eq!(flicker.pixels(), ((WIDTH - 1) * (HEIGHT - 2)) as u64);
        assert!((flicker.mean().unwrap() - 0.2).abs() < 1e-12);
    }

    #[test]
    fn what_moves_is_left_out() {
        let mut noise = Noise::new(4);
        let from = (150.0, 120.0);
        let to = (168.0, 120.0);
        let before = seen(0.0, 0.0, 1.0, &mut noise, Some(from));
        let now = seen(2.0, 1.0, 0.95, &mut noise, Some(to));
        let shift = Shift { x: 2.0, y: 1.0 };
        let still = Still::between(&before, &now, shift).unwrap();
        let of = |(cx, cy): (f32, f32), (x, y): (f32, f32)| {
            alpha(|u, v| if (u + x - cx).hypot(v + y - cy) < 30.0 { 255.0 } else { 0.0 })
        };
        let mut whole = Flicker::default();
        let mut away = Flicker::default();
        let first = of(from, (0.0, 0.0));
        let second = of(to, (2.0, 1.0));
        whole.add(&first, &second, shift, None).unwrap();
        away.add(&first, &second, shift, Some(&still)).unwrap();
        assert!(whole.mean().unwrap() > 0.02, "{whole:?}");
        assert_eq!(away.mean(), Some(0.0));
        // Only the disc's surroundings are left out.
        assert!(away.pixels() as f64 > 0.7 * whole.pixels() as f64, "{away:?} of {whole:?}");
    }
}
