//! One vector of f32 or f16, in every instruction set: the small set of operations that the kernels are written in.
//!
//! A kernel is written once, generic over [`Vector`] (any element) or [`Simd`] (f32 and bytes), marked
//! `#[inline(always)]`, and entered through one thin function per instruction set that carries `#[target_feature]`. A
//! value of a token type ([`Scalar`], `Sse2`, `Avx2`, `Avx512`, `Neon`; those of f16 in [`half`]) proves that the CPU has
//! the instruction set: only `new()`, which queries the CPU, can create it.
//!
//! Nothing here knows what a kernel does with the vectors: tile sizes and assembly belong to the kernels.

#![allow(clippy::missing_safety_doc, reason = "the contract is documented once, on the trait")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod half;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use scalar::Scalar;
#[cfg(target_arch = "x86_64")]
pub use sse2::Sse2;

use crate::element::Real;

/// Vectors of one element type in one instruction set.
///
/// The element is what memory holds; the CPU may compute in a wider type and round when it stores.
///
/// # Safety
/// Every method may only be called inside a function that carries the instruction set's `#[target_feature]` (or is
/// inlined into one), so that the intrinsics are inlined. Holding `Self` proves that the CPU has it. Pointers must be
/// valid for as many elements as the method reads or writes; they need no alignment beyond the element's.
pub unsafe trait Vector: Copy + Send + Sync + 'static {
    /// The element in memory.
    type E: Real;
    /// One vector.
    type F: Copy;
    /// Elements per vector.
    const LANES: usize;
    /// Vector registers.
    const REGISTERS: usize;
    /// Whether [`mul_add`](Self::mul_add) rounds once.
    const FUSED: bool;
    /// How many lanes of a vector can be the factor of a multiply-add ([`mul_add_lane`](Self::mul_add_lane) is then one
    /// instruction, and that many input channels of a pixel are read at once): all of them, or none.
    const BY_LANE: usize = 0;
    /// Reads `LANES` values.
    unsafe fn load(self, p: *const Self::E) -> Self::F;
    /// Reads `N` consecutive vectors.
    #[inline(always)]
    unsafe fn load_many<const N: usize>(self, p: *const Self::E) -> [Self::F; N] {
        // SAFETY: the trait's contract, for each vector.
        std::array::from_fn(|i| unsafe { self.load(p.add(i * Self::LANES)) })
    }
    /// Writes `LANES` values, each rounded to the nearest element.
    unsafe fn store(self, p: *mut Self::E, v: Self::F);
    /// All lanes `x`.
    unsafe fn splat(self, x: f32) -> Self::F;
    /// All lanes `*p`.
    #[inline(always)]
    unsafe fn load_splat(self, p: *const Self::E) -> Self::F {
        // SAFETY: the trait's contract.
        unsafe { self.splat((*p).to_f32()) }
    }
    /// `a + b`.
    unsafe fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    unsafe fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    unsafe fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where the CPU can.
    unsafe fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a * b[LANE] + c`; only where `LANE` is below [`BY_LANE`](Self::BY_LANE).
    #[inline(always)]
    unsafe fn mul_add_lane<const LANE: i32>(self, a: Self::F, _b: Self::F, _c: Self::F) -> Self::F {
        debug_assert!(false, "BY_LANE is 0");
        a
    }
    /// Adds the lanes to `LANES` sums.
    unsafe fn add_to_f32(self, sums: *mut f32, v: Self::F);
    /// Smaller of each lane.
    unsafe fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// Larger of each lane.
    unsafe fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// Prefetches a cache line without waiting for it, where the CPU has such a hint; the address need not be valid.
    #[inline(always)]
    unsafe fn prefetch(self, _p: *const u8) {}
}

/// f32 vectors, and what only images need: bytes, comparisons.
///
/// # Safety
/// As [`Vector`].
pub unsafe trait Simd: Vector<E = f32> {
    /// Elements per iteration of a loop that is left to the compiler to vectorise; 0: one by one.
    const LOOP: usize;
    /// Reads `LANES` bytes as f32 (0 to 255).
    unsafe fn load_u8(self, p: *const u8) -> Self::F;
    /// Reads `4 * LANES` bytes as f32.
    #[inline(always)]
    unsafe fn load_u8_four(self, p: *const u8) -> [Self::F; 4] {
        // SAFETY: the trait's contract, for each vector.
        std::array::from_fn(|i| unsafe { self.load_u8(p.add(i * Self::LANES)) })
    }
    /// Sums rows of bytes in integers where that takes fewer instructions: `o[i] = sum over t of weights[t] * p[t *
    /// row_stride + i]` for the first of `n` values; returns how many it computed.
    #[inline(always)]
    unsafe fn sum_bytes(self, _p: *const u8, _row_stride: usize, _weights: &[f32], _o: *mut f32, _n: usize) -> usize {
        0
    }
    /// In each lane `x` where `a > b`, else `y`.
    unsafe fn where_greater(self, a: Self::F, b: Self::F, x: Self::F, y: Self::F) -> Self::F;
}

/// `a * b + c` on one value, rounded as often as by [`Vector::mul_add`]: never through the slow library call.
#[inline(always)]
pub(crate) fn mul_add_one<S: Vector>(a: f32, b: f32, c: f32) -> f32 {
    if S::FUSED { a.mul_add(b, c) } else { a * b + c }
}
