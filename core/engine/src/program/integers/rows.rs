//! What stages and steps of integers do with rows: products, padding, copies.

use std::sync::Arc;

use crate::program::context::{Context, Rows};
use silhouette_kernels::int8::{self, Bounds, Job, PackedPointwise, Source};
use silhouette_kernels::pointer::Pointer;

/// A 1x1 convolution.
pub(super) struct Product {
    pub(super) weights: Arc<PackedPointwise>,
    pub(super) bounds: Bounds,
    /// Whether something below the zero point is stored.
    pub(super) ties: bool,
    /// Sums of inputs, per thread.
    pub(super) sums: usize,
    pub(super) sums_len: usize,
}

/// Some pixels of some rows: the first pixel of the first group, the distance between groups, and that between rows.
#[derive(Clone, Copy)]
pub(super) struct Pixels {
    pub(super) first: Pointer<u8>,
    pub(super) group: usize,
    pub(super) row: usize,
}

impl Product {
    /// `rows` rows of `width` pixels.
    ///
    /// # Safety
    /// Both are that many pixels, of the product's inputs and outputs, in different buffers; no thread writes the source now, and
    /// the destination is this thread's.
    pub(super) unsafe fn run(&self, cx: &Context<'_>, from: Pixels, to: Pixels, width: usize, rows: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.run_from(cx, Source::Groups { first: from.first, group: from.group }, from.row, to, width, rows) }
    }

    /// The same from any source.
    ///
    /// # Safety
    /// As [`run`](Self::run).
    pub(super) unsafe fn run_from(
        &self,
        cx: &Context<'_>,
        source: Source<'_>,
        a_row: usize,
        to: Pixels,
        width: usize,
        rows: usize,
    ) {
        let job = Job {
            source,
            a_row,
            weights: &self.weights,
            c: to.first,
            c_group: to.group,
            c_row: to.row,
            width,
            rows,
            bounds: self.bounds,
            ties: self.ties,
            sums: cx.buffer::<i32>(self.sums, self.sums_len).at(0, self.sums_len),
        };
        // SAFETY: the caller's promise.
        unsafe { int8::pointwise(cx.program.isa, &job) }
    }
}

/// Row `y` of a map or ring.
pub(super) fn row(cx: &Context<'_>, rows: &Rows, y: usize) -> Pixels {
    Pixels { first: cx.pixel(rows, y), group: rows.group_len(), row: 0 }
}

/// Fills the padding of the rows `which`, and the row outside the map, with the zero point.
pub(super) fn fill_padding(cx: &Context<'_>, rows: &Rows, which: std::ops::Range<usize>, zero: u8) {
    let span = cx.buffer::<u8>(rows.buffer, rows.per_thread);
    let left = rows.left * rows.lanes;
    let right = (rows.padded - rows.left - rows.width) * rows.lanes;
    for y in which.filter(|_| left + right > 0) {
        for group in 0..rows.groups {
            let begin = span.at::<u8>(y * rows.row_len() + group * rows.group_len(), rows.group_len());
            // SAFETY: inside the group, as checked; only this thread writes its rows.
            unsafe {
                begin.to(left).write_bytes(zero, left);
                begin.add(rows.group_len() - right).to(right).write_bytes(zero, right);
            }
        }
    }
    if let Some(buffer) = rows.outside {
        let len = rows.row_len();
        let outside = cx.buffer::<u8>(buffer, rows.outside_len()).at::<u8>(0, len);
        // SAFETY: this thread's own row.
        unsafe { outside.to(len).write_bytes(zero, len) }
    }
}

/// Copies row `y` of a map into a ring.
pub(super) fn copy_row(cx: &Context<'_>, map: &Rows, ring: &Rows, y: usize) {
    let len = map.width * map.lanes;
    let from = cx.pixel::<u8>(map, y);
    let to = cx.pixel::<u8>(ring, y);
    for group in 0..map.groups {
        let from = from.add(group * map.group_len()).to(len);
        let to = to.add(group * ring.group_len()).to(len);
        // SAFETY: a group of the map, which no thread writes now, and of this thread's ring.
        unsafe { std::ptr::copy_nonoverlapping(from, to, len) }
    }
}
