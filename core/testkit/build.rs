//! Passes to the crate what this machine has that some tests need: `shared`, `long`, `metal` (see `src/needs.rs`).

use std::path::{Path, PathBuf};

fn main() {
    let variables = ["SILHOUETTE_SHARED", "SILHOUETTE_LONG", "SILHOUETTE_METAL"];
    let [shared, long, metal] = variables.map(|name| {
        println!("cargo:rerun-if-env-changed={name}");
        std::env::var_os(name)
    });
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(shared, long, metal)");
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let models = shared.map_or_else(beside, PathBuf::from).join("models");
    if models.is_dir() {
        // Cargo would rerun this every time for a missing path: it is watched only if it exists.
        println!("cargo:rerun-if-changed={}", models.display());
        println!("cargo:rustc-cfg=shared");
    }
    for (name, value) in [("long", long), ("metal", metal)] {
        if value.is_some() {
            println!("cargo:rustc-cfg={name}");
        }
    }
}
