//! A model: weights and their meaning.

use crate::error::{Error, Result};
use silhouette_imaging::mask::Resize;
use silhouette_imaging::palette::Palette;
use silhouette_network::spec::{self, Head, Spec};
use silhouette_weights::ModelFile;
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

/// A model file, opened and checked. Cheap to clone.
///
/// ```
/// use silhouette::Model;
///
/// let model = Model::voc21()?;
/// assert_eq!(model.class_index("person")?, 15);
/// assert_eq!(model.labels()[0], "background");
/// let finer = model.with_output_stride(8)?;
/// # let _ = finer;
/// # Ok::<(), silhouette::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    file: Arc<ModelFile>,
    classes: Arc<Classes>,
}

/// Names and colours of a model's classes.
#[derive(Debug)]
pub(crate) struct Classes {
    pub(crate) labels: Vec<String>,
    pub(crate) palette: Palette,
}

/// The task of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Task {
    /// A class for each pixel: for [`Segmenter`](crate::Segmenter).
    Segmentation,
    /// The foreground's share of each pixel: also for [`Segmenter`](crate::Segmenter). There are two classes,
    /// background and foreground; a pixel is foreground where its alpha is at least one half, and the confidence of the
    /// foreground, which effects use, is the alpha itself.
    Alpha,
    /// Classes of the image as a whole: for [`Classifier`](crate::Classifier).
    Classification,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 3] = [Self::Segmentation, Self::Alpha, Self::Classification];
}

