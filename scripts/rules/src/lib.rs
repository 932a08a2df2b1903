//! The workspace's rules, as functions that list violations: crate edges, no cycles between a crate's files, where
//! `unsafe` is allowed, no C among the dependencies. `tests/` applies them to the real workspace; the unit tests here
//! show that each rule detects violations.
#![forbid(unsafe_code)]

pub mod circles;
pub mod graph;
pub mod source;
