//! A standalone depthwise convolution, without a 1x1 convolution after it to be fused with. Each thread computes its
//! share of the rows from its own ring of padded input rows.

use std::sync::Arc;

use super::context::{Context, Rows, Run};
use super::describe::{Clamp, Window, first_row, last_row, window_row};
use super::precision::Precision;
use silhouette_kernels::depthwise::{self, Row};
use silhouette_kernels::pack::PackedDepthwise;
use silhouette_kernels::rows::RowSource;

pub(super) struct Depthwise<E: Precision> {
    pub(super) window: Window,
    pub(super) input: Rows,
    /// Input rows with their padding, per thread.
    pub(super) ring: Rows,
    pub(super) weights: Arc<PackedDepthwise<E>>,
    pub(super) clamp: Clamp,
    pub(super) output: Rows,
}

impl<E: Precision> Run for Depthwise<E> {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        let w = &self.window;
        let ring = &self.ring;
        let rows = cx.share(w.output.height);
        if rows.is_empty() {
            return;
        }
        cx.clear_padding::<E>(ring, 0..ring.cap);
        let mut read = first_row(w, rows.start);
        for o in rows {
            while read <= last_row(w, o) {
                self.take(cx, read);
                read += 1;
            }
            let row = Row {
                rows: [0, 1, 2].map(|r| cx.padded::<E>(ring, window_row(w, o, r), w.input.height)),
                e_group: ring.group_len(),
                weights: &self.weights,
                first: 0,
                channels: self.weights.channels(),
                d: cx.pixel(&self.output, o),
                d_group: self.output.group_len(),
                width: w.output.width,
                stride: w.stride,
                rate: w.rate,
                clamp: self.clamp,
                add_input: false,
            };
            // SAFETY: padded rows reach as far as the last window; the output row is this thread's.
            unsafe { depthwise::run(cx.program.isa, &row) }
        }
    }
}

impl<E: Precision> Depthwise<E> {
    /// Copies input row `y` into the ring.
    fn take(&self, cx: &Context<'_>, y: usize) {
        let len = self.input.width * self.input.lanes;
        let from = cx.pixel::<E>(&self.input, y);
        let to = cx.pixel::<E>(&self.ring, y);
        for group in 0..self.input.groups {
            let from = from.add(group * self.input.group_len()).to(len);
            let to = to.add(group * self.ring.group_len()).to(len);
            // SAFETY: a group of the input, which no thread writes now, and of this thread's ring.
            unsafe { std::ptr::copy_nonoverlapping(from, to, len) }
        }
    }
}
