//! Import errors: what is wrong with a file, where, and what to do about it.

use std::path::PathBuf;

use silhouette_network::ModelError;
use silhouette_network::error::TensorProblems;

/// A file that cannot be imported, with its name.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct ImportFailure {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, or must be passed in addition.
    pub source: ImportError,
}

/// Why a file cannot be imported. The message names the place in the file, and the flag that would help, if any.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),

    /// It has an unknown format.
    #[error("not a known model file (TensorFlow Lite, PyTorch .pth, .safetensors); it begins with {begins}")]
    UnknownFormat {
        /// The first bytes, printable.
        begins: String,
    },

    /// It has a known format that is not supported, or uses an unsupported part of one.
    #[error("{what} is not supported: {instead}")]
    Unsupported {
        /// The unsupported part.
        what: String,
        /// What to do instead.
        instead: String,
    },

    /// It is truncated, damaged, or malicious.
    #[error("damaged {format} file: {place}: {problem}")]
    Damaged {
        /// The format.
        format: &'static str,
        /// The part of the file.
        place: String,
        /// What is wrong with it.
        problem: String,
    },

    /// It is valid, but not a MobileNet classifier or a DeepLabV3 on a MobileNet.
    #[error("not a known network: {place}: {problem}")]
    UnknownNetwork {
        /// The operator or tensor where the structures differ.
        place: String,
        /// The difference.
        problem: String,
    },

    /// The file does not store this, and no option supplies it.
    #[error("the file does not store {what}; pass {flag}")]
    NotSaid {
        /// What is missing.
        what: String,
        /// The command line's flag (the field of `ImportOptions` has the same name).
        flag: &'static str,
    },

    /// An option contradicts the file.
    #[error("{flag} does not match the file: {problem}")]
    DoesNotFit {
        /// The command line's flag.
        flag: &'static str,
        /// The contradiction.
        problem: String,
    },

    /// Tensors that the network needs are missing or have other shapes, or unknown tensors are left over.
    #[error("{0}")]
    Tensors(TensorProblems),

    /// The specification, passed or derived, does not describe a valid network.
    #[error(transparent)]
    Spec(Box<ModelError>),
}
