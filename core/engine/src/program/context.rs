//! The layout of maps' and rings' rows, and a thread's context while it runs.

use std::ops::Range;

use super::describe::{BuildError, Clamp, refuse};
use super::precision::Precision;
use crate::arena::{Live, Span, place};
use crate::barrier::{Barrier, share};
use silhouette_kernels::element::Element;
use silhouette_kernels::isa::Isa;
use silhouette_kernels::pack::ALIGN;
use silhouette_kernels::pointer::Pointer;
use silhouette_kernels::rows::RowSource;

/// The layout of a map or of a ring of rows. A row is blocked: the pixels of a group of `lanes` channels are
/// contiguous, one group after the other, `[group][pixel][lane]`, so that kernels walk along memory whatever the number
/// of channels. (An image's row is one group of three.) The contents of lanes past the last channel are unspecified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) buffer: usize,
    /// Elements from one thread's ring to the next; 0: all threads share it.
    pub(super) per_thread: usize,
    /// Rows held; row `y` is at `y % cap`.
    pub(super) cap: usize,
    /// Groups of channels, and channels in a group.
    pub(super) groups: usize,
    pub(super) lanes: usize,
    /// Columns with padding, columns of padding on the left, real columns.
    pub(super) padded: usize,
    pub(super) left: usize,
    pub(super) width: usize,
    /// The buffer of a row for each thread that takes the place of rows outside the map; `None`: the zeros.
    pub(super) outside: Option<usize>,
}

impl Rows {
    /// Elements from one group of a row to the next.
    pub(super) fn group_len(&self) -> usize {
        self.padded * self.lanes
    }

    /// Elements from one row to the next.
    pub(super) fn row_len(&self) -> usize {
        self.groups * self.group_len()
    }

    /// Elements of a thread's row outside the map.
    pub(super) fn outside_len(&self) -> usize {
        self.row_len().next_multiple_of(32)
    }
}

/// Some columns of some rows of a map; may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Piece {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() || self.columns.is_empty()
    }
}

/// A thread's share of a map, to the pixel: whole rows, and parts of the rows at its two ends. By whole rows, two
/// threads would get nine and eight of 17, and one would wait for the other a seventeenth of the time.
fn pieces(height: usize, width: usize, index: usize, threads: usize) -> [Piece; 3] {
    let pixels = if height.is_multiple_of(threads) {
        let rows = share(height, index, threads);
        rows.start * width..rows.end * width
    } else {
        share(height * width, index, threads)
    };
    let first = pixels.start.div_ceil(width);
    let last = pixels.end / width;
    if first > last {
        // Within a row.
        let columns = pixels.start - last * width..pixels.end - last * width;
        let none = Piece { rows: 0..0, columns: 0..0 };
        return [Piece { rows: last..last + 1, columns }, none.clone(), none];
    }
    [
        Piece { rows: first.saturating_sub(1)..first, columns: width - (first * width - pixels.start)..width },
        Piece { rows: first..last, columns: 0..width },
        Piece { rows: last..last + 1, columns: 0..pixels.end - last * width },
    ]
}

/// What all threads of a program share: the offsets of buffers in the arena, and how the work is divided.
pub(super) struct Layout {
    pub(super) isa: Isa,
    pub(super) threads: usize,
    /// Offset and length of each buffer, in f32.
    pub(super) places: Vec<usize>,
    pub(super) lens: Vec<usize>,
    /// The buffer of zeros.
    pub(super) zero: usize,
}

/// Assigns every buffer its offset; the arena's length too.
///
/// # Errors
/// If the arena would need more than `limit` bytes.
pub(super) fn lay_out(isa: Isa, threads: usize, buffers: &[Live], limit: usize) -> Result<(Layout, usize), BuildError> {
    let placed = place(buffers).filter(|&(_, len)| len <= limit);
    let Some((places, arena_len)) = placed else {
        let bytes: u128 = buffers.iter().map(|b| b.len as u128).sum();
        return refuse(
            "arena",
            format!("needs more than the limit of {limit} bytes (its buffers hold {bytes} in all)"),
        );
    };
    let lens = buffers.iter().map(|b| b.len.next_multiple_of(ALIGN)).collect();
    Ok((Layout { isa, threads, places, lens, zero: 0 }, arena_len))
}

/// What a step does, on each thread. (Steps of all element types are one kind of value: a program has no type
/// parameter.)
pub(super) trait Run: Send + Sync {
    /// This thread's share. `source` and `scratch` are for the step that reads the image.
    fn run(&self, cx: &Context<'_>, source: &dyn RowSource, scratch: &mut [f32]);
}

/// A thread's context while it runs.
pub(super) struct Context<'a> {
    pub(super) program: &'a Layout,
    pub(super) arena: Span,
    pub(super) outputs: &'a [Span],
    pub(super) barrier: &'a Barrier,
    pub(super) index: usize,
}

