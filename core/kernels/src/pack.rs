//! Memory for the kernels: 64-byte aligned f32 buffers, and weights packed in the order in which a kernel reads them.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of every buffer in bytes: a cache line, and the widest vector.
pub const ALIGN: usize = 64;

/// A fixed-size f32 buffer, aligned to 64 bytes, zeroed when made.
#[derive(Debug)]
pub struct Buffer {
    data: NonNull<f32>,
    len: usize,
}

// SAFETY: the buffer owns its memory; f32 can be sent and shared.
unsafe impl Send for Buffer {}
// SAFETY: as above; writing needs `&mut`.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` zeros.
    ///
    /// # Panics
    /// If `len` f32 are more than the address space; memory running out aborts, as for `Vec`.
    pub fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self { data: NonNull::dangling(), len };
        }
        let layout = Self::layout(len);
        // SAFETY: the layout's size is not zero.
        let p = unsafe { alloc_zeroed(layout) };
        #[allow(clippy::cast_ptr_alignment, reason = "the layout asks for ALIGN")]
        let Some(data) = NonNull::new(p.cast::<f32>()) else { handle_alloc_error(layout) };
        Self { data, len }
    }

    fn layout(len: usize) -> Layout {
        let bytes = len.checked_mul(size_of::<f32>()).expect("a buffer's bytes fit the address space");
        Layout::from_size_align(bytes, ALIGN).expect("a buffer's bytes fit the address space")
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: made by `alloc_zeroed` with the same layout.
            unsafe { dealloc(self.data.as_ptr().cast(), Self::layout(self.len)) }
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `len` initialised f32 (zeroed when made), borrowed as long as the buffer.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and `&mut self` is the only way to it.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
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
    /// Where its weights begin, in f32: `[k][vectors * lanes]`, zero where there is no channel.
    pub offset: usize,
}

/// Splits `channels` into panels of at most `max_vectors` vectors, as evenly as it goes.
pub fn panels(channels: usize, k: usize, lanes: usize, max_vectors: usize) -> Vec<Panel> {
    let vectors = channels.div_ceil(lanes);
    let count = vectors.div_ceil(max_vectors);
    let mut out = Vec::with_capacity(count);
    let (mut first, mut offset, mut left) = (0, 0, vectors);
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

/// Weights of a pointwise product (`k` inputs, `c_out` outputs), packed panel by panel, and their bias.
#[derive(Debug)]
pub struct Packed {
    pub(crate) weights: Buffer,
    pub(crate) bias: Buffer,
    pub(crate) panels: Vec<Panel>,
    pub(crate) k: usize,
    pub(crate) c_out: usize,
}

impl Packed {
    /// Packs `c_out` filters of `k` inputs: `filter(o, row)` writes the weights of output `o` into `row`.
    pub fn new(
        c_out: usize,
        k: usize,
        lanes: usize,
        max_vectors: usize,
        mut filter: impl FnMut(usize, &mut [f32]),
        bias: &[f32],
    ) -> Self {
        let panels = panels(c_out, k, lanes, max_vectors);
        let total = panels.iter().map(|p| k * p.vectors * lanes).sum();
        let mut weights = Buffer::zeroed(total);
        let mut row = vec![0.0; k];
        for p in &panels {
            let wide = p.vectors * lanes;
            let panel = &mut weights[p.offset..p.offset + k * wide];
            for o in 0..p.channels {
                filter(p.first + o, &mut row);
                for (to, from) in panel[o..].iter_mut().step_by(wide).zip(&row) {
                    *to = *from;
                }
            }
        }
        let mut b = Buffer::zeroed(c_out.next_multiple_of(lanes));
        b[..c_out].copy_from_slice(&bias[..c_out]);
        Self { weights, bias: b, panels, k, c_out }
    }

    /// Inputs of the product.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Outputs of the product.
    pub fn c_out(&self) -> usize {
        self.c_out
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        (self.weights.len() + self.bias.len()) * size_of::<f32>()
    }
}

/// Weights of a 3x3 depthwise convolution: `[9][channels rounded up to a vector]`, and their bias.
#[derive(Debug)]
pub struct PackedDepthwise {
    pub(crate) weights: Buffer,
    pub(crate) bias: Buffer,
    pub(crate) channels: usize,
    pub(crate) stride: usize,
}

impl PackedDepthwise {
    /// Packs `weight(c, tap)` (tap = 3 * row + column) and `bias(c)`.
    pub fn new(
        channels: usize,
        lanes: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Self {
        let stride = channels.next_multiple_of(lanes);
        let mut weights = Buffer::zeroed(9 * stride);
        let mut b = Buffer::zeroed(stride);
        for c in 0..channels {
            for t in 0..9 {
                weights[t * stride + c] = weight(c, t);
            }
            b[c] = bias(c);
        }
        Self { weights, bias: b, channels, stride }
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        (self.weights.len() + self.bias.len()) * size_of::<f32>()
    }
}
