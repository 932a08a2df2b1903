//! Box blurs of bytes and of four floats, with running sums: their time does not depend on the radius.

use silhouette_kernels::memory::{self, OutOfMemory};

/// Box blurs of one byte per pixel, in place; edges are extended. Linear in the number of pixels, whatever the radius.
pub(crate) fn blur_bytes(values: &mut [u8], width: usize, height: usize, radius: usize, passes: usize) {
    if values.is_empty() {
        return;
    }
    let mut line = vec![0u8; width.max(height)];
    for _ in 0..passes {
        for row in values.chunks_exact_mut(width) {
            box_line(row, &mut line, radius);
        }
    }
    // Processing several columns at a time would be kinder to the cache; a transposed copy is simpler and as fast.
    let mut turned = vec![0u8; values.len()];
    transpose(values, &mut turned, width, height);
    for _ in 0..passes {
        for row in turned.chunks_exact_mut(height) {
            box_line(row, &mut line, radius);
        }
    }
    transpose(&turned, values, height, width);
}

fn transpose<T: Copy>(from: &[T], to: &mut [T], width: usize, height: usize) {
    // In square blocks, so that both sides stay in the cache.
    const SIDE: usize = 32;
    for y0 in (0..height).step_by(SIDE) {
        for x0 in (0..width).step_by(SIDE) {
            for y in y0..(y0 + SIDE).min(height) {
                for x in x0..(x0 + SIDE).min(width) {
                    to[x * height + y] = from[y * width + x];
                }
            }
        }
    }
}

fn box_line(row: &mut [u8], copy: &mut [u8], radius: usize) {
    let n = row.len();
    let copy = &mut copy[..n];
    copy.copy_from_slice(row);
    let last = n - 1;
    let size = 2 * radius as u64 + 1;
    let mut sum = u64::from(copy[0]) * (radius as u64 + 1);
    for i in 1..=radius {
        sum += u64::from(copy[i.min(last)]);
    }
    for i in 0..n {
        row[i] = ((sum + size / 2) / size) as u8;
        sum += u64::from(copy[(i + radius + 1).min(last)]);
        sum -= u64::from(copy[i.saturating_sub(radius)]);
    }
}

/// The same for four floats per pixel.
///
/// # Errors
/// [`OutOfMemory`].
pub(crate) fn blur_quads(
    values: &mut [[f32; 4]],
    width: usize,
    height: usize,
    radius: usize,
    passes: usize,
) -> Result<(), OutOfMemory> {
    if radius == 0 {
        return Ok(());
    }
    let mut line = vec![[0.0; 4]; width.max(height)];
    let mut turned = memory::filled(values.len(), [0.0; 4], "a blur")?;
    for _ in 0..passes {
        values.chunks_exact_mut(width).for_each(|row| box_quads(row, &mut line, radius));
    }
    transpose(values, &mut turned, width, height);
    for _ in 0..passes {
        turned.chunks_exact_mut(height).for_each(|row| box_quads(row, &mut line, radius));
    }
    transpose(&turned, values, height, width);
    Ok(())
}

fn box_quads(row: &mut [[f32; 4]], copy: &mut [[f32; 4]], radius: usize) {
    let copy = &mut copy[..row.len()];
    copy.copy_from_slice(row);
    let last = copy.len() - 1;
    let size = 1.0 / (2 * radius + 1) as f32;
    for c in 0..4 {
        // f64 sums: adding and subtracting must not leave rounding errors along the row.
        let at = |i: usize| f64::from(copy[i.min(last)][c]);
        let mut sum = at(0) * (radius + 1) as f64 + (1..=radius).map(at).sum::<f64>();
        for (i, out) in row.iter_mut().enumerate() {
            out[c] = sum as f32 * size;
            sum += at(i + radius + 1) - at(i.saturating_sub(radius));
        }
    }
}
