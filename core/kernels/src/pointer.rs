//! Pointers that kernels walk along. A release build carries the pointer alone; a debug build also carries the bounds
//! of its slice and checks every access against them.

use crate::element::Element;

/// A position in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Pointer<T = f32> {
    at: *mut T,
    /// The slice, as addresses.
    #[cfg(debug_assertions)]
    run: (usize, usize),
}

impl<T: Element> Pointer<T> {
    /// The beginning of the `len` elements at `data`.
    #[inline(always)]
    pub fn new(data: *mut T, len: usize) -> Self {
        #[cfg(not(debug_assertions))]
        let _ = len;
        Self {
            at: data,
            #[cfg(debug_assertions)]
            run: (data as usize, data as usize + len * size_of::<T>()),
        }
    }

    /// The beginning of a slice that is only read.
    #[inline(always)]
    pub fn read(data: &[T]) -> Self {
        Self::new(data.as_ptr().cast_mut(), data.len())
    }

    /// `n` elements further; may be out of bounds as long as nothing is accessed there.
    #[inline(always)]
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "named as the raw pointer's own method")]
    pub fn add(self, n: usize) -> Self {
        Self { at: self.at.wrapping_add(n), ..self }
    }

    /// A raw pointer for access to the next `n` elements.
    ///
    /// # Panics
    /// In debug builds, if they are not all within the slice.
    #[inline(always)]
    pub fn to(self, n: usize) -> *mut T {
        #[cfg(debug_assertions)]
        {
            let begin = self.at as usize;
            let end = self.at as usize + n * size_of::<T>();
            assert!(
                self.run.0 <= begin && end <= self.run.1,
                "a kernel accesses {n} elements at {begin:#x}, outside {:#x?}",
                self.run
            );
        }
        #[cfg(not(debug_assertions))]
        let _ = n;
        self.at
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn accesses_outside_the_slice_panic() {
        let data = [1.0f32; 8];
        let p = Pointer::read(&data);
        assert_eq!(p.add(4).to(4), data[4..].as_ptr().cast_mut());
        for (from, n) in [(5, 4), (8, 1), (usize::MAX, 1)] {
            assert!(std::panic::catch_unwind(|| p.add(from).to(n)).is_err(), "{n} from {from} on");
        }
    }
}
