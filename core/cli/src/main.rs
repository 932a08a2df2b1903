//! The `silhouette` command.
#![forbid(unsafe_code)]
fn main() {}
