//! The built-in model: weights trained by `scripts/train`, described in `docs/model-card.md`.

use crate::error::Result;
use crate::model::Model;

static BYTES: &[u8] = include_bytes!("../models/silhouette-voc21.safetensors");

impl Model {
    /// The built-in model: the 21 classes of PASCAL VOC (people, pets, vehicles, furniture). Its weights are used in
    /// place, inside the program; nothing is read from disk.
    ///
    /// # Errors
    /// [`Error::InvalidModel`](crate::Error::InvalidModel) if the program file was damaged.
    pub fn builtin() -> Result<Self> {
        Self::from_static(BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Task;

    #[test]
    fn is_what_it_says_and_small() {
        let model = Model::builtin().unwrap();
        assert_eq!(model.task(), Task::Segmentation);
        assert_eq!(model.labels().len(), 21);
        assert_eq!((model.class("background").unwrap(), model.class("person").unwrap()), (0, 15));
        assert!(!model.licence().is_empty() && !model.provenance().is_empty());
        assert!(BYTES.len() <= 5_000_000, "{} bytes", BYTES.len());
    }
}
