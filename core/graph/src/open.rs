//! Graphs for callers that do not name candle: from a model file, on a device given by name, with plain arrays as input
//! and output.

use candle_core::{DType, Device, Tensor};
use silhouette_network::network::{Conv, Network, Size};
use silhouette_weights::ModelFile;
use silhouette_weights::npy::Array;

use crate::error::GraphError;
use crate::graph::Graph;

impl Graph {
    /// The graph of `model` for an input of `size`, on the CPU. No map may exceed `limit` bytes, because maps are
    /// materialised whole.
    ///
    /// # Errors
    /// As [`Network::new`] and [`Graph::new`]; [`GraphError::Unsupported`] beyond the limit.
    pub fn of(model: &ModelFile, size: Size, limit: usize) -> Result<Self, GraphError> {
        Self::new(&within(model, size, limit)?, model.weights(), &Device::Cpu)
    }

    /// The same on Apple's GPU.
    ///
    /// # Errors
    /// As [`Graph::of`]; [`GraphError::Unsupported`] as described in [`metal`].
    pub fn on_metal(model: &ModelFile, size: Size, limit: usize) -> Result<Self, GraphError> {
        let device = metal_device().map_err(|why| GraphError::Unsupported { what: "the backend metal".into(), why })?;
        Self::new(&within(model, size, limit)?, model.weights(), &device)
    }

    /// Runs the graph on `input` (N, 3, H, W) up to the logits before the resize, or up to the tensor called `name`
    /// (see [`Graph::forward_observed`]).
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

/// The network, if each of its maps is within the limit.
fn within(model: &ModelFile, size: Size, limit: usize) -> Result<Network, GraphError> {
    let network = Network::new(model.spec(), size)?;
    let values = |conv: &Conv| conv.output.pixels().saturating_mul(conv.c_out as u64);
    let largest = network.convs().max_by_key(|conv| values(conv));
    let bytes = largest.map_or(0, values).saturating_mul(size_of::<f32>() as u64);
    if bytes > limit as u64 {
        let name = largest.map_or("", |conv| &conv.name);
        let what = format!("an input of {size} in the candle graph");
        let why = format!("the map of {name} takes {bytes} bytes, more than the limit of {limit}; use a smaller input");
        return Err(GraphError::Unsupported { what, why });
    }
    Ok(network)
}

/// Whether there is an Apple GPU that this build can use.
///
/// # Errors
/// The reason if there is none.
pub fn metal() -> Result<(), String> {
    metal_device().map(drop)
}

fn metal_device() -> Result<Device, String> {
    if !cfg!(feature = "metal") {
        return Err("this build does not have the feature `metal`".into());
    }
    Device::new_metal(0).map_err(|error| GraphError::from(error).to_string())
}

fn array(tensor: &Tensor) -> Result<Array, GraphError> {
    let mut shape = [1; 4];
    // A vector of classes (N, C) counts as a map of one pixel.
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
