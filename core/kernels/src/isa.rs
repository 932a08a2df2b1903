//! The choice of an instruction set, as a value. The CPU's features are queried only through here.
//!
//! A kernel is one generic body over [`Simd`], marked `#[inline(always)]`; `isa_entry!` compiles it
//! once per instruction set. Dispatch, tests and benches go through the one
//! list of [`Isa::all`]: an instruction set that is not on it cannot run.

#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512, Sse2};
use crate::simd::{Scalar, Simd};

/// `fn name(arguments) = body;` defines an unsafe function `name(isa, arguments)` that runs the generic `body(token,
/// arguments)` compiled for each instruction set. The caller guarantees what the body requires; the token guarantees
/// the CPU.
macro_rules! isa_entry {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident;) => {
        $(#[$meta])*
        $vis unsafe fn $name(isa: $crate::isa::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2(simd: $crate::simd::Avx2, $($arg: $ty),*) {
                // SAFETY: the caller guarantees what the body requires.
                unsafe { $body(simd, $($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
            unsafe fn avx512(simd: $crate::simd::Avx512, $($arg: $ty),*) {
                // SAFETY: the caller guarantees what the body requires.
                unsafe { $body(simd, $($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            unsafe fn neon(simd: $crate::simd::Neon, $($arg: $ty),*) {
                // SAFETY: the caller guarantees what the body requires.
                unsafe { $body(simd, $($arg),*) }
            }
            // SAFETY: the token in `isa` proves that the CPU has the instruction set. Plain Rust and SSE2 need no
            // feature beyond the target's baseline.
            unsafe {
                match isa {
                    $crate::isa::Isa::Scalar(simd) => $body(simd, $($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Sse2(simd) => $body(simd, $($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx2(simd) => avx2(simd, $($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx512(simd) => avx512(simd, $($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    $crate::isa::Isa::Neon(simd) => neon(simd, $($arg),*),
                }
            }
        }
    };
}
pub(crate) use isa_entry;

/// An expression over the token in any [`Isa`].
macro_rules! with_token {
    ($isa:expr, $token:ident => $body:expr) => {
        match $isa {
            $crate::isa::Isa::Scalar($token) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Sse2($token) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Avx2($token) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Avx512($token) => $body,
            #[cfg(target_arch = "aarch64")]
            $crate::isa::Isa::Neon($token) => $body,
        }
    };
}
pub(crate) use with_token;

/// An instruction set that this CPU has; the token inside is the proof.
#[derive(Clone, Copy, Debug)]
pub enum Isa {
    /// Plain Rust.
    Scalar(Scalar),
    /// SSE2.
    #[cfg(target_arch = "x86_64")]
    Sse2(Sse2),
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// NEON.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

impl Isa {
    /// The instruction sets of this CPU, fastest first; the last is always [`Isa::Scalar`].
    pub fn all() -> Vec<Self> {
        [
            #[cfg(target_arch = "x86_64")]
            Avx512::new().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Avx2::new().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Sse2::new().map(Self::Sse2),
            #[cfg(target_arch = "aarch64")]
            Neon::new().map(Self::Neon),
            Scalar::new().map(Self::Scalar),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The fastest, chosen once per process.
    pub fn best() -> Self {
        static BEST: std::sync::LazyLock<Isa> = std::sync::LazyLock::new(|| Isa::all()[0]);
        *BEST
    }

    /// f32 per vector.
    pub fn lanes(self) -> usize {
        fn of<S: Simd>(_: S) -> usize {
            S::LANES
        }
        with_token!(self, token => of(token))
    }

    /// A name for logs and benches.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar(_) => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Sse2(_) => "sse2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
        }
    }
}
