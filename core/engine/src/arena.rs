//! One piece of memory for a whole inference: which buffers live when is known at load, so that each gets its place in
//! the arena then and nothing is allocated later.

use silhouette_kernels::pack::Buffer;
use silhouette_kernels::pointer::Pointer;

/// Places are multiples of a cache line.
const LINE: usize = 16;

/// A buffer that lives from step `first` to step `last` (both included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    /// In f32.
    pub(crate) len: usize,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// Gives every buffer a place such that buffers that live at the same time do not overlap: the largest first, each at the
/// lowest free place. Returns the places and the arena's length in f32; `None` if that overflows.
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

/// A run of f32 inside the arena or the output, seen by several threads at once. In debug builds every pointer that is
/// made of it is checked against its length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    data: *mut f32,
    len: usize,
}

impl Span {
    pub(crate) fn new(data: &mut [f32]) -> Self {
        Self { data: data.as_mut_ptr(), len: data.len() }
    }

    /// The part from `at` on, `len` long.
    ///
    /// # Panics
    /// If it does not lie inside.
    pub(crate) fn part(self, at: usize, len: usize) -> Self {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len), "a buffer lies outside the arena");
        // SAFETY: in bounds, as just checked.
        Self { data: unsafe { self.data.add(at) }, len }
    }

    /// Element `at`, from which `need` elements will be used.
    ///
    /// # Panics
    /// In debug builds, if they do not lie inside.
    #[inline]
    pub(crate) fn at(self, at: usize, need: usize) -> Pointer {
        debug_assert!(at + need <= self.len, "{need} f32 from {at} on, in a buffer of {}", self.len);
        Pointer::new(self.data.wrapping_add(at), need)
    }
}

/// Memory of one inference; made by [`Program::arena`](crate::program::Program::arena), used again for every frame.
#[derive(Debug)]
pub struct Arena {
    pub(crate) buffer: Buffer,
    /// What the row source asks for, one per thread.
    pub(crate) rows: Vec<Vec<f32>>,
    pub(crate) claims: Vec<std::sync::atomic::AtomicBool>,
    /// Nanoseconds of each step in the last run.
    pub(crate) times: Vec<std::sync::atomic::AtomicU64>,
    pub(crate) program: u64,
}

impl Arena {
    /// Nanoseconds that each step of the last run took, in the order of the program's steps.
    pub fn step_nanoseconds(&self) -> impl Iterator<Item = u64> + '_ {
        self.times.iter().map(|t| t.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        (self.buffer.len() + self.rows.iter().map(Vec::len).sum::<usize>()) * size_of::<f32>()
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
        // 200 + 112 (100 rounded) + 64: the two of 100 share a place.
        assert_eq!(total, 208 + 112 + 64);
    }

    #[test]
    fn lengths_that_overflow_are_refused() {
        assert!(place(&[Live { len: usize::MAX - 3, first: 0, last: 0 }]).is_none());
        let half = Live { len: usize::MAX / 2 - 20, first: 0, last: 0 };
        assert!(place(&[half, half, half]).is_none());
    }
}
