//! Memory of weights that are no longer needed, for the next ones: touching fresh memory takes longer than converting
//! the values in it.

use std::borrow::Cow;

use silhouette_kernels::memory::{OutOfMemory, filled};

/// Memory to fold weights in.
#[derive(Debug, Default)]
pub struct Spare {
    floats: Vec<Vec<f32>>,
    /// What a tensor was last read into.
    pub(crate) bytes: Vec<u8>,
}

impl Spare {
    /// Takes back the memory of weights; what views a file is dropped.
    pub fn put(&mut self, weight: Cow<'_, [f32]>) {
        if let Cow::Owned(weight) = weight {
            self.floats.push(weight);
        }
    }

    /// `len` unspecified values: the smallest memory that is large enough. If there is none, the largest makes
    /// way for new memory, so that no more is held than was used at once.
    pub(crate) fn floats(&mut self, len: usize) -> Result<Vec<f32>, OutOfMemory> {
        self.floats.sort_by_key(Vec::capacity);
        let at = self.floats.iter().position(|floats| floats.capacity() >= len);
        let Some(at) = at else {
            self.floats.pop();
            return filled(len, 0.0, "a tensor's values");
        };
        let mut floats = self.floats.remove(at);
        floats.resize(len, 0.0);
        Ok(floats)
    }

    /// All values.
    pub(crate) fn collect(&mut self, values: impl ExactSizeIterator<Item = f32>) -> Result<Vec<f32>, OutOfMemory> {
        let mut floats = self.floats(values.len())?;
        floats.iter_mut().zip(values).for_each(|(to, value)| *to = value);
        Ok(floats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_none_is_hoarded() {
        let mut spare = Spare::default();
        let small = spare.floats(10).unwrap();
        let large = spare.floats(1000).unwrap();
        let at = large.as_ptr();
        let capacity = large.capacity();
        spare.put(Cow::Owned(small));
        spare.put(Cow::Owned(large));
        spare.put(Cow::Borrowed(&[1.0; 2000]));
        let again = spare.floats(900).unwrap();
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (at, 900, capacity));
        assert_eq!(spare.floats.len(), 1);
        spare.put(Cow::Owned(again));
        // Larger than all: the largest is freed.
        assert_eq!(spare.floats(2000).unwrap().len(), 2000);
        assert_eq!(spare.floats.iter().map(Vec::capacity).collect::<Vec<_>>(), [10]);
        assert_eq!(spare.collect([1.0, 2.0].into_iter()).unwrap(), [1.0, 2.0]);
        assert!(spare.floats(usize::MAX / 4).is_err());
    }
}
