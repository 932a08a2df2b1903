//! A decoder: stages that resize what comes from below to a finer map of the extractor, put that map's 1x1 convolution beside it
//! and mix the two by a depthwise-separable 3x3 convolution; perhaps a 1x1 convolution (a classifier) at the end.
//!
//! Row by row, as a chain: an output row pulls the rows of the stage before that the resize mixes. Each stage holds a ring of
//! the rows that its 3x3 window reads, side by side already, and two rows that the next one resizes; no map of a finer stride
//! than the one below exists but for the last one written. Each thread makes its share of the last rows with rings of its own.

use std::sync::Arc;

use super::context::{Context, Rows};
use super::describe::{Clamp, Window, first_row, last_row, window_row};
use silhouette_kernels::bilinear::{self, Between, Line};
use silhouette_kernels::depthwise::{self, Row};
use silhouette_kernels::pack::{Packed, PackedDepthwise};
use silhouette_kernels::pointer::Pointer;
use silhouette_kernels::pointwise::{self, Init, Job, Source};

/// The most stages of one decoder.
pub const MAX_STAGES: usize = 8;

/// A 1x1 convolution whose rows go into a ring, or into the output.
pub(super) struct Reduced {
    pub(super) input: Rows,
    pub(super) weights: Arc<Packed>,
    pub(super) clamp: Clamp,
    /// The first of its groups of channels in the ring.
    pub(super) group: usize,
}

pub(super) struct Stage {
    pub(super) window: Window,
    /// What is resized: a map, or the rows of the stage before.
    pub(super) below: Rows,
    /// Between which rows and columns of it each of the ring's lies.
    pub(super) rows: Vec<Between>,
    pub(super) columns: Vec<Between>,
    /// The first of its groups of channels in the ring.
    pub(super) group: usize,
    pub(super) reduced: Vec<Reduced>,
    /// All parts side by side, each in groups of its own: weights of the lanes between them are zero.
    pub(super) ring: Rows,
    pub(super) depthwise: Arc<PackedDepthwise>,
    pub(super) depthwise_clamp: Clamp,
    /// One row of the depthwise convolution's output, per thread.
    pub(super) wide_row: usize,
    pub(super) wide_row_len: usize,
    pub(super) pointwise: Arc<Packed>,
    pub(super) clamp: Clamp,
    pub(super) output: Rows,
}

pub(super) struct Decoder {
    pub(super) stages: Vec<Stage>,
    /// The 1x1 convolution of the last stage's rows, and where it writes.
    pub(super) tail: Option<(Reduced, Rows)>,
}

/// The next output row of a stage, and the next row of its ring.
#[derive(Clone, Copy, Default)]
struct Progress {
    made: usize,
    read: usize,
}

impl Decoder {
    pub(super) fn run(&self, cx: &Context<'_>) {
        let last = self.stages.len() - 1;
        let rows = cx.share(self.stages[last].window.output.height);
        if rows.is_empty() {
            return;
        }
        let mut progress = [Progress::default(); MAX_STAGES];
        let mut made = rows.start;
        for (stage, progress) in self.stages.iter().zip(&mut progress).rev() {
            let read = first_row(&stage.window, made);
            *progress = Progress { made, read };
            made = stage.rows[read].low;
        }
        for stage in &self.stages {
            cx.clear_padding::<f32>(&stage.ring, 0..stage.ring.cap);
        }
        self.advance(cx, &mut progress, last, rows.end - 1);
    }

    /// Makes the rows of stage `i` up to `y`.
    fn advance(&self, cx: &Context<'_>, progress: &mut [Progress; MAX_STAGES], i: usize, y: usize) {
        let stage = &self.stages[i];
        while progress[i].made <= y {
            let o = progress[i].made;
            while progress[i].read <= last_row(&stage.window, o) {
                let r = progress[i].read;
                if i > 0 {
                    self.advance(cx, progress, i - 1, stage.rows[r].high);
                }
                stage.take(cx, r);
                progress[i].read += 1;
            }
            stage.row(cx, o);
            if let Some((tail, output)) = &self.tail
                && i + 1 == self.stages.len()
            {
                tail.row(cx, o, output);
            }
            progress[i].made += 1;
        }
    }
}

impl Reduced {
    /// Row `y` of the input, into the same row of `to`.
    fn row(&self, cx: &Context<'_>, y: usize, to: &Rows) {
        let job: Job<'_> = Job {
            source: Source::Groups { first: cx.pixel(&self.input, y), group: self.input.group_len() },
            a_row: 0,
            weights: &self.weights,
            bias: Pointer::read(self.weights.bias()),
            c: cx.pixel::<f32>(to, y).add(self.group * to.group_len()),
            c_group: to.group_len(),
            c_row: 0,
            residual: None,
            width: self.input.width,
            rows: 1,
            init: Init::Bias,
            clamp: self.clamp,
        };
        // SAFETY: both rows are `width` pixels inside their buffers, and different buffers; nobody writes the input now, and the
        // other is this thread's.
        unsafe { pointwise::run(cx.program.isa, &job) }
    }
}

impl Stage {
    /// Makes row `r` of the ring.
    fn take(&self, cx: &Context<'_>, r: usize) {
        let between = self.rows[r];
        let line = Line {
            top: cx.pixel(&self.below, between.low),
            bottom: cx.pixel(&self.below, between.high),
            far: between.far,
            group: self.below.group_len(),
            groups: self.below.groups,
            columns: &self.columns,
            out: cx.pixel::<f32>(&self.ring, r).add(self.group * self.ring.group_len()),
            out_group: self.ring.group_len(),
        };
        // SAFETY: two rows, which nobody writes now, with every column that is read; and a row of this thread's ring, in which
        // each part has its groups.
        unsafe { bilinear::run(cx.program.isa, &line) }
        for reduced in &self.reduced {
            reduced.row(cx, r, &self.ring);
        }
    }

    /// Makes output row `o`, when the ring has all rows that it reads.
    fn row(&self, cx: &Context<'_>, o: usize) {
        let (w, ring) = (&self.window, &self.ring);
        let group = w.output.width * ring.lanes;
        let wide: Pointer = cx.buffer::<f32>(self.wide_row, self.wide_row_len).at(0, ring.groups * group);
        let row = Row {
            rows: [0, 1, 2].map(|r| cx.padded::<f32>(ring, window_row(w, o, r), w.input.height)),
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
            add_input: false,
        };
        let job = Job {
            source: Source::Groups { first: wide, group },
            a_row: 0,
            weights: &self.pointwise,
            bias: Pointer::read(self.pointwise.bias()),
            c: cx.pixel(&self.output, o),
            c_group: self.output.group_len(),
            c_row: 0,
            residual: None,
            width: w.output.width,
            rows: 1,
            init: Init::Bias,
            clamp: self.clamp,
        };
        // SAFETY: padded rows reach as far as the last window; wide row and output row are this thread's.
        unsafe {
            depthwise::run(cx.program.isa, &row);
            pointwise::run(cx.program.isa, &job);
        }
    }
}
