//! Rows of pixels mixed by an alpha, which may be of another size than the image.

use silhouette_kernels::memory::{self, OutOfMemory};

use crate::mask::Confidence;

/// The rows of a confidence at an image's size: as they are, or interpolated.
pub(crate) struct AlphaRows<'a> {
    alpha: &'a Confidence,
    /// For each column and row of the image two of the confidence, and the share of the second in 256ths; empty if the sizes are the same.
    columns: Vec<(usize, usize, u16)>,
    rows: Vec<(usize, usize, u16)>,
    /// Rows of the confidence at the image's width, and which: the last two that were needed.
    wide: [(usize, Vec<u8>); 2],
    line: Vec<u8>,
}

impl<'a> AlphaRows<'a> {
    /// Of a confidence that is not empty.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(crate) fn new(alpha: &'a Confidence, width: usize, height: usize) -> Result<Self, OutOfMemory> {
        const WHAT: &str = "rows of alpha";
        let wide = [(usize::MAX, Vec::new()), (usize::MAX, Vec::new())];
        let mut rows = Self { alpha, columns: Vec::new(), rows: Vec::new(), wide, line: Vec::new() };
        if (alpha.width, alpha.height) != (width, height) {
            rows.columns = shares(alpha.width, width)?;
            rows.rows = shares(alpha.height, height)?;
            memory::resize(&mut rows.line, width, 0, WHAT)?;
            for (_, row) in &mut rows.wide {
                memory::resize(row, width, 0, WHAT)?;
            }
        }
        Ok(rows)
    }

    /// One value for each pixel of row `y` of the image; rows are cheapest in their order.
    pub(crate) fn row(&mut self, y: usize) -> &[u8] {
        let width = self.alpha.width;
        if self.rows.is_empty() {
            return &self.alpha.values[y * width..][..width];
        }
        let (above, below, share) = self.rows[y];
        for y in [above, below] {
            let (made, wide) = &mut self.wide[y % 2];
            if *made != y {
                *made = y;
                let row = &self.alpha.values[y * width..][..width];
                for (out, &(left, right, share)) in wide.iter_mut().zip(&self.columns) {
                    *out = mix(row[left], row[right], share);
                }
            }
        }
        let top = &self.wide[above % 2].1;
        let bottom = &self.wide[below % 2].1;
        for ((out, &top), &bottom) in self.line.iter_mut().zip(top).zip(bottom) {
            *out = mix(top, bottom, share);
        }
        &self.line
    }
}

/// As [`linear`], the share of the second neighbour in 256ths.
fn shares(from: usize, to: usize) -> Result<Vec<(usize, usize, u16)>, OutOfMemory> {
    let mut shares = Vec::new();
    memory::reserve(&mut shares, to, "rows of alpha")?;
    shares.extend(linear(from, to)?.into_iter().map(|(low, high, share)| (low, high, (share * 256.0) as u16)));
    Ok(shares)
}

/// Pixels of `over` where `alphas` are 255, of `under` where they are 0, a mixture between; the alpha of `over` stays, both count as opaque.
pub(crate) fn blend_row(over: &mut [u8], under: &[u8], alphas: &[u8]) {
    let unders = under.chunks(RUN * 4);
    for ((over, under), alphas) in over.chunks_mut(RUN * 4).zip(unders).zip(alphas.chunks(RUN)) {
        if !is_foreground(alphas) {
            blend_run(over, under.iter().copied(), alphas);
        }
    }
}

/// The same with an `under` that lies between two rows: `share` 256ths of the way from `top` to `bottom`.
pub(crate) fn blend_between(over: &mut [u8], top: &[u8], bottom: &[u8], share: u16, alphas: &[u8]) {
    let unders = top.chunks(RUN * 4).zip(bottom.chunks(RUN * 4));
    for ((over, (top, bottom)), alphas) in over.chunks_mut(RUN * 4).zip(unders).zip(alphas.chunks(RUN)) {
        if !is_foreground(alphas) {
            blend_run(over, top.iter().zip(bottom).map(|(&top, &bottom)| mix(top, bottom, share)), alphas);
        }
    }
}

/// Pixels that are looked at together: foreground needs no work.
const RUN: usize = 32;

fn is_foreground(alphas: &[u8]) -> bool {
    alphas.iter().fold(255, |least, &alpha| least & alpha) == 255
}

fn blend_run(over: &mut [u8], under: impl Iterator<Item = u8>, alphas: &[u8]) {
    // The alpha of each channel, so that what follows is one flat loop.
    let mut weights = [[255u8; 4]; RUN];
    for (weights, &alpha) in weights.iter_mut().zip(alphas) {
        *weights = [alpha, alpha, alpha, 255];
    }
    for ((over, under), &weight) in over.iter_mut().zip(under).zip(weights.as_flattened()) {
        let weight = u16::from(weight);
        *over = by_255(u16::from(*over) * weight + u16::from(under) * (255 - weight));
    }
}

/// `share` 256ths of `other`, the rest of `one`, rounded.
pub(crate) fn mix(one: u8, other: u8, share: u16) -> u8 {
    ((u16::from(one) * (256 - share) + u16::from(other) * share + 128) >> 8) as u8
}

/// `value / 255`, rounded; of at most 255 * 255.
fn by_255(value: u16) -> u8 {
    let value = value + 128;
    ((value + (value >> 8)) >> 8) as u8
}

/// `v * a / 255`, rounded.
pub(crate) fn scale(v: u8, a: u8) -> u8 {
    by_255(u16::from(v) * u16::from(a))
}

/// For each of `to` pixels two neighbours of `from` and how far it is from the first, half-pixel centres.
///
/// # Errors
/// [`OutOfMemory`].
pub(crate) fn linear(from: usize, to: usize) -> Result<Vec<(usize, usize, f32)>, OutOfMemory> {
    let mut places = Vec::new();
    memory::reserve(&mut places, to, "a resized image")?;
    places.extend((0..to).map(|i| {
        let p = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
        let low = p as usize;
        (low, (low + 1).min(from - 1), (p - low as f64) as f32)
    }));
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_by_255_is_exact() {
        for value in 0..=255 * 255u16 {
            assert_eq!(u32::from(by_255(value)), (u32::from(value) + 127) / 255, "{value}");
        }
    }

    #[test]
    fn rows_are_mixed_by_alpha_and_keep_theirs() {
        for pixels in [1, 31, 32, 33, 100] {
            let over: Vec<u8> = (0..pixels * 4).map(|i| (i * 7) as u8).collect();
            let under: Vec<u8> = (0..pixels * 4).map(|i| (i * 13 + 5) as u8).collect();
            for alphas in [vec![255; pixels], (0..pixels).map(|i| (i * 29) as u8).collect()] {
                let mut mixed = over.clone();
                blend_row(&mut mixed, &under, &alphas);
                for (i, &value) in mixed.iter().enumerate() {
                    let alpha = if i % 4 == 3 { 255 } else { u32::from(alphas[i / 4]) };
                    let sum = u32::from(over[i]) * alpha + u32::from(under[i]) * (255 - alpha);
                    assert_eq!(u32::from(value), (sum + 127) / 255, "{pixels}, {i}");
                }
            }
        }
    }
}
