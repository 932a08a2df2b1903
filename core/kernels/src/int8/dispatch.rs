//! The choice of the integer kernels' instruction set: the one list of tokens, by which a body is compiled and run.

use crate::isa::Isa;

#[cfg(target_arch = "x86_64")]
use super::avx512::Avx512Vnni;
#[cfg(target_arch = "aarch64")]
use super::neon::NeonDot;
use super::vector::Integers;

/// An expression over the token of integers in any [`Isa`].
macro_rules! with_integers {
    ($isa:expr, $token:ident => $body:expr) => {
        match $isa {
            $crate::isa::Isa::Scalar(_) => {
                let $token = $crate::int8::scalar::ScalarInt8;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Sse2(_) => {
                let $token = $crate::int8::scalar::ScalarInt8;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Avx2(simd) => {
                let $token = $crate::int8::avx2::Avx2Int8::of(simd);
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Avx512(simd) => match $crate::int8::avx512::Avx512Vnni::of(simd) {
                Some($token) => $body,
                None => {
                    let $token = $crate::int8::avx2::Avx2Int8::of_avx512(simd);
                    $body
                }
            },
            #[cfg(target_arch = "aarch64")]
            $crate::isa::Isa::Neon(simd) => {
                if let Some($token) = $crate::int8::neon::NeonMatrix::of(simd) {
                    $body
                } else if let Some($token) = $crate::int8::neon::NeonDot::of(simd) {
                    $body
                } else {
                    let $token = $crate::int8::neon::NeonBytes::of(simd);
                    $body
                }
            }
        }
    };
}
pub(super) use with_integers;

/// As `isa_entry!`, for a body over integers.
macro_rules! isa_entry_int8 {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident;) => {
        $(#[$meta])*
        $vis unsafe fn $name(isa: $crate::isa::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2(token: $crate::int8::avx2::Avx2Int8, $($arg: $ty),*) {
                // SAFETY: the caller guarantees what the body requires.
                unsafe { $body(token, $($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
            unsafe fn avx512(token: $crate::int8::avx512::Avx512Vnni, $($arg: $ty),*) {
                // SAFETY: the caller guarantees what the body requires.
                unsafe { $body(token, $($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon,dotprod,i8mm")]
            unsafe fn matrix(token: $crate::int8::neon::NeonMatrix, $($arg: $ty),*) {
                // SAFETY: the caller guarantees what the body requires.
                unsafe { $body(token, $($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon,dotprod")]
            unsafe fn dot(token: $crate::int8::neon::NeonDot, $($arg: $ty),*) {
                // SAFETY: the caller guarantees what the body requires.
                unsafe { $body(token, $($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            unsafe fn bytes(token: $crate::int8::neon::NeonBytes, $($arg: $ty),*) {
                // SAFETY: the caller guarantees what the body requires.
                unsafe { $body(token, $($arg),*) }
            }
            // SAFETY: the token in `isa` proves that the CPU has the instruction set. Plain Rust needs no feature beyond
            // the target's baseline.
            unsafe {
                match isa {
                    $crate::isa::Isa::Scalar(_) => $body($crate::int8::scalar::ScalarInt8, $($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Sse2(_) => $body($crate::int8::scalar::ScalarInt8, $($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx2(simd) => avx2($crate::int8::avx2::Avx2Int8::of(simd), $($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx512(simd) => match $crate::int8::avx512::Avx512Vnni::of(simd) {
                        Some(token) => avx512(token, $($arg),*),
                        None => avx2($crate::int8::avx2::Avx2Int8::of_avx512(simd), $($arg),*),
                    },
                    #[cfg(target_arch = "aarch64")]
                    $crate::isa::Isa::Neon(simd) => {
                        if let Some(token) = $crate::int8::neon::NeonMatrix::of(simd) {
                            matrix(token, $($arg),*)
                        } else if let Some(token) = $crate::int8::neon::NeonDot::of(simd) {
                            dot(token, $($arg),*)
                        } else {
                            bytes($crate::int8::neon::NeonBytes::of(simd), $($arg),*)
                        }
                    }
                }
            }
        }
    };
}
pub(super) use isa_entry_int8;

/// Whether maps hold signed bytes, 128 less than unsigned ones.
pub fn signed(isa: Isa) -> bool {
    fn of<S: Integers>(_: S) -> bool {
        S::SIGNED
    }
    with_integers!(isa, token => of(token))
}

/// Whether the CPU has a dot product of bytes; otherwise integers are no faster than f32.
pub fn multiplies(isa: Isa) -> bool {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(simd) => Avx512Vnni::of(simd).is_some(),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon(simd) => NeonDot::of(simd).is_some(),
        _ => false,
    }
}
