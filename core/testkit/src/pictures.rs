//! Generated images, as pixels and as the rows of a network's input.

use silhouette_kernels::rows::RowSource;

/// RGB waves, a different image for each `phase`: soft shapes, so that a mask of them has more than one class.
pub fn waves(width: usize, height: usize, phase: usize) -> Vec<u8> {
    let wave = |x: usize, k: f32| ((x + 3 * phase) as f32 / k).sin();
    let pixel = |i: usize| {
        let x = i % width;
        let y = i / width;
        [17.0, 29.0, 41.0].map(|k| (127.0 + 120.0 * wave(x, k) * wave(y, k + 2.0)) as u8)
    };
    (0..width * height).flat_map(pixel).collect()
}

/// A network's input of this size: diagonal ramps, -1 to 1.
#[derive(Clone, Copy, Debug)]
pub struct GreyRows {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl RowSource for GreyRows {
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
        out.iter_mut().enumerate().for_each(|(x, v)| *v = ((x * 7 + y * 13) % 32) as f32 / 16.0 - 1.0);
    }
}
