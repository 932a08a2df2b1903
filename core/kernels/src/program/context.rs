//! Where the rows of maps and rings lie, and what a thread knows while it runs.

use std::ops::Range;

use super::Program;
use crate::arena::Span;
use crate::team::{Team, share};

/// Where rows of a map or of a ring of rows lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) buffer: usize,
    /// f32 from one thread's ring to the next; 0: one for all.
    pub(super) per_thread: usize,
    /// Rows held; row `y` lies at `y % cap`.
    pub(super) cap: usize,
    pub(super) channels: usize,
    /// Columns with padding, columns of padding on the left, real columns.
    pub(super) padded: usize,
    pub(super) left: usize,
    pub(super) width: usize,
}

impl Rows {
    pub(super) fn row_len(&self) -> usize {
        self.padded * self.channels
    }
}

/// What a thread knows while it runs.
pub(super) struct Context<'a> {
    pub(super) program: &'a Program,
    pub(super) arena: Span,
    pub(super) output: Span,
    pub(super) team: &'a Team,
    pub(super) index: usize,
}

impl Context<'_> {
    /// A buffer, or this thread's part of it.
    pub(super) fn buffer(&self, buffer: usize, per_thread: usize) -> Span {
        let p = self.program;
        let whole =
            if buffer == p.output_buffer { self.output } else { self.arena.part(p.places[buffer], p.lens[buffer]) };
        if per_thread == 0 { whole } else { whole.part(self.index * per_thread, per_thread) }
    }

    /// The first real pixel of row `y`.
    pub(super) fn pixel(&self, rows: &Rows, y: usize) -> *mut f32 {
        let at = (y % rows.cap) * rows.row_len() + rows.left * rows.channels;
        self.buffer(rows.buffer, rows.per_thread).at(at, rows.width * rows.channels)
    }

    /// The first padded column of row `y`, or of the row of zeros where `y` is outside `0..height`.
    pub(super) fn padded(&self, rows: &Rows, y: Option<usize>, height: usize) -> *const f32 {
        match y {
            Some(y) if y < height => {
                self.buffer(rows.buffer, rows.per_thread).at((y % rows.cap) * rows.row_len(), rows.row_len())
            }
            _ => self.buffer(self.program.zero, 0).at(0, rows.row_len()),
        }
    }

    /// Zeros the padding of the held rows `which`.
    pub(super) fn clear_padding(&self, rows: &Rows, which: Range<usize>) {
        let (c, right) = (rows.channels, rows.left + rows.width);
        let span = self.buffer(rows.buffer, rows.per_thread);
        for y in which {
            let begin = span.at(y * rows.row_len(), rows.row_len());
            // SAFETY: inside the row, as checked; this thread alone writes its rows.
            unsafe {
                begin.write_bytes(0, rows.left * c);
                begin.add(right * c).write_bytes(0, (rows.padded - right) * c);
            }
        }
    }

    pub(super) fn share(&self, n: usize) -> Range<usize> {
        share(n, self.index, self.program.threads)
    }
}
