//! The steps of heads: convolutions over whole (small) maps and their concatenations, the average of a map, and the
//! program's last steps, which write the outputs.

use std::marker::PhantomData;
use std::sync::Arc;

use super::context::{Context, Piece, Rows, Run};
use super::describe::Clamp;
use super::precision::Precision;
use silhouette_kernels::pack::Packed;
use silhouette_kernels::pointer::Pointer;
use silhouette_kernels::pointwise::{self, Init, Job, Source};
use silhouette_kernels::rows::RowSource;

pub(super) struct Input<E: Precision> {
    pub(super) rows: Rows,
    /// One product (1x1) or nine (3x3, row by row).
    pub(super) taps: Vec<Arc<Packed<E, E>>>,
}

pub(super) struct Convolution<E: Precision> {
    pub(super) height: usize,
    pub(super) rate: usize,
    pub(super) inputs: Vec<Input<E>>,
    /// A bias computed by an earlier step.
    pub(super) bias: Option<Rows>,
    pub(super) clamp: Clamp,
    pub(super) output: Rows,
}

pub(super) struct Average<E: Precision> {
    pub(super) height: usize,
    pub(super) input: Rows,
    /// Sums of each row, in f32.
    pub(super) sums: usize,
    pub(super) output: Rows,
    pub(super) element: PhantomData<E>,
}

/// Converts blocked rows to an output of the program, which is channels-last.
pub(super) struct Unblock<E: Precision> {
    pub(super) height: usize,
    pub(super) channels: usize,
    pub(super) input: Rows,
    /// Which output.
    pub(super) output: usize,
    pub(super) element: PhantomData<E>,
}

impl<E: Precision> Run for Convolution<E> {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        let products = self.inputs.iter().map(|i| i.taps.len()).sum::<usize>();
        if products == 1 {
            for piece in cx.pieces(self.height, self.output.width).iter().filter(|p| !p.is_empty()) {
                self.product(cx, &self.inputs[0], 0, piece, Init::Bias, self.clamp);
            }
            return;
        }
        let rows = cx.share(self.height);
        if rows.is_empty() {
            return;
        }
        let piece = Piece { rows: rows.clone(), columns: 0..self.output.width };
        let mut done = 0;
        // 3x3: the middle tap first, because it reaches every pixel and so initialises every sum.
        for input in &self.inputs {
            let middle = input.taps.len() / 2;
            let order = std::iter::once(middle).chain((0..input.taps.len()).filter(|&t| t != middle));
            for t in order {
                done += 1;
                let init = if done == 1 { Init::Bias } else { Init::Accumulate };
                // Every pixel must be clamped at the end, even if the last tap reads only padding.
                self.product(cx, input, t, &piece, init, None);
            }
        }
        if self.clamp.is_some() {
            for y in rows {
                let row = cx.pixel::<E>(&self.output, y);
                let vectors = self.output.row_len() / self.output.lanes;
                // SAFETY: this thread's row of the output.
                unsafe { E::add(cx.program.isa, row, None, self.clamp, vectors, row) }
            }
        }
    }
}

impl<E: Precision> Convolution<E> {
    /// Tap `t` over the pixels of a piece whose input is inside the map.
    fn product(&self, cx: &Context<'_>, input: &Input<E>, t: usize, piece: &Piece, init: Init, clamp: Clamp) {
        let height = self.height;
        let width = input.rows.width;
        let rate = self.rate;
        let weights: &Packed<E, E> = &input.taps[t];
        // Output x reads column x + column - back.
        let (row, column, back) = if input.taps.len() == 9 { (t / 3 * rate, t % 3 * rate, rate) } else { (0, 0, 0) };
        let first_x = back.saturating_sub(column).max(piece.columns.start);
        let end_x = (width + back).saturating_sub(column).min(piece.columns.end);
        let first_y = back.saturating_sub(row).max(piece.rows.start);
        let end_y = (height + back).saturating_sub(row).min(piece.rows.end);
        if first_x >= end_x || first_y >= end_y {
            return;
        }
        let lanes = input.rows.lanes;
        let count = end_y - first_y;
        let read_x = first_x + column - back;
        let first = cx.pixels::<E>(&input.rows, first_y + row - back, count).add(read_x * lanes);
        let job = Job {
            source: Source::Groups { first, group: input.rows.group_len() },
            a_row: input.rows.row_len(),
            weights,
            bias: self.bias.as_ref().map_or(Pointer::read(weights.bias()), |b| cx.pixel(b, 0)),
            c: cx.pixels(&self.output, first_y, count).add(first_x * lanes),
            c_group: self.output.group_len(),
            c_row: self.output.row_len(),
            residual: None,
            width: end_x - first_x,
            rows: count,
            init,
            clamp,
        };
        // SAFETY: pixels inside both maps, as computed above; the output's are this thread's share.
        unsafe { pointwise::run(cx.program.isa, &job) }
    }
}

impl<E: Precision> Run for Average<E> {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        let rows = &self.input;
        let c = rows.groups * rows.lanes;
        let sums = cx.buffer::<f32>(self.sums, 0);
        for y in cx.share(self.height) {
            // SAFETY: a row of the input, which no thread writes now, and this thread's row of the sums.
            unsafe {
                E::sum_pixels(cx.program.isa, cx.pixel(rows, y), rows.groups, rows.width, sums.at(y * c, c));
            }
        }
        cx.barrier.meet();
        if cx.index == 0 {
            // SAFETY: all sums are complete, no thread writes them now; only this thread writes the output.
            let (sums, out) = unsafe {
                (
                    std::slice::from_raw_parts(sums.at::<f32>(0, self.height * c).to(self.height * c), self.height * c),
                    std::slice::from_raw_parts_mut(cx.pixel::<E>(&self.output, 0).to(c), c),
                )
            };
            let scale = 1.0 / (self.height * rows.width) as f32;
            for (channel, o) in out.iter_mut().enumerate() {
                let sum: f32 = sums.iter().skip(channel).step_by(c).sum();
                *o = E::from_f32(sum * scale);
            }
        }
    }
}

impl<E: Precision> Run for Unblock<E> {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        let rows = &self.input;
        let len = self.input.width * self.channels;
        for y in cx.share(self.height) {
            let from = cx.pixel::<E>(rows, y);
            let to = cx.outputs[self.output].at::<f32>(y * len, len);
            for c in 0..self.channels {
                for x in 0..rows.width {
                    let from = from.add(c / rows.lanes * rows.group_len() + x * rows.lanes + c % rows.lanes).to(1);
                    // SAFETY: a value of the input, which no thread writes now, and of this thread's row of the output.
                    unsafe { *to.add(x * self.channels + c).to(1) = (*from).to_f32() }
                }
            }
        }
    }
}
