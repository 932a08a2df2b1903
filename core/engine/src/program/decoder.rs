//! A decoder: stages that resize the output of the stage below to a finer map of the feature extractor, concatenate
//! that map's 1x1 convolution and mix the two by a depthwise-separable 3x3 convolution; optionally a 1x1 convolution (a
//! classifier) at the end.
//!
//! It runs row by row, like a chain: an output row pulls the rows of the stage before that the resize interpolates.
//! Each stage holds a ring of the rows that its 3x3 window reads, already concatenated, and two rows that the next
//! stage resizes; no map finer than the one below ever exists, except the last one written. Each thread computes its
//! share of the last rows with rings of its own.

use super::context::{Context, Rows, Run};
use super::describe::{first_row, last_row};
use super::precision::Precision;
use super::row::{Pointwise, Separable};
use silhouette_kernels::bilinear::{self, Between, Line};
use silhouette_kernels::rows::RowSource;

/// Maximum number of stages of a decoder.
pub const MAX_STAGES: usize = 8;

/// A map whose 1x1 convolution is stored in a ring, starting at a group of channels.
pub(super) struct Reduced<E: Precision> {
    pub(super) input: Rows,
    pub(super) pointwise: Pointwise<E>,
    pub(super) group: usize,
}

pub(super) struct Stage<E: Precision> {
    /// The source of a resize: a map, or the rows of the stage before.
    pub(super) below: Rows,
    /// The source's rows and columns around each row and column of the ring.
    pub(super) rows: Vec<Between>,
    pub(super) columns: Vec<Between>,
    /// The first of its groups of channels in the ring.
    pub(super) group: usize,
    pub(super) reduced: Vec<Reduced<E>>,
    /// All parts concatenated, each in groups of its own: the weights of the lanes between them are zero.
    pub(super) ring: Rows,
    pub(super) separable: Separable<E>,
}

pub(super) struct Decoder<E: Precision> {
    pub(super) stages: Vec<Stage<E>>,
    /// The 1x1 convolution of the last stage's rows, and its destination.
    pub(super) tail: Option<(Pointwise<E>, Rows)>,
}

/// The next output row of a stage, and the next row of its ring.
#[derive(Clone, Copy, Default)]
struct Progress {
    made: usize,
    read: usize,
}

impl<E: Precision> Run for Decoder<E> {
    fn run(&self, cx: &Context<'_>, _: &dyn RowSource, _: &mut [f32]) {
        let last = self.stages.len() - 1;
        let rows = cx.share(self.stages[last].separable.window.output.height);
        if rows.is_empty() {
            return;
        }
        let mut progress = [Progress::default(); MAX_STAGES];
        let mut made = rows.start;
        for (stage, progress) in self.stages.iter().zip(&mut progress).rev() {
            let read = first_row(&stage.separable.window, made);
            *progress = Progress { made, read };
            made = stage.rows[read].low;
        }
        for stage in &self.stages {
            cx.clear_padding::<E>(&stage.ring, 0..stage.ring.cap);
        }
        self.advance(cx, &mut progress, last, rows.end - 1);
    }
}

impl<E: Precision> Decoder<E> {
    /// Computes the rows of stage `i` up to `y`.
    fn advance(&self, cx: &Context<'_>, progress: &mut [Progress; MAX_STAGES], i: usize, y: usize) {
        let stage = &self.stages[i];
        while progress[i].made <= y {
            let o = progress[i].made;
            while progress[i].read <= last_row(&stage.separable.window, o) {
                let r = progress[i].read;
                if i > 0 {
                    self.advance(cx, progress, i - 1, stage.rows[r].high);
                }
                stage.take(cx, r);
                progress[i].read += 1;
            }
            stage.separable.row(cx, &stage.ring, o, false, None);
            if let Some((tail, output)) = &self.tail
                && i + 1 == self.stages.len()
            {
                tail.row(cx, &stage.separable.output, o, output, 0);
            }
            progress[i].made += 1;
        }
    }
}

impl<E: Precision> Stage<E> {
    /// Computes row `r` of the ring.
    fn take(&self, cx: &Context<'_>, r: usize) {
        let between = self.rows[r];
        let line = Line {
            top: cx.pixel(&self.below, between.low),
            bottom: cx.pixel(&self.below, between.high),
            far: between.far,
            group: self.below.group_len(),
            groups: self.below.groups,
            columns: &self.columns,
            out: cx.pixel::<E>(&self.ring, r).add(self.group * self.ring.group_len()),
            out_group: self.ring.group_len(),
        };
        // SAFETY: two rows, which no thread writes now, with every column that is read; and a row of this thread's
        // ring, in which each part has its groups.
        unsafe { bilinear::run(cx.program.isa, &line) }
        for reduced in &self.reduced {
            reduced.pointwise.row(cx, &reduced.input, r, &self.ring, reduced.group);
        }
    }
}
