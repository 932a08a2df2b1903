//! Memory for the kernels: 64-byte aligned buffers of any element type, and weights packed in the order in which a
//! kernel reads them.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::element::{Element, Real, bytes_of};
use crate::isa::{Isa, isa_entry};
use crate::memory::OutOfMemory;
use crate::quad::Quads;

/// Alignment of every buffer in bytes: a cache line, and the widest vector.
pub const ALIGN: usize = 64;

/// A fixed-size buffer, aligned to 64 bytes, zeroed when made.
#[derive(Debug)]
pub struct Buffer<T: Element = f32> {
    data: NonNull<T>,
    len: usize,
}

// SAFETY: the buffer owns its memory; elements can be sent and shared.
unsafe impl<T: Element> Send for Buffer<T> {}
// SAFETY: as above; writing needs `&mut`.
unsafe impl<T: Element> Sync for Buffer<T> {}

impl<T: Element> Buffer<T> {
    /// `len` zeros.
    ///
    /// # Panics
    /// If `len` elements exceed the address space; running out of memory aborts, as for `Vec`.
    pub fn zeroed(len: usize) -> Self {
        Self::try_zeroed(len, "a buffer").unwrap_or_else(|_| handle_alloc_error(Self::layout(len)))
    }

    /// The same, for sizes that depend on an image or a model; `what` names the purpose in the error.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_zeroed(len: usize, what: &'static str) -> Result<Self, OutOfMemory> {
        if len == 0 {
            return Ok(Self { data: NonNull::dangling(), len });
        }
        let bytes = len.checked_mul(size_of::<T>()).ok_or(OutOfMemory { what, bytes: usize::MAX })?;
        let layout = Layout::from_size_align(bytes, ALIGN).map_err(|_| OutOfMemory { what, bytes })?;
        // SAFETY: the layout's size is not zero.
        let p = unsafe { if layout.size() < LARGE { alloc_zeroed(layout) } else { large::allocate(layout) } };
        #[allow(clippy::cast_ptr_alignment, reason = "the layout's alignment is ALIGN")]
        let data = NonNull::new(p.cast::<T>()).ok_or(OutOfMemory { what, bytes })?;
        Ok(Self { data, len })
    }

    fn layout(len: usize) -> Layout {
        let bytes = len.checked_mul(size_of::<T>()).expect("a buffer's bytes fit the address space");
        Layout::from_size_align(bytes, ALIGN).expect("a buffer's bytes fit the address space")
    }
}

/// Buffers of at least this many bytes are mapped directly.
const LARGE: usize = 1 << 16;

/// Maps pages from the system and populates them at once: they are already zero (an allocator would zero aligned memory
/// again), and one call costs a fraction of the page faults that it saves. Both matter when a model is opened.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
mod large {
    use std::alloc::Layout;

    /// # Safety
    /// The layout's size is not zero, its alignment at most a page.
    pub(super) unsafe fn allocate(layout: Layout) -> *mut u8 {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: fresh anonymous pages, at an address that the system chooses.
        let p = unsafe { libc::mmap(std::ptr::null_mut(), layout.size(), access, kind, -1, 0) };
        if p == libc::MAP_FAILED { std::ptr::null_mut() } else { p.cast() }
    }

    /// # Safety
    /// `p` is from [`allocate`] with this layout, and not used again.
    pub(super) unsafe fn free(p: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise. It cannot fail for a whole mapping, and there would be nothing to do if it did.
        unsafe { libc::munmap(p.cast(), layout.size()) };
    }
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
mod large {
    pub(super) use std::alloc::{alloc_zeroed as allocate, dealloc as free};
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.len > 0 {
            let p = self.data.as_ptr().cast();
            let layout = Self::layout(self.len);
            // SAFETY: allocated by the matching function with the same layout.
            unsafe { if layout.size() < LARGE { dealloc(p, layout) } else { large::free(p, layout) } }
        }
    }
}

impl<T: Element> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised elements (zeroed when made), borrowed for as long as the buffer.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl<T: Element> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

