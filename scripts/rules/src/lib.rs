//! What the workspace promises about itself, as functions that list what breaks the promise: crate edges, no
//! circles between a crate's files, where `unsafe` may stand, no C among the dependencies. `tests/` holds them against the real workspace; the unit tests here
//! show that each rule bites.
#![forbid(unsafe_code)]

pub mod circles;
pub mod graph;
pub mod source;
