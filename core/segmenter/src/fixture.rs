//! The models that tests share, in Rust, Kotlin and Swift.

use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::{Options, OutputSize};
use crate::segmenter::Segmenter;
use silhouette_imaging::frame::Frame;
use silhouette_network::network::Network;
use silhouette_network::spec::{self, Fit, Head, Resize, Spec};
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

    /// The same network with one logit, an alpha, whose values lie on both sides of one half, some of them near 0 and 1.
    ///
    /// # Errors
    /// None expected.
    pub fn alpha_fixture() -> Result<Self> {
        const SIDE: usize = 65;
        let mut spec = Spec::preset("fixture")?;
        if let Head::DeeplabV3(head) = &mut spec.head {
            (head.classes, head.resize) = (1, Resize::HalfPixel);
        }
        spec.task = Some(spec::Task::Alpha);
        spec.labels = vec!["background".into(), "foreground".into()];
        spec.colors = Vec::new();
        spec.input.fit = Fit::Stretch;
        let mut tensors = seeded(&Network::native(&spec)?, 7);
        // The bias moves the median of the logits of a pattern to 0; a factor makes some of them certain.
        let pattern: Vec<u8> =
            (0..SIDE * SIDE * 3).map(|i| ((i % 3 * 40) + i / 3 % SIDE * i / (3 * SIDE)) as u8).collect();
        let model = Self::from_file(ModelFile::new(spec.clone(), tensors.clone())?)?;
        let options = Options::new().threads(1).output(OutputSize::Model);
        let segmentation = Segmenter::new(&model, &options)?.segment(&Frame::rgb(&pattern, SIDE, SIDE)?)?;
        let mut logits: Vec<f32> = segmentation.logits().0.iter().skip(1).step_by(2).copied().collect();
        logits.sort_by(f32::total_cmp);
        let middle = logits[logits.len() / 2];
        let missing = || Error::internal("the fixture has a classifier");
        let bias = tensors.get_mut("head.classifier.bias").ok_or_else(missing)?;
        bias.data.iter_mut().for_each(|bias| *bias = (*bias - middle) * 6.0);
        let weight = tensors.get_mut("head.classifier.weight").ok_or_else(missing)?;
        weight.data.iter_mut().for_each(|weight| *weight *= 6.0);
        Self::from_file(ModelFile::new(spec, tensors)?)
    }
}
