//! NEON.
#![allow(clippy::undocumented_unsafe_blocks, reason = "each block relies on the trait's contract")]

use core::arch::aarch64::*;
use core::arch::asm;

use super::{Simd, Vector};

/// Adds eight products of 16 bits to their sums. Compilers first move the upper half down, which the instruction makes
/// unnecessary.
#[inline(always)]
fn add_products(low: &mut uint32x4_t, high: &mut uint32x4_t, a: uint16x8_t, b: uint16x8_t) {
    // SAFETY: NEON is part of every 64-bit ARM target; only registers are touched.
    unsafe {
        asm!(
            "umlal {low:v}.4s, {a:v}.4h, {b:v}.4h",
            "umlal2 {high:v}.4s, {a:v}.8h, {b:v}.8h",
            low = inout(vreg) *low,
            high = inout(vreg) *high,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
}

/// NEON: four f32, in every 64-bit ARM CPU.
#[derive(Clone, Copy, Debug)]
pub struct Neon {
    /// Whether the CPU also computes in f16 (`asimdhp`, ARMv8.2).
    fp16: bool,
}

impl Neon {
    /// The token; the aarch64 targets all have NEON, but it is checked nevertheless.
    pub fn new() -> Option<Self> {
        let fp16 = std::arch::is_aarch64_feature_detected!("fp16");
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self { fp16 })
    }

    /// Whether the CPU computes in f16.
    pub fn has_fp16(self) -> bool {
        self.fp16
    }
}

// SAFETY: a token exists only where the CPU has NEON.
unsafe impl Vector for Neon {
    type E = f32;
    type F = float32x4_t;
    const LANES: usize = 4;
    const REGISTERS: usize = 32;
    const FUSED: bool = true;
    const BY_LANE: usize = 4;
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: float32x4_t) {
        unsafe { vst1q_f32(p, v) }
    }
    #[inline(always)]
    unsafe fn splat(self, x: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    unsafe fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add_lane<const LANE: i32>(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe {
            match LANE {
                0 => vfmaq_laneq_f32::<0>(c, a, b),
                1 => vfmaq_laneq_f32::<1>(c, a, b),
                2 => vfmaq_laneq_f32::<2>(c, a, b),
                _ => vfmaq_laneq_f32::<3>(c, a, b),
            }
        }
    }
    #[inline(always)]
    unsafe fn add_to_f32(self, sums: *mut f32, v: float32x4_t) {
        unsafe { self.store(sums, self.add(self.load(sums), v)) }
    }
    #[inline(always)]
    unsafe fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vminq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmaxq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn prefetch(self, p: *const u8) {
        // SAFETY: prefetching never faults and changes no register or flag.
        unsafe { asm!("prfm pldl1keep, [{0}]", in(reg) p, options(nostack, preserves_flags, readonly)) }
    }
}

// SAFETY: a token exists only where the CPU has NEON.
unsafe impl Simd for Neon {
    const LOOP: usize = 8;
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> float32x4_t {
        unsafe {
            let word = p.cast::<u32>().read_unaligned();
            let wide = vmovl_u8(vcreate_u8(u64::from(word)));
            vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)))
        }
    }
    #[inline(always)]
    unsafe fn load_u8_four(self, p: *const u8) -> [float32x4_t; 4] {
        // One table look-up widens four bytes: an index out of range yields zero.
        const WIDEN: [[u8; 16]; 4] = {
            let mut index = [[255; 16]; 4];
            let mut i = 0;
            while i < 16 {
                index[i / 4][i % 4 * 4] = i as u8;
                i += 1;
            }
            index
        };
        // SAFETY: sixteen bytes, as the caller guarantees; the indices are sixteen bytes each.
        unsafe {
            let bytes = vld1q_u8(p);
            WIDEN
                .each_ref()
                .map(|index| vcvtq_f32_u32(vreinterpretq_u32_u8(vqtbl1q_u8(bytes, vld1q_u8(index.as_ptr())))))
        }
    }
    #[inline(always)]
    unsafe fn sum_bytes(self, p: *const u8, row_stride: usize, weights: &[f32], o: *mut f32, n: usize) -> usize {
        const STEP: usize = 64;
        const MOST: usize = 64;
        // A product of 16 bits costs half as much as widening a byte to f32. Weights are integer multiples of 2^-15, so
        // that a sum with any bytes fits; the rounding error of the weights' sum is added to the heaviest, so that
        // uniform areas stay uniform.
        let mut parts = [0u16; MOST];
        if n < STEP || weights.len() > MOST || weights.iter().any(|w| !(0.0..=1.0).contains(w)) {
            return 0;
        }
        let mut left = 32768;
        let mut whole = 0.0;
        let mut heaviest = 0;
        for (t, (part, &w)) in parts.iter_mut().zip(weights).enumerate() {
            *part = (w * 32768.0 + 0.5) as u16;
            (left, whole) = (left - i32::from(*part), whole + w);
            if w > weights[heaviest] {
                heaviest = t;
            }
        }
        if (whole - 1.0).abs() > 1e-5 {
            return 0;
        }
        parts[heaviest] = (i32::from(parts[heaviest]) + left) as u16;
        let mut i = 0;
        // SAFETY: values i..i + STEP of each row and of `o`, guaranteed by the caller.
        unsafe {
            while i + STEP <= n {
                let mut sums = [[vdupq_n_u32(0); 4]; 4];
                for (t, &part) in parts[..weights.len()].iter().enumerate() {
                    let part = vdupq_n_u16(part);
                    let uint8x16x4_t(a, b, c, d) = vld1q_u8_x4(p.add(t * row_stride + i));
                    for ([s0, s1, s2, s3], bytes) in sums.iter_mut().zip([a, b, c, d]) {
                        let low = vmovl_u8(vget_low_u8(bytes));
                        let high = vmovl_high_u8(bytes);
                        add_products(s0, s1, low, part);
                        add_products(s2, s3, high, part);
                    }
                }
                for (v, &sum) in sums.as_flattened().iter().enumerate() {
                    vst1q_f32(o.add(i + 4 * v), vcvtq_n_f32_u32::<15>(sum));
                }
                i += STEP;
            }
        }
        i
    }
    #[inline(always)]
    unsafe fn where_greater(self, a: float32x4_t, b: float32x4_t, x: float32x4_t, y: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vcgtq_f32(a, b), x, y) }
    }
}
