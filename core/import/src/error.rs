//! Import errors: what is wrong with a file, where, and what to do about it.

use std::path::PathBuf;

use silhouette_network::ModelError;
use silhouette_network::error::TensorProblems;

/// What to do with a TensorFlow `SavedModel`, whose variables are in a folder of their own, not in its graph.
pub(crate) const FREEZE: &str =
    "freeze it: python -m tf2onnx.convert --saved-model FOLDER --opset 17 --output model.onnx, and import that";

/// A file that cannot be imported, with its name.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct ImportFailure {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, or must be passed in addition.
    pub source: ImportError,
}

/// Something that a file does not store and that no option supplies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What it is.
    pub what: String,
    /// The command line's flag (the field of `ImportOptions` has the same name).
    pub flag: &'static str,
    /// What is passed with it, such as `N`.
    pub value: &'static str,
}

/// `a, b and c; pass --a A --b B --c C`.
fn listed(missing: &[Missing]) -> String {
    let mut text = String::new();
    for (i, one) in missing.iter().enumerate() {
        text.push_str(match i {
            0 => "",
            i if i + 1 == missing.len() => " and ",
            _ => ", ",
        });
        text.push_str(&one.what);
    }
    text.push_str("; pass");
    for one in missing {
        text.extend([" ", one.flag, " ", one.value]);
    }
    text
}

/// Why a file cannot be imported. The message names the place in the file, and the flag that would help, if any.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),

    /// It has an unknown format.
    #[error(
        "not a known model file (TensorFlow Lite, ONNX, TensorFlow .pb, PyTorch .pth, .safetensors); it begins with {begins}"
    )]
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

    /// The file does not store these, and no option supplies them.
    #[error("the file does not store {}", listed(missing))]
    NotSaid {
        /// All that is missing; at least one.
        missing: Vec<Missing>,
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
