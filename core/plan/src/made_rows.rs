//! A generated image for this crate's tests: waves of grey, at any size.

use silhouette_kernels::rows::RowSource;
use silhouette_network::network::Size;

pub(crate) struct Grey(pub(crate) Size);

impl RowSource for Grey {
    fn width(&self) -> usize {
        self.0.width
    }

    fn height(&self) -> usize {
        self.0.height
    }

    fn scratch_len(&self) -> usize {
        0
    }

    fn row(&self, y: usize, _: &mut [f32], out: &mut [f32]) {
        out.iter_mut().enumerate().for_each(|(x, v)| *v = ((x * 7 + y * 13) % 32) as f32 / 16.0 - 1.0);
    }
}
