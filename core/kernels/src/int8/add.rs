//! The sum of two maps of bytes with scales of their own, and a map's bytes at another scale.

use crate::isa::Isa;
use crate::pointer::Pointer;

use super::dispatch::isa_entry_int8;
use super::scales::{Bounds, GROUP, Multiplier};
use super::vector::Integers;

/// How two maps are added: both are brought to a common scale with 20 more bits, and their sum to the output's scale, as
/// TensorFlow Lite does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddScales {
    /// Each input's zero point (of stored bytes).
    pub zeros: [i32; 2],
    /// Each input's factor to the common scale, at most one half.
    pub inputs: [Multiplier; 2],
    /// The sum's factor, below 1.
    pub output: Multiplier,
    /// What the outputs are.
    pub bounds: Bounds,
}

/// Bits by which inputs are shifted to the left.
const BITS: u32 = 20;

impl AddScales {
    /// From scales and zero points (of stored bytes) of both inputs and the output. `None` if the output's scale is so small
    /// that the sum's factor is 1 or more.
    pub fn new(scales: [f32; 2], zeros: [i32; 2], output: f32, bounds: Bounds) -> Option<Self> {
        let twice = 2.0 * f64::from(scales[0]).max(f64::from(scales[1]));
        let inputs = [Multiplier::new(f64::from(scales[0]) / twice)?, Multiplier::new(f64::from(scales[1]) / twice)?];
        let output = Multiplier::new(twice / (f64::from(1u32 << BITS) * f64::from(output)))?;
        (output.exponent <= 0).then_some(Self { zeros, inputs, output, bounds })
    }
}

/// `out[i] = a[i] + b[i]` for `vectors` times sixteen bytes.
///
/// # Safety
/// Each slice holds that many bytes; `out` is a separate slice or exactly `a`.
pub unsafe fn add(isa: Isa, scales: &AddScales, a: Pointer<u8>, b: Pointer<u8>, vectors: usize, out: Pointer<u8>) {
    // SAFETY: the caller's promise.
    unsafe { entry(isa, scales, a, b, vectors, out) }
}

isa_entry_int8! {
    /// # Safety
    /// As [`add`].
    fn entry(scales: &AddScales, a: Pointer<u8>, b: Pointer<u8>, vectors: usize, out: Pointer<u8>) = body;
}

/// # Safety
/// As [`add`]; the contract of [`Integers`] holds for `s`.
#[inline(always)]
unsafe fn body<S: Integers>(
    s: S,
    scales: &AddScales,
    a: Pointer<u8>,
    b: Pointer<u8>,
    vectors: usize,
    out: Pointer<u8>,
) {
    let scales = { *scales };
    let len = vectors * GROUP;
    let (a, b, out) = (a.to(len).cast_const(), b.to(len).cast_const(), out.to(len));
    // SAFETY: the caller's promise.
    unsafe {
        let right = |m: Multiplier| s.splat(-m.exponent);
        let mantissa = |m: Multiplier| s.splat(m.mantissa);
        let zero = scales.zeros.map(|zero| s.splat(-zero));
        let factor = scales.inputs.map(|m| (mantissa(m), right(m)));
        let output = (mantissa(scales.output), right(scales.output));
        let bounds = [scales.bounds.zero, scales.bounds.low, scales.bounds.high].map(|v| s.splat(v));
        for at in (0..len).step_by(GROUP) {
            let wide = |p: *const u8, zero| s.shift_left::<BITS>(s.add(s.widen(p.add(at)), zero));
            let a = s.scale(wide(a, zero[0]), factor[0].0, factor[0].1, true);
            let b = s.scale(wide(b, zero[1]), factor[1].0, factor[1].1, true);
            let sum = s.scale(s.add(a, b), output.0, output.1, true);
            s.store(out.add(at), sum, bounds[0], bounds[1], bounds[2]);
        }
    }
}

/// `out[i] = table[a[i]]`: bytes at another scale.
///
/// # Safety
/// Both slices hold `len` bytes, and do not overlap.
pub unsafe fn rescale(table: &[u8; 256], a: Pointer<u8>, out: Pointer<u8>, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let (a, out) = (a.to(len), out.to(len));
        for i in 0..len {
            *out.add(i) = table[usize::from(*a.add(i))];
        }
    }
}
