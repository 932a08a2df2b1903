//! The pointwise kernel's tiles in each instruction set: their sizes, and which are in assembly.
#![allow(clippy::inline_always, reason = "bodies must be inlined into the functions that carry the target features")]

use crate::isa::{Isa, with_token, with_token_f16};
use crate::pack::Panels;
#[cfg(target_arch = "aarch64")]
use crate::simd::half::NeonF16Storage;
use crate::simd::half::ScalarF16;
#[cfg(target_arch = "x86_64")]
use crate::simd::half::{Avx2F16, Avx512F16};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512, Sse2};
use crate::simd::{Scalar, Vector};

/// Tiles of an instruction set: pixels by vectors of output channels, all of whose sums stay in registers.
///
/// # Safety
/// As [`Vector`].
pub(crate) unsafe trait PointwiseTiles: Vector {
    /// Vectors of output channels in the widest tile.
    const VECTORS: usize;
    /// Vectors in the tile that loads least per multiply-add: channels are split into such tiles if that divides
    /// evenly.
    const PREFERRED: usize = Self::VECTORS;
    /// Pixels in a full tile, by the vectors of output channels in it: together they fill the registers.
    const PIXELS: [usize; 5];
    /// Pixels of the largest compiled tile. All larger ones are in assembly, whatever their vectors; a product that they do
    /// not compute gets no larger ones. (Compiling all of them takes minutes.)
    const COMPILED: usize = 8;
    /// Whether there are tiles in assembly; a vector is sixteen bytes there.
    const MICRO_KERNEL: bool = false;
    /// Groups of input channels per iteration of that assembly.
    const UNROLL: usize = 1;
    /// Computes whole tiles of `M` pixels by `V` vectors in assembly, where that takes fewer instructions than compiled
    /// code; returns false if there is no such code.
    ///
    /// # Safety
    /// `tiles`' pointers are valid as documented on its fields.
    #[inline(always)]
    unsafe fn micro_kernel<const M: usize, const V: usize>(self, _tiles: &MicroTiles<Self::E>) -> bool {
        false
    }
}

// SAFETY: constants only.
unsafe impl PointwiseTiles for Scalar {
    const VECTORS: usize = 4;
    const PIXELS: [usize; 5] = [0, 2, 2, 2, 2];
}

// SAFETY: constants only.
#[cfg(target_arch = "x86_64")]
unsafe impl PointwiseTiles for Sse2 {
    const VECTORS: usize = 2;
    const PIXELS: [usize; 5] = [0, 6, 6, 0, 0];
}

// SAFETY: constants only.
#[cfg(target_arch = "x86_64")]
unsafe impl PointwiseTiles for Avx2 {
    const VECTORS: usize = 2;
    const PIXELS: [usize; 5] = [0, 6, 6, 0, 0];
}

// SAFETY: constants only.
#[cfg(target_arch = "x86_64")]
unsafe impl PointwiseTiles for Avx512 {
    const VECTORS: usize = 3;
    const PIXELS: [usize; 5] = [0, 8, 8, 8, 0];
}

// SAFETY: constants only.
unsafe impl PointwiseTiles for ScalarF16 {
    const VECTORS: usize = 4;
    const PIXELS: [usize; 5] = [0, 2, 2, 2, 2];
}

// SAFETY: constants only.
#[cfg(target_arch = "x86_64")]
unsafe impl PointwiseTiles for Avx2F16 {
    const VECTORS: usize = 2;
    const PIXELS: [usize; 5] = [0, 6, 6, 0, 0];
}

// SAFETY: constants only.
#[cfg(target_arch = "x86_64")]
unsafe impl PointwiseTiles for Avx512F16 {
    const VECTORS: usize = 3;
    const PIXELS: [usize; 5] = [0, 8, 8, 8, 0];
}

// SAFETY: constants only.
#[cfg(target_arch = "aarch64")]
unsafe impl PointwiseTiles for NeonF16Storage {
    const VECTORS: usize = 2;
    const PIXELS: [usize; 5] = [0, 6, 6, 0, 0];
}

fn panels_of<S: PointwiseTiles>(_: S) -> Panels {
    Panels { lanes: S::LANES, most: S::VECTORS, preferred: S::PREFERRED }
}

/// How the tiles of an instruction set need their weights.
pub(super) fn panels(isa: Isa) -> Panels {
    with_token!(isa, token => panels_of(token))
}

/// The same for tiles of f16.
pub(super) fn panels_f16(isa: Isa) -> Panels {
    with_token_f16!(isa, token => panels_of(token))
}

/// Adjacent tiles of the pointwise kernel in a row, whose input channels are whole vectors: each `M` pixels by `V`
/// vectors of output channels. Pixels of a group of channels are contiguous; distances are in elements.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_arch = "aarch64"), allow(dead_code, reason = "only assembly reads them"))]
pub(crate) struct MicroTiles<E> {
    /// Input channels: the first of `M` pixels of the first of `UNROLL * turns + rest` groups.
    pub(crate) a: *const E,
    /// Distance from one group of input channels to the next.
    pub(crate) a_group: usize,
    /// Groups of input channels, [`UNROLL`](PointwiseTiles::UNROLL) at a time.
    pub(crate) turns: usize,
    /// Remaining groups.
    pub(crate) rest: usize,
    /// Weights: `V` vectors for each input channel.
    pub(crate) w: *const E,
    /// Initial sums: `M` vectors in each of `V` groups.
    pub(crate) init: *const E,
    /// Distance from one of these groups to the next.
    pub(crate) init_group: usize,
    /// Distance from a group's first vector to its fifth: 4 vectors, or 0.
    pub(crate) init_more: usize,
    /// Distance from one tile's sums to the next one's: `M` vectors, or 0.
    pub(crate) init_tile: usize,
    /// Least and greatest output; null: no bounds.
    pub(crate) clamp: *const [E; 2],
    /// Added after the clamp: `M` vectors in each of `V` groups; null: nothing.
    pub(crate) residual: *const E,
    /// Distance from one of these groups to the next.
    pub(crate) residual_group: usize,
    /// Output channels: `M` vectors in each of `V` groups.
    pub(crate) c: *mut E,
    /// Distance from one group of output channels to the next.
    pub(crate) c_group: usize,
    /// Number of tiles, at least one.
    pub(crate) tiles: usize,
}
