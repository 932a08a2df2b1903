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
