//! The model that tests share, in Rust, Kotlin and Swift.

use crate::error::Result;
use crate::model::Model;
use silhouette_network::network::Network;
use silhouette_network::spec::Spec;
use silhouette_weights::{ModelFile, seeded};

impl Model {
    /// A complete small network (width 0.35, 65x65, 21 classes) with fixed random weights, for tests. Its masks are
    /// meaningless; `tests/golden` holds some.
    ///
    /// # Errors
    /// None expected.
    pub fn fixture() -> Result<Self> {
        let spec = Spec::preset("fixture")?;
        let weights = seeded(&Network::native(&spec)?, 7);
        Self::from_file(ModelFile::new(spec, weights)?)
    }
}
