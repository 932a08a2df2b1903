//! The stages of a chain in f32 and f16: the layer that reads the image, and inverted residual blocks.

use std::sync::Arc;

use super::chain::Stage;
use super::context::{Context, Rows};
use super::describe::{Clamp, Window, window_row};
use super::precision::Precision;
use super::row::{Pointwise, Separable};
use silhouette_kernels::element::Quantization;
use silhouette_kernels::pack::Packed;
use silhouette_kernels::pointer::Pointer;
use silhouette_kernels::pointwise::{self, Init, Job, Source};
use silhouette_kernels::rows::RowSource;

pub(super) struct StemStage<E: Precision> {
    pub(super) window: Window,
    pub(super) input: Rows,
    pub(super) weights: Arc<Packed<E, E>>,
    pub(super) clamp: Clamp,
    pub(super) output: Rows,
}

pub(super) struct BlockStage<E: Precision> {
    pub(super) input: Rows,
    /// Expansion, and the ring that it fills; without expansion the (padded) input itself is the ring.
    pub(super) expand: Option<(Pointwise<E>, Rows)>,
    /// The depthwise convolution and the projection.
    pub(super) separable: Separable<E>,
    pub(super) expansion_shortcut: bool,
    pub(super) residual: bool,
}

impl<E: Precision> Stage for StemStage<E> {
    fn window(&self) -> &Window {
        &self.window
    }

    fn begin(&self, cx: &Context<'_>) {
        cx.clear_padding::<E>(&self.input, 0..self.input.cap);
    }

    fn take(&self, cx: &Context<'_>, source: &dyn RowSource, scratch: &mut [f32], r: usize) {
        let len = self.input.width * 3;
        let row = cx.pixel::<E>(&self.input, r).to(len);
        // SAFETY: the ring is this thread's own; the row is `width * 3` values inside it.
        let row = unsafe { std::slice::from_raw_parts_mut(row, len) };
        source.row_as(r, scratch, Quantization::NONE, E::input_row(row));
    }

    fn row(&self, cx: &Context<'_>, o: usize) {
        let w = &self.window;
        let runs = [0, 1, 2].map(|r| cx.padded::<E>(&self.input, window_row(w, o, r), w.input.height));
        let job = Job {
            source: Source::Runs { runs: &runs, len: 9, pixel: 3 * w.stride },
            a_row: 0,
            weights: &self.weights,
            bias: Pointer::read(self.weights.bias()),
            c: cx.pixel(&self.output, o),
            c_group: self.output.group_len(),
            c_row: 0,
            residual: None,
            width: w.output.width,
            rows: 1,
            init: Init::Bias,
            clamp: self.clamp,
        };
        // SAFETY: each run is a padded row, long enough for the last window; the output row is this thread's.
        unsafe { pointwise::run(cx.program.isa, &job) }
    }
}

impl<E: Precision> Stage for BlockStage<E> {
    fn window(&self) -> &Window {
        &self.separable.window
    }

    fn begin(&self, cx: &Context<'_>) {
        match &self.expand {
            Some((expand, ring)) if ring.outside.is_some() => {
                cx.fill_padding(ring, 0..ring.cap, expand.weights.bias(), expand.clamp);
            }
            Some((_, ring)) => cx.clear_padding::<E>(ring, 0..ring.cap),
            None => cx.clear_padding::<E>(&self.input, 0..self.input.cap),
        }
    }

    fn take(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32], r: usize) {
        if let Some((expand, ring)) = &self.expand {
            expand.row(cx, &self.input, r, ring, 0);
        }
    }

    fn row(&self, cx: &Context<'_>, o: usize) {
        let ring = self.expand.as_ref().map_or(&self.input, |(_, ring)| ring);
        let residual = self.residual.then(|| (cx.pixel(&self.input, o), self.input.group_len()));
        self.separable.row(cx, ring, o, self.expansion_shortcut, residual);
    }
}
