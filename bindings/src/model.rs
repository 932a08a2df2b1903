//! Models: from a file, from a part of one, from bytes.

use crate::error::{Result, guard};
use crate::values::ModelInfo;
use std::sync::Arc;

/// A model file, opened and checked.
#[derive(Debug, uniffi::Object)]
pub struct Model(pub(crate) silhouette::Model);

impl From<silhouette::Model> for Model {
    fn from(model: silhouette::Model) -> Self {
        Self(model)
    }
}

#[uniffi::export]
impl Model {
    /// Opens a model file; its tensors are read when a segmenter is created. If the file is truncated or written to
    /// before, that fails.
    ///
    /// # Errors
    /// `InvalidModel` if it cannot be read, is truncated or damaged, or contains an unknown network.
    #[uniffi::constructor]
    pub fn open(path: String) -> Result<Arc<Self>> {
        guard(|| Ok(Arc::new(Self(silhouette::Model::open(path)?))))
    }

    /// Opens a model inside another file (an uncompressed asset of an app's package), like `open`.
    ///
    /// # Errors
    /// As `open`; `InvalidModel` also if the part reaches past the file's end.
    #[uniffi::constructor]
    pub fn open_part(path: String, offset: u64, length: u64) -> Result<Arc<Self>> {
        guard(|| Ok(Arc::new(Self(silhouette::Model::open_part(path, offset, length)?))))
    }

    /// Reads a model file from memory; it is copied once.
    ///
    /// # Errors
    /// As `open`.
    #[uniffi::constructor]
    pub fn from_bytes(bytes: &[u8]) -> Result<Arc<Self>> {
        guard(|| Ok(Arc::new(Self(silhouette::Model::from_bytes(bytes.to_vec())?))))
    }

    /// The same weights in a network with another output stride (8, 16 or 32).
    ///
    /// # Errors
    /// `Unsupported` for any other number.
    pub fn with_output_stride(&self, output_stride: u32) -> Result<Arc<Self>> {
        guard(|| Ok(Arc::new(Self(self.0.with_output_stride(output_stride as usize)?))))
    }

    /// The model's properties.
    pub fn info(&self) -> ModelInfo {
        let model = &self.0;
        let colors = model.palette().colors().iter().take(model.labels().len());
        ModelInfo {
            name: model.name().to_owned(),
            task: model.task(),
            labels: model.labels().to_vec(),
            colors: colors.map(|&[r, g, b]| u32::from_be_bytes([0, r, g, b])).collect(),
            size: model.size() as u32,
            licence: model.licence().to_owned(),
            provenance: model.provenance().to_owned(),
        }
    }

    /// The class with a label, ignoring case.
    ///
    /// # Errors
    /// `Unsupported` for a label that the model does not have; the error lists the labels that exist.
    pub fn class_of(&self, label: String) -> Result<u32> {
        guard(|| Ok(self.0.class_index(&label)? as u32))
    }
}
