//! TensorFlow's frozen graphs: a `GraphDef` of which only what is needed is read, or the archive around it as the model zoo
//! serves it, converted to a [`Graph`](crate::graph::Graph). Weights stay in the file until the network is known.

pub(crate) mod archive;
mod graph_def;
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
    let nodes = graph_def::nodes(bytes)?;
    let graph = operators::graph(&nodes, bytes.len(), size)?;
    recognise(&graph.simplify()?, resize)
}
