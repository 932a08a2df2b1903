//! The tensors of an imported file: floats, or the file's integers with what they represent.

use std::borrow::Cow;

use silhouette_weights::{Integers, QuantisedTensor, Tensor as Floats};

use crate::error::ImportError;

/// A tensor whose shape and number of values match, last dimension fastest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tensor {
    Float(Floats),
    Quantised(QuantisedTensor),
}

impl Tensor {
    /// As many values as the product of `shape`.
    pub(crate) fn floats(shape: Vec<usize>, data: Vec<f32>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Self::Float(Floats { shape, data })
    }

    /// Lengths of the dimensions.
    pub(crate) fn dims(&self) -> &[usize] {
        match self {
            Self::Float(tensor) => &tensor.shape,
            Self::Quantised(tensor) => &tensor.shape,
        }
    }

    /// The values as f32.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] for an impossible quantisation.
    pub(crate) fn values(&self) -> Result<Cow<'_, [f32]>, ImportError> {
        Ok(match self {
            Self::Float(tensor) => Cow::Borrowed(&tensor.data),
            Self::Quantised(tensor) => Cow::Owned(tensor.dequantise().map_err(|problem| ImportError::Damaged {
                format: "model",
                place: "a quantised tensor".into(),
                problem,
            })?),
        })
    }

    /// The same values in another shape of equal size; a quantised dimension keeps its position.
    pub(crate) fn reshaped(mut self, shape: Vec<usize>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), self.dims().iter().product::<usize>());
        match &mut self {
            Self::Float(tensor) => tensor.shape = shape,
            Self::Quantised(tensor) => tensor.shape = shape,
        }
        self
    }

    /// The same values as a vector.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    pub(crate) fn flattened(self) -> Result<Self, ImportError> {
        let count = self.dims().iter().product();
        match self {
            Self::Float(tensor) => Ok(Self::floats(vec![count], tensor.data)),
            Self::Quantised(mut tensor) if matches!(tensor.quantisation.scale.len(), scales if scales == 1 || scales == count) =>
            {
                tensor.shape = vec![count];
                tensor.quantisation.axis = 0;
                Ok(Self::Quantised(tensor))
            }
            Self::Quantised(_) => Ok(Self::floats(vec![count], self.values()?.into_owned())),
        }
    }

    /// Permutes the dimensions: the new dimension `i` is the old `order[i]`.
    pub(crate) fn permuted(self, order: [usize; 4]) -> Self {
        let Ok(shape) = <[usize; 4]>::try_from(self.dims()) else { return self };
        let to = order.map(|dimension| shape[dimension]).to_vec();
        match self {
            Self::Float(tensor) => Self::Float(Floats { shape: to, data: permute(&tensor.data, shape, order) }),
            Self::Quantised(mut tensor) => {
                tensor.values = match tensor.values {
                    Integers::I8(values) => Integers::I8(permute(&values, shape, order)),
                    Integers::U8(values) => Integers::U8(permute(&values, shape, order)),
                    Integers::I32(values) => Integers::I32(permute(&values, shape, order)),
                };
                let axis = &mut tensor.quantisation.axis;
                *axis = order.iter().position(|dimension| dimension == axis).unwrap_or(0);
                tensor.shape = to;
                Self::Quantised(tensor)
            }
        }
    }

    /// Only the values whose index `keep` accepts, in a new shape of that size. Only the last two dimensions become
    /// shorter.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    pub(crate) fn thinned(&self, shape: Vec<usize>, keep: impl Fn(usize) -> bool) -> Result<Self, ImportError> {
        fn some<T: Copy>(values: &[T], keep: impl Fn(usize) -> bool) -> Vec<T> {
            values.iter().enumerate().filter(|&(i, _)| keep(i)).map(|(_, &value)| value).collect()
        }
        match self {
            Self::Quantised(tensor) if tensor.quantisation.scale.len() == 1 || tensor.quantisation.axis < 2 => {
                let values = match &tensor.values {
                    Integers::I8(values) => Integers::I8(some(values, keep)),
                    Integers::U8(values) => Integers::U8(some(values, keep)),
                    Integers::I32(values) => Integers::I32(some(values, keep)),
                };
                Ok(Self::Quantised(QuantisedTensor { shape, values, quantisation: tensor.quantisation.clone() }))
            }
            // Scales per row or column of the kernel, some of which are removed: no converter writes that.
            _ => Ok(Self::floats(shape, some(&self.values()?, keep))),
        }
    }
}

/// Values of the shape `from` with its dimensions permuted.
fn permute<T: Copy>(values: &[T], from: [usize; 4], order: [usize; 4]) -> Vec<T> {
    let strides = [from[1] * from[2] * from[3], from[2] * from[3], from[3], 1];
    let [n, c, h, w] = order.map(|dimension| from[dimension]);
    let steps = order.map(|dimension| strides[dimension]);
    let mut permuted = Vec::with_capacity(values.len());
    for i in 0..n {
        for j in 0..c {
            for k in 0..h {
                let start = i * steps[0] + j * steps[1] + k * steps[2];
                permuted.extend((0..w).map(|l| values[start + l * steps[3]]));
            }
        }
    }
    permuted
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_weights::Quantisation;

    #[test]
    fn dimensions_in_another_order_take_their_scales_along() {
        let floats: Vec<f32> = (0..24).map(|i| i as f32).collect();
        // (2, 3, 4, 1) to (1, 2, 3, 4), the order of depthwise weights.
        let float = Tensor::floats(vec![2, 3, 4, 1], floats.clone()).permuted([3, 0, 1, 2]);
        assert_eq!((float.dims(), &*float.values().unwrap()), (&[1, 2, 3, 4][..], &floats[..]));
        let turned = Tensor::floats(vec![1, 2, 3, 4], floats).permuted([0, 3, 1, 2]);
        assert_eq!(turned.dims(), [1, 4, 2, 3]);
        assert_eq!(turned.values().unwrap()[..7], [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 1.0]);
        let quantised = Tensor::Quantised(QuantisedTensor {
            shape: vec![1, 2, 3, 4],
            values: Integers::U8((0..24).collect()),
            quantisation: Quantisation { scale: vec![1.0, 0.5, 2.0, 4.0], zero_point: vec![0, 1, 2, 3], axis: 3 },
        });
        let before = Tensor::floats(vec![1, 2, 3, 4], quantised.values().unwrap().into_owned());
        let after = quantised.permuted([3, 0, 1, 2]);
        assert_eq!(after.values().unwrap(), before.permuted([3, 0, 1, 2]).values().unwrap());
        let Tensor::Quantised(after) = after else { panic!("it stays quantised") };
        assert_eq!((after.quantisation.axis, after.shape), (0, vec![4, 1, 2, 3]));
    }
}
