//! The network's input, pulled row by row: no f32 picture ever exists whole.

/// Rows of the network's input, made on demand from a camera frame (or from a tensor, in tests).
///
/// Any row may be asked for, in any order and from several threads at once, each with its own `scratch`.
pub trait RowSource: Sync {
    /// Columns of the network's input.
    fn width(&self) -> usize;
    /// Rows of the network's input.
    fn height(&self) -> usize;
    /// How many f32 of scratch [`row`](Self::row) wants.
    fn scratch_len(&self) -> usize;
    /// Writes row `y` (0 to `height - 1`) as `width * 3` values: R, G, B of each pixel, normalised for the network.
    ///
    /// # Panics
    /// If `y` is out of range, `scratch` shorter than `scratch_len()`, or `out` not `width * 3` long.
    fn row(&self, y: usize, scratch: &mut [f32], out: &mut [f32]);
}

/// A tensor (3, H, W) that is normalised already, as rows.
#[derive(Clone, Copy, Debug)]
pub struct Planes<'a> {
    values: &'a [f32],
    width: usize,
    height: usize,
}

impl<'a> Planes<'a> {
    /// Of `3 * height * width` values.
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
