//! The one list of kernel sets. Dispatch takes the first that the CPU has; tests and benches go through all of them.
//! A kernel that is not on this list cannot run, and nowhere else is the CPU asked what it can do.

use crate::depthwise::{self, Row};
use crate::isa::Isa;
use crate::pointwise::{self, Job};
use crate::simd::{Scalar, Simd};

/// The f32 kernels of one instruction set.
#[derive(Clone, Copy)]
pub struct Kernels {
    /// `avx512`, `avx2`, `neon` or `scalar`.
    pub name: &'static str,
    /// The token with which the picture kernels (`resize`, `yuv`, `upsample`) are called.
    pub isa: Isa,
    /// f32 per vector.
    pub lanes: usize,
    /// Vectors of output channels in the widest panel.
    pub max_vectors: usize,
    pointwise: unsafe fn(&Job<'_>),
    depthwise: unsafe fn(&Row<'_>),
    peak: unsafe fn(u32) -> f32,
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Kernels {
    /// # Safety
    /// As [`pointwise::run`].
    #[inline]
    pub(crate) unsafe fn pointwise(&self, job: &Job<'_>) {
        // SAFETY: this set is on the list because the CPU has its instructions; the rest is the caller's promise.
        unsafe { (self.pointwise)(job) }
    }

    /// # Safety
    /// As [`depthwise::run`].
    #[inline]
    pub(crate) unsafe fn depthwise(&self, row: &Row<'_>) {
        // SAFETY: as above.
        unsafe { (self.depthwise)(row) }
    }

    /// Runs `rounds` x 24 independent vector multiply-adds out of registers and returns a sum of them: what the core can
    /// do at most. `24 * 2 * lanes * rounds` operations.
    pub fn peak(&self, rounds: u32) -> f32 {
        // SAFETY: as above; touches no memory.
        unsafe { (self.peak)(rounds) }
    }
}

/// See [`Kernels::peak`].
///
/// # Safety
/// As [`Simd`] says.
#[inline(always)]
unsafe fn peak<S: Simd>(s: S, rounds: u32) -> f32 {
    // Few enough for sixteen registers, many enough to hide the latency.
    const CHAINS: usize = 12;
    // SAFETY: the caller's promise; the array holds one vector.
    unsafe {
        let (a, b) = (s.splat(0.999_9), s.splat(1e-6));
        let mut acc = [s.splat(1.0); CHAINS];
        for _ in 0..rounds {
            for _ in 0..24 / CHAINS {
                for x in &mut acc {
                    *x = s.mul_add(*x, a, b);
                }
            }
        }
        let mut sum = acc[0];
        for x in &acc[1..] {
            sum = s.add(sum, *x);
        }
        let mut out = [0.0f32; 16];
        s.store(out.as_mut_ptr(), sum);
        out[0]
    }
}

/// The thin entries of one instruction set: everything generic is inlined into them and so compiled for it.
macro_rules! entries {
    ($module:ident, $variant:ident, $token:ty, $name:literal $(, $feature:literal)?) => {
        mod $module {
            use super::*;
            /// # Safety
            /// The CPU has the instruction set; the rest as [`pointwise::run`].
            $(#[target_feature(enable = $feature)])?
            unsafe fn pointwise_entry(job: &Job<'_>) {
                // SAFETY: the caller's promise.
                unsafe { pointwise::run(<$token>::assume(), job) }
            }
            /// # Safety
            /// The CPU has the instruction set; the rest as [`depthwise::run`].
            $(#[target_feature(enable = $feature)])?
            unsafe fn depthwise_entry(row: &Row<'_>) {
                // SAFETY: the caller's promise.
                unsafe { depthwise::run(<$token>::assume(), row) }
            }
            /// # Safety
            /// The CPU has the instruction set.
            $(#[target_feature(enable = $feature)])?
            unsafe fn peak_entry(rounds: u32) -> f32 {
                // SAFETY: the caller's promise.
                unsafe { peak(<$token>::assume(), rounds) }
            }
            pub(super) fn kernels() -> Option<Kernels> {
                <$token>::new().map(|token| Kernels {
                    name: $name,
                    isa: Isa::$variant(token),
                    lanes: <$token as Simd>::LANES,
                    max_vectors: <$token as Simd>::VECTORS,
                    pointwise: pointwise_entry,
                    depthwise: depthwise_entry,
                    peak: peak_entry,
                })
            }
        }
    };
}

entries!(scalar, Scalar, Scalar, "scalar");
#[cfg(target_arch = "x86_64")]
entries!(avx2, Avx2, crate::simd::Avx2, "avx2", "avx2,fma");
#[cfg(target_arch = "x86_64")]
entries!(avx512, Avx512, crate::simd::Avx512, "avx512", "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");
#[cfg(target_arch = "aarch64")]
entries!(neon, Neon, crate::simd::Neon, "neon", "neon");

/// Every kernel set that this CPU can run, the fastest first.
pub fn available() -> Vec<Kernels> {
    [
        #[cfg(target_arch = "x86_64")]
        avx512::kernels(),
        #[cfg(target_arch = "x86_64")]
        avx2::kernels(),
        #[cfg(target_arch = "aarch64")]
        neon::kernels(),
        scalar::kernels(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The fastest kernel set that this CPU can run.
pub fn best() -> Kernels {
    available()[0]
}
