//! TensorFlow Lite files: the flatbuffer, verified as a whole before anything in it is used, converted to a [`Graph`].
//! Quantised weights stay integers, `q` with `(q - zero_point) * scale`.
//!
//! Every index, shape and length is checked against the file before it is used; the weights created from a file
//! are at most [`reader::WEIGHTS_PER_BYTE`] times its bytes. They stay in the file until the network is known.

mod reader;
#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    dead_code,
    unused_imports,
    clippy::all,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    clippy::missing_safety_doc,
    mismatched_lifetime_syntaxes
)]
#[rustfmt::skip]
mod schema_generated;
#[cfg(test)]
mod tests;

use silhouette_network::spec::Resize;

use crate::derived::Derived;
use crate::error::ImportError;
use crate::graph::Graph;
use crate::recognise::recognise;

/// The signature of a TensorFlow Lite file, at byte 4.
pub(super) const IDENTIFIER: &[u8; 4] = b"TFL3";

/// Reads a network and its weights.
///
/// # Errors
/// Those of [`crate::import`].
pub(super) fn import(bytes: &[u8], resize: Option<Resize>) -> Result<Derived<'_>, ImportError> {
    let graph: Graph<'_> = reader::Reader::new(bytes)?.graph()?;
    recognise(&graph.simplify()?, resize)
}
