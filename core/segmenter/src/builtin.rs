//! The built-in models: weights trained by `scripts/train`, described in `docs/model-card.md`.

use crate::error::Result;
use crate::model::Model;

#[cfg(feature = "people")]
static PEOPLE: &[u8] = include_bytes!("../models/silhouette-person.safetensors");
#[cfg(feature = "voc21")]
static VOC21: &[u8] = include_bytes!("../models/silhouette-voc21.safetensors");

impl Model {
    /// The built-in model of people: one alpha of everybody in the image ([`Task::Alpha`](crate::Task::Alpha)), for
    /// blurred and replaced backgrounds and cut-outs of people. Its weights are used in place, inside the program;
    /// nothing is read from disk.
    ///
    /// # Errors
    /// [`Error::InvalidModel`](crate::Error::InvalidModel) if the program file was damaged.
    #[cfg(feature = "people")]
    pub fn people() -> Result<Self> {
        Self::from_static(PEOPLE)
    }

    /// The built-in model of the 21 classes of PASCAL VOC (people, pets, vehicles, furniture), for masks of several
    /// classes and foregrounds other than people. Its weights are used in place, inside the program; nothing is read
    /// from disk.
    ///
    /// # Errors
    /// [`Error::InvalidModel`](crate::Error::InvalidModel) if the program file was damaged.
    #[cfg(feature = "voc21")]
    pub fn voc21() -> Result<Self> {
        Self::from_static(VOC21)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Task;

    #[test]
    #[cfg(feature = "people")]
    fn people_is_what_it_says_and_small() {
        let model = Model::people().unwrap();
        assert_eq!(model.task(), Task::Alpha);
        assert_eq!(model.labels(), ["background", "person"]);
        assert!(!model.licence().is_empty() && !model.provenance().is_empty());
        assert!(PEOPLE.len() <= 1_000_000, "{} bytes", PEOPLE.len());
    }

    #[test]
    #[cfg(feature = "voc21")]
    fn voc21_is_what_it_says_and_small() {
        let model = Model::voc21().unwrap();
        assert_eq!(model.task(), Task::Segmentation);
        assert_eq!(model.labels().len(), 21);
        assert_eq!((model.class_index("background").unwrap(), model.class_index("person").unwrap()), (0, 15));
        assert!(!model.licence().is_empty() && !model.provenance().is_empty());
        assert!(VOC21.len() <= 5_000_000, "{} bytes", VOC21.len());
    }
}
