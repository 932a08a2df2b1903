//! Writes the model that tests share, [`Model::fixture`], for Kotlin and Swift. `tests/golden` holds its results for a
//! few frames.
//!
//! `cargo run -p silhouette --features fixture --example fixture -- OUT.safetensors`
#![forbid(unsafe_code)]

use silhouette::Model;
use silhouette_weights::Dtype;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: fixture OUT.safetensors")?;
    Model::fixture()?.file().save(path, Dtype::F32)?;
    Ok(())
}
