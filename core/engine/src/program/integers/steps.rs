//! The steps of heads in integers: 1x1 convolutions of whole maps, concatenations, averages, and the outputs.

use super::rows::{Pixels, Product};
use crate::program::context::{Context, Rows, Run};
use silhouette_kernels::element::Quantization;
use silhouette_kernels::int8;
use silhouette_kernels::rows::RowSource;

/// A 1x1 convolution of a whole map.
pub(super) struct Convolution {
    pub(super) height: usize,
    pub(super) input: Rows,
    pub(super) product: Product,
    pub(super) output: Rows,
}

/// A concatenation; a part of one pixel is repeated over the map.
pub(super) struct Concat {
    pub(super) height: usize,
    pub(super) parts: Vec<Part>,
    pub(super) output: Rows,
}

pub(super) struct Part {
    pub(super) rows: Rows,
    pub(super) channels: usize,
    /// Whether it is one pixel.
    pub(super) single: bool,
    /// Whether its bytes are those of the output's scale already.
    pub(super) same: bool,
    /// Its bytes at the output's scale.
    pub(super) table: Box<[u8; 256]>,
}

/// The average of a map. Its integers represent what the map's do.
pub(super) struct Average {
    pub(super) height: usize,
    pub(super) input: Rows,
    /// 32-bit sums of each row.
    pub(super) sums: usize,
    pub(super) output: Rows,
    /// Whether stored bytes are signed.
    pub(super) signed: bool,
    /// Whether the file's bytes are signed: TensorFlow Lite rounds the average of signed bytes away from zero.
    pub(super) signed_file: bool,
}

/// Converts blocked rows to an output of the program: f32, channels last.
pub(super) struct Dequantise {
    pub(super) height: usize,
    pub(super) channels: usize,
    pub(super) input: Rows,
    /// Of stored bytes.
    pub(super) quantization: Quantization,
    /// Which output.
    pub(super) output: usize,
}

impl Run for Convolution {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        for piece in cx.pieces(self.height, self.output.width).iter().filter(|p| !p.is_empty()) {
            let at = |rows: &Rows| Pixels {
                first: cx.pixels(rows, piece.rows.start, piece.rows.len()).add(piece.columns.start * rows.lanes),
                group: rows.group_len(),
                row: rows.row_len(),
            };
            // SAFETY: pixels inside both maps; the output's are this thread's share.
            unsafe { self.product.run(cx, at(&self.input), at(&self.output), piece.columns.len(), piece.rows.len()) }
        }
    }
}

impl Run for Concat {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        for y in cx.share(self.height) {
            let mut before = 0;
            for part in &self.parts {
                if before % self.output.lanes == 0 {
                    self.groups(cx, part, before / self.output.lanes, y);
                } else {
                    self.channels(cx, part, before, y);
                }
                before += part.channels;
            }
        }
    }
}

impl Concat {
    /// Row `y` of a part that begins with a group. Lanes past its last channel are written too; the next part overwrites them.
    fn groups(&self, cx: &Context<'_>, part: &Part, first: usize, y: usize) {
        let lanes = self.output.lanes;
        let len = self.output.width * lanes;
        for group in 0..part.rows.groups {
            let from = cx.pixel::<u8>(&part.rows, if part.single { 0 } else { y }).add(group * part.rows.group_len());
            let to = cx.pixel::<u8>(&self.output, y).add((first + group) * self.output.group_len()).to(len);
            // SAFETY: a group of the part, which no thread writes now, and of this thread's row.
            unsafe {
                if part.single {
                    let pixel: [u8; 16] = std::array::from_fn(|lane| part.table[usize::from(*from.add(lane).to(1))]);
                    for x in 0..self.output.width {
                        to.add(x * lanes).cast::<[u8; 16]>().write(pixel);
                    }
                } else if part.same {
                    std::ptr::copy_nonoverlapping(from.to(len), to, len);
                } else {
                    let from = from.to(len);
                    for i in 0..len {
                        *to.add(i) = part.table[usize::from(*from.add(i))];
                    }
                }
            }
        }
    }

