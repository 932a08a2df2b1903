//! Flicker: how much an alpha changes from frame to frame where nothing moves. The camera may shift between frames; then the
//! alphas are compared at the same place of the scene.

use crate::error::{Error, Result};
use silhouette_imaging::frame::Size;
use silhouette_imaging::mask::Confidence;
use silhouette_imaging::picture::Picture;
use silhouette_kernels::memory::{filled, reserve};

/// The memory's purpose, in errors.
const GREY: &str = "a grey image";

/// Longer side of the smallest image in which a shift is searched.
const COARSE: usize = 80;
/// Maximum shift there, in pixels: an eighth of the image.
const COARSE_REACH: isize = 10;
/// Each larger image corrects the shift by up to this many pixels.
const FINE_REACH: isize = 2;
/// Steps to the shift's fraction of a pixel.
const FRACTION_STEPS: usize = 4;
/// A difference of brightness beyond which a pixel says no more about the camera's shift: something moved there.
const OUTLIER: f32 = 16.0;
/// Side of the blocks in which movement is looked for.
const BLOCK: usize = 16;
/// Mean difference of brightness (of 255) from which a block counts as moved: above the noise of a camera.
const MOVED: f32 = 8.0;

/// How the camera moved between two frames: the pixel (x, y) of the later one shows what (x + `x`, y + `y`) showed in the
/// earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shift {
    /// Columns.
    pub x: f64,
    /// Rows.
    pub y: f64,
}

/// The change of an alpha over pairs of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flicker {
    change: f64,
    pixels: u64,
}

impl Flicker {
    /// Adds two consecutive frames' alphas, where both show the same place and, with `still`, nothing moved.
    ///
    /// # Errors
    /// [`Error::InvalidFrame`] if sizes differ.
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

/// The brightness of a frame.
#[derive(Clone, Debug)]
pub struct Grey {
    size: Size,
    /// `[height][width]`, 0 to 255.
    values: Vec<u8>,
}

impl Grey {
    /// Of an image.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where there is no memory.
    pub fn new(picture: &Picture) -> Result<Self> {
        let mut values = Vec::new();
        reserve(&mut values, picture.width * picture.height, GREY)?;
        values.extend(picture.rgba.chunks_exact(4).map(|pixel| {
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            ((77 * r + 150 * g + 29 * b + 128) >> 8) as u8
        }));
        Ok(Self { size: Size { height: picture.height, width: picture.width }, values })
    }

    /// At half the size, if both sides are at least 2.
    fn half(&self) -> Result<Self> {
        let size = Size { height: self.size.height / 2, width: self.size.width / 2 };
        let mut values = Vec::new();
        reserve(&mut values, size.height * size.width, GREY)?;
        for y in 0..size.height {
            let rows = [2 * y, 2 * y + 1].map(|y| &self.values[y * self.size.width..][..self.size.width]);
            values.extend((0..size.width).map(|x| {
                let sum: u32 = rows.iter().flat_map(|row| &row[2 * x..2 * x + 2]).map(|&value| u32::from(value)).sum();
                ((sum + 2) / 4) as u8
            }));
        }
        Ok(Self { size, values })
    }

