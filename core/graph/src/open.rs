//! Graphs for callers that do not name candle: from a model file, on a device selected by name, with plain arrays as input
//! and output.

use candle_core::{DType, Device, Tensor};
use silhouette_network::network::{Conv, Network, Operation, Size};
use silhouette_weights::ModelFile;
use silhouette_weights::npy::Array;

use crate::error::GraphError;
use crate::graph::Graph;

/// All maps that exist at once may use this many times the memory of the largest.
const AT_ONCE: u64 = 4;

impl Graph {
    /// The graph of `model` for an input of `size`, on the CPU. No map may exceed `limit` bytes, because maps are
    /// materialised whole. The maps that exist at once may use four times that.
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
    let (held, name) = held(&network);
    if held > (limit as u64).saturating_mul(AT_ONCE) {
        let what = format!("an input of {size} in the candle graph");
        let why = format!(
            "the maps that are there when {name} is made take {held} bytes, more than {AT_ONCE} times the limit of {limit}; use a smaller \
             input"
        );
        return Err(GraphError::Unsupported { what, why });
    }
    Ok(network)
}

/// Most bytes of maps that are there at once, and the node at which they are: what later nodes read, and twice what the node makes (before
/// and after its activation).
fn held(network: &Network) -> (u64, &str) {
    let nodes = network.nodes();
    let bytes = |size: Size, channels: usize| size.pixels().saturating_mul(channels as u64 * size_of::<f32>() as u64);
    // The last node that reads each; outputs stay to the end.
    let mut last: Vec<usize> = (0..nodes.len()).collect();
    for (at, node) in nodes.iter().enumerate() {
        node.inputs.iter().for_each(|input| last[input.index()] = at);
    }
    network.outputs().iter().for_each(|output| last[output.node.index()] = nodes.len());
    let mut ending = vec![0u64; nodes.len() + 1];
    let mut live = 0u64;
    let mut most = (0, "");
    for (at, node) in nodes.iter().enumerate() {
        let own = bytes(node.size, node.channels);
        let made = match &node.operation {
            Operation::Block(block) => {
                block.convs().map(|conv| bytes(conv.output, conv.c_out)).fold(0, u64::saturating_add)
            }
            _ => own,
        };
        let now = live.saturating_add(made.saturating_mul(2));
        if now > most.0 {
            most = (now, &node.name);
        }
        ending[last[at]] = ending[last[at]].saturating_add(own);
        live = live.saturating_add(own).saturating_sub(ending[at]);
    }
    most
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

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_network::spec::{Aspp, Head, Spec};
    use silhouette_weights::seeded;

    #[cfg(not(feature = "metal"))]
    #[test]
    fn an_absent_gpu_says_why() {
        let text = metal().unwrap_err();
        assert!(text.contains("feature `metal`"), "{text}");
    }

    /// Sixteen branches beside each other, none of which is large by itself.
    #[test]
    fn maps_that_are_there_at_once_are_bounded() {
        let mut spec = Spec::preset("fixture").unwrap();
        let Head::DeeplabV3(head) = &mut spec.head else { panic!("a DeepLabV3") };
        (head.channels, head.aspp) = (512, Aspp::Separable { rates: (1..=16).collect() });
        let model = ModelFile::new(spec.clone(), seeded(&Network::native(&spec).unwrap(), 1)).unwrap();
        let size = Size::square(257);
        let network = Network::new(&spec, size).unwrap();
        let largest = network.convs().map(|conv| conv.output.pixels() as usize * conv.c_out * 4).max().unwrap();
        let (most, at) = held(&network);
        assert!(most > AT_ONCE * largest as u64, "{most} at {at}");
        assert!(Graph::of(&model, size, most.div_ceil(AT_ONCE) as usize).is_ok());
        let error = Graph::of(&model, size, largest).unwrap_err();
        assert!(error.to_string().contains("4 times"), "{error}");
    }
}
