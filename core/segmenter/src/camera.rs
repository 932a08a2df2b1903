//! The camera's shift between two frames, from their brightness.

use crate::error::{Error, Result};
use silhouette_imaging::frame::Size;
use silhouette_imaging::input::InputSpec;
use silhouette_imaging::picture::Picture;
use silhouette_kernels::memory::{self, OutOfMemory};
use std::sync::atomic::{AtomicU8, Ordering};

/// The memory's purpose, in errors.
const GREY: &str = "a grey image";

/// Longer side of the smallest image in which a shift is searched.
const COARSE: usize = 40;
/// Maximum shift there, in pixels: an eighth of the image.
const COARSE_REACH: isize = 5;
/// Each larger image corrects the shift by up to this many pixels.
const FINE_REACH: isize = 1;
/// Steps to the shift's fraction of a pixel.
const FRACTION_STEPS: usize = 4;
/// A difference of brightness beyond which a pixel is no evidence of the camera's shift: something moved there.
const OUTLIER: f32 = 16.0;

/// How the camera moved between two frames: the pixel (x, y) of the later one shows what (x + `x`, y + `y`) showed in the
/// earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shift {
    /// Columns.
    pub x: f64,
    /// Rows.
    pub y: f64,
}

/// The brightness of a frame.
///
/// ```
/// use silhouette::Picture;
/// use silhouette::eval::{Grey, Shift, camera_shift};
///
/// let rgba = (0..64 * 64).flat_map(|i: usize| [(i * i / 7) as u8, (i / 64 * 4) as u8, (i % 64 * 4) as u8, 255]).collect();
/// let grey = Grey::new(&Picture { width: 64, height: 64, rgba })?;
/// assert_eq!(camera_shift(&grey, &grey)?, Shift::default());
/// # Ok::<(), silhouette::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Grey {
    pub(crate) size: Size,
    /// `[height][width]`, 0 to 255.
    pub(crate) values: Vec<u8>,
}

impl Grey {
    /// The brightness of an image.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if memory runs out.
    pub fn new(picture: &Picture) -> Result<Self> {
        let mut values = Vec::new();
        memory::reserve(&mut values, picture.width * picture.height, GREY)?;
        values.extend(picture.rgba.chunks_exact(4).map(|pixel| {
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            ((77 * r + 150 * g + 29 * b + 128) >> 8) as u8
        }));
        Ok(Self { size: Size { height: picture.height, width: picture.width }, values })
    }

    /// Replaces it by another image at half the size; a side of 1 becomes 0.
    fn half_of(&mut self, whole: &Self) -> std::result::Result<(), OutOfMemory> {
        let size = Size { height: whole.size.height / 2, width: whole.size.width / 2 };
        self.size = size;
        self.values.clear();
        memory::reserve(&mut self.values, size.height * size.width, GREY)?;
        for y in 0..size.height {
            let rows = [2 * y, 2 * y + 1].map(|y| &whole.values[y * whole.size.width..][..whole.size.width]);
            let above = rows[0].as_chunks::<2>().0;
            let below = rows[1].as_chunks::<2>().0;
            self.values.extend(above.iter().zip(below).map(|(above, below)| {
                let sum: u32 = above.iter().chain(below).map(|&value| u32::from(value)).sum();
                ((sum + 2) / 4) as u8
            }));
        }
        Ok(())
    }

    fn mean(&self) -> f32 {
        self.values.iter().map(|&value| u64::from(value)).sum::<u64>() as f32 / self.values.len().max(1) as f32
    }
}

/// A frame's brightness at its size, half of it, a quarter and so on.
#[derive(Clone, Debug, Default)]
struct Pyramid {
    /// The largest first.
    levels: Vec<Grey>,
}