    /// Row `y` of a part whose first channel `before` is inside a group.
    fn channels(&self, cx: &Context<'_>, part: &Part, before: usize, y: usize) {
        let lanes = self.output.lanes;
        let from = cx.pixel::<u8>(&part.rows, if part.single { 0 } else { y });
        let to = cx.pixel::<u8>(&self.output, y);
        for c in 0..part.channels {
            let from = from.add(c / lanes * part.rows.group_len() + c % lanes);
            let c = before + c;
            let to = to.add(c / lanes * self.output.group_len() + c % lanes);
            for x in 0..self.output.width {
                // SAFETY: a byte of the part, which no thread writes now, and of this thread's row.
                unsafe {
                    let byte = *from.add(if part.single { 0 } else { x * lanes }).to(1);
                    *to.add(x * lanes).to(1) = part.table[usize::from(byte)];
                }
            }
        }
    }
}

impl Run for Average {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        let rows = &self.input;
        let c = rows.groups * rows.lanes;
        let sums = cx.buffer::<i32>(self.sums, 0);
        for y in cx.share(self.height) {
            let to = sums.at::<i32>(y * c, c);
            // SAFETY: a row of the input, which no thread writes now, and this thread's row of the sums.
            unsafe {
                to.to(c).write_bytes(0, c);
                int8::sum_pixels(cx.program.isa, cx.pixel(rows, y), rows.group_len(), rows.groups, rows.width, to);
            }
        }
        cx.barrier.meet();
        if cx.index == 0 {
            // SAFETY: all sums are complete, no thread writes them now; only this thread writes the output.
            let sums = unsafe {
                std::slice::from_raw_parts(sums.at::<i32>(0, self.height * c).to(self.height * c), self.height * c)
            };
            // SAFETY: as above.
            let out = unsafe { std::slice::from_raw_parts_mut(cx.pixel::<u8>(&self.output, 0).to(c), c) };
            let count = (self.height * rows.width) as i64;
            for (channel, o) in out.iter_mut().enumerate() {
                let sum: i64 = sums.iter().skip(channel).step_by(c).map(|&sum| i64::from(sum)).sum();
                *o = average(sum, count, self.signed, self.signed_file);
            }
        }
    }
}

/// The stored byte of an average, from the sum of stored bytes: rounded half up of unsigned bytes, half away from zero of
/// signed ones.
fn average(sum: i64, count: i64, signed: bool, signed_file: bool) -> u8 {
    let offset = |from: bool, to: bool| (i64::from(to) - i64::from(from)) * -128;
    let sum = sum + offset(signed, signed_file) * count;
    let half = if sum < 0 { -count / 2 } else { count / 2 };
    let mean = (sum + half) / count;
    (mean + offset(signed_file, signed)) as u8
}

impl Run for Dequantise {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        let rows = &self.input;
        let len = rows.width * self.channels;
        for y in cx.share(self.height) {
            let from = cx.pixel::<u8>(rows, y);
            let to = cx.outputs[self.output].at::<f32>(y * len, len);
            // SAFETY: a row of the input, which no thread writes now, and this thread's row of the output.
            unsafe {
                int8::dequantise(
                    cx.program.isa,
                    self.quantization,
                    from,
                    rows.group_len(),
                    rows.width,
                    self.channels,
                    to,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::average;

    /// Three bytes of 10 and one of 12, and their negatives: averages of exactly half.
    #[test]
    fn averages_are_rounded_as_their_file_says() {
        assert_eq!(average(10 + 11, 2, false, false), 11);
        assert_eq!(average(10 + 10 + 12, 3, false, false), 11);
        // Stored signed: the same bytes, 128 less.
        assert_eq!(average(10 + 11 - 256, 2, true, false), 0x8b);
        // Signed in the file: -117.5 becomes -118.
        assert_eq!(average(10 + 11 - 256, 2, true, true), (-118i8) as u8);
        assert_eq!(average(10 + 11, 2, false, true), 10);
        assert_eq!(average(255 * 4, 4, false, false), 255);
    }
}
