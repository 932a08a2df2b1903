//! The stages of a chain of integers: the layer that reads the image, and inverted residual blocks.

use std::sync::Arc;

use super::rows::{Pixels, Product, copy_row, fill_padding, row};
use crate::program::chain::Stage;
use crate::program::context::{Context, Rows};
use crate::program::describe::{Window, window_row};
use silhouette_kernels::element::Quantization;
use silhouette_kernels::int8::{self, AddScales, Bounds, PackedDepthwise, Source};
use silhouette_kernels::rows::RowSource;

pub(super) struct StemStage {
    pub(super) window: Window,
    pub(super) input: Rows,
    /// Of stored bytes.
    pub(super) quantization: Quantization,
    pub(super) product: Product,
    pub(super) output: Rows,
}

pub(super) struct BlockStage {
    pub(super) window: Window,
    pub(super) input: Rows,
    /// What fills the padded ring that the depthwise convolution reads.
    pub(super) fill: Fill,
    /// The depthwise convolution's input rows, padded.
    pub(super) ring: Rows,
    /// Their zero point.
    pub(super) zero: u8,
    pub(super) depthwise: Arc<PackedDepthwise>,
    pub(super) depthwise_bounds: Bounds,
    pub(super) depthwise_ties: bool,
    /// One row of the depthwise convolution's output, per thread.
    pub(super) wide_row: usize,
    pub(super) wide_row_len: usize,
    pub(super) project: Product,
    pub(super) residual: Option<AddScales>,
    pub(super) output: Rows,
}

/// How the rows of a ring are made.
pub(super) enum Fill {
    /// By the expansion.
    Expand(Product),
    /// Copied from a map.
    Copy,
    /// The stage before writes them.
    InPlace,
}

impl Stage for StemStage {
    fn window(&self) -> &Window {
        &self.window
    }

    fn begin(&self, cx: &Context<'_>) {
        fill_padding(cx, &self.input, 0..self.input.cap, self.quantization.zero_point as u8);
    }

    fn take(&self, cx: &Context<'_>, source: &dyn RowSource, scratch: &mut [f32], r: usize) {
        let len = self.input.width * 3;
        let (values, scratch) = scratch.split_at_mut(len);
        source.row(r, scratch, values);
        let row = cx.pixel::<u8>(&self.input, r).to(len);
        // SAFETY: the ring is this thread's own; the row is `width * 3` values inside it.
        let row = unsafe { std::slice::from_raw_parts_mut(row, len) };
        int8::quantise(cx.program.isa, self.quantization, values, row);
    }

    fn row(&self, cx: &Context<'_>, o: usize) {
        let w = &self.window;
        let runs = [0, 1, 2].map(|r| cx.padded::<u8>(&self.input, window_row(w, o, r), w.input.height));
        let source = Source::Runs { runs: &runs, pixel: 3 * w.stride };
        // SAFETY: each run is a padded row with slack, long enough for the last window; the output row is this thread's.
        unsafe { self.product.run_from(cx, source, 0, row(cx, &self.output, o), w.output.width, 1) }
    }
}

impl Stage for BlockStage {
    fn window(&self) -> &Window {
        &self.window
    }

    fn begin(&self, cx: &Context<'_>) {
        fill_padding(cx, &self.ring, 0..self.ring.cap, self.zero);
    }

    fn take(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32], r: usize) {
        match &self.fill {
            // SAFETY: a row of the input, which no thread writes now, and of this thread's ring.
            Fill::Expand(product) => unsafe {
                product.run(cx, row(cx, &self.input, r), row(cx, &self.ring, r), self.window.input.width, 1);
            },
            Fill::Copy => copy_row(cx, &self.input, &self.ring, r),
            Fill::InPlace => {}
        }
    }

    fn row(&self, cx: &Context<'_>, o: usize) {
        let w = &self.window;
        let isa = cx.program.isa;
        let group = w.output.width * self.ring.lanes;
        let wide = cx.buffer::<u8>(self.wide_row, self.wide_row_len).at(0, self.ring.groups * group);
        let depthwise = int8::Row {
            rows: [0, 1, 2].map(|r| cx.padded::<u8>(&self.ring, window_row(w, o, r), w.input.height)),
            e_group: self.ring.group_len(),
            weights: &self.depthwise,
            d: wide,
            d_group: group,
            width: w.output.width,
            stride: w.stride,
            rate: w.rate,
            bounds: self.depthwise_bounds,
            ties: self.depthwise_ties,
        };
        let to = row(cx, &self.output, o);
        // SAFETY: padded rows reach as far as the last window; the wide row and the output row are this thread's.
        unsafe {
            int8::depthwise(isa, &depthwise);
            self.project.run(cx, Pixels { first: wide, group, row: 0 }, to, w.output.width, 1);
        }
        if let Some(scales) = &self.residual {
            let from = row(cx, &self.input, o);
            for g in 0..self.output.groups {
                let to = to.first.add(g * to.group);
                // SAFETY: a group of this thread's row of the output, and one of the input, which no thread writes now.
                unsafe { int8::add(isa, scales, to, from.first.add(g * from.group), w.output.width, to) }
            }
        }
    }
}
