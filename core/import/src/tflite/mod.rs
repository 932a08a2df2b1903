//! TensorFlow Lite files: the flatbuffer, verified as a whole before anything in it is looked at, turned into a
//! [`Graph`]. Quantised weights stay what they are, `q` with `(q - zero_point) * scale` beside it.
//!
//! Every index, shape and length is checked against the file before it is used; the weights made from a file
//! cannot be more than [`reader::WEIGHTS_PER_BYTE`] times its bytes. They stay in the file until the network is known.

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

use crate::derived::Derived;
use crate::error::ImportError;
use crate::graph::Graph;
use crate::recognise::recognise;

/// What a TensorFlow Lite file begins with, at byte 4.
pub(super) const IDENTIFIER: &[u8; 4] = b"TFL3";

/// Reads a network and its weights.
///
/// # Errors
/// As [`crate::import`] lists.
pub(super) fn import(bytes: &[u8]) -> Result<Derived<'_>, ImportError> {
    let graph: Graph<'_> = reader::Reader::new(bytes)?.graph()?;
    recognise(&graph.simplify()?)
}
