//! The chain: stem and blocks, depth first. An output row pulls the input rows that it needs through all stages; each
//! stage holds a ring of a few rows, so neither the large early maps nor any expanded tensor ever exists whole.
//!
//! Each thread runs the chain for its share of the last stage's rows, with rings of its own; both threads compute the
//! few rows at the border of their shares.

use super::context::{Context, Rows, Run};
use super::describe::{Window, first_row, last_row};
use silhouette_kernels::element::Element;
use silhouette_kernels::rows::RowSource;

/// A layer of a chain, with its rings.
pub(super) trait Stage: Send + Sync {
    /// Its geometry.
    fn window(&self) -> &Window;
    /// Prepares this thread's rings for a run: their padding.
    fn begin(&self, cx: &Context<'_>);
    /// Reads input row `r`, which is complete, unless it is read in place; the image's rows come from `source`.
    fn take(&self, cx: &Context<'_>, source: &dyn RowSource, scratch: &mut [f32], r: usize);
    /// Computes output row `o`, once all rows under its window were read.
    fn row(&self, cx: &Context<'_>, o: usize);
}

/// A stage whose rows are also stored into a whole map that later steps read.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    pub(super) from: Rows,
    pub(super) to: Rows,
    /// [`copy_row`] of the maps' element type.
    pub(super) copy: fn(&Context<'_>, &Rows, &Rows, usize),
}

pub(super) struct Chain {
    pub(super) stages: Vec<Box<dyn Stage>>,
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

impl Run for Chain {
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
        self.stages.iter().for_each(|stage| stage.begin(cx));
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

impl Chain {
    fn window(&self, i: usize) -> &Window {
        self.stages[i].window()
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
            while progress[i].read <= last {
                let r = progress[i].read;
                if i > 0 {
                    self.advance(cx, source, scratch, progress, i - 1, r);
                }
                self.stages[i].take(cx, source, scratch, r);
                progress[i].read += 1;
            }
            self.stages[i].row(cx, o);
            if let Some(tap) = &self.taps[i]
                && o < progress[i].owned
            {
                (tap.copy)(cx, &tap.from, &tap.to, o);
            }
            progress[i].made += 1;
        }
    }
}

/// Copies row `y` of this thread's ring into a map, whose row only this thread writes.
pub(super) fn copy_row<T: Element>(cx: &Context<'_>, ring: &Rows, map: &Rows, y: usize) {
    let len = map.width * map.lanes;
    let from = cx.pixel::<T>(ring, y);
    let to = cx.pixel::<T>(map, y);
    for group in 0..map.groups {
        let from = from.add(group * ring.group_len()).to(len);
        let to = to.add(group * map.group_len()).to(len);
        // SAFETY: a group of this thread's ring, and of a row of the map that only this thread writes.
        unsafe { std::ptr::copy_nonoverlapping(from, to, len) }
    }
}