/// An owner of prepacked weights, such as a memory-mapped file.
///
/// # Safety
/// As long as the value lives, [`bytes`](Self::bytes) returns the same memory, and nothing writes to it.
pub unsafe trait WeightOwner: Send + Sync + std::fmt::Debug {
    /// All of its bytes.
    fn bytes(&self) -> &[u8];
}

/// Packed values: in a buffer of their own, or borrowed from an owner of prepacked weights.
#[derive(Debug)]
pub enum Values<T: Element = f32> {
    /// Packed here.
    Own(Buffer<T>),
    /// Packed earlier.
    Borrowed(Borrowed<T>),
}

/// A part of the memory of a [`WeightOwner`].
#[derive(Debug)]
pub struct Borrowed<T = f32> {
    data: NonNull<[T]>,
    _owner: Arc<dyn WeightOwner>,
}

// SAFETY: the memory is only read, and its owner is `Send` and `Sync`.
unsafe impl<T: Element> Send for Borrowed<T> {}
// SAFETY: as above.
unsafe impl<T: Element> Sync for Borrowed<T> {}

impl<T: Element> Deref for Values<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match self {
            Self::Own(buffer) => buffer,
            // SAFETY: this value holds the owner, which guarantees that the memory neither moves nor changes.
            Self::Borrowed(borrowed) => unsafe { borrowed.data.as_ref() },
        }
    }
}

/// Reads prepacked weights from their owner, one after the other in the order in which they were packed, each at the
/// next address aligned to [`ALIGN`].
#[derive(Debug)]
pub struct PackedReader {
    owner: Arc<dyn WeightOwner>,
    at: usize,
}

impl PackedReader {
    /// Starts at the first one; `None` if the memory is not aligned to [`ALIGN`].
    pub fn new(owner: Arc<dyn WeightOwner>) -> Option<Self> {
        owner.bytes().as_ptr().addr().is_multiple_of(ALIGN).then_some(Self { owner, at: 0 })
    }

    /// The next `len` values, if that many are left.
    fn take<T: Element>(&mut self, len: usize) -> Option<Values<T>> {
        let bytes = len.checked_mul(size_of::<T>())?;
        let part = self.owner.bytes().get(self.at..self.at.checked_add(bytes)?)?;
        self.at = (self.at + bytes).next_multiple_of(ALIGN);
        // The address is a multiple of ALIGN from aligned memory, and every bit pattern is a valid element.
        let data = NonNull::slice_from_raw_parts(NonNull::from(part).cast::<T>(), len);
        Some(Values::Borrowed(Borrowed { data, _owner: Arc::clone(&self.owner) }))
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.at >= self.owner.bytes().len()
    }
}

/// A group of output channels that one tile of the pointwise kernel computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panel {
    /// First output channel.
    pub first: usize,
    /// Output channels in it.
    pub channels: usize,
    /// Vectors in it, `channels / lanes` rounded up.
    pub vectors: usize,
    /// Offset of its weights, in elements: `[k][vectors * lanes]`, zero in lanes without a channel.
    pub offset: usize,
}

/// How weights of a pointwise product are split into panels, as the tiles of an instruction set require.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panels {
    /// Output channels in a vector.
    pub lanes: usize,
    /// Vectors in the widest panel.
    pub most: usize,
    /// Vectors in the best panel, at most `most`.
    pub preferred: usize,
}

impl Panels {
    /// Splits `channels` as evenly as possible into panels of at most `most` vectors, and of `preferred` if that
    /// divides evenly.
    pub fn split(self, channels: usize, k: usize) -> Vec<Panel> {
        let Self { lanes, most, preferred } = self;
        let vectors = channels.div_ceil(lanes);
        let count = vectors.div_ceil(most).max(vectors / preferred);
        let mut out = Vec::with_capacity(count);
        let mut first = 0;
        let mut offset = 0;
        let mut left = vectors;
        for i in 0..count {
            let v = left.div_ceil(count - i);
            let n = (v * lanes).min(channels - first);
            out.push(Panel { first, channels: n, vectors: v, offset });
            first += n;
            left -= v;
            offset += k * v * lanes;
        }
        out
    }
}