impl Model {
    /// Opens a model file (`.safetensors` with its spec, as `silhouette import` writes it); its tensors are read when a
    /// network is compiled from it. If another file is renamed over it in the meantime, the opened one is still read. If it
    /// is truncated or written to, compiling fails.
    ///
    /// # Errors
    /// [`Error::InvalidModel`] if it cannot be read, is truncated or damaged, or contains an unknown network.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_file(ModelFile::open(path)?)
    }

    /// Opens a model file by mapping it into memory, for files private to this program: its pages are read when needed,
    /// and the system can reclaim them. While it is open the file must not be written to or truncated (replacing it by
    /// a rename is fine): truncating it ends the process, and writing to it changes the network's results.
    ///
    /// # Errors
    /// The same as [`open`](Self::open).
    pub fn map(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_file(ModelFile::map(path)?)
    }

    /// Opens a model inside another file, such as an uncompressed asset of an app's package, like [`open`](Self::open):
    /// `length` bytes starting at `offset`.
    ///
    /// # Errors
    /// The same as [`open`](Self::open); [`Error::InvalidModel`] also if the part reaches past the file's end.
    pub fn open_part(path: impl AsRef<Path>, offset: u64, length: u64) -> Result<Self> {
        Self::from_file(ModelFile::open_part(path, offset..offset.saturating_add(length))?)
    }

    /// Reads a model file from memory: a `Vec`, or bytes built into the program (not copied).
    ///
    /// # Errors
    /// The same as [`open`](Self::open).
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self> {
        Self::from_file(ModelFile::from_bytes(bytes)?)
    }

    /// Reads a model file that is built into the program; it is not copied.
    ///
    /// # Errors
    /// The same as [`open`](Self::open).
    pub fn from_static(bytes: &'static [u8]) -> Result<Self> {
        Self::from_file(ModelFile::from_bytes(bytes)?)
    }

    /// Creates a model from a file opened through `silhouette-weights`.
    ///
    /// # Errors
    /// [`Error::InvalidModel`] for a network with more classes than a mask's byte can represent.
    pub fn from_file(file: ModelFile) -> Result<Self> {
        let spec = file.spec();
        let segments = matches!(spec.head, Head::DeeplabV3(_));
        if segments && spec.labels.len() > 256 {
            return Err(Error::model(
                format_args!("'{}' has {} classes", spec.name, spec.labels.len()),
                "a mask has one byte per pixel: at most 256 classes are supported",
            ));
        }
        if segments && spec.labels.len() == 1 {
            return Err(Error::model(
                format_args!("'{}' has a single class, so every pixel would belong to it", spec.name),
                "a network with one logit outputs an alpha; import its file again",
            ));
        }
        let classes = Classes { labels: spec.labels.clone(), palette: Palette::with_colors(&spec.colors) };
        Ok(Self { classes: Arc::new(classes), file: Arc::new(file) })
    }

    /// The same weights in a network with another output stride (8, 16 or 32): later strides become atrous rates, so a
    /// smaller one produces a finer map of logits at a higher cost (paper, section 6.3).
    ///
    /// # Errors
    /// [`Error::Unsupported`] for any other number.
    pub fn with_output_stride(&self, output_stride: usize) -> Result<Self> {
        let file = self.file.with_output_stride(output_stride);
        let file = file.map_err(|error| Error::unsupported(error, "pass 8, 16 or 32"))?;
        Ok(Self { file: Arc::new(file), classes: Arc::clone(&self.classes) })
    }

    /// The same weights in a network without these residual blocks (paper, section 3.4).
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a block that has no shortcut between its bottlenecks, or does not exist.
    pub fn without_blocks(&self, blocks: &[usize]) -> Result<Self> {
        let file = self.file.without_blocks(blocks).map_err(|error| {
            let possible = self.spec().droppable_blocks();
            Error::unsupported(error, &format!("blocks of this model that can be left out: {possible:?}"))
        })?;
        Ok(Self { file: Arc::new(file), classes: Arc::clone(&self.classes) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.spec().name
    }

    /// Its task.
    pub fn task(&self) -> Task {
        match self.spec().task() {
            spec::Task::Categories => Task::Segmentation,
            spec::Task::Alpha => Task::Alpha,
            spec::Task::Scores => Task::Classification,
        }
    }

    /// One label per class, in the order of the classes.
    pub fn labels(&self) -> &[String] {
        &self.classes.labels
    }

    /// A colour for each class.
    pub fn palette(&self) -> &Palette {
        &self.classes.palette
    }

    /// A colour for each class, sRGB.
    pub fn colors(&self) -> &[[u8; 3]] {
        let count = self.labels().len().min(256);
        &self.palette().colors()[..count]
    }

    /// The class with a label, ignoring case.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a label that the model does not have; the error lists the labels that exist.
    pub fn class_index(&self, label: &str) -> Result<usize> {
        const LISTED: usize = 40;
        let label = label.trim();
        let labels = self.labels();
        labels.iter().position(|known| known.eq_ignore_ascii_case(label)).ok_or_else(|| {
            let more = if labels.len() > LISTED { ", …" } else { "" };
            let listed = labels[..labels.len().min(LISTED)].join(", ");
            Error::unsupported(
                format_args!("no class '{label}' in '{}'", self.name()),
                &format!("there are {listed}{more}"),
            )
        })
    }

    /// Side of the square input that the weights were trained for.
    pub fn size(&self) -> usize {
        self.spec().input.size
    }

    /// Licence of the weights; empty if it is unknown.
    pub fn licence(&self) -> &str {
        &self.spec().licence
    }

    /// Origin of the weights.
    pub fn provenance(&self) -> &str {
        &self.spec().provenance
    }

    /// The network as data.
    pub fn spec(&self) -> &Spec {
        self.file.spec()
    }

    /// The model file.
    pub fn file(&self) -> &ModelFile {
        &self.file
    }

    pub(crate) fn classes(&self) -> &Arc<Classes> {
        &self.classes
    }

    /// How its logits are aligned to its input; `None` for a classifier.
    pub(crate) fn resize(&self) -> Option<Resize> {
        match &self.spec().head {
            Head::DeeplabV3(head) => Some(head.resize),
            Head::Classifier(_) => None,
        }
    }
}