    fn mean(&self) -> f32 {
        self.values.iter().map(|&value| u64::from(value)).sum::<u64>() as f32 / self.values.len().max(1) as f32
    }
}

/// Estimates the camera's shift between two frames, to a fraction of a pixel. Turning and zooming are not considered; a change of
/// exposure is.
///
/// # Errors
/// [`Error::InvalidFrame`] if sizes differ; [`Error::Unsupported`] where there is no memory.
pub fn camera_shift(before: &Grey, now: &Grey) -> Result<Shift> {
    same_size(now.size, before.size)?;
    // From coarse to fine: (before, now) at each size, the largest first.
    let mut levels = vec![(before.clone(), now.clone())];
    while let Some((before, now)) = levels.last()
        && now.size.width.max(now.size.height) > COARSE
        && now.size.width.min(now.size.height) > 8
    {
        levels.push((before.half()?, now.half()?));
    }
    let (mut x, mut y) = (0_isize, 0_isize);
    let mut reach = COARSE_REACH;
    for (before, now) in levels.iter().rev() {
        let gain = gain(before, now);
        let mut best = (f32::INFINITY, x, y);
        for dy in y - reach..=y + reach {
            for dx in x - reach..=x + reach {
                let cost = difference(before, now, (dx, dy), gain);
                // The least shift among equals: of a featureless image, none.
                if cost < best.0 || (cost <= best.0 && dx.abs() + dy.abs() < best.1.abs() + best.2.abs()) {
                    best = (cost, dx, dy);
                }
            }
        }
        (x, y) = (2 * best.1, 2 * best.2);
        reach = FINE_REACH;
    }
    Ok(fraction(before, now, Shift { x: (x / 2) as f64, y: (y / 2) as f64 }))
}

/// Factor from the earlier frame's exposure to the later one's.
fn gain(before: &Grey, now: &Grey) -> f32 {
    (now.mean() / before.mean().max(1.0)).clamp(0.5, 2.0)
}

/// Mean difference of brightness at a whole shift, outliers clipped; infinite if less than half of the image overlaps.
fn difference(before: &Grey, now: &Grey, (dx, dy): (isize, isize), gain: f32) -> f32 {
    let Size { height, width } = now.size;
    let columns = width.saturating_sub(dx.unsigned_abs());
    let rows = height.saturating_sub(dy.unsigned_abs());
    if 2 * columns < width || 2 * rows < height {
        return f32::INFINITY;
    }
    let start = |shift: isize| (shift.min(0).unsigned_abs(), shift.max(0) as usize);
    let ((x, from_x), (y, from_y)) = (start(dx), start(dy));
    let scaled: [f32; 256] = std::array::from_fn(|value| gain * value as f32);
    let mut sum = 0.0;
    for row in 0..rows {
        let now = &now.values[(y + row) * width + x..][..columns];
        let before = &before.values[(from_y + row) * width + from_x..][..columns];
        let of_row: f32 = now
            .iter()
            .zip(before)
            .map(|(&now, &before)| (f32::from(now) - scaled[usize::from(before)]).abs().min(OUTLIER))
            .sum();
        sum += f64::from(of_row);
    }
    (sum / (rows * columns) as f64) as f32
}

/// Improves a shift to a fraction of a pixel: least squares over the image's gradients (Lucas and Kanade), by Gauss and
/// Newton's steps.
fn fraction(before: &Grey, now: &Grey, start: Shift) -> Shift {
    let gain = gain(before, now);
    let width = now.size.width;
    let grid = Grid { values: &before.values, width };
    let mut shift = start;
    for _ in 0..FRACTION_STEPS {
        let (mut xx, mut xy, mut yy, mut xe, mut ye) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
        each_overlap(now.size, shift, |x, y, at| {
            // Central differences of the later frame, whose pixels need no interpolation.
            let there = x > 0 && y > 0 && x + 1 < width && y + 1 < now.size.height;
            let value = |x: usize, y: usize| f32::from(now.values[y * width + x]);
            let error = value(x, y) - gain * grid.between(at);
            if there && error.abs() < OUTLIER {
                let gx = f64::from((value(x + 1, y) - value(x - 1, y)) / 2.0);
                let gy = f64::from((value(x, y + 1) - value(x, y - 1)) / 2.0);
                xx += gx * gx;
                xy += gx * gy;
                yy += gy * gy;
                xe += gx * f64::from(error);
                ye += gy * f64::from(error);
            }
        });
        let determinant = xx * yy - xy * xy;
        // Without structure in both directions there is no fraction to find.
        if determinant <= 1e-6 * (xx + yy) * (xx + yy) {
            return start;
        }
        // Where the later frame is brighter along its gradient, the earlier one must be read further along it.
        shift.x += (yy * xe - xy * ye) / determinant;
        shift.y += (xx * ye - xy * xe) / determinant;
        if (shift.x - start.x).abs() > 1.5 || (shift.y - start.y).abs() > 1.5 {
            return start;
        }
    }
    shift
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
    /// [`Error::InvalidFrame`] if sizes differ; [`Error::Unsupported`] where there is no memory.
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

/// A plane of bytes, read between its pixels.
struct Grid<'a> {
    values: &'a [u8],
    width: usize,
}

/// A place between pixels: the upper left one, and the shares of the ones to the right and below.
#[derive(Clone, Copy)]
struct Place {
    x: usize,
    y: usize,
    right: f32,
    below: f32,
}

impl Grid<'_> {
    /// Bilinear.
    fn between(&self, Place { x, y, right, below }: Place) -> f32 {
        let value = |x: usize, y: usize| f32::from(self.values[y * self.width + x]);
        let row = |y: usize| {
            let left = value(x, y);
            if right > 0.0 { left + (value(x + 1, y) - left) * right } else { left }
        };
        let upper = row(y);
        if below > 0.0 { upper + (row(y + 1) - upper) * below } else { upper }
    }
}

