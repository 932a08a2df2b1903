//! Tensors: created in memory, or viewed in place in a file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};
use safetensors::Dtype;
use silhouette_kernels::memory::{OutOfMemory, reserve};

use crate::quantisation::Quantisation;
use crate::spare::Spare;

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
        self.into_f32_in(&mut Spare::default())
    }

    /// The same in memory from `spare`.
    pub(crate) fn into_f32_in(self, spare: &mut Spare) -> Result<Option<Cow<'a, [f32]>>, OutOfMemory> {
        if let (Dtype::F32, Cow::Borrowed(bytes)) = (self.dtype, &self.bytes)
            && let Ok(values) = bytemuck::try_cast_slice(bytes)
        {
            return Ok(Some(Cow::Borrowed(values)));
        }
        let pairs = self.bytes.as_chunks::<2>().0;
        let quads = self.bytes.as_chunks::<4>().0;
        let floats = match self.dtype {
            Dtype::F32 => spare.collect(quads.iter().map(|&b| f32::from_le_bytes(b)))?,
            Dtype::F16 => {
                let mut floats = spare.floats(pairs.len())?;
                match self.as_f16() {
                    Some(values) => values.convert_to_f32_slice(&mut floats),
                    None => unaligned_to_f32(pairs, &mut floats),
                }
                floats
            }
            Dtype::BF16 => spare.collect(pairs.iter().map(|&b| half::bf16::from_le_bytes(b).to_f32()))?,
            dtype => {
                let Some(quantisation) = self.quantisation else { return Ok(None) };
                let Some(floats) = quantisation.dequantise(dtype, self.shape, &self.bytes)? else { return Ok(None) };
                floats
            }
        };
        if let Cow::Owned(bytes) = self.bytes {
            spare.bytes = bytes;
        }
        Ok(Some(Cow::Owned(floats)))
    }
}

/// Converts many f16 values at a time, for which CPUs have instructions. A file that is built into a program can start
/// at any address.
fn unaligned_to_f32(pairs: &[[u8; 2]], floats: &mut [f32]) {
    const MANY: usize = 64;
    let mut aligned = [half::f16::ZERO; MANY];
    for (pairs, floats) in pairs.chunks(MANY).zip(floats.chunks_mut(MANY)) {
        let aligned = &mut aligned[..pairs.len()];
        aligned.iter_mut().zip(pairs).for_each(|(value, &pair)| *value = half::f16::from_le_bytes(pair));
        aligned.convert_to_f32_slice(floats);
    }
}

/// All values; allocated at once.
pub(crate) fn collect(values: impl ExactSizeIterator<Item = f32>) -> Result<Vec<f32>, OutOfMemory> {
    let mut floats = Vec::new();
    reserve(&mut floats, values.len(), "a tensor's values")?;
    floats.extend(values);
    Ok(floats)
}
