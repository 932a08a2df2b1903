//! TensorFlow Lite files: the flatbuffer, verified as a whole before anything in it is looked at, turned into a
//! [`Graph`]. Quantised weights become `(q - zero_point) * scale` in float32.
//!
//! Every index, shape and length is checked against the file before it is used; the float weights made from a file
//! cannot be more than [`WEIGHTS_PER_BYTE`] times its bytes.

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
#[path = "schema_generated.rs"]
mod schema;
#[cfg(test)]
mod tests;

use super::graph::Graph;
use super::recognise::recognise;
use super::{Derived, ImportError};

/// Float weights made from a file, for each of its bytes: one where weights are stored as bytes, and as much again
/// for small tensors that several operators share.
const WEIGHTS_PER_BYTE: usize = 2;

/// What a TensorFlow Lite file begins with, at byte 4.
pub(super) const IDENTIFIER: &[u8; 4] = b"TFL3";

/// Reads a network and its weights.
///
/// # Errors
/// As [`super::import`] lists.
pub(super) fn import(bytes: &[u8]) -> Result<Derived, ImportError> {
    let graph: Graph = reader::Reader::new(bytes)?.graph()?;
    recognise(&graph.simplify()?)
}
