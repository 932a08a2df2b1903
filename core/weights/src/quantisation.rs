//! Quantised values: integers `q` that represent `(q - zero_point) * scale`, in tensors and on the edges of a network.

use std::borrow::Cow;
use std::collections::BTreeMap;

use safetensors::Dtype;
use serde::{Deserialize, Serialize, Serializer};
use silhouette_kernels::memory::{OutOfMemory, reserve};

/// What a tensor's integers represent: `(q - zero_point) * scale`, one pair for all or one per index of a dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantisation {
    /// Finite and above 0: one, or one per index of the dimension `axis`.
    #[serde(serialize_with = "exactly")]
    pub scale: Vec<f32>,
    /// As many as `scale`, or empty if all are 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zero_point: Vec<i32>,
    /// The dimension of the scales, if there are several.
    #[serde(default)]
    pub axis: usize,
}

/// Integers, last dimension fastest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integers {
    /// Signed bytes.
    I8(Vec<i8>),
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// Four bytes each: for biases.
    I32(Vec<i32>),
}

/// A quantised tensor in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantisedTensor {
    /// Lengths of the dimensions.
    pub shape: Vec<usize>,
    /// As many values as the product of `shape`.
    pub values: Integers,
    /// What they represent.
    pub quantisation: Quantisation,
}

/// Quantised tensors by name.
pub type QuantisedTensors = BTreeMap<String, QuantisedTensor>;

/// What the bytes of a map between two layers represent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationQuantisation {
    /// Whether they are signed.
    pub element: ActivationElement,
    /// Finite and above 0.
    #[serde(serialize_with = "one_exactly")]
    pub scale: f32,
    /// In the element's range.
    #[serde(default)]
    pub zero_point: i32,
}

/// The element type of a quantised map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivationElement {
    /// Signed bytes.
    I8,
    /// Unsigned bytes.
    U8,
}

/// The quantised edges of a network: `input`, and `{name}.output` for the node (of a block, its sum), or the convolution in a
/// block, that writes it.
pub type Activations = BTreeMap<String, ActivationQuantisation>;

impl Quantisation {
    /// Checks that scales and zero points are possible, and match a tensor of this shape.
    ///
    /// # Errors
    /// A description of the problem.
    pub fn check(&self, shape: &[usize]) -> Result<(), String> {
        let scales = self.scale.len();
        let zeros = self.zero_point.len();
        if let Some(scale) = self.scale.iter().find(|scale| !possible(**scale)) {
            return Err(format!("a scale is {scale}"));
        }
        if zeros != 0 && zeros != scales {
            return Err(format!("it has {scales} scales and {zeros} zero points"));
        }
        if scales != 1 && shape.get(self.axis) != Some(&scales) || scales == 0 {
            return Err(format!("it has {scales} scales along dimension {} of {shape:?}", self.axis));
        }
        Ok(())
    }

    /// `(q - zero_point) * scale` for a tensor of this shape that passed [`check`](Self::check); `real` converts an
    /// integer to a float.
    fn apply<T: Copy>(&self, shape: &[usize], values: &[T], real: impl Fn(T) -> f32) -> Result<Vec<f32>, OutOfMemory> {
        let zero = |channel: usize| self.zero_point.get(channel).map_or(0.0, |&zero| zero as f32);
        let mut floats = Vec::new();
        reserve(&mut floats, values.len(), "a tensor's values")?;
        if let &[scale] = self.scale.as_slice() {
            let zero = zero(0);
            floats.extend(values.iter().map(|&q| (real(q) - zero) * scale));
            return Ok(floats);
        }
        let inner = shape[self.axis + 1..].iter().product::<usize>().max(1);
        let channels = self.scale.iter().enumerate().cycle();
        for (part, (channel, &scale)) in values.chunks(inner).zip(channels) {
            let zero = zero(channel);
            floats.extend(part.iter().map(|&q| (real(q) - zero) * scale));
        }
        Ok(floats)
    }

    /// The values of a stored tensor; `None` for an element type that is not quantised.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub(crate) fn dequantise(
        &self,
        dtype: Dtype,
        shape: &[usize],
        bytes: &[u8],
    ) -> Result<Option<Vec<f32>>, OutOfMemory> {
        Ok(Some(match dtype {
            Dtype::U8 => self.apply(shape, bytes, f32::from)?,
            Dtype::I8 => self.apply(shape, bytes, |q| f32::from(q.cast_signed()))?,
            Dtype::I32 => self.apply(shape, bytes.as_chunks::<4>().0, |q| i32::from_le_bytes(q) as f32)?,
            _ => return Ok(None),
        }))
    }
}

impl Integers {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::I8(values) => values.len(),
            Self::U8(values) => values.len(),
            Self::I32(values) => values.len(),
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn dtype(&self) -> Dtype {
        match self {
            Self::I8(_) => Dtype::I8,
            Self::U8(_) => Dtype::U8,
            Self::I32(_) => Dtype::I32,
        }
    }

    /// The bytes, little-endian.
    pub(crate) fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::I8(values) => Cow::Borrowed(bytemuck::cast_slice(values)),
            Self::U8(values) => Cow::Borrowed(values),
            Self::I32(values) => Cow::Borrowed(bytemuck::cast_slice(values)),
        }
    }
}

