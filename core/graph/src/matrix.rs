//! Matrix products of plain arrays by candle, for programs that do not name candle.

use candle_core::{Device, Tensor};

use crate::error::GraphError;

/// A matrix (outputs, inputs), last dimension fastest, to multiply vectors with.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// (inputs, outputs).
    transposed: Tensor,
    inputs: usize,
}

impl Matrix {
    /// From `outputs` rows of equal length.
    ///
    /// # Errors
    /// [`GraphError::Mismatch`] if the values are not whole rows; [`GraphError::Candle`].
    pub fn new(values: &[f32], outputs: usize) -> Result<Self, GraphError> {
        let inputs = whole("a matrix", values.len(), outputs)?;
        let transposed = Tensor::from_slice(values, (outputs, inputs), &Device::Cpu)?.t()?;
        Ok(Self { transposed, inputs })
    }

    /// The product with each of several vectors: `[n][inputs]` to `[n][outputs]`.
    ///
    /// # Errors
    /// [`GraphError::Mismatch`] if the values are not whole vectors; [`GraphError::Candle`].
    pub fn product(&self, vectors: &[f32]) -> Result<Vec<f32>, GraphError> {
        let n = whole("vectors", vectors.len(), self.inputs)?;
        let x = Tensor::from_slice(vectors, (n, self.inputs), &Device::Cpu)?;
        Ok(x.matmul(&self.transposed)?.flatten_all()?.to_vec1()?)
    }
}

/// The sum of the outer products of vectors with themselves: `[n][len]` to `[len][len]`.
///
/// # Errors
/// [`GraphError::Mismatch`] if the values are not whole vectors; [`GraphError::Candle`].
pub fn gram(vectors: &[f32], len: usize) -> Result<Vec<f32>, GraphError> {
    let n = whole("vectors", vectors.len(), len)?;
    let x = Tensor::from_slice(vectors, (n, len), &Device::Cpu)?;
    Ok(x.t()?.matmul(&x)?.flatten_all()?.to_vec1()?)
}

/// How many parts of `part` values there are.
fn whole(what: &'static str, values: usize, part: usize) -> Result<usize, GraphError> {
    if part == 0 || values == 0 || !values.is_multiple_of(part) {
        let expected = format!("parts of {part} values");
        return Err(GraphError::Mismatch { what, expected, found: format!("{values} values") });
    }
    Ok(values / part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_formula() {
        let matrix = Matrix::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2).unwrap();
        assert_eq!(matrix.product(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]).unwrap(), [1.0, 4.0, 6.0, 15.0]);
        assert_eq!(gram(&[1.0, 2.0, 3.0, -1.0], 2).unwrap(), [10.0, -1.0, -1.0, 5.0]);
        for wrong in [Matrix::new(&[1.0; 5], 2).err(), Matrix::new(&[], 0).err(), matrix.product(&[1.0; 4]).err()] {
            assert!(matches!(wrong, Some(GraphError::Mismatch { .. })), "{wrong:?}");
        }
        assert!(gram(&[1.0; 3], 2).is_err());
    }
}
