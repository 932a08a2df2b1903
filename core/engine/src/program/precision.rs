//! The element types that programs hold and compute in.

use silhouette_kernels::element::{Real, f16};
use silhouette_kernels::isa::Isa;
use silhouette_kernels::rows::RowMut;
use silhouette_kernels::{average, bilinear, depthwise, elementwise, pointwise};

/// An element type with all kernels: f32 or f16. Weights come as f32; maps, rings and packed weights hold this type.
///
/// f16: products are summed in f16 where the CPU multiplies f16, else in f32 and rounded when stored. An average is summed
/// in f32, and the outputs are f32 (a classifier's values are f16 before that).
pub trait Precision:
    Real
    + pointwise::Kernel<Self, Self, Sum = Self, Weight = f32, Bias = f32>
    + depthwise::Kernel<Self, Self, Weight = f32>
    + elementwise::Kernel
    + average::Kernel
    + bilinear::Kernel
{
    /// A row of the network's input.
    fn input_row(row: &mut [Self]) -> RowMut<'_>;

    /// Elements of a vector: channels of a group.
    fn lanes(isa: Isa) -> usize {
        <Self as pointwise::Kernel<Self, Self>>::panels(isa).lanes
    }
}

impl Precision for f32 {
    fn input_row(row: &mut [Self]) -> RowMut<'_> {
        RowMut::F32(row)
    }
}

impl Precision for f16 {
    fn input_row(row: &mut [Self]) -> RowMut<'_> {
        RowMut::F16(row)
    }
}
