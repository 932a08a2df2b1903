//! One f32 at a time: the reference, and the fallback for CPUs without an implementation of their own.

use super::{Simd, Vector};

/// One f32 at a time: the reference, on every CPU.
#[derive(Clone, Copy, Debug)]
pub struct Scalar(());

impl Scalar {
    /// The token, which proves nothing.
    pub(super) const ANY: Self = Self(());

    /// Always available.
    #[allow(clippy::unnecessary_wraps, reason = "the same signature for every instruction set")]
    pub fn new() -> Option<Self> {
        Some(Self(()))
    }
}

// SAFETY: plain Rust on one value; it needs no CPU feature. Pointers: the trait's contract, upheld by the caller.
#[allow(clippy::undocumented_unsafe_blocks, reason = "each block relies on the trait's contract for its pointer")]
unsafe impl Vector for Scalar {
    type E = f32;
    type F = f32;
    const LANES: usize = 1;
    const REGISTERS: usize = 16;
    const FUSED: bool = false;
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> f32 {
        unsafe { *p }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: f32) {
        unsafe { *p = v }
    }
    #[inline(always)]
    unsafe fn splat(self, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    unsafe fn add(self, a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    unsafe fn sub(self, a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    unsafe fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
    #[inline(always)]
    unsafe fn add_to_f32(self, sums: *mut f32, v: f32) {
        unsafe { self.store(sums, self.add(self.load(sums), v)) }
    }
    #[inline(always)]
    unsafe fn min(self, a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
    #[inline(always)]
    unsafe fn max(self, a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
}

// SAFETY: plain Rust on one value; it needs no CPU feature. Pointers: the trait's contract, upheld by the caller.
#[allow(clippy::undocumented_unsafe_blocks, reason = "each block relies on the trait's contract for its pointer")]
unsafe impl Simd for Scalar {
    const LOOP: usize = 0;
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> f32 {
        f32::from(unsafe { *p })
    }
    #[inline(always)]
    unsafe fn where_greater(self, a: f32, b: f32, x: f32, y: f32) -> f32 {
        if a > b { x } else { y }
    }
}
