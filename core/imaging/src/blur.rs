//! Box sums over windows of integers, with running sums: their time does not depend on the radius, and nothing is lost in between.
//!
//! Columns are summed row by row, so that the inner loops run over whole rows in memory order and the compiler can vectorise them.

use silhouette_kernels::memory::{self, OutOfMemory};
use silhouette_kernels::size::Size;

/// The largest sum of a window that is still exact as f32, which [`mean`] computes in.
const EXACT: i32 = 1 << 24;

/// Replaces each cell by the sum over the window of `2 * radius + 1` cells squared around it; edges are continued.
/// The caller makes sure that such sums fit an i32.
///
/// # Errors
/// [`OutOfMemory`].
pub(crate) fn window_sums<const N: usize>(
    values: &mut Vec<[i32; N]>,
    size: Size,
    radius: usize,
) -> Result<(), OutOfMemory> {
    boxes(values, size, radius, 1, |sum| sum)
}

/// Blurs in place with three boxes a side, close to a Gaussian of variance `radius * (radius + 1)`; edges are continued.
/// Values are 0 to 2^24 / (2 * `radius` + 1).
///
/// # Errors
/// [`OutOfMemory`].
pub(crate) fn blur<const N: usize>(values: &mut Vec<[i32; N]>, size: Size, radius: usize) -> Result<(), OutOfMemory> {
    debug_assert!(values.as_flattened().iter().all(|&v| v >= 0 && v <= EXACT / (2 * radius as i32 + 1)));
    let part = 1.0 / (2 * radius + 1) as f32;
    boxes(values, size, radius, 3, |sum| mean(sum, part))
}

/// Sums over `2 * radius + 1` cells, along rows and then along columns, `passes` times each; `finish` makes a cell of each sum.
fn boxes<const N: usize>(
    values: &mut Vec<[i32; N]>,
    Size { height, width }: Size,
    radius: usize,
    passes: usize,
    finish: impl Fn(i32) -> i32 + Copy,
) -> Result<(), OutOfMemory> {
    if values.is_empty() || radius == 0 {
        return Ok(());
    }
    let mut scratch = Scratch::new(values.len(), width)?;
    for _ in 0..passes {
        scratch.rows(values, width, radius, finish);
    }
    for _ in 0..passes {
        scratch.columns(values, width, height, radius, finish);
    }
    Ok(())
}

/// `sum * part`, rounded; below 2^22. Adding 1.5 * 2^23 leaves the integer in the low bits: a cast would check for what cannot be.
fn mean(sum: i32, part: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0;
    (sum as f32 * part + SHIFT).to_bits() as i32 - SHIFT.to_bits() as i32
}

/// Memory for the passes.
struct Scratch<const N: usize> {
    line: Vec<[i32; N]>,
    other: Vec<[i32; N]>,
}

impl<const N: usize> Scratch<N> {
    fn new(len: usize, width: usize) -> Result<Self, OutOfMemory> {
        const WHAT: &str = "a blur";
        Ok(Self { line: memory::filled(width, [0; N], WHAT)?, other: memory::filled(len, [0; N], WHAT)? })
    }

    fn rows(&mut self, values: &mut [[i32; N]], width: usize, radius: usize, finish: impl Fn(i32) -> i32 + Copy) {
        let last = width - 1;
        for row in values.chunks_exact_mut(width) {
            let line = &mut self.line;
            line.copy_from_slice(row);
            let mut sum = line[0].map(|v| v * (radius + 1) as i32);
            for i in 1..=radius {
                add(&mut sum, &line[i.min(last)]);
            }
            for (i, out) in row.iter_mut().enumerate() {
                *out = sum.map(finish);
                add(&mut sum, &line[(i + radius + 1).min(last)]);
                subtract(&mut sum, &line[i.saturating_sub(radius)]);
            }
        }
    }

    fn columns(
        &mut self,
        values: &mut Vec<[i32; N]>,
        width: usize,
        height: usize,
        radius: usize,
        finish: impl Fn(i32) -> i32 + Copy,
    ) {
        let last = height - 1;
        let row = |y: usize| y.min(last) * width..(y.min(last) + 1) * width;
        let sums = self.line.as_flattened_mut();
        for (sum, &v) in sums.iter_mut().zip(values[row(0)].as_flattened()) {
            *sum = v * (radius + 1) as i32;
        }
        for i in 1..=radius {
            for (sum, &v) in sums.iter_mut().zip(values[row(i)].as_flattened()) {
                *sum += v;
            }
        }
        for y in 0..height {
            let enters = values[row(y + radius + 1)].as_flattened();
            let leaves = values[row(y.saturating_sub(radius))].as_flattened();
            let out = self.other[row(y)].as_flattened_mut();
            for (((out, sum), &enters), &leaves) in out.iter_mut().zip(sums.iter_mut()).zip(enters).zip(leaves) {
                *out = finish(*sum);
                *sum += enters - leaves;
            }
        }
        std::mem::swap(values, &mut self.other);
    }
}

fn add<const N: usize>(sum: &mut [i32; N], values: &[i32; N]) {
    sum.iter_mut().zip(values).for_each(|(sum, &v)| *sum += v);
}

fn subtract<const N: usize>(sum: &mut [i32; N], values: &[i32; N]) {
    sum.iter_mut().zip(values).for_each(|(sum, &v)| *sum -= v);
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Noise;

    /// Windows summed one by one.
    fn naive(values: &[[i32; 2]], width: usize, height: usize, (rx, ry): (usize, usize)) -> Vec<[i32; 2]> {
        let at = |x: isize, y: isize| {
            values[y.clamp(0, height as isize - 1) as usize * width + x.clamp(0, width as isize - 1) as usize]
        };
        let rx = rx as isize;
        let ry = ry as isize;
        let cell = |i: usize| {
            let x = (i % width) as isize;
            let y = (i / width) as isize;
            let mut sum = [0; 2];
            (y - ry..=y + ry).for_each(|y| (x - rx..=x + rx).for_each(|x| add(&mut sum, &at(x, y))));
            sum
        };
        (0..width * height).map(cell).collect()
    }

    #[test]
    fn running_sums_are_the_windows_sums() {
        let mut noise = Noise::new(3);
        for (width, height) in [(1, 1), (7, 1), (1, 5), (13, 9), (40, 23)] {
            for radius in [0, 1, 2, 5, 30] {
                let values: Vec<[i32; 2]> =
                    (0..width * height).map(|_| [0; 2].map(|_: i32| (noise.fraction() * 60_000.0) as i32)).collect();
                let mut sums = values.clone();
                window_sums(&mut sums, Size { height, width }, radius).unwrap();
                assert_eq!(sums, naive(&values, width, height, (radius, radius)), "{width}x{height}, {radius}");
                let mut blurred = values.clone();
                blur(&mut blurred, Size { height, width }, radius).unwrap();
                let mut expected = values;
                let size = 2 * radius as i32 + 1;
                for window in [(radius, 0), (0, radius)] {
                    for _ in 0..3 {
                        expected = naive(&expected, width, height, window);
                        // To the nearest; the size is odd, so there are no ties.
                        expected.iter_mut().flatten().for_each(|sum| *sum = (*sum + size / 2) / size);
                    }
                }
                assert_eq!(blurred, expected, "{width}x{height}, {radius}");
            }
        }
    }
}
