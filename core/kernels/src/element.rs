//! The element types of buffers, weights and input rows, and what their integers represent.

pub use half::f16;
use half::slice::HalfFloatSliceExt as _;

use crate::memory::{OutOfMemory, filled};

/// An element type, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// Eight bits, 0 to 255.
    U8,
    /// Eight bits, -128 to 127.
    I8,
    /// Thirty-two bits: sums of eight-bit products, and their initial values.
    I32,
}

impl std::fmt::Display for DataType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::I32 => "i32",
        })
    }
}

/// What buffers hold and kernels compute with.
///
/// # Safety
/// Every bit pattern is a valid value, including zero; there is no padding; the alignment is at most
/// [`ALIGN`](crate::pack::ALIGN).
pub unsafe trait Element:
    sealed::Sealed + Copy + Default + PartialEq + std::fmt::Debug + Send + Sync + 'static
{
    /// The type as a value.
    const TYPE: DataType;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($element:ty, $kind:ident;)+) => {
        $(
            impl sealed::Sealed for $element {}
            // SAFETY: a number of one, two or four bytes.
            unsafe impl Element for $element {
                const TYPE: DataType = DataType::$kind;
            }
        )+
    };
}
elements! {
    f32, F32;
    f16, F16;
    u8, U8;
    i8, I8;
    i32, I32;
}

/// A floating-point element: weights come as f32 and are rounded to it.
pub trait Real: Element {
    /// The nearest element, ties to even.
    fn from_f32(value: f32) -> Self;
    /// Exact.
    fn to_f32(self) -> f32;
    /// Whether it is neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// The nearest bound of an activation that is finite in this type: what overflows saturates, so that no infinity reaches
    /// the next layer.
    fn finite(bound: f32) -> f32;
    /// Lets `write` set f32 values, which are then rounded into `to`; `what` names the memory in the error.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    fn write_as_f32(to: &mut [Self], what: &'static str, write: impl FnOnce(&mut [f32])) -> Result<(), OutOfMemory>;
}

impl Real for f32 {
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }

    #[inline(always)]
    fn finite(bound: f32) -> f32 {
        bound
    }

    fn write_as_f32(to: &mut [Self], _: &'static str, write: impl FnOnce(&mut [f32])) -> Result<(), OutOfMemory> {
        write(to);
        Ok(())
    }
}

impl Real for f16 {
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        f16::from_f32(value)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }

    #[inline(always)]
    fn is_finite(self) -> bool {
        f16::is_finite(self)
    }

    #[inline(always)]
    fn finite(bound: f32) -> f32 {
        bound.clamp(-65504.0, 65504.0)
    }

    fn write_as_f32(to: &mut [Self], what: &'static str, write: impl FnOnce(&mut [f32])) -> Result<(), OutOfMemory> {
        let mut values = filled(to.len(), 0.0, what)?;
        write(&mut values);
        // (Several at once, with the CPU's own conversion.)
        to.convert_from_f32_slice(&values);
        Ok(())
    }
}

impl DataType {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::F16 => 2,
            Self::U8 | Self::I8 => 1,
        }
    }
}

/// The bytes of elements.
pub fn bytes_of<T: Element>(values: &[T]) -> &[u8] {
    // SAFETY: elements have no padding; the bytes are borrowed as long as they are.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// What integers represent: `value = scale * (q - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// The difference between the values of two neighbouring integers; finite and above 0.
    pub scale: f32,
    /// The integer that represents 0.
    pub zero_point: i32,
}

impl Quantization {
    /// Of floats, which need none.
    pub const NONE: Self = Self { scale: 1.0, zero_point: 0 };

    /// The value that `q` represents.
    pub fn value(self, q: i32) -> f32 {
        // Exact if both come from eight bits (they fit 24 bits); a 32-bit sum is rounded once.
        (i64::from(q) - i64::from(self.zero_point)) as f32 * self.scale
    }

    /// The integer within `least..=most` whose value is nearest, ties to even; `zero_point` (or the bound nearest to it) for NaN.
    pub fn nearest(self, value: f32, least: i32, most: i32) -> i32 {
        let steps = (value / self.scale).round_ties_even();
        // A cast saturates and turns NaN into 0.
        (steps as i64).saturating_add(i64::from(self.zero_point)).clamp(i64::from(least), i64::from(most)) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_types() {
        fn check<T: Element>() {
            assert_eq!(T::TYPE.size(), size_of::<T>(), "{:?}", T::TYPE);
            assert!(align_of::<T>() <= crate::pack::ALIGN);
        }
        check::<f32>();
        check::<f16>();
        check::<u8>();
        check::<i8>();
        check::<i32>();
        assert_eq!(bytes_of(&[1u8, 2, 3]), [1, 2, 3]);
        assert_eq!(bytes_of(&[0x0102_0304i32.to_le(), -1]), [4, 3, 2, 1, 255, 255, 255, 255]);
    }

    #[test]
    fn integers_stand_for_values_and_back() {
        let q = Quantization { scale: 0.5, zero_point: -3 };
        for i in -128..=127 {
            assert_eq!(q.nearest(q.value(i), -128, 127), i);
        }
        assert_eq!(q.nearest(0.25, -128, 127), -3, "a tie goes to the even number of steps");
        assert_eq!(q.nearest(0.75, -128, 127), -1);
        assert_eq!([q.nearest(1e30, -128, 127), q.nearest(f32::NEG_INFINITY, -128, 127)], [127, -128]);
        assert_eq!([q.nearest(f32::NAN, -128, 127), q.nearest(f32::NAN, 0, 255)], [-3, 0]);
        assert!((q.value(i32::MAX) - 0.5 * 2_147_483_650.0).abs() < 1e3);
    }
}
