//! How long the first opening of a segmenter in a process takes, in milliseconds: of the model, and of both. Start it
//! several times; packed weights are cached from the second time on.
//!
//! `cargo run --release -p silhouette --example opening_speed -- MODEL [SIZE [CACHE_FOLDER]]`
#![forbid(unsafe_code)]

use silhouette::{Model, Options, Segmenter};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("name a model file")?;
    let mut options = Options::new().threads(1).concurrency(1);
    if let Some(size) = args.next() {
        options = options.size(size.parse()?);
    }
    if let Some(folder) = args.next() {
        options = options.weight_cache(folder);
    }
    let begun = Instant::now();
    let model = Model::open(&path)?;
    let opened = begun.elapsed();
    let segmenter = Segmenter::new(&model, &options)?;
    let whole = begun.elapsed();
    println!(
        "model {:.3}, segmenter {:.3}: {}",
        opened.as_secs_f64() * 1e3,
        whole.as_secs_f64() * 1e3,
        segmenter.description()
    );
    Ok(())
}
