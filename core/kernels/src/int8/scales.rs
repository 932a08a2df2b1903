//! From a sum to a byte: a fixed-point multiplier per output channel, rounded as TensorFlow Lite rounds.

use crate::memory::OutOfMemory;
use crate::pack::Buffer;

/// Channels of a group.
pub const GROUP: usize = 16;

/// A positive real number as `mantissa * 2^(exponent - 31)`, the mantissa in `2^30..2^31` (or 0 for 0): how TensorFlow
/// Lite stores the ratio of two scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiplier {
    /// 31 bits.
    pub mantissa: i32,
    /// -31 to 30.
    pub exponent: i32,
}

impl Multiplier {
    /// The nearest; 0 below `2^-32`. `None` for what is not finite, negative, or above `2^30`.
    pub fn new(real: f64) -> Option<Self> {
        if !real.is_finite() || real < 0.0 {
            return None;
        }
        if real == 0.0 {
            return Some(Self { mantissa: 0, exponent: 0 });
        }
        // real = fraction * 2^exponent with the fraction in 0.5..1 (a subnormal number is below 2^-32 anyway).
        let bits = real.to_bits();
        let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
        let fraction = f64::from_bits((bits & !(0x7ff << 52)) | (1022 << 52));
        let mut mantissa = (fraction * f64::from(1u32 << 31)).round() as i64;
        if mantissa == 1 << 31 {
            mantissa /= 2;
            exponent += 1;
        }
        if exponent < -31 {
            return Some(Self { mantissa: 0, exponent: 0 });
        }
        (exponent <= 30).then_some(Self { mantissa: mantissa as i32, exponent })
    }

    /// `x` times the number, rounded as TensorFlow Lite does (its `MultiplyByQuantizedMultiplier` with two roundings): a
    /// high product rounded half up, then a shift rounded half away from zero. Where its left shift would overflow, `x`
    /// saturates.
    #[inline(always)]
    pub fn apply(self, x: i32) -> i32 {
        let left = self.exponent.max(0);
        let right = (-self.exponent).max(0);
        let most = i32::MAX >> left;
        let x = x.clamp(-most, most) << left;
        divide(high_product(x, self.mantissa), right)
    }
}

/// `a * b / 2^31`, rounded to nearest, ties upwards; never of two minima here, so that it fits.
#[inline(always)]
pub(super) fn high_product(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b) + (1 << 30)) >> 31) as i32
}

/// `x / 2^shift`, rounded to nearest, ties away from zero.
#[inline(always)]
pub(super) fn divide(x: i32, shift: i32) -> i32 {
    if shift == 0 {
        return x;
    }
    x.wrapping_add((1 << (shift - 1)) - i32::from(x < 0)) >> shift
}

/// The multipliers of a convolution's output channels, in the layout that kernels read: for each group of channels its
/// mantissas, its shifts to the right, and its shifts to the left.
#[derive(Debug)]
pub struct Scales {
    values: Buffer<i32>,
    /// Whether any number is 1 or more, so that a sum is shifted to the left first.
    pub(super) left: bool,
}

/// Values of a group.
pub(super) const SCALES: usize = 3 * GROUP;

impl Scales {
    /// Of as many channels as there are multipliers.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(channels: &[Multiplier]) -> Result<Self, OutOfMemory> {
        let mut values = Buffer::<i32>::try_zeroed(channels.len().div_ceil(GROUP) * SCALES, "scales")?;
        for (c, multiplier) in channels.iter().enumerate() {
            let at = c / GROUP * SCALES + c % GROUP;
            values[at] = multiplier.mantissa;
            values[at + GROUP] = (-multiplier.exponent).max(0);
            values[at + 2 * GROUP] = multiplier.exponent.max(0);
        }
        let left = channels.iter().any(|multiplier| multiplier.exponent > 0);
        Ok(Self { values, left })
    }

    /// All values, in the order of packing.
    pub(super) fn values(&self) -> &[i32] {
        &self.values
    }
}

/// What a convolution does to a rescaled sum: adds the output's zero point and clamps. In stored bytes (see
/// [`signed`](super::signed)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The output's zero point.
    pub zero: i32,
    /// Least output.
    pub low: i32,
    /// Greatest output.
    pub high: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that TensorFlow Lite's `QuantizeMultiplier` documents by its definition: mantissa 2^30 is one half.
    #[test]
    fn multipliers_are_mantissa_and_exponent() {
        let of = |real| Multiplier::new(real).map(|m| (m.mantissa, m.exponent));
        assert_eq!(of(0.5), Some((1 << 30, 0)));
        assert_eq!(of(1.0), Some((1 << 30, 1)));
        assert_eq!(of(0.25), Some((1 << 30, -1)));
        assert_eq!(of(0.75), Some((3 << 29, 0)));
        assert_eq!(of(1.0 - 1e-12), Some((1 << 30, 1)), "rounds up to the next power of two");
        assert_eq!(of(0.0), Some((0, 0)));
        assert_eq!(of(1e-12), Some((0, 0)));
        assert_eq!([of(f64::NAN), of(f64::INFINITY), of(-0.5), of(4e9)], [None; 4]);
        for real in [0.003_921_6, 0.017, 0.9, 1.7, 300.25] {
            let m = Multiplier::new(real).unwrap();
            let back = f64::from(m.mantissa) * f64::from(m.exponent - 31).exp2();
            assert!((back / real - 1.0).abs() < 1e-9, "{real}");
        }
    }

    /// Ties: the product rounds them up, the shift away from zero.
    #[test]
    fn rounding_is_that_of_tensorflow_lite() {
        let half = Multiplier::new(0.5).unwrap();
        assert_eq!([-3, -2, -1, 0, 1, 2, 3].map(|x| half.apply(x)), [-1, -1, 0, 0, 1, 1, 2]);
        let quarter = Multiplier::new(0.25).unwrap();
        // -6 / 2 = -3, / 2 = -1.5: -2. -5 / 2 = -2.5: -2, / 2: -1.
        assert_eq!([-6, -5, -2, 2, 5, 6].map(|x| quarter.apply(x)), [-2, -1, -1, 1, 2, 2]);
        let four = Multiplier::new(4.0).unwrap();
        assert_eq!([-3, 7].map(|x| four.apply(x)), [-12, 28]);
        assert_eq!(four.apply(i32::MAX), (1 << 30) - 4, "saturates instead of overflowing");
        assert_eq!(Multiplier::new(2f64.powi(-31)).unwrap().apply(1 << 30), 1, "half, away from zero");
    }

    #[test]
    fn scales_know_whether_they_shift_to_the_left() {
        let of = |reals: &[f64]| {
            Scales::new(&reals.iter().map(|&r| Multiplier::new(r).unwrap()).collect::<Vec<_>>()).unwrap()
        };
        assert!(!of(&[0.25; 17]).left);
        let mut reals = [0.25; 17];
        reals[16] = 1.5;
        let scales = of(&reals);
        assert!(scales.left);
        assert_eq!(scales.values().len(), 2 * SCALES);
        assert_eq!(scales.values()[SCALES..][..1], [3 << 29]);
        assert_eq!([scales.values()[GROUP], scales.values()[SCALES + 2 * GROUP]], [1, 1]);
    }
}
