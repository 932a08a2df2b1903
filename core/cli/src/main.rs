//! The `silhouette` command.
fn main() {}