/// Layout of a product's weights before packing: input `i` of output `o` is at `o * output + first + i * input`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, W = f32> {
    /// The values.
    pub weights: &'a [W],
    /// Distance from one output's weights to the next one's.
    pub output: usize,
    /// Position of input 0 of output 0.
    pub first: usize,
    /// Distance from one input's weight to the next one's.
    pub input: usize,
}

/// Writes `outputs` rows of `k` inputs (row `o` at `o * stride` of `from`) as the first columns of `panel`, whose `k` rows are
/// `wide` long.
fn transpose(panel: &mut [f32], wide: usize, from: &[f32], stride: usize, k: usize, outputs: usize) {
    assert!(outputs <= wide && panel.len() == k * wide, "the panel is too small");
    let Some(last) = outputs.checked_sub(1) else { return };
    assert!(
        last.checked_mul(stride).and_then(|n| n.checked_add(k)).is_some_and(|n| n <= from.len()),
        "too few weights"
    );
    // SAFETY: rows and columns inside both slices, as just checked.
    unsafe { transpose_entry(Isa::best(), panel, wide, from, stride, k, outputs) }
}

isa_entry! {
    fn transpose_entry(panel: &mut [f32], wide: usize, from: &[f32], stride: usize, k: usize, outputs: usize) = transpose_body;
}

/// # Safety
/// `panel` holds `k * wide` values, `outputs <= wide`; `from` holds `(outputs - 1) * stride + k`.
#[inline(always)]
unsafe fn transpose_body<S: Quads>(
    s: S,
    panel: &mut [f32],
    wide: usize,
    from: &[f32],
    stride: usize,
    k: usize,
    outputs: usize,
) {
    let mut o = 0;
    // SAFETY: the caller's promise, for the outputs starting at o.
    unsafe {
        // Sixteen outputs are a cache line of the panel: it is written whole, and inputs are read sequentially.
        while o + 16 <= outputs {
            columns::<S, 4>(s, panel.as_mut_ptr().add(o), wide, from.as_ptr().add(o * stride), stride, k);
            o += 16;
        }
        while o + 4 <= outputs {
            columns::<S, 1>(s, panel.as_mut_ptr().add(o), wide, from.as_ptr().add(o * stride), stride, k);
            o += 4;
        }
    }
    for o in o..outputs {
        for (row, value) in panel.chunks_exact_mut(wide).zip(&from[o * stride..][..k]) {
            row[o] = *value;
        }
    }
}

/// `4 * N` columns of the panel.
///
/// # Safety
/// `to` holds that many values in each of `k` rows, `wide` apart; `from` holds `k` values in each of that many rows,
/// `stride` apart.
#[inline(always)]
unsafe fn columns<S: Quads, const N: usize>(
    s: S,
    to: *mut f32,
    wide: usize,
    from: *const f32,
    stride: usize,
    k: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut i = 0;
        while i + 4 <= k {
            for q in 0..N {
                let rows = [0, 1, 2, 3].map(|r| s.load4(from.add((4 * q + r) * stride + i)));
                for (j, column) in s.transpose4(rows).into_iter().enumerate() {
                    s.store4(to.add((i + j) * wide + 4 * q), column);
                }
            }
            i += 4;
        }
        while i < k {
            for o in 0..4 * N {
                *to.add(i * wide + o) = *from.add(o * stride + i);
            }
            i += 1;
        }
    }
}

/// Packed weights of one layer, whatever their element type.
pub trait PackedBytes: Send + Sync + std::fmt::Debug {
    /// The parts to cache for a later plan, in this order, each aligned separately.
    fn parts(&self) -> Vec<&[u8]>;
}

/// Name of packed weights in an out-of-memory error.
const PACKED: &str = "packed weights";

