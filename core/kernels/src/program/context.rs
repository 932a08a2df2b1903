//! Where the rows of maps and rings lie, and what a thread knows while it runs.

use std::ops::Range;

use super::Program;
use crate::arena::Span;
use crate::pointer::Pointer;
use crate::team::{Team, share};

/// Where rows of a map or of a ring of rows lie. A row is blocked: pixels of a group of `lanes` channels side by side, one
/// group after the other, `[group][pixel][lane]`, so that kernels walk along memory whatever the number of channels. (A
/// picture's row is one group of three.) Lanes past the last channel hold nothing of use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) buffer: usize,
    /// f32 from one thread's ring to the next; 0: one for all.
    pub(super) per_thread: usize,
    /// Rows held; row `y` lies at `y % cap`.
    pub(super) cap: usize,
    /// Groups of channels, and channels in a group.
    pub(super) groups: usize,
    pub(super) lanes: usize,
    /// Columns with padding, columns of padding on the left, real columns.
    pub(super) padded: usize,
    pub(super) left: usize,
    pub(super) width: usize,
}

impl Rows {
    /// f32 from one group of a row to the next.
    pub(super) fn group_len(&self) -> usize {
        self.padded * self.lanes
    }

    /// f32 from one row to the next.
    pub(super) fn row_len(&self) -> usize {
        self.groups * self.group_len()
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
        let whole = self.arena.part(self.program.places[buffer], self.program.lens[buffer]);
        if per_thread == 0 { whole } else { whole.part(self.index * per_thread, per_thread) }
    }

    /// The first real pixel of row `y`, from which `count` rows are used.
    pub(super) fn pixels(&self, rows: &Rows, y: usize, count: usize) -> Pointer {
        let before = rows.left * rows.lanes;
        let at = (y % rows.cap) * rows.row_len() + before;
        self.buffer(rows.buffer, rows.per_thread).at(at, count * rows.row_len() - before)
    }

    /// The first real pixel of row `y`.
    pub(super) fn pixel(&self, rows: &Rows, y: usize) -> Pointer {
        self.pixels(rows, y, 1)
    }

    /// The first padded column of row `y`, or of the row of zeros where `y` is outside `0..height`.
    pub(super) fn padded(&self, rows: &Rows, y: Option<usize>, height: usize) -> Pointer {
        match y {
            Some(y) if y < height => {
                self.buffer(rows.buffer, rows.per_thread).at((y % rows.cap) * rows.row_len(), rows.row_len())
            }
            _ => self.buffer(self.program.zero, 0).at(0, rows.row_len()),
        }
    }

    /// Zeros the padding of the held rows `which`.
    pub(super) fn clear_padding(&self, rows: &Rows, which: Range<usize>) {
        let (left, right) = (rows.left * rows.lanes, (rows.padded - rows.left - rows.width) * rows.lanes);
        if left + right == 0 {
            return;
        }
        let span = self.buffer(rows.buffer, rows.per_thread);
        for y in which {
            for group in 0..rows.groups {
                let begin = span.at(y * rows.row_len() + group * rows.group_len(), rows.group_len());
                // SAFETY: inside the group, as checked; this thread alone writes its rows.
                unsafe {
                    begin.to(left).write_bytes(0, left);
                    begin.add(rows.group_len() - right).to(right).write_bytes(0, right);
                }
            }
        }
    }

    pub(super) fn share(&self, n: usize) -> Range<usize> {
        share(n, self.index, self.program.threads)
    }
}
