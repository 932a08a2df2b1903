//! The packed weights of a program: one list, which the program owns. Its order is the order in which the builder
//! requests them, and thus the order in a cache file; steps hold entries of it.

use std::hash::Hasher as _;
use std::sync::Arc;

use silhouette_kernels::depthwise;
use silhouette_kernels::element::DataType;
use silhouette_kernels::isa::Isa;
use silhouette_kernels::memory::OutOfMemory;
use silhouette_kernels::pack::{Matrix, Packed, PackedBytes, PackedDepthwise, PackedReader};
use silhouette_kernels::pointwise;
use twox_hash::XxHash3_64;

use super::precision::Precision;

/// Why packed weights are unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotPacked {
    /// Fewer were packed earlier.
    TooFew,
    /// A weight or bias is beyond the element type's range.
    Overflow,
    OutOfMemory(OutOfMemory),
}

impl From<OutOfMemory> for NotPacked {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}

/// Rounding to f16 makes infinities of values beyond its range, and masks of them would be wrong without a word. (Weights
/// that are infinite as f32 are the model file's to refuse.)
fn in_range<const N: usize, E: Precision>(parts: [&[E]; N]) -> Result<(), NotPacked> {
    let narrow = E::TYPE == DataType::F16;
    let overflows = narrow && parts.into_iter().flatten().any(|value| !value.is_finite());
    if overflows { Err(NotPacked::Overflow) } else { Ok(()) }
}

/// All packed weights, each packed now or read from a cache.
#[derive(Debug)]
pub(super) struct PackedList {
    isa: Isa,
    entries: Vec<Arc<dyn PackedBytes>>,
    /// The source of prepacked weights.
    reader: Option<PackedReader>,
    /// All requests so far, without the values.
    asked: Vec<u8>,
}

impl PackedList {
    /// An empty list; weights will be packed.
    pub(super) fn new(isa: Isa) -> Self {
        Self { isa, entries: Vec::new(), reader: None, asked: Vec::new() }
    }

    /// An empty list; weights will be read from the cache.
    pub(super) fn from_packed(isa: Isa, reader: PackedReader) -> Self {
        Self { isa, entries: Vec::new(), reader: Some(reader), asked: Vec::new() }
    }

    /// Whether weights were packed earlier, so that only their number matters.
    pub(super) fn were_packed(&self) -> bool {
        self.reader.is_some()
    }

    /// Whether prepacked weights are left over.
    pub(super) fn has_more(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| !reader.is_empty())
    }

    /// Appends the weights of a pointwise product.
    pub(super) fn product<E: Precision>(
        &mut self,
        k: usize,
        matrix: &Matrix<'_>,
        bias: &[f32],
    ) -> Result<Arc<Packed<E, E>>, NotPacked> {
        self.ask(&[1, k, matrix.output, matrix.first, matrix.input, bias.len()]);
        let packed = match &mut self.reader {
            Some(reader) => {
                let packed = <E as pointwise::Kernel<E, E>>::from_packed(self.isa, reader, k, bias.len());
                packed.ok_or(NotPacked::TooFew)?
            }
            None => <E as pointwise::Kernel<E, E>>::pack(self.isa, k, matrix, bias)?,
        };
        // (Cached ones were checked when they were packed.)
        if self.reader.is_none() {
            in_range([packed.weights(), packed.bias()])?;
        }
        Ok(self.append(packed))
    }

    /// Appends the weights of a depthwise convolution: `weight(c, tap)` and `bias(c)`.
    pub(super) fn depthwise<E: Precision>(
        &mut self,
        channels: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Result<Arc<PackedDepthwise<E>>, NotPacked> {
        self.ask(&[2, channels]);
        let packed = match &mut self.reader {
            Some(reader) => {
                let packed = <E as depthwise::Kernel<E, E>>::from_packed(self.isa, reader, channels);
                packed.ok_or(NotPacked::TooFew)?
            }
            None => <E as depthwise::Kernel<E, E>>::pack(self.isa, channels, weight, bias)?,
        };
        // (Cached ones were checked when they were packed.)
        if self.reader.is_none() {
            in_range([packed.weights()])?;
        }
        Ok(self.append(packed))
    }

    /// Records a request.
    fn ask(&mut self, request: &[usize]) {
        self.asked.extend(request.iter().flat_map(|&number| (number as u64).to_le_bytes()));
    }

    /// A hash of the pieces in which weights were requested, and their order: lists of one network's weights with the
    /// same hash hold the same bytes, whatever its input's size, the threads and the caches.
    pub(super) fn packing(&self) -> u64 {
        XxHash3_64::oneshot(&self.asked)
    }

    /// Appends weights that were packed elsewhere.
    pub(super) fn append<P: PackedBytes + 'static>(&mut self, packed: P) -> Arc<P> {
        let packed = Arc::new(packed);
        self.entries.push(Arc::clone(&packed) as Arc<dyn PackedBytes>);
        packed
    }

    /// All of it, entry by entry.
    pub(super) fn parts(&self) -> Vec<&[u8]> {
        self.entries.iter().flat_map(|entry| entry.parts()).collect()
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }
}