impl QuantisedTensor {
    /// Checks that values, shape and quantisation match.
    ///
    /// # Errors
    /// A description of the problem.
    pub fn check(&self) -> Result<(), String> {
        let expected = self.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if expected != Some(self.values.len()) {
            return Err(format!("{} values for the shape {:?}", self.values.len(), self.shape));
        }
        self.quantisation.check(&self.shape)
    }

    /// The represented values, as f32.
    ///
    /// # Errors
    /// As [`check`](Self::check), or an error if memory runs out.
    pub fn dequantise(&self) -> Result<Vec<f32>, String> {
        self.check()?;
        let floats = match &self.values {
            Integers::I8(values) => self.quantisation.apply(&self.shape, values, f32::from),
            Integers::U8(values) => self.quantisation.apply(&self.shape, values, f32::from),
            Integers::I32(values) => self.quantisation.apply(&self.shape, values, |q| q as f32),
        };
        floats.map_err(|error| error.to_string())
    }
}

impl ActivationQuantisation {
    /// Checks that scale and zero point are possible.
    ///
    /// # Errors
    /// A description of the problem.
    pub fn check(&self) -> Result<(), String> {
        let range = match self.element {
            ActivationElement::I8 => -128..=127,
            ActivationElement::U8 => 0..=255,
        };
        if !possible(self.scale) {
            return Err(format!("its scale is {}", self.scale));
        }
        if !range.contains(&self.zero_point) {
            return Err(format!("its zero point {} is not in {range:?}", self.zero_point));
        }
        Ok(())
    }
}

fn possible(scale: f32) -> bool {
    scale.is_finite() && scale > 0.0
}

/// The shortest number that yields the same f32 when it is first read as an f64, as JSON readers do.
fn readable(scale: f32) -> f64 {
    let short = scale.to_string().parse::<f64>().unwrap_or(f64::NAN);
    if (short as f32).to_bits() == scale.to_bits() { short } else { f64::from(scale) }
}

fn exactly<S: Serializer>(scale: &[f32], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(scale.iter().map(|&scale| readable(scale)))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn one_exactly<S: Serializer>(scale: &f32, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(readable(*scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Noise;

    fn per_channel(axis: usize) -> QuantisedTensor {
        QuantisedTensor {
            shape: vec![2, 3, 2],
            values: Integers::U8((0..12).collect()),
            quantisation: Quantisation {
                scale: if axis == 0 { vec![0.5, 0.25] } else { vec![0.5, 0.25, 2.0] },
                zero_point: if axis == 0 { vec![] } else { vec![1, 2, 3] },
                axis,
            },
        }
    }

    #[test]
    fn a_pair_for_each_index_of_a_dimension() {
        let first = per_channel(0).dequantise().unwrap();
        assert_eq!(first, [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75]);
        let middle = per_channel(1).dequantise().unwrap();
        assert_eq!(middle, [-0.5, 0.0, 0.0, 0.25, 2.0, 4.0, 2.5, 3.0, 1.5, 1.75, 14.0, 16.0]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let edit = |edit: fn(&mut QuantisedTensor)| {
            let mut tensor = per_channel(1);
            edit(&mut tensor);
            tensor.check().unwrap_err()
        };
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let mut tensor = per_channel(1);
            tensor.quantisation.scale[2] = bad;
            assert!(tensor.check().unwrap_err().contains("a scale is"), "{bad}");
        }
        assert!(edit(|t| t.quantisation.axis = 3).contains("dimension 3"));
        assert!(edit(|t| t.quantisation.axis = usize::MAX).contains("dimension"));
        assert!(edit(|t| t.quantisation.axis = 0).contains("3 scales along dimension 0"));
        assert!(edit(|t| t.quantisation.zero_point.truncate(2)).contains("2 zero points"));
        assert!(
            edit(|t| t.quantisation = Quantisation { scale: vec![], zero_point: vec![], axis: 0 }).contains("0 scales")
        );
        assert!(edit(|t| t.shape = vec![usize::MAX, 2]).contains("12 values"));
        let edge = ActivationQuantisation { element: ActivationElement::U8, scale: 1.0, zero_point: 255 };
        assert!(edge.check().is_ok());
        assert!(ActivationQuantisation { element: ActivationElement::I8, ..edge }.check().is_err());
        assert!(ActivationQuantisation { scale: f32::MIN, ..edge }.check().is_err());
    }

    #[test]
    fn scales_come_back_from_json_with_the_same_bits() {
        let bytes = Noise::new(1).bytes(8000);
        for &bits in bytes.as_chunks().0 {
            let scale = f32::from_bits(u32::from_le_bytes(bits) >> 1);
            if !possible(scale) {
                continue;
            }
            let text =
                serde_json::to_string(&Quantisation { scale: vec![scale], zero_point: vec![], axis: 0 }).unwrap();
            let back: Quantisation = serde_json::from_str(&text).unwrap();
            assert_eq!(back.scale[0].to_bits(), scale.to_bits(), "{text}");
        }
    }
}
