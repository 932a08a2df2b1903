//! Row operations of chains and decoders: a 1x1 convolution of a row, and a depthwise-separable one of a ring's rows.

use std::sync::Arc;

use super::context::{Context, Rows};
use super::describe::{Clamp, Window, window_row};
use super::precision::Precision;
use silhouette_kernels::depthwise;
use silhouette_kernels::pack::{Packed, PackedDepthwise};
use silhouette_kernels::pointer::Pointer;
use silhouette_kernels::pointwise::{self, Init, Job, Source};

/// A 1x1 convolution.
pub(super) struct Pointwise<E: Precision> {
    pub(super) weights: Arc<Packed<E, E>>,
    pub(super) clamp: Clamp,
}

/// A 3x3 depthwise convolution and the 1x1 convolution after it.
pub(super) struct Separable<E: Precision> {
    pub(super) window: Window,
    pub(super) depthwise: Arc<PackedDepthwise<E>>,
    pub(super) depthwise_clamp: Clamp,
    /// One row of the depthwise convolution's output, per thread.
    pub(super) wide_row: usize,
    pub(super) wide_row_len: usize,
    pub(super) pointwise: Pointwise<E>,
    pub(super) output: Rows,
}

/// What a product adds: the first pixel of a row, and the distance between its groups.
pub(super) type Residual<E> = Option<(Pointer<E>, usize)>;

impl<E: Precision> Pointwise<E> {
    /// Computes row `y` of `to`, starting at the group of channels `group`, from row `y` of `input`. No thread writes
    /// the input's row now, and that of `to` is this thread's.
    pub(super) fn row(&self, cx: &Context<'_>, input: &Rows, y: usize, to: &Rows, group: usize) {
        let from = (cx.pixel(input, y), input.group_len());
        let into = (cx.pixel::<E>(to, y).add(group * to.group_len()), to.group_len());
        self.run(cx, from, input.width, into, None);
    }

    /// A row of `width` pixels; source and destination are each a first pixel and the distance between its groups.
    fn run(
        &self,
        cx: &Context<'_>,
        (first, group): (Pointer<E>, usize),
        width: usize,
        (c, c_group): (Pointer<E>, usize),
        residual: Residual<E>,
    ) {
        let job = Job {
            source: Source::Groups { first, group },
            a_row: 0,
            weights: &self.weights,
            bias: Pointer::read(self.weights.bias()),
            c,
            c_group,
            c_row: 0,
            residual: residual.map(|(first, group)| (first, group, 0)),
            width,
            rows: 1,
            init: Init::Bias,
            clamp: self.clamp,
        };
        // SAFETY: both rows are `width` pixels inside their buffers, and different buffers; no thread writes the source
        // now, and the destination is this thread's.
        unsafe { pointwise::run(cx.program.isa, &job) }
    }
}

impl<E: Precision> Separable<E> {
    /// Computes output row `o` once `ring` has all rows that it reads. `add_input`: adds the depthwise convolution's
    /// input to its output.
    pub(super) fn row(&self, cx: &Context<'_>, ring: &Rows, o: usize, add_input: bool, residual: Residual<E>) {
        let w = &self.window;
        let group = w.output.width * ring.lanes;
        let wide: Pointer<E> = cx.buffer::<E>(self.wide_row, self.wide_row_len).at(0, ring.groups * group);
        let row = depthwise::Row {
            rows: [0, 1, 2].map(|r| cx.padded::<E>(ring, window_row(w, o, r), w.input.height)),
            e_group: ring.group_len(),
            weights: &self.depthwise,
            first: 0,
            channels: self.depthwise.channels(),
            d: wide,
            d_group: group,
            width: w.output.width,
            stride: w.stride,
            rate: w.rate,
            clamp: self.depthwise_clamp,
            add_input,
        };
        // SAFETY: padded rows reach as far as the last window; the wide row is this thread's.
        unsafe { depthwise::run(cx.program.isa, &row) }
        let into = (cx.pixel(&self.output, o), self.output.group_len());
        self.pointwise.run(cx, (wide, group), w.output.width, into, residual);
    }
}
