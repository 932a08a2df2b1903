//! A picture's background, blurred: computed at a reduced size, handed out row by row at the picture's own.

use silhouette_kernels::memory::{self, OutOfMemory};

use crate::blend::AlphaRows;
use crate::blur::blur;
use crate::frame::Size;
use crate::mask::Confidence;

/// The most that a cell holds: window sums of 17 cells stay below 2^23, which [`blur`] computes exactly.
const FULL: f32 = (1 << 19) as f32;

/// The blurred background of a picture. The foreground does not bleed into it: it has no weight there, and neither has what is
/// transparent.
pub(crate) struct Blurred {
    width: usize,
    height: usize,
    /// Pixels of the picture a cell, in each direction.
    step: usize,
    /// R, G, B and 255 of each cell; black where there is no background near.
    cells: Vec<[u8; 4]>,
    /// For each column of the picture: the cell to its left, and how much of the one to its right, in 256ths.
    columns: Vec<(usize, u16)>,
    /// Rows of cells at the picture's width, and which: the last two that were needed.
    wide: [(usize, Vec<u8>); 2],
}

impl Blurred {
    /// Of RGBA pixels, of this size, with a standard deviation of about `radius` pixels (over 0).
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(crate) fn new(rgba: &[u8], size: Size, alpha: &Confidence, radius: f32) -> Result<Self, OutOfMemory> {
        const WHAT: &str = "a blurred background";
        let Size { height: full_height, width: full_width } = size;
        // A box of radius r has variance r (r + 1) / 3; three of them r (r + 1). Reduced so that r is 4 to 8.
        let radius = radius.min(full_width.max(full_height) as f32);
        let step = ((radius / 4.0) as usize).max(1);
        let (width, height) = (full_width.div_ceil(step), full_height.div_ceil(step));
        let mut sums = memory::filled(width.saturating_mul(height), [0i32; 4], WHAT)?;
        let mut band = memory::filled(full_width * 4, 0i32, WHAT)?;
        let mut weights = memory::filled(full_width * 4, 0u8, WHAT)?;
        let mut alphas = AlphaRows::new(alpha, full_width, full_height)?;
        let part = FULL / (255.0 * 255.0 * (step * step) as f32);
        let rows = rgba.chunks_exact(full_width * 4);
        for (y, row) in rows.enumerate() {
            weigh(row, alphas.row(y), &mut weights);
            add_weighted(&mut band, row, &weights);
            if (y + 1) % step == 0 || y + 1 == full_height {
                let line = &mut sums[y / step * width..][..width];
                for (cell, columns) in line.iter_mut().zip(band.chunks(step * 4)) {
                    *cell = total(columns).map(|sum| (sum as f32 * part + 0.5) as i32);
                }
                band.fill(0);
            }
        }
        let r = (radius / step as f32 - 0.5).max(0.0).round() as usize;
        blur(&mut sums, width, height, r)?;
        let mut cells = Vec::new();
        memory::reserve(&mut cells, sums.len(), WHAT)?;
        cells.extend(sums.iter().map(|&[r, g, b, weight]| {
            let scale = 255.0 / weight.max(1) as f32;
            let [r, g, b] = [r, g, b].map(|sum| (sum as f32 * scale + 0.5) as u8);
            [r, g, b, 255]
        }));
        let mut columns = Vec::new();
        memory::reserve(&mut columns, full_width, WHAT)?;
        columns.extend((0..full_width).map(|x| between(x, step, width)));
        let wide = [Vec::new(), Vec::new()];
        let mut blurred = Self { width, height, step, cells, columns, wide: wide.map(|row| (usize::MAX, row)) };
        for (_, row) in &mut blurred.wide {
            memory::resize(row, full_width * 4, 0, WHAT)?;
        }
        Ok(blurred)
    }

    /// Row `y` of the picture, R, G, B and 255 of each pixel; rows are cheapest in their order.
    pub(crate) fn row(&mut self, y: usize, out: &mut [u8]) {
        let (above, share) = between(y, self.step, self.height);
        let below = (above + 1).min(self.height - 1);
        for row in [above, below] {
            self.widen(row);
        }
        let (top, bottom) = (&self.wide[above % 2].1, &self.wide[below % 2].1);
        for ((out, &top), &bottom) in out.iter_mut().zip(top).zip(bottom) {
            *out = mix(top, bottom, share);
        }
    }

    /// Makes row `y` of the cells as wide as the picture, unless it is there.
    fn widen(&mut self, y: usize) {
        let (made, wide) = &mut self.wide[y % 2];
        if *made == y {
            return;
        }
        *made = y;
        let cells = &self.cells[y * self.width..][..self.width];
        for (out, &(left, share)) in wide.as_chunks_mut::<4>().0.iter_mut().zip(&self.columns) {
            let right = &cells[(left + 1).min(self.width - 1)];
            for ((out, &left), &right) in out.iter_mut().zip(&cells[left]).zip(right) {
                *out = mix(left, right, share);
            }
        }
    }
}

/// The cell before pixel `i`, and how much of the next one, in 256ths; centres lie at half pixels.
fn between(i: usize, step: usize, cells: usize) -> (usize, u16) {
    let place = ((i as f32 + 0.5) / step as f32 - 0.5).clamp(0.0, (cells - 1) as f32);
    (place as usize, ((place - place.floor()) * 256.0) as u16)
}

/// `share` 256ths of `other`, the rest of `one`, rounded.
fn mix(one: u8, other: u8, share: u16) -> u8 {
    ((u16::from(one) * (256 - share) + u16::from(other) * share + 128) >> 8) as u8
}

/// How much each pixel of a row counts, once for each of its channels: 255 less the foreground's alpha, times the pixel's own.
fn weigh(row: &[u8], alphas: &[u8], weights: &mut [u8]) {
    let pixels = weights.as_chunks_mut::<4>().0.iter_mut().zip(alphas).zip(row.as_chunks::<4>().0);
    for ((weights, &alpha), pixel) in pixels {
        let weight = (u16::from(255 - alpha) * u16::from(pixel[3]) + 127) / 255;
        *weights = [weight as u8; 4];
    }
}

/// Adds colours times weights, and 255 times the weight for the fourth channel.
fn add_weighted(band: &mut [i32], row: &[u8], weights: &[u8]) {
    let pixels = band.as_chunks_mut::<4>().0.iter_mut().zip(row.as_chunks::<4>().0).zip(weights.as_chunks::<4>().0);
    for ((sums, pixel), weights) in pixels {
        let opaque = [pixel[0], pixel[1], pixel[2], 255];
        for ((sum, value), &weight) in sums.iter_mut().zip(opaque).zip(weights) {
            *sum += i32::from(u16::from(value) * u16::from(weight));
        }
    }
}

/// The sums of a cell's columns.
fn total(columns: &[i32]) -> [i64; 4] {
    let mut sums = [0; 4];
    for column in columns.as_chunks::<4>().0 {
        sums.iter_mut().zip(column).for_each(|(sum, &value)| *sum += i64::from(value));
    }
    sums
}