/// A hash of how weights are packed for an instruction set and element type: small matrices are packed as a network's are, and the bytes
/// hashed. It is part of the key of files of packed weights, so a file from another version of this code, or for
/// another CPU, is never read as if it had this layout. `None` if there is no memory for them.
pub fn layout_probe<E: Precision>(isa: Isa) -> Option<u64> {
    let mut list = PackedList::new(isa);
    let widest = {
        let panels = <E as pointwise::Kernel<E, E>>::panels(isa);
        panels.lanes * panels.most
    };
    // Outputs around a vector, a panel and two panels; inputs that are not a whole block; weights contiguous and
    // strided.
    let outputs = [1, E::lanes(isa) + 1, widest - 1, widest, widest + 1, 2 * widest + 1];
    for (k, apart) in [(1, 1), (5, 1), (18, 1), (5, 9)] {
        for n in outputs {
            let weights: Vec<f32> = (0..n * k * apart).map(|i| i as f32 + 1.0).collect();
            let bias: Vec<f32> = (0..n).map(|o| -1.0 - o as f32).collect();
            let matrix = Matrix { weights: &weights, output: k * apart, first: 0, input: apart };
            list.product::<E>(k, &matrix, &bias).ok()?;
        }
    }
    for channels in outputs {
        list.depthwise::<E>(channels, |c, t| (9 * c + t) as f32 + 1.0, |c| -1.0 - c as f32).ok()?;
    }
    let mut hasher = XxHash3_64::new();
    for part in list.parts() {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part);
    }
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_tells_layouts_apart_and_is_the_same_every_time() {
        let all = || Isa::all().into_iter().map(layout_probe::<f32>).collect::<Vec<_>>();
        let probes = all();
        assert!(probes.iter().all(Option::is_some));
        assert_eq!(probes, all());
        for isa in Isa::all() {
            assert!(!probes.contains(&layout_probe::<silhouette_kernels::element::f16>(isa)), "{isa:?}");
        }
        // Every two instruction sets of one CPU differ in lanes or panels.
        for (i, a) in probes.iter().enumerate() {
            assert!(!probes[i + 1..].contains(a), "{:?}", Isa::all()[i]);
        }
    }

    #[test]
    fn entries_stand_in_the_order_in_which_they_were_asked_for() {
        for isa in Isa::all() {
            let mut list = PackedList::new(isa);
            let weights: Vec<f32> = (0..12).map(|i| i as f32 + 1.0).collect();
            let matrix = Matrix { weights: &weights, output: 3, first: 0, input: 1 };
            let one = list.product::<f32>(3, &matrix, &[0.5; 4]).expect("packed now");
            let two = list.depthwise::<f32>(2, |c, t| (9 * c + t) as f32, |_| 7.0).expect("packed now");
            let parts = list.parts();
            assert_eq!(parts[..2], one.parts());
            assert_eq!(parts[2..], two.parts());
            // The same request again results in another list; so does another part of the same matrix.
            let before = list.packing();
            list.product::<f32>(1, &matrix, &[0.5; 4]).expect("packed now");
            assert_ne!(list.packing(), before);
            let ask = |first| {
                let mut list = PackedList::new(isa);
                list.product::<f32>(1, &Matrix { first, ..matrix }, &[0.5; 4]).expect("packed now");
                list.packing()
            };
            assert_eq!(ask(0), ask(0));
            assert_ne!(ask(0), ask(1));
            let parts = list.parts();
            assert_eq!(list.bytes(), parts.iter().map(|p| p.len()).sum::<usize>());
        }
    }
}
