//! One piece of memory for a whole inference: the lifetimes of all buffers are known when a model is loaded, so each is
//! given its offset in the arena then and nothing is allocated later.

use silhouette_kernels::element::Element;
use silhouette_kernels::pack::{ALIGN, Buffer};
use silhouette_kernels::pointer::Pointer;

/// Offsets are multiples of a cache line.
const LINE: usize = ALIGN;

/// A buffer that is live from step `first` to step `last` (both included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    /// In bytes.
    pub(crate) len: usize,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// Assigns every buffer an offset such that buffers that are live at the same time do not overlap: the largest first,
/// each at the lowest free offset. Returns the offsets and the arena's length, in bytes; `None` if that overflows.
pub(crate) fn place(buffers: &[Live]) -> Option<(Vec<usize>, usize)> {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(buffers[i].len));
    let mut places = vec![0usize; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut total = 0usize;
    for i in order {
        let b = buffers[i];
        let len = b.len.checked_next_multiple_of(LINE)?;
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&j| buffers[j].first <= b.last && b.first <= buffers[j].last)
            .map(|&j| (places[j], places[j] + buffers[j].len.next_multiple_of(LINE)))
            .collect();
        taken.sort_unstable();
        let mut at = 0usize;
        for (from, to) in taken {
            if at.checked_add(len)? <= from {
                break;
            }
            at = at.max(to);
        }
        places[i] = at;
        total = total.max(at.checked_add(len)?);
        placed.push(i);
    }
    Some((places, total))
}

/// A range of bytes in the arena or the output, shared by several threads, as elements of any type. In debug builds
/// every pointer into it is checked against its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    data: *mut u8,
    len: usize,
}

impl Span {
    pub(crate) fn new<T: Element>(data: &mut [T]) -> Self {
        Self { data: data.as_mut_ptr().cast(), len: size_of_val(data) }
    }

    /// The part that starts at byte `at` and is `len` bytes long.
    ///
    /// # Panics
    /// If it is not inside the span.
    pub(crate) fn part(self, at: usize, len: usize) -> Self {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len), "a buffer is outside the arena");
        // SAFETY: in bounds, as just checked.
        Self { data: unsafe { self.data.add(at) }, len }
    }

    /// A pointer to element `at`, from which `need` elements will be used.
    ///
    /// # Panics
    /// In debug builds, if they are not inside the span.
    #[inline]
    pub(crate) fn at<T: Element>(self, at: usize, need: usize) -> Pointer<T> {
        let len = self.len / size_of::<T>();
        debug_assert!(at + need <= len, "{need} {:?} from {at} on, in a buffer of {len}", T::TYPE);
        debug_assert!(self.data.cast::<T>().is_aligned(), "a buffer of {:?} is not aligned", T::TYPE);
        Pointer::new(self.data.cast::<T>().wrapping_add(at), need)
    }
}

/// Memory of one inference; a part of an [`Execution`](crate::program::Execution), reused for every frame.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) buffer: Buffer<u8>,
    /// The scratch memory of the row source, one per thread.
    pub(crate) rows: Vec<Vec<f32>>,
    pub(crate) claims: Vec<std::sync::atomic::AtomicBool>,
    /// Nanoseconds of each step in the last run.
    pub(crate) times: Vec<std::sync::atomic::AtomicU64>,
}

impl Arena {
    /// Nanoseconds that each step of the last run took, in the order of the program's steps.
    pub(crate) fn step_nanoseconds(&self) -> impl Iterator<Item = u64> + '_ {
        self.times.iter().map(|t| t.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len() + self.rows.iter().map(|row| size_of_val(&row[..])).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_that_live_together_do_not_overlap_and_others_share() {
        let live = |len, first, last| Live { len, first, last };
        let buffers = [live(100, 0, 1), live(200, 1, 2), live(100, 2, 3), live(50, 0, 3), live(10, 3, 3)];
        let (places, total) = place(&buffers).unwrap();
        for (i, a) in buffers.iter().enumerate() {
            assert!(places[i] + a.len <= total);
            for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                let together = a.first <= b.last && b.first <= a.last;
                let apart = places[i] + a.len <= places[j] || places[j] + b.len <= places[i];
                assert!(!together || apart, "{i} and {j}");
            }
        }
        // 256 (200 rounded) + 128 (100 rounded) + 64: the two of 100 share an offset.
        assert_eq!(total, 256 + 128 + 64);
    }

    #[test]
    fn lengths_that_overflow_are_refused() {
        assert!(place(&[Live { len: usize::MAX - 3, first: 0, last: 0 }]).is_none());
        let half = Live { len: usize::MAX / 2 - 20, first: 0, last: 0 };
        assert!(place(&[half, half, half]).is_none());
    }

    #[test]
    fn bytes_are_seen_as_elements_of_any_type() {
        let mut bytes = Buffer::<u8>::zeroed(3 * LINE);
        let span = Span::new(&mut bytes[..]).part(LINE, LINE);
        // SAFETY: inside the buffer, which nothing else uses.
        unsafe {
            span.at::<f32>(1, 1).to(1).write(1.0);
            span.at::<i8>(0, LINE).to(LINE).write(-1);
        }
        assert_eq!(bytes[LINE..LINE + 8], [255, 0, 0, 0, 0, 0, 128, 63]);
        assert!(!cfg!(debug_assertions) || std::panic::catch_unwind(|| span.at::<f32>(LINE / 4, 1)).is_err());
    }
}