impl Pyramid {
    /// Makes the smaller images of the largest.
    fn build(&mut self) -> std::result::Result<(), OutOfMemory> {
        let mut made = 1;
        while let Some(Grey { size: Size { height, width }, .. }) = self.levels.get(made - 1)
            && *width.max(height) > COARSE
            && *width.min(height) > 8
        {
            if self.levels.len() == made {
                self.levels.push(Grey::default());
            }
            let (larger, smaller) = self.levels.split_at_mut(made);
            smaller[0].half_of(&larger[made - 1])?;
            made += 1;
        }
        self.levels.truncate(made);
        Ok(())
    }

    /// The camera's shift between two frames of one size, in pixels of the level `finest`.
    fn shift(before: &Self, now: &Self, finest: usize) -> Shift {
        let levels = || before.levels.iter().zip(&now.levels).skip(finest);
        let mut x = 0_isize;
        let mut y = 0_isize;
        let mut reach = COARSE_REACH;
        for (before, now) in levels().rev() {
            let brighter = (now.mean() - before.mean()).round() as i16;
            let mut best = (f32::INFINITY, x, y);
            for dy in y - reach..=y + reach {
                for dx in x - reach..=x + reach {
                    let cost = difference(before, now, (dx, dy), brighter);
                    // The least shift among equals: of a featureless image, none.
                    if cost < best.0 || (cost <= best.0 && dx.abs() + dy.abs() < best.1.abs() + best.2.abs()) {
                        best = (cost, dx, dy);
                    }
                }
            }
            (x, y) = (2 * best.1, 2 * best.2);
            reach = FINE_REACH;
        }
        let Some((before, now)) = levels().next() else { return Shift::default() };
        fraction(before, now, Shift { x: (x / 2) as f64, y: (y / 2) as f64 })
    }
}

/// Estimates the camera's shift between two frames, to a fraction of a pixel. It compensates for a change of
/// exposure, but not for rotation and zoom.
///
/// # Errors
/// [`Error::InvalidFrame`] if sizes differ; [`Error::Unsupported`] if memory runs out.
pub fn camera_shift(before: &Grey, now: &Grey) -> Result<Shift> {
    same_size(now.size, before.size)?;
    let pyramid = |grey: &Grey| {
        let mut pyramid = Pyramid { levels: vec![grey.clone()] };
        pyramid.build().map(|()| pyramid)
    };
    Ok(Pyramid::shift(&pyramid(before)?, &pyramid(now)?, 0))
}

/// The brightness of a network's input, recorded while its rows are made.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    size: Size,
    /// `[height][width]`, 0 to 255. Rows are made by several threads.
    values: Vec<AtomicU8>,
}

impl Seen {
    /// Makes room for the next frame's input.
    pub(crate) fn prepare(&mut self, size: Size) -> std::result::Result<(), OutOfMemory> {
        self.size = size;
        memory::reserve(&mut self.values, size.height * size.width, GREY)?;
        self.values.resize_with(size.height * size.width, AtomicU8::default);
        Ok(())
    }

    /// Takes a row of the input, `width * 3` values normalised by `spec`.
    pub(crate) fn take(&self, y: usize, row: &[f32], spec: &InputSpec) {
        // Rec. 601's weights.
        let scaled = [0.299, 0.587, 0.114];
        let weights: [f32; 3] = std::array::from_fn(|c| scaled[c] * spec.std[c]);
        let offset: f32 = (0..3).map(|c| scaled[c] * spec.mean[c]).sum();
        let Some(values) = self.values.get(y * self.size.width..(y + 1) * self.size.width) else { return };
        for (value, pixel) in values.iter().zip(row.as_chunks::<3>().0) {
            let grey = offset + weights[0] * pixel[0] + weights[1] * pixel[1] + weights[2] * pixel[2];
            value.store((grey + 0.5) as u8, Ordering::Relaxed);
        }
    }
}

/// Follows the camera from frame to frame, through the network's input.
#[derive(Debug, Default)]
pub(crate) struct Camera {
    now: Pyramid,
    before: Pyramid,
}

