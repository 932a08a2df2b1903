//! What the segmenter's tests share: the seeded fixture model and made pictures.
#![allow(dead_code, reason = "each test file uses its part")]

use silhouette::Model;
use silhouette_model::ModelFile;
use silhouette_model::network::Network;
use silhouette_model::spec::Spec;
use silhouette_model::weights::seeded;

/// The fixture: a whole small network with random weights, always the same; 65x65, 21 classes.
pub(crate) fn model() -> Model {
    preset("fixture")
}

/// A preset with random weights, always the same.
pub(crate) fn preset(name: &str) -> Model {
    let spec = Spec::preset(name).unwrap();
    let weights = seeded(&Network::native(&spec).unwrap(), 7);
    Model::from_file(ModelFile::new(spec, weights).unwrap()).unwrap()
}

/// RGB waves, another picture for each `phase`.
pub(crate) fn picture(width: usize, height: usize, phase: usize) -> Vec<u8> {
    let wave = |x: usize, k: f32| ((x + 3 * phase) as f32 / k).sin();
    let pixel = |i: usize| {
        let (x, y) = (i % width, i / width);
        [17.0, 29.0, 41.0].map(|k| (127.0 + 120.0 * wave(x, k) * wave(y, k + 2.0)) as u8)
    };
    (0..width * height).flat_map(pixel).collect()
}