/// Weights of a pointwise product (`k` inputs, `c_out` outputs), packed panel by panel, and their bias, which
/// initialises the sums.
#[derive(Debug)]
pub struct Packed<W: Element = f32, B: Element = f32> {
    pub(crate) weights: Values<W>,
    pub(crate) bias: Values<B>,
    pub(crate) panels: Vec<Panel>,
    pub(crate) k: usize,
}

impl<E: Real> Packed<E, E> {
    /// Packs `bias.len()` outputs of `k` inputs, rounded to the element type.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    ///
    /// # Panics
    /// If the matrix holds fewer values.
    pub fn new(k: usize, layout: Panels, matrix: &Matrix<'_>, bias: &[f32]) -> Result<Self, OutOfMemory> {
        let panels = layout.split(bias.len(), k);
        let lanes = layout.lanes;
        let total = panels.iter().map(|p| k * p.vectors * lanes).sum();
        let mut weights = Buffer::<E>::try_zeroed(total, PACKED)?;
        for p in &panels {
            let wide = p.vectors * lanes;
            let from = &matrix.weights[p.first * matrix.output + matrix.first..];
            E::write_as_f32(&mut weights[p.offset..p.offset + k * wide], PACKED, |panel| {
                if matrix.input == 1 {
                    transpose(panel, wide, from, matrix.output, k, p.channels);
                    return;
                }
                for o in 0..p.channels {
                    let from = from[o * matrix.output..].iter().step_by(matrix.input);
                    for (row, value) in panel.chunks_exact_mut(wide).zip(from) {
                        row[o] = *value;
                    }
                }
            })?;
        }
        let mut b = Buffer::<E>::try_zeroed(bias.len().next_multiple_of(lanes), PACKED)?;
        for (to, &value) in b.iter_mut().zip(bias) {
            *to = E::from_f32(value);
        }
        Ok(Self { weights: Values::Own(weights), bias: Values::Own(b), panels, k })
    }
}

impl<W: Element, B: Element> Packed<W, B> {
    /// From weights packed earlier: `outputs` outputs of `k` inputs. `None` if too few values are left.
    pub fn from_packed(reader: &mut PackedReader, k: usize, layout: Panels, outputs: usize) -> Option<Self> {
        let panels = layout.split(outputs, k);
        let weights = reader.take(panels.iter().map(|p| k * p.vectors * layout.lanes).sum())?;
        let bias = reader.take(outputs.next_multiple_of(layout.lanes))?;
        Some(Self { weights, bias, panels, k })
    }

    /// All weights, in the order of packing.
    pub fn weights(&self) -> &[W] {
        &self.weights
    }

    /// One bias per output, padded with zeros to a whole vector.
    pub fn bias(&self) -> &[B] {
        &self.bias
    }

    /// Inputs of the product.
    pub fn k(&self) -> usize {
        self.k
    }
}

impl<W: Element, B: Element> PackedBytes for Packed<W, B> {
    fn parts(&self) -> Vec<&[u8]> {
        vec![bytes_of(&self.weights), bytes_of(&self.bias)]
    }
}

/// Weights of a 3x3 depthwise convolution and their bias, vector by vector: nine weights of a vector of channels, then its
/// bias.
#[derive(Debug)]
pub struct PackedDepthwise<W: Element = f32> {
    pub(crate) weights: Values<W>,
    pub(crate) channels: usize,
}

/// Vectors of a group of channels of [`PackedDepthwise`].
pub(crate) const DEPTHWISE_GROUP: usize = 10;

impl<W: Real> PackedDepthwise<W> {
    /// Packs `weight(c, tap)` (tap = 3 * row + column) and `bias(c)`, rounded to the element type.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(
        channels: usize,
        lanes: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Result<Self, OutOfMemory> {
        let mut weights = Buffer::<W>::try_zeroed(DEPTHWISE_GROUP * channels.next_multiple_of(lanes), PACKED)?;
        for c in 0..channels {
            let at = c / lanes * DEPTHWISE_GROUP * lanes + c % lanes;
            for t in 0..9 {
                weights[at + t * lanes] = W::from_f32(weight(c, t));
            }
            weights[at + 9 * lanes] = W::from_f32(bias(c));
        }
        Ok(Self { weights: Values::Own(weights), channels })
    }
}

