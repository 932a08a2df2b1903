//! What can be wrong with a file that is to be imported: where, and what to do about it.

use std::path::PathBuf;

use silhouette_network::ModelError;
use silhouette_network::error::TensorProblems;

/// A file that cannot be imported, by its name.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct ImportFailure {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, or has to be said beside it.
    pub source: ImportError,
}

/// A file that cannot be imported. The message says where in the file, and which flag would help where one does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),

    /// It is none of the formats that are known.
    #[error(
        "not a model file that is known here (TensorFlow Lite, PyTorch .pth, .safetensors); it begins with {begins}"
    )]
    UnknownFormat {
        /// The first bytes, printable.
        begins: String,
    },

    /// It is a known format that is not imported, or uses a part of one that is not.
    #[error("{what} is not supported: {instead}")]
    Unsupported {
        /// What was met.
        what: String,
        /// What to do instead.
        instead: String,
    },

    /// It is cut off, damaged, or made to do harm.
    #[error("damaged {format} file: {place}: {problem}")]
    Damaged {
        /// The format.
        format: &'static str,
        /// Which part of the file.
        place: String,
        /// What is wrong there.
        problem: String,
    },

    /// It is sound, but not a MobileNet classifier or a DeepLabV3 on a MobileNet.
    #[error("not a network that is known here: {place}: {problem}")]
    UnknownNetwork {
        /// The operator or tensor where the structures part.
        place: String,
        /// How.
        problem: String,
    },

    /// The file cannot say this, and nobody else has.
    #[error("the file does not say {what}; give {flag}")]
    NotSaid {
        /// What is missing.
        what: String,
        /// The command line's flag (the field of `ImportOptions` has the same name).
        flag: &'static str,
    },

    /// What was given does not fit the file.
    #[error("{flag} does not fit the file: {problem}")]
    DoesNotFit {
        /// The command line's flag.
        flag: &'static str,
        /// How.
        problem: String,
    },

    /// Tensors that the network needs are not there, have other shapes, or are there and belong to nothing.
    #[error("{0}")]
    Tensors(TensorProblems),

    /// The specification, given or derived, describes no possible network.
    #[error(transparent)]
    Spec(Box<ModelError>),
}
