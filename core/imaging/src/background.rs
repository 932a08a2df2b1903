//! An image's background or foreground, blurred: computed at a reduced size, used row by row at the image's own; and the colours of the
//! foreground's rim without what shines through from the background.

use silhouette_kernels::memory::{self, OutOfMemory};

use crate::blend::{AlphaRows, blend_between, mix, scale};
use crate::blur::blur;
use crate::frame::Size;
use crate::mask::Confidence;

/// The most that a cell holds: window sums of 17 cells stay below 2^23, which [`blur`] computes exactly.
const FULL: f32 = (1 << 19) as f32;

/// The weight of a pixel that belongs to the part wholly: small enough that the sums of [`ROWS`] rows fit 16 bits.
const HEAVIEST: u16 = 15;

/// Rows that are summed before they are added to their cells.
const ROWS: usize = 16;

/// Which rows of the image count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    All,
    /// Two or three of each cell's: enough for a colour that is not shown as it is.
    Some,
}

/// A part of an image, blurred: its background, of which the foreground is no part and does not bleed into it, or the other way round. What is transparent
/// is part of neither.
pub(crate) struct Blurred {
    width: usize,
    height: usize,
    /// Pixels of the image per cell, in each direction.
    step: usize,
    /// R, G, B of each cell and 255; four zeros where nothing of the part is near.
    cells: Vec<[u8; 4]>,
    /// For each column of the image: the cell to its left, and how much of the one to its right, in 256ths.
    columns: Vec<(usize, u16)>,
    /// Rows of cells at the image's width, and which: the last two that were needed.
    wide: [(usize, Vec<u8>); 2],
}