impl<W: Element> PackedDepthwise<W> {
    /// From weights packed earlier. `None` if too few values are left.
    pub fn from_packed(reader: &mut PackedReader, channels: usize, lanes: usize) -> Option<Self> {
        let weights = reader.take(DEPTHWISE_GROUP * channels.next_multiple_of(lanes))?;
        Some(Self { weights, channels })
    }

    /// All weights and biases, in the order of packing.
    pub fn weights(&self) -> &[W] {
        &self.weights
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.channels
    }
}

impl<W: Element> PackedBytes for PackedDepthwise<W> {
    fn parts(&self) -> Vec<&[u8]> {
        vec![bytes_of(&self.weights)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_every_size_are_zero_aligned_and_writable() {
        for bytes in [0, 4, 64, LARGE - 4, LARGE, LARGE + 4, 3 * LARGE + 12] {
            let mut buffer = Buffer::<f32>::zeroed(bytes / 4);
            assert_eq!(buffer.len(), bytes / 4);
            assert!(buffer.iter().all(|v| v.to_bits() == 0));
            assert!(bytes == 0 || buffer.as_ptr().addr().is_multiple_of(ALIGN));
            buffer.fill(1.0);
            assert!(buffer.iter().all(|&v| v.to_bits() == 1f32.to_bits()));
        }
    }

    #[test]
    fn packed_weights_stand_where_the_tile_reads_them() {
        // Five outputs of three inputs, every second value of a longer row, two lanes, panels of at most two vectors.
        let values: Vec<f32> = (0..5 * 7).map(|i| i as f32).collect();
        let matrix = Matrix { weights: &values, output: 7, first: 1, input: 2 };
        let packed =
            Packed::<f32, f32>::new(3, Panels { lanes: 2, most: 2, preferred: 2 }, &matrix, &[0.5; 5]).unwrap();
        assert_eq!(
            packed.panels.iter().map(|p| (p.first, p.channels, p.vectors)).collect::<Vec<_>>(),
            [(0, 4, 2), (4, 1, 1)]
        );
        let row = |i: usize| 1.0 + 2.0 * i as f32;
        let mut expected = Vec::new();
        for i in 0..3 {
            expected.extend((0..4).map(|o| 7.0 * o as f32 + row(i)));
        }
        for i in 0..3 {
            expected.extend([28.0 + row(i), 0.0]);
        }
        assert_eq!(&packed.weights[..], expected);
        assert_eq!(&packed.bias[..], [0.5, 0.5, 0.5, 0.5, 0.5, 0.0]);
    }

    /// Contiguous inputs are transposed in blocks: numbers of outputs and inputs around and between the block sizes.
    #[test]
    fn every_number_of_inputs_and_outputs_is_packed_in_order() {
        let shapes = [(8, 2, 2), (4, 2, 2), (1, 4, 4), (4, 4, 3), (16, 3, 3)];
        for &(lanes, most, preferred) in if cfg!(miri) { &shapes[..1] } else { &shapes } {
            for c_out in [1, 3, 4, 5, 16, 17, 20, 71] {
                for k in [1, 3, 4, 7, 8] {
                    let first = 2;
                    let output = k + 5;
                    let values: Vec<f32> = (0..c_out * output).map(|i| i as f32 + 1.0).collect();
                    let matrix = Matrix { weights: &values, output, first, input: 1 };
                    let packed =
                        Packed::<f32, f32>::new(k, Panels { lanes, most, preferred }, &matrix, &vec![0.0; c_out])
                            .unwrap();
                    let mut expected = Vec::new();
                    for p in &packed.panels {
                        for i in 0..k {
                            let weight = |o: usize| {
                                if o < p.channels { values[(p.first + o) * output + first + i] } else { 0.0 }
                            };
                            expected.extend((0..p.vectors * lanes).map(weight));
                        }
                    }
                    assert_eq!(&packed.weights[..], expected, "{lanes} lanes, {k} inputs, {c_out} outputs");
                }
            }
        }
    }
}
