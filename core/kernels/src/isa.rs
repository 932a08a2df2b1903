//! The choice of an instruction set, as a value. The CPU's features are queried only through here.
//!
//! A kernel is one generic body over [`Vector`], marked `#[inline(always)]`; `isa_entry!` (f32) and
//! `isa_entry_f16!` compile it once per instruction set. Dispatch, tests and benches go through the one
//! list of [`Isa::all`]: an instruction set that is not on it cannot run.

#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512, Sse2};
use crate::simd::{Scalar, Vector};

/// `fn name(arguments) = body;` defines an unsafe function `name(isa, arguments)` that runs the generic `body(token,
/// arguments)` compiled for each instruction set. The caller guarantees what the body requires; the token guarantees
/// the CPU.
macro_rules! isa_entry {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident;) => {
        $(#[$meta])*
        $vis unsafe fn $name(isa: $crate::isa::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
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

/// As `isa_entry!`, for a body over vectors of f16.
macro_rules! isa_entry_f16 {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident;) => {
        $(#[$meta])*
        $vis unsafe fn $name(isa: $crate::isa::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2(half: $crate::simd::half::Avx2F16, $($arg: $ty),*) {
                // SAFETY: the caller guarantees what the body requires.
                unsafe { $body(half, $($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
            unsafe fn avx512(half: $crate::simd::half::Avx512F16, $($arg: $ty),*) {
                // SAFETY: the caller guarantees what the body requires.
                unsafe { $body(half, $($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon,fp16")]
            unsafe fn neon(half: $crate::simd::half::NeonF16, $($arg: $ty),*) {
                // SAFETY: the caller guarantees what the body requires.
                unsafe { $body(half, $($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            unsafe fn neon_storage(half: $crate::simd::half::NeonF16Storage, $($arg: $ty),*) {
                // SAFETY: the caller guarantees what the body requires.
                unsafe { $body(half, $($arg),*) }
            }
            // SAFETY: the token in `isa` proves that the CPU has the instruction set. Plain Rust needs no feature beyond
            // the target's baseline.
            unsafe {
                match isa {
                    $crate::isa::Isa::Scalar(_) => $body($crate::simd::half::ScalarF16::ANY, $($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Sse2(_) => $body($crate::simd::half::ScalarF16::ANY, $($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx2(simd) => avx2($crate::simd::half::Avx2F16::of(simd), $($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx512(simd) => avx512($crate::simd::half::Avx512F16::of(simd), $($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    $crate::isa::Isa::Neon(simd) => match $crate::simd::half::NeonF16::of(simd) {
                        Some(half) => neon(half, $($arg),*),
                        None => neon_storage($crate::simd::half::NeonF16Storage::of(simd), $($arg),*),
                    },
                }
            }
        }
    };
}
pub(crate) use isa_entry_f16;

/// As `with_token!`, over the token of f16 vectors.
macro_rules! with_token_f16 {
    ($isa:expr, $token:ident => $body:expr) => {
        match $isa {
            $crate::isa::Isa::Scalar(_) => {
                let $token = $crate::simd::half::ScalarF16::ANY;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Sse2(_) => {
                let $token = $crate::simd::half::ScalarF16::ANY;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Avx2(simd) => {
                let $token = $crate::simd::half::Avx2F16::of(simd);
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Avx512(simd) => {
                let $token = $crate::simd::half::Avx512F16::of(simd);
                $body
            }
            #[cfg(target_arch = "aarch64")]
            $crate::isa::Isa::Neon(simd) => match $crate::simd::half::NeonF16::of(simd) {
                Some($token) => $body,
                None => {
                    let $token = $crate::simd::half::NeonF16Storage::of(simd);
                    $body
                }
            },
        }
    };
}
pub(crate) use with_token_f16;

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
        fn of<S: Vector>(_: S) -> usize {
            S::LANES
        }
        with_token!(self, token => of(token))
    }

    /// f16 per vector of the kernels that hold f16.
    pub fn lanes_f16(self) -> usize {
        fn of<S: Vector>(_: S) -> usize {
            S::LANES
        }
        with_token_f16!(self, token => of(token))
    }

    /// Whether it multiplies f16: twice as many in a vector as f32. Otherwise f16 is only how memory holds values, and
    /// arithmetic is f32.
    pub fn multiplies_f16(self) -> bool {
        match self {
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => simd.has_fp16(),
            _ => false,
        }
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
