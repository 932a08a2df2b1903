//! Makes an image smaller while its rows come in: each pixel is the mean of a square of them.

use silhouette_kernels::memory::{self, OutOfMemory};

/// The rows of a smaller image, so far.
pub(super) struct Reducer {
    /// Pixels of the large image in one of the small one, in each direction.
    step: usize,
    width: usize,
    /// Columns of the large image.
    columns: usize,
    channels: usize,
    /// Sums over the rows since the last full one: of each pixel's channels, colours weighted by alpha, and of its weights.
    sums: Vec<[u64; 4]>,
    counts: Vec<u64>,
    rows: usize,
    made: Vec<u8>,
}

impl Reducer {
    /// How many pixels of an image, in each direction, have to become one so that there are at most `most`; 1 if it is small enough.
    pub(super) fn step((width, height): (u32, u32), most: u64) -> u32 {
        let fits = |step: u32| u64::from(width.div_ceil(step)) * u64::from(height.div_ceil(step)) <= most.max(1);
        let (mut low, mut high) = (1, width.max(height).max(1));
        while low < high {
            let middle = low + (high - low) / 2;
            if fits(middle) { high = middle } else { low = middle + 1 }
        }
        low
    }

    /// For an image of so many columns and rows, with 3 or 4 channels.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(super) fn new(width: u32, height: u32, channels: usize, step: u32) -> Result<Self, OutOfMemory> {
        let columns = width as usize;
        let step = step as usize;
        let width = columns.div_ceil(step);
        let mut made = Vec::new();
        memory::reserve(&mut made, width * (height as usize).div_ceil(step) * channels, "an image")?;
        let sums = memory::filled(width, [0; 4], "a row of an image")?;
        let counts = memory::filled(width, 0, "a row of an image")?;
        Ok(Self { step, width, columns, channels, sums, counts, rows: 0, made })
    }

    /// Adds a row of the large image.
    pub(super) fn push(&mut self, row: &[u8]) {
        let channels = self.channels;
        debug_assert_eq!(row.len(), self.columns * channels);
        let cells = self.sums.iter_mut().zip(&mut self.counts);
        for ((sum, count), pixels) in cells.zip(row.chunks(self.step * channels)) {
            for pixel in pixels.chunks_exact(channels) {
                let weight = if channels == 4 { u64::from(pixel[3]) } else { 1 };
                for (sum, &value) in sum.iter_mut().zip(&pixel[..3]) {
                    *sum += u64::from(value) * weight;
                }
                sum[3] += weight;
                *count += 1;
            }
        }
        self.rows += 1;
        if self.rows == self.step {
            self.flush();
        }
    }

    fn flush(&mut self) {
        for (sum, count) in self.sums.iter_mut().zip(&mut self.counts) {
            let [r, g, b, weight] = *sum;
            let mean = |sum: u64, of: u64| (sum + of / 2).checked_div(of).unwrap_or(0) as u8;
            self.made.extend([r, g, b].map(|sum| mean(sum, weight)));
            if self.channels == 4 {
                self.made.push(mean(weight, *count));
            }
            *sum = [0; 4];
            *count = 0;
        }
        self.rows = 0;
    }

    /// The small image: columns, rows and pixels.
    pub(super) fn finish(mut self) -> (u32, u32, Vec<u8>) {
        if self.rows > 0 {
            self.flush();
        }
        let rows = self.made.len() / (self.width * self.channels).max(1);
        (self.width as u32, rows as u32, self.made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_the_mean_of_a_square() {
        assert_eq!(Reducer::step((100, 100), 10_000), 1);
        assert_eq!(Reducer::step((100, 100), 9_999), 2);
        assert_eq!(Reducer::step((100, 1), 10), 10);
        assert_eq!(Reducer::step((u32::MAX, u32::MAX), 1), u32::MAX);
        let mut small = Reducer::new(3, 3, 3, 2).unwrap();
        for row in [[10, 0, 0, 20, 0, 0, 7, 8, 9], [30, 4, 0, 40, 0, 0, 9, 8, 7], [1, 2, 3, 3, 2, 1, 5, 6, 7]] {
            small.push(&row);
        }
        assert_eq!(small.finish(), (2, 2, vec![25, 1, 0, 8, 8, 8, 2, 2, 2, 5, 6, 7]));
        // Colours count as much as they are seen.
        let mut small = Reducer::new(2, 1, 4, 2).unwrap();
        small.push(&[200, 0, 0, 255, 9, 9, 9, 0]);
        assert_eq!(small.finish(), (1, 1, vec![200, 0, 0, 128]));
    }
}
