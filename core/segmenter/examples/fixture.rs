//! Writes the models that tests share, for Kotlin and Swift: [`Model::fixture`], some of whose masks are in `tests/golden`, and next to it
//! `alpha.safetensors`, [`Model::alpha_fixture`].
//!
//! `cargo run -p silhouette --features fixture --example fixture -- OUT.safetensors`
#![forbid(unsafe_code)]

use silhouette::Model;
use silhouette_weights::Dtype;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: fixture OUT.safetensors")?);
    Model::alpha_fixture()?.file().save(path.with_file_name("alpha.safetensors"), Dtype::F32)?;
    Model::fixture()?.file().save(path, Dtype::F32)?;
    Ok(())
}
