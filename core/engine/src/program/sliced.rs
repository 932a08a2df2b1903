//! The sliced block: a slice of expanded channels at a time over the whole map, the projection accumulating over slices
//! (the paper's t-way split, section 5). Each weight is read once per inference, and the slice stays in the L2.
//!
//! Threads share the pixels: all fill theirs of the slice, wait at the barrier, then convolve and project theirs of the
//! output.

use std::sync::Arc;

use super::context::{Context, Piece, Rows, Run};
use super::describe::{Clamp, Window, window_row};
use super::precision::Precision;
use silhouette_kernels::depthwise::{self, Row};
use silhouette_kernels::pack::{Packed, PackedDepthwise};
use silhouette_kernels::pointer::Pointer;
use silhouette_kernels::pointwise::{self, Init, Job, Source};
use silhouette_kernels::rows::RowSource;

pub(super) struct Slice<E: Precision> {
    pub(super) first: usize,
    pub(super) channels: usize,
    pub(super) expand: Option<Arc<Packed<E, E>>>,
    pub(super) project: Arc<Packed<E, E>>,
}

pub(super) struct Sliced<E: Precision> {
    pub(super) window: Window,
    pub(super) input: Rows,
    pub(super) slices: Vec<Slice<E>>,
    pub(super) expand_clamp: Clamp,
    pub(super) depthwise: Arc<PackedDepthwise<E>>,
    pub(super) depthwise_clamp: Clamp,
    pub(super) expansion_shortcut: bool,
    /// Two alternating buffers, so that one barrier per slice is enough (the same one twice with a single thread).
    /// `Rows::groups` is the widest slice's.
    pub(super) wide: [Rows; 2],
    pub(super) strip: usize,
    pub(super) strip_len: usize,
    pub(super) strip_rows: usize,
    pub(super) clamp: Clamp,
    pub(super) residual: bool,
    pub(super) output: Rows,
}

impl<E: Precision> Run for Sliced<E> {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        let w = &self.window;
        let isa = cx.program.isa;
        let pieces_in = cx.pieces(w.input.height, w.input.width);
        let pieces_out = cx.pieces(w.output.height, w.output.width);
        for wide in self.wide.iter().filter(|wide| wide.outside.is_none()) {
            cx.clear_padding::<E>(wide, cx.share(w.input.height));
        }
        let strip = cx.buffer::<E>(self.strip, self.strip_len);
        for (s, slice) in self.slices.iter().enumerate() {
            let wide = &self.wide[s % 2];
            let last = s + 1 == self.slices.len();
            if let (Some(_), Some(expand)) = (wide.outside, &slice.expand) {
                cx.fill_padding(wide, cx.share(w.input.height), expand.bias(), self.expand_clamp);
            }
            for piece in pieces_in.iter().filter(|p| !p.is_empty()) {
                self.fill(cx, slice, wide, piece);
            }
            // All rows of the slice are complete; and no thread still reads the other buffer, which is filled next.
            cx.barrier.meet();
            for piece in pieces_out.iter().filter(|p| !p.is_empty()) {
                let x = piece.columns.start;
                let width = piece.columns.len();
                let group = width * wide.lanes;
                let row_len = slice.channels.div_ceil(wide.lanes) * group;
                let mut o = piece.rows.start;
                while o < piece.rows.end {
                    let n = self.strip_rows.min(piece.rows.end - o);
                    for r in 0..n {
                        let padded = |t| cx.padded::<E>(wide, window_row(w, o + r, t), w.input.height);
                        let row = Row {
                            rows: [0, 1, 2].map(|t| padded(t).add(x * w.stride * wide.lanes)),
                            e_group: wide.group_len(),
                            weights: &self.depthwise,
                            first: slice.first,
                            channels: slice.channels,
                            d: strip.at(r * row_len, row_len),
                            d_group: group,
                            width,
                            stride: w.stride,
                            rate: w.rate,
                            clamp: self.depthwise_clamp,
                            add_input: self.expansion_shortcut,
                        };
                        // SAFETY: padded rows reach as far as the last window; the strip is this thread's.
                        unsafe { depthwise::run(isa, &row) }
                    }
                    let at = |rows: &Rows| cx.pixels::<E>(rows, o, n).add(x * rows.lanes);
                    let residual = last && self.residual;
                    let job: Job<'_, E, E, E> = Job {
                        source: Source::Groups { first: strip.at(0, n * row_len), group },
                        a_row: row_len,
                        weights: &slice.project,
                        bias: Pointer::read(slice.project.bias()),
                        c: at(&self.output),
                        c_group: self.output.group_len(),
                        c_row: self.output.row_len(),
                        residual: residual.then(|| (at(&self.input), self.input.group_len(), self.input.row_len())),
                        width,
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
    }
}

impl<E: Precision> Sliced<E> {
    /// Fills a piece of the slice: expanded, or copied where the block does not expand.
    fn fill(&self, cx: &Context<'_>, slice: &Slice<E>, wide: &Rows, piece: &Piece) {
        let rows = piece.rows.clone();
        let at = piece.columns.start * wide.lanes;
        let Some(weights) = &slice.expand else {
            for y in rows {
                let from = cx.pixel::<E>(&self.input, y).add(at);
                let to = cx.pixel::<E>(wide, y).add(at);
                let first = slice.first / wide.lanes;
                let len = piece.columns.len() * wide.lanes;
                for group in 0..slice.channels.div_ceil(wide.lanes) {
                    let from = from.add((first + group) * self.input.group_len()).to(len);
                    // SAFETY: the pixels of a group, in different buffers.
                    unsafe { std::ptr::copy_nonoverlapping(from, to.add(group * wide.group_len()).to(len), len) }
                }
            }
            return;
        };
        let from = cx.pixels::<E>(&self.input, rows.start, rows.len()).add(at);
        let job = Job {
            source: Source::Groups { first: from, group: self.input.group_len() },
            a_row: self.input.row_len(),
            weights,
            bias: Pointer::read(weights.bias()),
            c: cx.pixels(wide, rows.start, rows.len()).add(at),
            c_group: wide.group_len(),
            c_row: wide.row_len(),
            residual: None,
            width: piece.columns.len(),
            rows: rows.len(),
            init: Init::Bias,
            clamp: self.expand_clamp,
        };
        // SAFETY: this thread's share of two different buffers.
        unsafe { pointwise::run(cx.program.isa, &job) }
    }
}
