//! The bytes of an edge: which values they can represent, and rounding to these.

use silhouette_weights::{ActivationElement, ActivationQuantisation};

/// Largest byte.
const MOST: f32 = 255.0;

/// 256 values, `scale` apart, of which the one at `zero` is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    pub(crate) scale: f32,
    pub(crate) zero: i32,
}

impl Grid {
    /// From the lowest to the highest value; 0 is always in between, and exact.
    pub(crate) fn new(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((f64::from(high) - f64::from(low)) / f64::from(MOST)) as f32;
        // A map of zeros: any scale will do.
        let scale = if scale.is_finite() && scale > f32::MIN_POSITIVE { scale } else { 1.0 / MOST };
        Self { scale, zero: (-low / scale).round().clamp(0.0, MOST) as i32 }
    }

    /// The byte of a value.
    #[inline]
    fn byte(self, value: f32) -> f32 {
        ((value / self.scale).round() + self.zero as f32).clamp(0.0, MOST)
    }

    /// The nearest value that a byte represents.
    #[inline]
    pub(crate) fn nearest(self, value: f32) -> f32 {
        (self.byte(value) - self.zero as f32) * self.scale
    }

    /// Rounds values to the nearest that bytes represent.
    pub(crate) fn round(self, values: &mut [f32]) {
        let zero = self.zero as f32;
        let (least, most) = (-zero, MOST - zero);
        let inverse = 1.0 / self.scale;
        for value in values {
            // Half away from zero, in instructions that every CPU has.
            let scaled = (*value * inverse).clamp(least, most);
            *value = (scaled + 0.5f32.copysign(scaled)) as i32 as f32 * self.scale;
        }
    }

    /// The bytes of values.
    pub(crate) fn bytes(self, values: &[f32]) -> Vec<u8> {
        values.iter().map(|&value| self.byte(value) as u8).collect()
    }

    /// The values of bytes.
    pub(crate) fn values(self, bytes: &[u8]) -> Vec<f32> {
        bytes.iter().map(|&byte| (f32::from(byte) - self.zero as f32) * self.scale).collect()
    }

    /// The lowest and the highest value.
    pub(crate) fn range(self) -> (f32, f32) {
        ((0 - self.zero) as f32 * self.scale, (MOST - self.zero as f32) * self.scale)
    }

    /// As in a model file.
    pub(crate) fn stored(self) -> ActivationQuantisation {
        ActivationQuantisation { element: ActivationElement::U8, scale: self.scale, zero_point: self.zero }
    }
}

impl From<ActivationQuantisation> for Grid {
    fn from(stored: ActivationQuantisation) -> Self {
        let offset = match stored.element {
            ActivationElement::U8 => 0,
            ActivationElement::I8 => 128,
        };
        Self { scale: stored.scale, zero: stored.zero_point + offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_exact_and_values_are_within_half_a_step() {
        for (low, high) in [(0.0, 6.0), (-1.0, 0.99), (-3.0, 0.0), (2.0, 3.0), (0.0, 0.0), (-1e-30, 1e30)] {
            let grid = Grid::new(low, high);
            assert_eq!(grid.nearest(0.0).to_bits() << 1, 0, "{grid:?}");
            assert!(grid.stored().check().is_ok());
            let (least, most) = grid.range();
            for i in 0..=1000 {
                let value = least + (most - least) * (i as f32 / 1000.0);
                let mut rounded = [value];
                grid.round(&mut rounded);
                assert!((rounded[0] - value).abs() <= 0.501 * grid.scale, "{value} {rounded:?} {grid:?}");
                assert!((rounded[0] - grid.values(&grid.bytes(&[value]))[0]).abs() <= 1.001 * grid.scale);
            }
            let mut outside = [f32::MAX, f32::MIN];
            grid.round(&mut outside);
            assert!((outside[0] - most).abs() < grid.scale && (outside[1] - least).abs() < grid.scale);
        }
    }
}
