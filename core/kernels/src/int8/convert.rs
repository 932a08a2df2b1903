//! Between f32 and bytes, and sums of a row's pixels.

use crate::element::Quantization;
use crate::isa::Isa;
use crate::pointer::Pointer;

use super::dispatch::isa_entry_int8;
use super::scales::GROUP;
use super::vector::Integers;

/// The bytes nearest to `values`, ties to even: `quantization` is that of stored bytes. NaN becomes the zero point.
///
/// # Panics
/// If the slices differ in length.
pub fn quantise(isa: Isa, quantization: Quantization, values: &[f32], out: &mut [u8]) {
    assert_eq!(values.len(), out.len(), "a byte for each value");
    // SAFETY: the slices are as long as their lengths say.
    unsafe { quantise_entry(isa, quantization, values, out) }
}

isa_entry_int8! {
    /// # Safety
    /// None beyond the token's.
    fn quantise_entry(quantization: Quantization, values: &[f32], out: &mut [u8]) = quantise_body;
}

/// # Safety
/// The contract of [`Integers`] holds for `s`; the slices are equally long.
#[inline(always)]
unsafe fn quantise_body<S: Integers>(s: S, quantization: Quantization, values: &[f32], out: &mut [u8]) {
    let (low, high) = if S::SIGNED { (-128, 127) } else { (0, 255) };
    let factor = 1.0 / quantization.scale;
    // SAFETY: the caller's promise; sixteen at a time, the last ones through a copy.
    unsafe {
        let zero = s.splat(quantization.zero_point);
        let (low, high) = (s.splat(low), s.splat(high));
        let mut sixteen = [0.0; GROUP];
        let mut bytes = [0; GROUP];
        for (values, out) in values.chunks(GROUP).zip(out.chunks_mut(GROUP)) {
            if let (Ok(values), Ok(out)) = (<&[f32; GROUP]>::try_from(values), <&mut [u8; GROUP]>::try_from(&mut *out))
            {
                s.store(out.as_mut_ptr(), s.load_f32(values.as_ptr(), factor), zero, low, high);
                continue;
            }
            sixteen[..values.len()].copy_from_slice(values);
            s.store(bytes.as_mut_ptr(), s.load_f32(sixteen.as_ptr(), factor), zero, low, high);
            out.copy_from_slice(&bytes[..out.len()]);
        }
    }
}

/// The values of a row's pixels, channels last: pixel `x`, channel `c` at `out[x * channels + c]`.
///
/// # Safety
/// The row holds `width` pixels of each group, `group` bytes apart; `out` holds `width * channels` values.
pub unsafe fn dequantise(
    isa: Isa,
    quantization: Quantization,
    row: Pointer<u8>,
    group: usize,
    width: usize,
    channels: usize,
    out: Pointer,
) {
    // SAFETY: the caller's promise.
    unsafe { dequantise_entry(isa, quantization, row, group, width, channels, out) }
}

isa_entry_int8! {
    /// # Safety
    /// As [`dequantise`].
    fn dequantise_entry(
        quantization: Quantization, row: Pointer<u8>, group: usize, width: usize, channels: usize, out: Pointer,
    ) = dequantise_body;
}

/// # Safety
/// As [`dequantise`]; the contract of [`Integers`] holds for `s`.
#[inline(always)]
unsafe fn dequantise_body<S: Integers>(
    s: S,
    quantization: Quantization,
    row: Pointer<u8>,
    group: usize,
    width: usize,
    channels: usize,
    out: Pointer,
) {
    let mut values = [0.0f32; GROUP];
    // SAFETY: the caller's promise.
    unsafe {
        for x in 0..width {
            for g in 0..channels.div_ceil(GROUP) {
                let sums = s.widen(row.add(g * group + x * GROUP).to(GROUP));
                let n = GROUP.min(channels - g * GROUP);
                let to = out.add(x * channels + g * GROUP).to(n);
                s.store_f32(values.as_mut_ptr(), sums, quantization.zero_point, quantization.scale);
                std::ptr::copy_nonoverlapping(values.as_ptr(), to, n);
            }
        }
    }
}

/// Adds to `sums` (`groups` times sixteen) the bytes of each of a row's pixels.
///
/// # Safety
/// The row holds `width` pixels of each group, `group` bytes apart; `sums` holds its values; they do not overlap.
pub unsafe fn sum_pixels(isa: Isa, row: Pointer<u8>, group: usize, groups: usize, width: usize, sums: Pointer<i32>) {
    // SAFETY: the caller's promise.
    unsafe { sum_entry(isa, row, group, groups, width, sums) }
}

isa_entry_int8! {
    /// # Safety
    /// As [`sum_pixels`].
    fn sum_entry(row: Pointer<u8>, group: usize, groups: usize, width: usize, sums: Pointer<i32>) = sum_body;
}

/// # Safety
/// As [`sum_pixels`]; the contract of [`Integers`] holds for `s`.
#[inline(always)]
unsafe fn sum_body<S: Integers>(s: S, row: Pointer<u8>, group: usize, groups: usize, width: usize, sums: Pointer<i32>) {
    // SAFETY: the caller's promise.
    unsafe {
        for g in 0..groups {
            let pixels = row.add(g * group).to(width * GROUP).cast_const();
            let to = sums.add(g * GROUP).to(GROUP);
            let mut sum = s.load(to);
            for x in 0..width {
                sum = s.add(sum, s.widen(pixels.add(x * GROUP)));
            }
            s.store_sums(to, sum);
        }
    }
}
