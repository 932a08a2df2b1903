//! Classifies whole images.

use crate::error::{Error, Result};
use crate::model::{Model, Task};
use crate::options::{InputShape, Options};
use crate::runner::Runner;
use crate::softmax::softmax;
use silhouette_imaging::frame::Frame;
use std::sync::Arc;

/// Classifies frames. `Send + Sync`, cheap to clone, concurrent calls as for [`Segmenter`](crate::Segmenter).
///
/// ```no_run
/// use silhouette::{Classifier, Model, Options, files::Photo};
///
/// # fn main() -> silhouette::Result<()> {
/// let classifier = Classifier::new(&Model::open("mobilenet.safetensors")?, &Options::new())?;
/// for found in classifier.classify(&Photo::open("photo.jpg")?.frame()?, 5)? {
///     println!("{:.1} % {}", 100.0 * found.probability, found.label);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Classifier {
    runner: Arc<Runner>,
    model: Model,
}

/// A class in a [`Classifier`]'s result.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Its index.
    pub class: usize,
    /// Its label.
    pub label: String,
    /// Softmax of the logits, 0 to 1.
    pub probability: f32,
}

impl Classifier {
    /// Creates a classifier from a model.
    ///
    /// # Errors
    /// [`Error::InvalidModel`] for a segmentation model or one that cannot be compiled; [`Error::Unsupported`] for
    /// options that are not supported here.
    pub fn new(model: &Model, options: &Options) -> Result<Self> {
        if model.task() != Task::Classification {
            return Err(Error::model(
                format_args!("'{}' is a segmentation model", model.name()),
                "use a Segmenter, or a classification model",
            ));
        }
        // A classifier pools its map, and was trained on squares.
        let options = options.clone().input_shape(options.input_shape.unwrap_or(InputShape::Square));
        Ok(Self { runner: Arc::new(Runner::new(model, &options, "classifier")?), model: model.clone() })
    }

    /// The `top` most probable classes, the most probable first; ties in the order of their indices.
    ///
    /// # Errors
    /// [`Error::Closed`] after [`close`](Self::close); [`Error::Internal`] if the network fails.
    pub fn classify(&self, frame: &Frame<'_>, top: usize) -> Result<Vec<Class>> {
        let (probabilities, _) = self.runner.run(frame, |logits, _| {
            let mut probabilities = vec![0.0; logits.len()];
            softmax(logits, &mut probabilities);
            probabilities
        })?;
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
        let class = |class: usize| Class {
            class,
            label: self.model.labels().get(class).cloned().unwrap_or_default(),
            probability: probabilities[class],
        };
        Ok(order.into_iter().take(top).map(class).collect())
    }

    /// Rejects new and waiting calls; running ones end normally.
    pub fn close(&self) {
        self.runner.close();
    }
}
