//! Tensors: created in memory, or viewed in place in a file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};
use safetensors::Dtype;
use silhouette_kernels::memory::{OutOfMemory, filled, reserve};

use crate::quantisation::Quantisation;

/// A tensor in memory: its shape and its values, last dimension fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Lengths of the dimensions.
    pub shape: Vec<usize>,
    /// As many values as the product of `shape`.
    pub data: Vec<f32>,
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// A tensor viewed in place.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// Element type in the file.
    pub dtype: Dtype,
    /// Lengths of the dimensions.
    pub shape: &'a [usize],
    /// The elements, little-endian, last dimension fastest.
    pub bytes: Cow<'a, [u8]>,
    /// What its integers represent; `None` for a float tensor.
    pub quantisation: Option<&'a Quantisation>,
}

impl<'a> TensorView<'a> {
    /// The values without a copy, for an f32 tensor aligned to four bytes.
    pub fn as_f32(&self) -> Option<&[f32]> {
        if self.dtype == Dtype::F32 { bytemuck::try_cast_slice(&self.bytes).ok() } else { None }
    }

    /// The values without a copy, for an f16 tensor aligned to two bytes.
    pub fn as_f16(&self) -> Option<&[half::f16]> {
        let bits: &[u16] =
            if self.dtype == Dtype::F16 { bytemuck::try_cast_slice(&self.bytes).ok()? } else { return None };
        Some(bits.reinterpret_cast())
    }

    /// The values as f32, copied only if necessary; `None` for types other than f32, f16, bf16, and i8, u8 and i32 with
    /// a quantisation.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn into_f32(self) -> Result<Option<Cow<'a, [f32]>>, OutOfMemory> {
        if let (Dtype::F32, Cow::Borrowed(bytes)) = (self.dtype, &self.bytes)
            && let Ok(values) = bytemuck::try_cast_slice(bytes)
        {
            return Ok(Some(Cow::Borrowed(values)));
        }
        let (pairs, quads) = (self.bytes.as_chunks::<2>().0, self.bytes.as_chunks::<4>().0);
        Ok(Some(Cow::Owned(match self.dtype {
            Dtype::F32 => collect(quads.iter().map(|&b| f32::from_le_bytes(b)))?,
            // All at once if aligned: this uses the CPU's own conversion.
            Dtype::F16 => match self.as_f16() {
                Some(values) => {
                    let mut floats = filled(values.len(), 0.0, FLOATS)?;
                    values.convert_to_f32_slice(&mut floats);
                    floats
                }
                None => collect(pairs.iter().map(|&b| half::f16::from_le_bytes(b).to_f32()))?,
            },
            Dtype::BF16 => collect(pairs.iter().map(|&b| half::bf16::from_le_bytes(b).to_f32()))?,
            dtype => {
                let Some(quantisation) = self.quantisation else { return Ok(None) };
                let Some(floats) = quantisation.dequantise(dtype, self.shape, &self.bytes)? else { return Ok(None) };
                floats
            }
        })))
    }
}

/// What memory is asked for.
const FLOATS: &str = "a tensor's values";

/// All values; asked for at once.
pub(crate) fn collect(values: impl ExactSizeIterator<Item = f32>) -> Result<Vec<f32>, OutOfMemory> {
    let mut floats = Vec::new();
    reserve(&mut floats, values.len(), FLOATS)?;
    floats.extend(values);
    Ok(floats)
}