impl Camera {
    /// The camera's shift from the previous frame to the one just seen, in pixels of the input; none where it explains nothing.
    /// `valid` is the part of the input that the image covers.
    pub(crate) fn shift(&mut self, seen: &Seen, valid: Size) -> std::result::Result<Shift, OutOfMemory> {
        std::mem::swap(&mut self.now, &mut self.before);
        let Self { now, before } = self;
        if now.levels.is_empty() {
            now.levels.push(Grey::default());
        }
        let whole = &mut now.levels[0];
        whole.size = valid;
        whole.values.clear();
        memory::reserve(&mut whole.values, valid.height * valid.width, GREY)?;
        for row in seen.values.chunks_exact(seen.size.width.max(1)).take(valid.height) {
            whole.values.extend(row[..valid.width].iter().map(|value| value.load(Ordering::Relaxed)));
        }
        now.build()?;
        if before.levels.first().map(|level| level.size) != Some(valid) {
            return Ok(Shift::default());
        }
        // At half the size a shift is as precise as needed, for a quarter of the time.
        let level = 1.min(now.levels.len() - 1);
        let found = Pyramid::shift(before, now, level);
        let earlier = &before.levels[level];
        let later = &now.levels[level];
        if residual(earlier, later, found) >= 0.95 * residual(earlier, later, Shift::default()) {
            return Ok(Shift::default());
        }
        let scale = (1 << level) as f64;
        Ok(Shift { x: scale * found.x, y: scale * found.y })
    }

    /// Forgets the previous frames.
    pub(crate) fn reset(&mut self) {
        self.now.levels.clear();
        self.before.levels.clear();
    }
}

/// Mean difference of brightness that a shift leaves, outliers clipped.
fn residual(before: &Grey, now: &Grey, shift: Shift) -> f64 {
    let gain = gain(before, now);
    let grid = Grid { values: &before.values, width: before.size.width };
    let mut sum = 0.0;
    let mut count = 0_usize;
    each_overlap(now.size, shift, |x, y, at| {
        let error = f32::from(now.values[y * now.size.width + x]) - gain * grid.between(at);
        sum += f64::from(error.abs().min(OUTLIER));
        count += 1;
    });
    sum / count.max(1) as f64
}

/// Factor from the earlier frame's exposure to the later one's.
pub(crate) fn gain(before: &Grey, now: &Grey) -> f32 {
    (now.mean() / before.mean().max(1.0)).clamp(0.5, 2.0)
}

/// Mean difference of brightness at a whole shift, outliers clipped; infinite if less than half of the image overlaps. The later
/// frame is `brighter` by so much.
fn difference(before: &Grey, now: &Grey, (dx, dy): (isize, isize), brighter: i16) -> f32 {
    let Size { height, width } = now.size;
    let columns = width.saturating_sub(dx.unsigned_abs());
    let rows = height.saturating_sub(dy.unsigned_abs());
    if 2 * columns < width || 2 * rows < height {
        return f32::INFINITY;
    }
    let start = |shift: isize| (shift.min(0).unsigned_abs(), shift.max(0) as usize);
    let (x, from_x) = start(dx);
    let (y, from_y) = start(dy);
    let mut sum = 0_u64;
    for row in 0..rows {
        let now = &now.values[(y + row) * width + x..][..columns];
        let before = &before.values[(from_y + row) * width + from_x..][..columns];
        // In integers of 16 bits, of which the compiler processes eight or more at a time; 2047 outliers of 16 still fit.
        for (now, before) in now.chunks(2047).zip(before.chunks(2047)) {
            let of_row: i16 = now
                .iter()
                .zip(before)
                .map(|(&now, &before)| (i16::from(now) - i16::from(before) - brighter).abs().min(OUTLIER as i16))
                .sum();
            sum += of_row as u64;
        }
    }
    (sum as f64 / (rows * columns) as f64) as f32
}

