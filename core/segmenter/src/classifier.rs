//! What a picture shows, as a whole.

use crate::error::{Error, Result};
use crate::model::{Model, Task};
use crate::options::Options;
use crate::runner::Runner;
use silhouette_imaging::frame::Frame;
use std::sync::Arc;

/// Names what frames show. `Send + Sync`, cheap to clone, calls at once as for [`Segmenter`](crate::Segmenter).
#[derive(Clone, Debug)]
pub struct Classifier {
    runner: Arc<Runner>,
    model: Model,
}

/// One class of a [`Classifier`]'s answer.
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
    /// Makes a classifier of a model.
    ///
    /// # Errors
    /// [`Error::InvalidModel`] for a model that segments or that cannot be compiled; [`Error::Unsupported`] for options
    /// that are not possible here.
    pub fn new(model: &Model, options: &Options) -> Result<Self> {
        if model.task() != Task::Classification {
            return Err(Error::model(
                format_args!("'{}' segments, it does not classify", model.name()),
                "use a Segmenter, or a classifier's model",
            ));
        }
        Ok(Self { runner: Arc::new(Runner::new(model, options, "classifier")?), model: model.clone() })
    }

    /// The `top` most probable classes, the most probable first; equally probable ones in the order of their indices.
    ///
    /// # Errors
    /// [`Error::Closed`] after [`close`](Self::close); [`Error::Internal`] where the network fails.
    pub fn classify(&self, frame: &Frame<'_>, top: usize) -> Result<Vec<Class>> {
        let (mut probabilities, _) = self.runner.run(frame, |logits, _| logits.to_vec())?;
        softmax(&mut probabilities);
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
        let class = |class: usize| Class {
            class,
            label: self.model.labels().get(class).cloned().unwrap_or_default(),
            probability: probabilities[class],
        };
        Ok(order.into_iter().take(top).map(class).collect())
    }

    /// Refuses further calls and those that wait; running ones end normally.
    pub fn close(&self) {
        self.runner.close();
    }
}

fn softmax(logits: &mut [f32]) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in &mut *logits {
        *value = (*value - highest).exp();
        sum += *value;
    }
    for value in logits {
        *value /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::softmax;

    #[test]
    fn probabilities_sum_to_one_however_large_the_logits() {
        let mut values = [1000.0, 1000.0 + 3.0_f32.ln(), -1000.0];
        softmax(&mut values);
        for (value, wanted) in values.into_iter().zip([0.25, 0.75, 0.0]) {
            assert!((value - wanted).abs() < 1e-4, "{value} is not {wanted}");
        }
    }
}
