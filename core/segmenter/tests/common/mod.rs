//! What the segmenter's tests share: the seeded fixture model.
#![allow(dead_code, reason = "each test file uses its part")]

use silhouette::Model;
use silhouette_network::network::Network;
use silhouette_network::spec::Spec;
use silhouette_weights::{ModelFile, seeded};

/// The fixture: a complete small network with fixed random weights; 65x65, 21 classes.
pub(crate) fn model() -> Model {
    preset("fixture")
}

/// A preset with fixed random weights.
pub(crate) fn preset(name: &str) -> Model {
    let spec = Spec::preset(name).unwrap();
    let weights = seeded(&Network::native(&spec).unwrap(), 7);
    Model::from_file(ModelFile::new(spec, weights).unwrap()).unwrap()
}
