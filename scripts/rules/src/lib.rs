//! The workspace's rules, as functions that list violations: crate edges, the same public names in each language, no cycles between a crate's files, where
//! `unsafe` is allowed, no C among the dependencies. `tests/` applies them to the real workspace; the unit tests here
//! show that each rule detects violations.
#![forbid(unsafe_code)]

pub mod api;
pub mod circles;
pub mod graph;
pub mod source;
