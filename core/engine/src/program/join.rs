//! Steps that join maps or change their size and multiply no weights: resize, sum, concatenation. Each processes the
//! whole map; threads share its rows. (In a decoder of the usual shape none of these runs: its stages resize and join
//! row by row, see `decoder`.)

use std::marker::PhantomData;

use super::context::{Context, Rows, Run};
use super::describe::Clamp;
use super::precision::Precision;
use silhouette_kernels::bilinear::{self, Between, Line};
use silhouette_kernels::rows::RowSource;

/// A bilinear resize.
pub(super) struct Resize<E: Precision> {
    pub(super) input: Rows,
    pub(super) output: Rows,
    pub(super) rows: Vec<Between>,
    pub(super) columns: Vec<Between>,
    pub(super) element: PhantomData<E>,
}

/// The sum of maps of one shape, followed by an activation.
pub(super) struct Sum<E: Precision> {
    pub(super) height: usize,
    pub(super) inputs: Vec<Rows>,
    pub(super) clamp: Clamp,
    pub(super) output: Rows,
    pub(super) element: PhantomData<E>,
}

/// A concatenation for a reader that cannot read the parts directly.
pub(super) struct Concat<E: Precision> {
    pub(super) height: usize,
    /// Each part with its channels.
    pub(super) inputs: Vec<(Rows, usize)>,
    pub(super) output: Rows,
    pub(super) element: PhantomData<E>,
}

impl<E: Precision> Run for Resize<E> {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        for y in cx.share(self.rows.len()) {
            let between = self.rows[y];
            let line = Line {
                top: cx.pixel::<E>(&self.input, between.low),
                bottom: cx.pixel(&self.input, between.high),
                far: between.far,
                group: self.input.group_len(),
                groups: self.output.groups,
                columns: &self.columns,
                out: cx.pixel(&self.output, y),
                out_group: self.output.group_len(),
            };
            // SAFETY: two rows of the input, which no thread writes now, with every column that is read; and this thread's row.
            unsafe { bilinear::run(cx.program.isa, &line) }
        }
    }
}

impl<E: Precision> Run for Sum<E> {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        let vectors = self.output.groups * self.output.width;
        for y in cx.share(self.height) {
            let out = cx.pixel::<E>(&self.output, y);
            let first = &self.inputs[0];
            let rest = &self.inputs[1..];
            if rest.is_empty() {
                // SAFETY: a row of the input, which no thread writes now, and this thread's row, of the same length.
                unsafe { E::add(cx.program.isa, cx.pixel(first, y), None, self.clamp, vectors, out) }
            }
            for (i, input) in rest.iter().enumerate() {
                let so_far = if i == 0 { cx.pixel(first, y) } else { out };
                let clamp = if i + 1 == rest.len() { self.clamp } else { None };
                let more = Some(cx.pixel(input, y));
                // SAFETY: as above.
                unsafe { E::add(cx.program.isa, so_far, more, clamp, vectors, out) }
            }
        }
    }
}

impl<E: Precision> Run for Concat<E> {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        let lanes = self.output.lanes;
        for y in cx.share(self.height) {
            let mut before = 0;
            for (input, channels) in &self.inputs {
                let from = cx.pixel::<E>(input, y);
                let to = cx.pixel::<E>(&self.output, y);
                if before % lanes == 0 {
                    // Lanes past the last channel are copied too; the next part overwrites them.
                    for group in 0..input.groups {
                        let from = from.add(group * input.group_len()).to(input.group_len());
                        let to = to.add((before / lanes + group) * self.output.group_len()).to(input.group_len());
                        // SAFETY: a group of the input, which no thread writes now, and of this thread's row.
                        unsafe { std::ptr::copy_nonoverlapping(from, to, input.group_len()) }
                    }
                } else {
                    for c in 0..*channels {
                        let at = |rows: &Rows, c: usize| c / lanes * rows.group_len() + c % lanes;
                        let from = from.add(at(input, c));
                        let to = to.add(at(&self.output, before + c));
                        for x in 0..input.width {
                            // SAFETY: as above, for one value.
                            unsafe { *to.add(x * lanes).to(1) = *from.add(x * lanes).to(1) }
                        }
                    }
                }
                before += channels;
            }
            // Readers of whole groups must not find an earlier step's leftovers in these lanes, which may be NaN.
            let full = before / lanes;
            let filled = before % lanes;
            if filled > 0 {
                let last = cx.pixel::<E>(&self.output, y).add(full * self.output.group_len());
                for x in 0..self.output.width {
                    let rest = last.add(x * lanes + filled).to(lanes - filled);
                    // SAFETY: the last lanes of a pixel of this thread's row.
                    unsafe { rest.write_bytes(0, lanes - filled) }
                }
            }
        }
    }
}
