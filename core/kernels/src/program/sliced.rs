//! The sliced block: a slice of expanded channels at a time over the whole map, the projection accumulating over slices
//! (the paper's t-way split, section 5). Each weight is read once an inference, and the slice stays in the L2.
//!
//! Threads share the rows: all fill their rows of the slice, meet, then convolve and project their rows of the output.

use std::ops::Range;

use super::context::{Context, Rows};
use super::describe::{Clamp, Window, window_row};
use crate::depthwise::{self, Row};
use crate::pack::{Packed, PackedDepthwise};
use crate::pointwise::{self, Init, Job};

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
    /// Two buffers, used in turn, so that one meeting a slice is enough. `Rows::channels` is the widest slice's.
    pub(super) wide: [Rows; 2],
    pub(super) strip: usize,
    pub(super) strip_len: usize,
    pub(super) strip_rows: usize,
    pub(super) clamp: Clamp,
    pub(super) residual: bool,
    pub(super) output: Rows,
}

impl Sliced {
    pub(super) fn run(&self, cx: &Context<'_>) {
        let (w, isa) = (&self.window, cx.program.isa);
        let (rows_in, rows_out) = (cx.share(w.input.0), cx.share(w.output.0));
        for wide in &self.wide {
            cx.clear_padding(wide, rows_in.clone());
        }
        let strip = cx.buffer(self.strip, self.strip_len);
        for (s, slice) in self.slices.iter().enumerate() {
            let (wide, last) = (&self.wide[s % 2], s + 1 == self.slices.len());
            self.fill(cx, slice, wide, rows_in.clone());
            // All rows of the slice are there; and nobody reads the other buffer any more, which is filled next.
            cx.team.meet();
            let mut o = rows_out.start;
            while o < rows_out.end {
                let n = self.strip_rows.min(rows_out.end - o);
                let row_len = w.output.1 * slice.channels;
                for r in 0..n {
                    let row = Row {
                        rows: [0, 1, 2].map(|t| cx.padded(wide, window_row(w, o + r, t), w.input.0)),
                        e_pixel: wide.channels,
                        weights: &self.depthwise,
                        first: slice.first,
                        channels: slice.channels,
                        d: strip.at(r * row_len, row_len),
                        d_pixel: slice.channels,
                        width: w.output.1,
                        stride: w.stride,
                        rate: w.rate,
                        clamp: self.depthwise_clamp,
                        add_input: self.expansion_shortcut,
                    };
                    // SAFETY: padded rows reach as far as the last window; the strip is this thread's.
                    unsafe { depthwise::run(isa, &row) }
                }
                let segments = [strip.at(0, n * row_len).cast_const()];
                let c = self.output.channels;
                let job = Job {
                    segments: &segments,
                    run: slice.channels,
                    a_pixel: slice.channels,
                    a_row: row_len,
                    weights: &slice.project,
                    bias: slice.project.bias.as_ptr(),
                    c: cx.pixel(&self.output, o),
                    c_pixel: c,
                    c_row: self.output.row_len(),
                    residual: if last && self.residual { cx.pixel(&self.input, o) } else { std::ptr::null() },
                    r_pixel: c,
                    r_row: self.input.row_len(),
                    width: w.output.1,
                    rows: n,
                    init: if s == 0 { Init::Bias } else { Init::Accumulate },
                    clamp: if last { self.clamp } else { None },
                };
                // SAFETY: `n` rows of this thread's strip, and of its share of the output.
                unsafe { pointwise::run(isa, &job) }
                o += n;
            }
        }
    }

    /// Fills rows `rows` of the slice: expanded, or copied where the block does not expand.
    pub(super) fn fill(&self, cx: &Context<'_>, slice: &Slice, wide: &Rows, rows: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        let Some(weights) = &slice.expand else {
            for y in rows {
                let (from, to) = (cx.pixel(&self.input, y), cx.pixel(wide, y));
                for x in 0..self.input.width {
                    // SAFETY: one pixel of each row, in different buffers.
                    unsafe {
                        let from = from.add(x * self.input.channels + slice.first);
                        std::ptr::copy_nonoverlapping(from, to.add(x * wide.channels), slice.channels);
                    }
                }
            }
            return;
        };
        let segments = [cx.pixel(&self.input, rows.start).cast_const()];
        let job = Job {
            segments: &segments,
            run: weights.k,
            a_pixel: self.input.channels,
            a_row: self.input.row_len(),
            weights,
            bias: weights.bias.as_ptr(),
            c: cx.pixel(wide, rows.start),
            c_pixel: wide.channels,
            c_row: wide.row_len(),
            residual: std::ptr::null(),
            r_pixel: 0,
            r_row: 0,
            width: self.input.width,
            rows: rows.len(),
            init: Init::Bias,
            clamp: self.expand_clamp,
        };
        // SAFETY: this thread's share of the rows of two different buffers.
        unsafe { pointwise::run(cx.program.isa, &job) }
    }
}
