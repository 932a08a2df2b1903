//! The chain: stem and blocks, depth first. An output row pulls the input rows that it needs through all stages; each
//! stage holds a ring of a few rows, so neither the large early maps nor any expanded tensor ever exists whole.
//!
//! Each thread runs the chain for its share of the last stage's rows, with rings of its own; both threads compute the
//! few rows at the border of their shares.

use std::sync::Arc;

use super::context::{Context, Rows, Run};
use super::describe::{Clamp, Window, first_row, last_row, window_row};
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

pub(super) enum Stage<E: Precision> {
    Stem(Box<StemStage<E>>),
    Block(Box<BlockStage<E>>),
}

/// A stage whose rows are also stored into a whole map that later steps read.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    pub(super) from: Rows,
    pub(super) to: Rows,
}

pub(super) struct Chain<E: Precision> {
    pub(super) stages: Vec<Stage<E>>,
    /// One per stage.
    pub(super) taps: Vec<Option<Tap>>,
}

/// Progress of a stage of a chain: the next output row to compute, and the next input row to read.
#[derive(Clone, Copy, Default)]
struct Progress {
    made: usize,
    read: usize,
    /// One past the last output row that only this thread stores into the stage's tap; the first is the first row that
    /// it computes.
    owned: usize,
}

/// A chain's longest possible length.
pub(super) const MAX_STAGES: usize = 16;

impl<E: Precision> Run for Chain<E> {
    fn run(&self, cx: &Context<'_>, source: &dyn RowSource, scratch: &mut [f32]) {
        let last = self.stages.len() - 1;
        let rows = cx.share(self.window(last).output.height);
        if rows.is_empty() {
            return;
        }
        let mut progress = [Progress::default(); MAX_STAGES];
        let mut made = rows.start;
        let mut owned = rows.end;
        for i in (0..=last).rev() {
            let window = self.window(i);
            let read = first_row(window, made);
            progress[i] = Progress { made, read, owned };
            made = read;
            // Rows of a stage belong to the thread that computes them first: up to the first row that the next thread
            // computes, or to the end of the map. So each row has one owner and is stored once, even if two threads
            // compute it.
            owned = if owned == window.output.height { window.input.height } else { first_row(window, owned) };
        }
        for stage in &self.stages {
            match stage {
                Stage::Stem(s) => cx.clear_padding::<E>(&s.input, 0..s.input.cap),
                Stage::Block(b) => {
                    let ring = b.expand.as_ref().map_or(&b.input, |(_, ring)| ring);
                    match &b.expand {
                        Some((expand, ring)) if ring.outside.is_some() => {
                            cx.fill_padding(ring, 0..ring.cap, expand.weights.bias(), expand.clamp);
                        }
                        _ => cx.clear_padding::<E>(ring, 0..ring.cap),
                    }
                }
            }
        }
        self.advance(cx, source, scratch, &mut progress, last, rows.end - 1);
        // The rows of a tapped map that this thread owns and no window of a later stage has reached.
        for i in 0..last {
            if self.taps[i].is_some() && progress[i].owned > 0 {
                let end = progress[i].owned - 1;
                self.advance(cx, source, scratch, &mut progress, i, end);
            }
        }
    }
}

impl<E: Precision> Chain<E> {
    fn window(&self, i: usize) -> &Window {
        match &self.stages[i] {
            Stage::Stem(s) => &s.window,
            Stage::Block(b) => &b.separable.window,
        }
    }

    /// Computes the rows of stage `i` up to `y`.
    fn advance(
        &self,
        cx: &Context<'_>,
        source: &dyn RowSource,
        scratch: &mut [f32],
        progress: &mut [Progress; MAX_STAGES],
        i: usize,
        y: usize,
    ) {
        while progress[i].made <= y {
            let o = progress[i].made;
            let last = last_row(self.window(i), o);
            match &self.stages[i] {
                Stage::Stem(s) => {
                    while progress[i].read <= last {
                        let r = progress[i].read;
                        let row = cx.pixel::<E>(&s.input, r).to(s.input.width * 3);
                        // SAFETY: the ring is this thread's own; the row is `width * 3` values inside it.
                        let row = unsafe { std::slice::from_raw_parts_mut(row, s.input.width * 3) };
                        source.row_as(r, scratch, Quantization::NONE, E::input_row(row));
                        progress[i].read += 1;
                    }
                    s.row(cx, o);
                }
                Stage::Block(b) => {
                    while progress[i].read <= last {
                        let r = progress[i].read;
                        if i > 0 {
                            self.advance(cx, source, scratch, progress, i - 1, r);
                        }
                        b.expand_row(cx, r);
                        progress[i].read += 1;
                    }
                    b.row(cx, o);
                }
            }
            if let Some(tap) = &self.taps[i]
                && o < progress[i].owned
            {
                tap.store::<E>(cx, o);
            }
            progress[i].made += 1;
        }
    }
}

impl Tap {
    fn store<E: Precision>(&self, cx: &Context<'_>, y: usize) {
        let len = self.to.width * self.to.lanes;
        let from = cx.pixel::<E>(&self.from, y);
        let to = cx.pixel::<E>(&self.to, y);
        for group in 0..self.to.groups {
            let from = from.add(group * self.from.group_len()).to(len);
            let to = to.add(group * self.to.group_len()).to(len);
            // SAFETY: a group of this thread's ring, and of a row of the map that only this thread writes.
            unsafe { std::ptr::copy_nonoverlapping(from, to, len) }
        }
    }
}

impl<E: Precision> StemStage<E> {
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

impl<E: Precision> BlockStage<E> {
    fn expand_row(&self, cx: &Context<'_>, y: usize) {
        if let Some((expand, ring)) = &self.expand {
            expand.row(cx, &self.input, y, ring, 0);
        }
    }

    fn row(&self, cx: &Context<'_>, o: usize) {
        let ring = self.expand.as_ref().map_or(&self.input, |(_, ring)| ring);
        let residual = self.residual.then(|| (cx.pixel(&self.input, o), self.input.group_len()));
        self.separable.row(cx, ring, o, self.expansion_shortcut, residual);
    }
}
