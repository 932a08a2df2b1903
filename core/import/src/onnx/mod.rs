//! ONNX files: the protocol buffer, of which only what is needed is read, converted to a [`Graph`](crate::graph::Graph).
//! Weights stay in the file until the network is known; QDQ weights stay integers.

mod model;
mod operators;
#[cfg(test)]
mod tests;

use silhouette_network::spec::Resize;

use crate::derived::Derived;
use crate::error::ImportError;
use crate::recognise::recognise;

/// Reads a network and its weights; `size` is the image's, for files that leave it open.
///
/// # Errors
/// Those of [`crate::import`].
pub(super) fn import(bytes: &[u8], size: Option<usize>, resize: Option<Resize>) -> Result<Derived<'_>, ImportError> {
    let model = model::Model::read(bytes)?;
    let graph = operators::graph(&model, size, resize)?;
    recognise(&graph.simplify()?, resize)
}