impl Blurred {
    /// Of RGBA pixels, of this size, with a standard deviation of about `radius` pixels (over 0). `weight` is how much a pixel of an
    /// alpha belongs to the part, 0 to 255.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(crate) fn new(
        rgba: &[u8],
        size: Size,
        alpha: &Confidence,
        radius: f32,
        weight: impl Fn(u8) -> u8 + Copy,
        rows: Rows,
    ) -> Result<Self, OutOfMemory> {
        const WHAT: &str = "a blurred background";
        let Size { height: full_height, width: full_width } = size;
        // A box of radius r has variance r (r + 1) / 3; three of them r (r + 1). Reduced so that r is 4 to 8.
        let radius = radius.min(full_width.max(full_height) as f32);
        let step = ((radius / 4.0) as usize).max(1);
        let width = full_width.div_ceil(step);
        let height = full_height.div_ceil(step);
        let every = match rows {
            Rows::All => 1,
            Rows::Some => (step / 2).max(1),
        };
        let mut sums = memory::filled(width.saturating_mul(height), [0f32; 4], WHAT)?;
        let mut band = memory::filled(full_width * 4, 0u16, WHAT)?;
        let mut weights = memory::filled(full_width * 4, 0u16, WHAT)?;
        let mut alphas = AlphaRows::new(alpha, full_width, full_height)?;
        for (y, row) in rgba.chunks_exact(full_width * 4).enumerate() {
            if y % every == 0 {
                weigh(row, alphas.row(y), weight, &mut weights);
                for ((sum, &value), &weight) in band.iter_mut().zip(row).zip(&weights) {
                    *sum += u16::from(value) * weight;
                }
            }
            if (y + 1) % step.min(ROWS) == 0 || (y + 1) % step == 0 || y + 1 == full_height {
                let line = &mut sums[y / step * width..][..width];
                for (cell, columns) in line.iter_mut().zip(band.chunks(step * 4)) {
                    add(cell, columns);
                }
                band.fill(0);
            }
        }
        let part = FULL / (255.0 * f32::from(HEAVIEST) * (step * step.div_ceil(every)) as f32);
        let mut means = Vec::new();
        memory::reserve(&mut means, sums.len(), WHAT)?;
        means.extend(sums.iter().map(|cell| cell.map(|sum| (sum * part + 0.5) as i32)));
        drop(sums);
        let r = (radius / step as f32 - 0.5).max(0.0).round() as usize;
        blur(&mut means, Size { height, width }, r)?;
        let mut cells = Vec::new();
        memory::reserve(&mut cells, means.len(), WHAT)?;
        cells.extend(means.iter().map(|&[r, g, b, weight]| {
            let scale = 255.0 / weight.max(1) as f32;
            let [r, g, b] = [r, g, b].map(|sum| (sum as f32 * scale + 0.5) as u8);
            [r, g, b, if weight == 0 { 0 } else { 255 }]
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

    /// Puts this behind row `y` of the image; rows are cheapest in their order.
    pub(crate) fn put_behind(&mut self, row: &mut [u8], alphas: &[u8], y: usize) {
        let (top, bottom, share) = self.around(y);
        blend_between(row, top, bottom, share, alphas);
    }

    /// Pixel `x` of the row that lies `share` 256ths between two; `None` where nothing of the part is near.
    fn at(x: usize, (top, bottom, share): (&[u8], &[u8], u16)) -> Option<[u8; 3]> {
        let top = top.as_chunks::<4>().0[x];
        let bottom = bottom.as_chunks::<4>().0[x];
        (top[3] & bottom[3] == 255).then(|| std::array::from_fn(|c| mix(top[c], bottom[c], share)))
    }

    /// The rows of cells above and below row `y` of the image, at its width, and how many 256ths of the second count.
    fn around(&mut self, y: usize) -> (&[u8], &[u8], u16) {
        let (above, share) = between(y, self.step, self.height);
        let below = (above + 1).min(self.height - 1);
        for row in [above, below] {
            self.widen(row);
        }
        (&self.wide[above % 2].1, &self.wide[below % 2].1, share)
    }

    /// Makes row `y` of the cells as wide as the image, unless it is there.
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

/// The foreground's colours along its soft rim, where a pixel is a mixture of both: M. Forte, "Approximate Fast Foreground Colour Estimation" (ICIP 2021,
/// equations 4 to 7) in one pass. Around each pixel the mean foreground and the mean background predict the mixture; what the pixel differs from
/// that goes to the foreground, as far as it counts there.
pub(crate) struct Rim {
    foreground: Blurred,
    background: Blurred,
}

impl Rim {
    /// Of RGBA pixels, of this size.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(crate) fn new(rgba: &[u8], size: Size, alpha: &Confidence) -> Result<Self, OutOfMemory> {
        // As a share of the longer side: wider than soft borders are.
        const REACH: f32 = 0.02;
        let radius = (REACH * size.width.max(size.height) as f32).max(2.0);
        // Squared, so that the rim itself, which is neither, hardly counts.
        let square = |v: u8| scale(v, v);
        let foreground = Blurred::new(rgba, size, alpha, radius, square, Rows::Some)?;
        let background = Blurred::new(rgba, size, alpha, radius, move |alpha| square(255 - alpha), Rows::Some)?;
        Ok(Self { foreground, background })
    }

    /// Gives row `y` of the image the foreground's colours; rows are cheapest in their order.
    pub(crate) fn clear(&mut self, row: &mut [u8], alphas: &[u8], y: usize) {
        if alphas.iter().all(|&alpha| alpha == 0 || alpha == 255) {
            return;
        }
        let fore = self.foreground.around(y);
        let back = self.background.around(y);
        for (x, (pixel, &alpha)) in row.as_chunks_mut::<4>().0.iter_mut().zip(alphas).enumerate() {
            if alpha == 0 || alpha == 255 {
                continue;
            }
            let (Some(fore), Some(back)) = (Blurred::at(x, fore), Blurred::at(x, back)) else { continue };
            let share = f32::from(alpha) / 255.0;
            for ((value, fore), back) in pixel.iter_mut().zip(fore.map(f32::from)).zip(back.map(f32::from)) {
                let mixture = share * fore + (1.0 - share) * back;
                *value = (fore + share * (f32::from(*value) - mixture) + 0.5) as u8;
            }
        }
    }
}

/// How much each pixel of a row counts, 0 to [`HEAVIEST`], once for each of its channels: its weight by the confidence, times its own alpha. Colours
/// weigh as much as their pixel; the fourth channel, which is then the weight itself, as much as that of an opaque one.
fn weigh(row: &[u8], alphas: &[u8], weight: impl Fn(u8) -> u8, weights: &mut [u16]) {
    const UNIT: u16 = 255 / HEAVIEST;
    let pixels = weights.as_chunks_mut::<4>().0.iter_mut().zip(alphas).zip(row.as_chunks::<4>().0);
    if row.as_chunks::<4>().0.iter().fold(255, |least, pixel| least & pixel[3]) == 255 {
        for ((weights, &alpha), _) in pixels {
            *weights = [(u16::from(weight(alpha)) + UNIT / 2) / UNIT; 4];
        }
        return;
    }
    for ((weights, &alpha), pixel) in pixels {
        let weight = (u16::from(scale(weight(alpha), pixel[3])) + UNIT / 2) / UNIT;
        // Times the pixel's alpha it is 255 times the weight again, or nearly.
        let own = (weight * 255).checked_div(u16::from(pixel[3])).unwrap_or(0);
        *weights = [weight, weight, weight, own];
    }
}

/// Adds columns to a cell's sums.
fn add(cell: &mut [f32; 4], columns: &[u16]) {
    let mut sums = [0u32; 4];
    for column in columns.as_chunks::<4>().0 {
        sums.iter_mut().zip(column).for_each(|(sum, &value)| *sum += u32::from(value));
    }
    cell.iter_mut().zip(sums).for_each(|(cell, sum)| *cell += sum as f32);
}