/// Improves a shift to a fraction of a pixel: least squares over the image's gradients (Lucas and Kanade), by Gauss and
/// Newton's steps.
fn fraction(before: &Grey, now: &Grey, start: Shift) -> Shift {
    let gain = gain(before, now);
    let width = now.size.width;
    let grid = Grid { values: &before.values, width };
    let mut shift = start;
    for _ in 0..FRACTION_STEPS {
        let mut xx = 0.0_f64;
        let mut xy = 0.0_f64;
        let mut yy = 0.0_f64;
        let mut xe = 0.0_f64;
        let mut ye = 0.0_f64;
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
        let right = (yy * xe - xy * ye) / determinant;
        let down = (xx * ye - xy * xe) / determinant;
        shift.x += right;
        shift.y += down;
        if (shift.x - start.x).abs() > 1.5 || (shift.y - start.y).abs() > 1.5 {
            return start;
        }
        if right.hypot(down) < 0.01 {
            break;
        }
    }
    shift
}

/// A plane of bytes, read between its pixels.
pub(crate) struct Grid<'a> {
    pub(crate) values: &'a [u8],
    pub(crate) width: usize,
}

/// A place between pixels: the upper left one, and the shares of the ones to the right and below.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    x: usize,
    y: usize,
    right: f32,
    below: f32,
}

impl Grid<'_> {
    /// Bilinear.
    pub(crate) fn between(&self, Place { x, y, right, below }: Place) -> f32 {
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
pub(crate) fn each_overlap(Size { height, width }: Size, shift: Shift, mut found: impl FnMut(usize, usize, Place)) {
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

pub(crate) fn same_size(now: Size, before: Size) -> Result<()> {
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
    use silhouette_network::spec::Fit;
    use silhouette_testkit::Noise;

    /// A network's input of a scene of waves, seen by a camera at (x, y).
    fn look(
        camera: &mut Camera,
        seen: &mut Seen,
        size: Size,
        (x, y): (f32, f32),
        exposure: f32,
        noise: &mut Noise,
    ) -> Shift {
        let spec = InputSpec { size, mean: [127.5; 3], std: [127.5; 3], fit: Fit::Stretch };
        seen.prepare(size).unwrap();
        for row in 0..size.height {
            let pixels: Vec<f32> = (0..size.width)
                .flat_map(|column| {
                    let u = column as f32 + x;
                    let v = row as f32 + y;
                    let slanted = 25.0 * ((0.6 * u + v) / 17.0).sin() + 20.0 * ((u - 1.7 * v) / 41.0).sin();
                    let scene = 120.0 + 30.0 * (u / 9.0).sin() + 25.0 * (v / 7.0 + (u / 31.0).cos()).cos() + slanted;
                    let value = (exposure * scene + 3.0 * noise.signed()).clamp(0.0, 255.0);
                    [(value - 127.5) / 127.5; 3]
                })
                .collect();
            seen.take(row, &pixels, &spec);
        }
        camera.shift(seen, size).unwrap()
    }

    #[test]
    fn the_camera_is_followed_through_the_networks_input() {
        for size in [Size { height: 193, width: 257 }, Size { height: 321, width: 193 }] {
            let mut noise = Noise::new(5);
            let mut camera = Camera::default();
            let mut seen = Seen::default();
            let mut at = (50.0, 40.0);
            assert_eq!(look(&mut camera, &mut seen, size, at, 1.0, &mut noise), Shift::default(), "of the first frame");
            for (x, y) in [(0.6, -0.4), (3.0, -2.0), (-7.5, 4.2), (12.0, 9.0)] {
                at = (at.0 + x, at.1 + y);
                let found = look(&mut camera, &mut seen, size, at, 1.0 + 0.01 * x, &mut noise);
                let off = (found.x - f64::from(x)).hypot(found.y - f64::from(y));
                assert!(off < 0.2, "{found:?} for {x}, {y}");
            }
            camera.reset();
            assert_eq!(
                look(&mut camera, &mut seen, size, (0.0, 0.0), 1.0, &mut noise),
                Shift::default(),
                "after a cut"
            );
        }
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        let mut camera = Camera::default();
        let mut seen = Seen::default();
        for size in [Size::square(33), Size { height: 1, width: 65 }, Size::square(33), Size::square(33)] {
            seen.prepare(size).unwrap();
            assert_eq!(camera.shift(&seen, size).unwrap(), Shift::default(), "of a black frame, or another size");
        }
    }
}
