//! Graphs for callers that do not name candle: of a model file, on a device by its name, plain arrays in and out.

use candle_core::{DType, Device, Tensor};
use silhouette_network::network::{Network, Size};
use silhouette_weights::ModelFile;
use silhouette_weights::npy::Array;

use crate::error::GraphError;
use crate::graph::Graph;

impl Graph {
    /// The graph of `model` for an input of `size`, on the CPU.
    ///
    /// # Errors
    /// As [`Network::new`] and [`Graph::new`].
    pub fn of(model: &ModelFile, size: Size) -> Result<Self, GraphError> {
        Self::new(&Network::new(model.spec(), size)?, model.weights(), &Device::Cpu)
    }

    /// The same on Apple's GPU.
    ///
    /// # Errors
    /// As [`Graph::of`]; [`GraphError::Unsupported`] as [`metal`] says.
    pub fn on_metal(model: &ModelFile, size: Size) -> Result<Self, GraphError> {
        let device = metal_device().map_err(|why| GraphError::Unsupported { what: "the backend metal".into(), why })?;
        Self::new(&Network::new(model.spec(), size)?, model.weights(), &device)
    }

    /// Runs the graph on `input` (N, 3, H, W): to the logits before the resize, or to the tensor called `name` (see
    /// [`Graph::forward_observed`]).
    ///
    /// # Errors
    /// As [`Graph::tensor`].
    pub fn forward_array(&self, input: &Array, name: Option<&str>) -> Result<Array, GraphError> {
        let x = Tensor::from_slice(&input.data, &input.shape, self.device())?;
        array(&match name {
            Some(name) => self.tensor(&x, name)?,
            None => self.forward(&x)?,
        })
    }
}

/// Whether there is an Apple GPU that this build can use.
///
/// # Errors
/// Why not.
pub fn metal() -> Result<(), String> {
    metal_device().map(drop)
}

fn metal_device() -> Result<Device, String> {
    if !cfg!(feature = "metal") {
        return Err("this build is without the feature `metal`".into());
    }
    Device::new_metal(0).map_err(|error| GraphError::from(error).to_string())
}

fn array(tensor: &Tensor) -> Result<Array, GraphError> {
    let mut shape = [1; 4];
    // A vector of classes (N, C) is a map of one pixel.
    shape[..tensor.rank().min(4)].copy_from_slice(&tensor.dims()[..tensor.rank().min(4)]);
    Ok(Array { shape, data: tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()? })
}

#[cfg(all(test, not(feature = "metal")))]
mod tests {
    #[test]
    fn an_absent_gpu_says_why() {
        let text = super::metal().unwrap_err();
        assert!(text.contains("feature `metal`"), "{text}");
    }
}
