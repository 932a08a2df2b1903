//! The sliced block: a slice of expanded channels at a time over the whole map, the projection accumulating over slices
//! (the paper's t-way split, section 5). Each weight is read once an inference, and the slice stays in the L2.
//!
//! Threads share the pixels: all fill their pixels of the slice, meet, then convolve and project their pixels of the output.

use std::ops::Range;

use super::context::{Context, Rows};
use super::describe::{Clamp, Window, window_row};
use crate::depthwise::{self, Row};
use crate::pack::{Packed, PackedDepthwise};
use crate::pointer::Pointer;
use crate::pointwise::{self, Init, Job, Source};

pub(super) struct Slice {
    pub(super) first: usize,
    pub(super) channels: usize,
    pub(super) expand: Option<Packed>,
    pub(super) project: Packed,
}

pub(super) struct Sliced {
    pub(super) window: Window,
    pub(super) input: Rows,
    pub(super) slices: Vec<Slice>,
    pub(super) expand_clamp: Clamp,
    pub(super) depthwise: PackedDepthwise,
    pub(super) depthwise_clamp: Clamp,
    pub(super) expansion_shortcut: bool,
    /// Two buffers, used in turn, so that one meeting a slice is enough (the same one twice where nobody is to be met).
    /// `Rows::groups` is the widest slice's.
    pub(super) wide: [Rows; 2],
    pub(super) strip: usize,
    pub(super) strip_len: usize,
    pub(super) strip_rows: usize,
    pub(super) clamp: Clamp,
    pub(super) residual: bool,
    pub(super) output: Rows,
}

/// Pixels `x..x + n` of rows `y..y + rows`; all rows whole, or one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    y: usize,
    rows: usize,
    x: usize,
    n: usize,
}

/// The pixels `range` of a map, counted row by row, as pieces of at most `most` rows.
fn pieces(range: Range<usize>, width: usize, most: usize) -> impl Iterator<Item = Piece> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        if at >= range.end {
            return None;
        }
        let (y, x) = (at / width, at % width);
        let whole = if x == 0 { ((range.end - at) / width).min(most) } else { 0 };
        let (rows, n) = if whole > 0 { (whole, width) } else { (1, (width - x).min(range.end - at)) };
        at += rows * n;
        Some(Piece { y, rows, x, n })
    })
}

impl Sliced {
    pub(super) fn run(&self, cx: &Context<'_>) {
        let (w, isa) = (&self.window, cx.program.isa);
        // By pixels, not rows: the map is small, and one row more is 6 % of half of seventeen.
        let (pixels_in, pixels_out) = (cx.share(w.input.0 * w.input.1), cx.share(w.output.0 * w.output.1));
        for wide in &self.wide {
            cx.clear_padding(wide, cx.share(w.input.0));
        }
        let strip = cx.buffer(self.strip, self.strip_len);
        for (s, slice) in self.slices.iter().enumerate() {
            let (wide, last) = (&self.wide[s % 2], s + 1 == self.slices.len());
            for piece in pieces(pixels_in.clone(), w.input.1, w.input.0) {
                self.fill(cx, slice, wide, piece);
            }
            // All rows of the slice are there; and nobody reads the other buffer any more, which is filled next.
            cx.team.meet();
            for Piece { y, rows, x, n } in pieces(pixels_out.clone(), w.output.1, self.strip_rows) {
                let group = n * wide.lanes;
                let row_len = slice.channels.div_ceil(wide.lanes) * group;
                for r in 0..rows {
                    let read = x * w.stride * wide.lanes;
                    let row = Row {
                        rows: [0, 1, 2].map(|t| cx.padded(wide, window_row(w, y + r, t), w.input.0).add(read)),
                        e_group: wide.group_len(),
                        weights: &self.depthwise,
                        first: slice.first,
                        channels: slice.channels,
                        d: strip.at(r * row_len, row_len),
                        d_group: group,
                        width: n,
                        stride: w.stride,
                        rate: w.rate,
                        clamp: self.depthwise_clamp,
                        add_input: self.expansion_shortcut,
                    };
                    // SAFETY: padded rows reach as far as the last window; the strip is this thread's.
                    unsafe { depthwise::run(isa, &row) }
                }
                let shift = x * wide.lanes;
                let residual = last && self.residual;
                let job = Job {
                    source: Source::Groups { first: strip.at(0, rows * row_len), group },
                    a_row: row_len,
                    weights: &slice.project,
                    bias: Pointer::read(&slice.project.bias),
                    c: cx.pixels(&self.output, y, rows).add(shift),
                    c_group: self.output.group_len(),
                    c_row: self.output.row_len(),
                    residual: residual.then(|| {
                        (cx.pixels(&self.input, y, rows).add(shift), self.input.group_len(), self.input.row_len())
                    }),
                    width: n,
                    rows,
                    init: if s == 0 { Init::Bias } else { Init::Accumulate },
                    clamp: if last { self.clamp } else { None },
                };
                // SAFETY: pixels of this thread's strip, and of its share of the output.
                unsafe { pointwise::run(isa, &job) }
            }
        }
    }

    /// Fills a piece of the slice: expanded, or copied where the block does not expand.
    fn fill(&self, cx: &Context<'_>, slice: &Slice, wide: &Rows, Piece { y, rows, x, n }: Piece) {
        let shift = x * wide.lanes;
        let Some(weights) = &slice.expand else {
            for y in y..y + rows {
                let (from, to) = (cx.pixel(&self.input, y).add(shift), cx.pixel(wide, y).add(shift));
                let (first, len) = (slice.first / wide.lanes, n * wide.lanes);
                for group in 0..slice.channels.div_ceil(wide.lanes) {
                    let from = from.add((first + group) * self.input.group_len()).to(len);
                    // SAFETY: pixels of a group, in different buffers.
                    unsafe { std::ptr::copy_nonoverlapping(from, to.add(group * wide.group_len()).to(len), len) }
                }
            }
            return;
        };
        let job = Job {
            source: Source::Groups { first: cx.pixels(&self.input, y, rows).add(shift), group: self.input.group_len() },
            a_row: self.input.row_len(),
            weights,
            bias: Pointer::read(&weights.bias),
            c: cx.pixels(wide, y, rows).add(shift),
            c_group: wide.group_len(),
            c_row: wide.row_len(),
            residual: None,
            width: n,
            rows,
            init: Init::Bias,
            clamp: self.expand_clamp,
        };
        // SAFETY: this thread's share of the pixels of two different buffers.
        unsafe { pointwise::run(cx.program.isa, &job) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_all_pixels_in_order_once() {
        for (height, width) in [(1, 1), (1, 7), (5, 1), (17, 17), (3, 8)] {
            for count in 1..6 {
                for most in 1..4 {
                    let mut next = 0;
                    for index in 0..count {
                        let share = crate::team::share(height * width, index, count);
                        for Piece { y, rows, x, n } in pieces(share, width, most) {
                            assert_eq!(y * width + x, next);
                            assert!(rows == 1 || (x, n) == (0, width) && rows <= most, "{rows} rows of {n}");
                            assert!(n > 0 && x + n <= width);
                            next += rows * n;
                        }
                    }
                    assert_eq!(next, height * width);
                }
            }
        }
    }
}