impl Context<'_> {
    /// A buffer, or this thread's part of it, which holds `per_thread` elements.
    pub(super) fn buffer<T: Element>(&self, buffer: usize, per_thread: usize) -> Span {
        let per_thread = per_thread * size_of::<T>();
        let whole = self.arena.part(self.program.places[buffer], self.program.lens[buffer]);
        if per_thread == 0 { whole } else { whole.part(self.index * per_thread, per_thread) }
    }

    /// The first real pixel of row `y`, from which `count` rows are used.
    pub(super) fn pixels<T: Element>(&self, rows: &Rows, y: usize, count: usize) -> Pointer<T> {
        let before = rows.left * rows.lanes;
        let at = (y % rows.cap) * rows.row_len() + before;
        self.buffer::<T>(rows.buffer, rows.per_thread).at(at, count * rows.row_len() - before)
    }

    /// The first real pixel of row `y`.
    pub(super) fn pixel<T: Element>(&self, rows: &Rows, y: usize) -> Pointer<T> {
        self.pixels(rows, y, 1)
    }

    /// The first padded column of row `y`, or of the row of padding where `y` is outside `0..height`.
    pub(super) fn padded<T: Element>(&self, rows: &Rows, y: Option<usize>, height: usize) -> Pointer<T> {
        match y {
            Some(y) if y < height => {
                self.buffer::<T>(rows.buffer, rows.per_thread).at((y % rows.cap) * rows.row_len(), rows.row_len())
            }
            _ => match rows.outside {
                Some(buffer) => self.buffer::<T>(buffer, rows.outside_len()).at(0, rows.row_len()),
                None => self.buffer::<T>(self.program.zero, 0).at(0, rows.row_len()),
            },
        }
    }

    /// Fills the padding of the rows `which`, and the row outside the map, with a value for each channel: `clamp` of
    /// `bias`, which is what a 1x1 convolution makes of zeros.
    pub(super) fn fill_padding<E: Precision>(&self, rows: &Rows, which: Range<usize>, bias: &[E], clamp: Clamp) {
        let value = |channel: usize| {
            let value = bias.get(channel).map_or(0.0, |bias| bias.to_f32());
            E::from_f32(clamp.map_or(value, |(low, high)| value.max(E::finite(low)).min(E::finite(high))))
        };
        let span = self.buffer::<E>(rows.buffer, rows.per_thread);
        let right = rows.left + rows.width..rows.padded;
        let inside = which.map(|y| (span.at::<E>(y * rows.row_len(), rows.row_len()), [0..rows.left, right.clone()]));
        let outside = rows
            .outside
            .map(|buffer| (self.buffer::<E>(buffer, rows.outside_len()).at(0, rows.row_len()), [0..rows.padded, 0..0]));
        for (row, columns) in inside.chain(outside) {
            for group in 0..rows.groups {
                for column in columns.iter().cloned().flatten() {
                    let at = group * rows.group_len() + column * rows.lanes;
                    let pixel = row.add(at).to(rows.lanes);
                    for lane in 0..rows.lanes {
                        // SAFETY: a pixel of the row, whose length was checked; only this thread writes it.
                        unsafe { pixel.add(lane).write(value(group * rows.lanes + lane)) }
                    }
                }
            }
        }
    }

    /// Zeros the padding of the rows `which`.
    pub(super) fn clear_padding<T: Element>(&self, rows: &Rows, which: Range<usize>) {
        let left = rows.left * rows.lanes;
        let right = (rows.padded - rows.left - rows.width) * rows.lanes;
        if left + right == 0 {
            return;
        }
        let span = self.buffer::<T>(rows.buffer, rows.per_thread);
        for y in which {
            for group in 0..rows.groups {
                let begin = span.at::<T>(y * rows.row_len() + group * rows.group_len(), rows.group_len());
                // SAFETY: inside the group, as checked; only this thread writes its rows.
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

    /// This thread's share of a map.
    pub(super) fn pieces(&self, height: usize, width: usize) -> [Piece; 3] {
        pieces(height, width, self.index, self.program.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_one_threads_and_no_thread_has_two_more_than_another() {
        for (height, width) in [(1, 1), (1, 7), (2, 1), (3, 3), (4, 5), (5, 4), (17, 17), (17, 16), (33, 33), (2, 40)] {
            for threads in 1..=9 {
                let mut owners = vec![None; height * width];
                let mut counts = vec![0; threads];
                for (index, count) in counts.iter_mut().enumerate() {
                    for piece in pieces(height, width, index, threads).into_iter().filter(|p| !p.is_empty()) {
                        for y in piece.rows {
                            for x in piece.columns.clone() {
                                assert_eq!(
                                    owners[y * width + x].replace(index),
                                    None,
                                    "{height}x{width}, {threads}: {y} {x}"
                                );
                                *count += 1;
                            }
                        }
                    }
                }
                assert!(owners.iter().all(Option::is_some), "{height}x{width}, {threads} threads");
                assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
            }
        }
    }
}