/// Calls `found` with each pixel of the later frame whose place lies in the earlier one, and that place.
fn each_overlap(Size { height, width }: Size, shift: Shift, mut found: impl FnMut(usize, usize, Place)) {
    // The pixel of the earlier frame, and the share of the next.
    let place = |i: usize, shift: f64, n: usize| {
        let at = i as f64 + shift;
        (at >= 0.0 && at <= (n - 1) as f64).then(|| (at as usize, (at - at.floor()) as f32))
    };
    for y in 0..height {
        let Some((from_y, below)) = place(y, shift.y, height) else { continue };
        for x in 0..width {
            if let Some((from_x, right)) = place(x, shift.x, width) {
                found(x, y, Place { x: from_x, y: from_y, right, below });
            }
        }
    }
}

fn same_size(now: Size, before: Size) -> Result<()> {
    if now == before {
        return Ok(());
    }
    let reason =
        format_args!("a frame of {}x{} after one of {}x{}", now.width, now.height, before.width, before.height);
    Err(Error::frame(reason, "the frames of a sequence must have one size"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Noise;

    const WIDTH: usize = 331;
    const HEIGHT: usize = 247;

    /// A scene of waves, seen by a camera at (x, y), with noise and exposure; a bright disc at `disc`.
    fn seen(x: f32, y: f32, exposure: f32, noise: &mut Noise, disc: Option<(f32, f32)>) -> Grey {
        let mut values = Vec::new();
        for row in 0..HEIGHT {
            for column in 0..WIDTH {
                let (u, v) = (column as f32 + x, row as f32 + y);
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
        let (from, to) = ((150.0, 120.0), (168.0, 120.0));
        let before = seen(0.0, 0.0, 1.0, &mut noise, Some(from));
        let now = seen(2.0, 1.0, 0.95, &mut noise, Some(to));
        let shift = Shift { x: 2.0, y: 1.0 };
        let still = Still::between(&before, &now, shift).unwrap();
        let of = |(cx, cy): (f32, f32), (x, y): (f32, f32)| {
            alpha(|u, v| if (u + x - cx).hypot(v + y - cy) < 30.0 { 255.0 } else { 0.0 })
        };
        let (mut whole, mut away) = (Flicker::default(), Flicker::default());
        let (first, second) = (of(from, (0.0, 0.0)), of(to, (2.0, 1.0)));
        whole.add(&first, &second, shift, None).unwrap();
        away.add(&first, &second, shift, Some(&still)).unwrap();
        assert!(whole.mean().unwrap() > 0.02, "{whole:?}");
        assert_eq!(away.mean(), Some(0.0));
        // Only the disc's surroundings are left out.
        assert!(away.pixels() as f64 > 0.7 * whole.pixels() as f64, "{away:?} of {whole:?}");
    }
}
