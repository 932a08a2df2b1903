//! Kernels of eight-bit integers: bytes in, 32-bit sums, bytes out. Every map has one scale and zero point, every output
//! channel of a convolution a scale of its own.
//!
//! `value = scale * (q - zero_point)`, so a product of `k` inputs is
//! `scale_a * scale_w * (sum a * w - zero_w * sum a - zero_a * sum w + k * zero_a * zero_w)`. The last two terms are constant
//! and part of the bias; the second exists only for weights whose zero point is not 0 (old files), and needs the sum of
//! each pixel's inputs. A sum becomes a byte of the output by one multiplication and a shift ([`Scales`]), rounded
//! exactly as TensorFlow Lite does, so that its files give its own results.
//!
//! Maps are blocked rows of [`GROUP`] channels in every instruction set. Their bytes are unsigned, or signed where the
//! dot product multiplies only signed bytes ([`signed`]): then a stored byte is 128 less, and so is its zero point.

mod add;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod convert;
mod depthwise;
mod dispatch;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod pointwise;
mod scalar;
mod scales;
#[cfg(test)]
mod tests;
mod vector;

pub use add::{AddScales, add, rescale};
pub use convert::{dequantise, quantise, sum_pixels};
pub use depthwise::Row;
pub use dispatch::{multiplies, signed};
pub use pack::{Filter, Inputs, PackedDepthwise, PackedPointwise, TooLarge};
pub use pointwise::{Job, Source};
pub use scales::{Bounds, GROUP, Multiplier, Scales};
pub use vector::SLACK;

use crate::isa::Isa;

/// Runs a pointwise product.
///
/// # Safety
/// All pointers of `job` are valid for the pixels, rows and channels that it names (channels rounded up to a group), and
/// a pixel's inputs of [`Source::Runs`] for [`SLACK`] bytes; outputs and inputs do not overlap. The weights were packed for this
/// instruction set.
pub unsafe fn pointwise(isa: Isa, job: &Job<'_>) {
    // SAFETY: the caller's promise.
    unsafe { pointwise::entry(isa, job) }
}

/// Computes a row of a 3x3 depthwise convolution.
///
/// # Safety
/// The three rows hold `(width - 1) * stride + 2 * rate + 1` pixels of each group of channels, `d` holds `width`; they do
/// not overlap. The weights were packed for this instruction set.
pub unsafe fn depthwise(isa: Isa, row: &Row<'_>) {
    // SAFETY: the caller's promise.
    unsafe { depthwise::entry(isa, row) }
}
