//! The network's input, pulled row by row: no f32 image ever exists whole.

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use crate::element::{DataType, Quantization};

/// Destination of a row of the network's input, in one of the element types that inputs have.
#[derive(Debug)]
pub enum RowMut<'a> {
    /// Unchanged.
    F32(&'a mut [f32]),
    /// Rounded.
    F16(&'a mut [f16]),
    /// As integers, by scale and zero point.
    U8(&'a mut [u8]),
    /// As integers, by scale and zero point.
    I8(&'a mut [i8]),
}

/// Rows of the network's input, made on demand from a camera frame (or from a tensor, in tests).
///
/// Any row can be requested, in any order and from several threads at once, each with its own `scratch`.
pub trait RowSource: Sync {
    /// Columns of the network's input.
    fn width(&self) -> usize;
    /// Rows of the network's input.
    fn height(&self) -> usize;
    /// How many f32 of scratch [`row`](Self::row) needs.
    fn scratch_len(&self) -> usize;
    /// Writes row `y` (0 to `height - 1`) as `width * 3` values: R, G, B of each pixel, normalised for the network.
    ///
    /// # Panics
    /// If `y` is out of range, `scratch` shorter than `scratch_len()`, or `out` not `width * 3` long.
    fn row(&self, y: usize, scratch: &mut [f32], out: &mut [f32]);

    /// How many f32 of scratch [`row_as`](Self::row_as) needs for rows of this element type.
    fn scratch_len_as(&self, element: DataType) -> usize {
        self.scratch_len() + if element == DataType::F32 { 0 } else { 3 * self.width() }
    }

    /// The same row in the element type that the network reads. `quantization` defines the integers and is ignored for
    /// floats. A source that already has the integers may write them directly; the default implementation converts the
    /// f32 row.
    ///
    /// # Panics
    /// As [`row`](Self::row), with `scratch_len_as()` of scratch.
    fn row_as(&self, y: usize, scratch: &mut [f32], quantization: Quantization, out: RowMut<'_>) {
        let out = match out {
            RowMut::F32(out) => return self.row(y, scratch, out),
            other => other,
        };
        let (values, scratch) = scratch.split_at_mut(3 * self.width());
        self.row(y, scratch, values);
        match out {
            RowMut::F32(out) => out.copy_from_slice(values),
            RowMut::F16(out) => out.convert_from_f32_slice(values),
            RowMut::U8(out) => write(out, values, |v| quantization.nearest(v, 0, 255) as u8),
            RowMut::I8(out) => write(out, values, |v| quantization.nearest(v, -128, 127) as i8),
        }
    }
}

fn write<T>(out: &mut [T], values: &[f32], convert: impl Fn(f32) -> T) {
    assert_eq!(out.len(), values.len(), "a row has three values a pixel");
    for (o, &v) in out.iter_mut().zip(values) {
        *o = convert(v);
    }
}

/// A tensor (3, H, W) that is already normalised, as rows.
#[derive(Clone, Copy, Debug)]
pub struct Planes<'a> {
    values: &'a [f32],
    width: usize,
    height: usize,
}

impl<'a> Planes<'a> {
    /// From `3 * height * width` values.
    ///
    /// # Panics
    /// If there are more or fewer.
    pub fn new(values: &'a [f32], width: usize, height: usize) -> Self {
        assert_eq!(values.len(), 3 * height * width, "values of (3, H, W)");
        Self { values, width, height }
    }
}

impl RowSource for Planes<'_> {
    fn width(&self) -> usize {
        self.width
    }

    fn height(&self) -> usize {
        self.height
    }

    fn scratch_len(&self) -> usize {
        0
    }

    fn row(&self, y: usize, _: &mut [f32], out: &mut [f32]) {
        for (c, plane) in self.values.chunks_exact(self.height * self.width).enumerate() {
            for (to, from) in out[c..].iter_mut().step_by(3).zip(&plane[y * self.width..][..self.width]) {
                *to = *from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_every_element_type() {
        let values: Vec<f32> = (0..3 * 2 * 5).map(|i| i as f32 / 8.0 - 2.0).collect();
        let planes = Planes::new(&values, 5, 2);
        let quantization = Quantization { scale: 1.0 / 64.0, zero_point: 4 };
        let mut expected = [0.0; 15];
        planes.row(1, &mut [], &mut expected);
        let row = |element, out: RowMut<'_>| {
            planes.row_as(1, &mut vec![0.0; planes.scratch_len_as(element)], quantization, out);
        };
        let mut found = [0.0f32; 15];
        row(DataType::F32, RowMut::F32(&mut found));
        assert_eq!(found.map(f32::to_bits), expected.map(f32::to_bits));
        let mut found = [f16::ZERO; 15];
        row(DataType::F16, RowMut::F16(&mut found));
        assert_eq!(found.map(|v| v.to_f32().to_bits()), expected.map(f32::to_bits), "eighths are exact");
        let mut found = [0u8; 15];
        row(DataType::U8, RowMut::U8(&mut found));
        assert_eq!(found, expected.map(|v| (v * 64.0 + 4.0).clamp(0.0, 255.0) as u8));
        let mut found = [0i8; 15];
        row(DataType::I8, RowMut::I8(&mut found));
        assert_eq!(found, expected.map(|v| (v * 64.0 + 4.0).clamp(-128.0, 127.0) as i8));
    }
}
