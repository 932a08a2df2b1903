//! The inputs of golden values: images from a formula, and photos by their nearest pixels. As in `scripts/compare/goldens.py`.

use std::path::Path;

use silhouette_kernels::rows::RowSource;

/// An image's rows as the network expects them.
pub(crate) struct Rows {
    pub(crate) size: usize,
    /// RGB, `size` x `size`.
    pub(crate) pixels: Vec<u8>,
    /// Mean and deviation of a pixel.
    pub(crate) mean: f32,
}

impl RowSource for Rows {
    fn width(&self) -> usize {
        self.size
    }

    fn height(&self) -> usize {
        self.size
    }

    fn scratch_len(&self) -> usize {
        0
    }

    fn row(&self, y: usize, _: &mut [f32], out: &mut [f32]) {
        let row = &self.pixels[y * self.size * 3..][..self.size * 3];
        for (out, &pixel) in out.iter_mut().zip(row) {
            *out = (f32::from(pixel) - self.mean) / self.mean;
        }
    }
}

/// The golden input with this name, at this size: an image from a formula, or a photo by its nearest pixels.
pub(crate) fn input(shared: &Path, name: &str, size: usize) -> Vec<u8> {
    let (kind, which) = name.split_once(' ').unwrap();
    let mut pixels = Vec::with_capacity(size * size * 3);
    if kind == "pattern" {
        let which: usize = which.parse().unwrap();
        for (y, x) in (0..size * size).map(|i| (i / size, i % size)) {
            for c in 0..3 {
                pixels.push(((x * x * (which + 3) + y * y * 5 + x * y * (c + 1) + 4000 * c) / 97 % 256) as u8);
            }
        }
        return pixels;
    }
    let file = std::io::BufReader::new(std::fs::File::open(shared.join("photos").join(which)).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut photo = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut photo).unwrap();
    let samples = info.color_type.samples();
    assert!(samples >= 3 && info.bit_depth == png::BitDepth::Eight, "{name}: {info:?}");
    let width = info.width as usize;
    let height = info.height as usize;
    for (y, x) in (0..size * size).map(|i| (i / size, i % size)) {
        let row = (2 * y + 1) * height / (2 * size);
        let column = (2 * x + 1) * width / (2 * size);
        pixels.extend_from_slice(&photo[row * info.line_size + column * samples..][..3]);
    }
    pixels
}
