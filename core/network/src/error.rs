//! Model errors: typed, each stating what was wrong, where, and, if known, what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use silhouette_kernels::memory::OutOfMemory;

/// Every reason to reject a spec, a network, a model file or the buffers of one inference.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// An error of the operating system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file that is truncated, damaged, hostile, or of another kind than expected.
    #[error("{file}: not a usable model file: {what}")]
    BadFile {
        /// Its name, as the caller knows it.
        file: String,
        /// What is wrong with it, and where.
        what: String,
    },
    /// A file written by a newer version of this library.
    #[error(
        "spec format {found} is unknown; this version reads formats 1 to {newest}: update the library, or export the model again"
    )]
    UnknownFormat {
        /// The version in the file.
        found: u64,
        /// The newest version that this library knows.
        newest: u32,
    },
    /// A spec that does not describe a valid network.
    #[error("spec: {field}: {reason}")]
    Spec {
        /// The field, as a path in the JSON: `extractor.bottlenecks[2].s`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No preset of this name.
    #[error("no preset is called {name:?}; there are: {}", known.join(", "))]
    UnknownPreset {
        /// The requested name.
        name: String,
        /// The existing names.
        known: Vec<&'static str>,
    },
    /// The tensors of a file are not the network's.
    #[error("{0}")]
    Tensors(TensorProblems),
    /// A tensor with unusable values.
    #[error("tensor {name}: {what}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// Something valid that this build, machine or version does not support.
    #[error("{what} is not supported: {why}")]
    Unsupported {
        /// What was requested.
        what: String,
        /// Why it is unavailable, and what is available.
        why: String,
    },
    /// A network or file beyond the limits of this library.
    #[error("{what} is too large: {why}")]
    TooLarge {
        /// What.
        what: String,
        /// Its size, and the limit.
        why: String,
    },
    /// The system has too little memory for the network or its maps.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// Input or output buffers that do not match the network.
    #[error("{what}: the network expects {expected}, got {found}")]
    Mismatch {
        /// Which buffer.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was passed.
        found: String,
    },
}

/// How the tensors of a file differ from those that the network needs; at least one list is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorProblems {
    /// Names that the network needs and the file lacks.
    pub missing: Vec<String>,
    /// Names in the file that the network does not have.
    pub left_over: Vec<String>,
    /// Tensors whose shape differs from the network's.
    pub wrong_shape: Vec<WrongShape>,
    /// Names with an element type that is not f32, f16 or bf16, and the type.
    pub wrong_type: Vec<(String, String)>,
}

/// A tensor with the wrong shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongShape {
    /// Its name.
    pub name: String,
    /// The network's shape: (O, I / groups, K, K) for a weight, (O) for the rest.
    pub expected: Vec<usize>,
    /// The file's.
    pub found: Vec<usize>,
}

impl TensorProblems {
    /// Whether there is no problem.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.left_over.is_empty()
            && self.wrong_shape.is_empty()
            && self.wrong_type.is_empty()
    }

    /// `Ok` if there is no problem.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] listing every problem.
    pub fn into_result(self) -> Result<(), ModelError> {
        if self.is_empty() { Ok(()) } else { Err(ModelError::Tensors(self)) }
    }
}

impl fmt::Display for TensorProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tensors are not this network's")?;
        if !self.missing.is_empty() {
            write!(f, "; missing: {}", self.missing.join(", "))?;
        }
        if !self.left_over.is_empty() {
            write!(f, "; left over: {}", self.left_over.join(", "))?;
        }
        for w in &self.wrong_shape {
            write!(f, "; {} is {:?} and should be {:?}", w.name, w.found, w.expected)?;
        }
        for (name, dtype) in &self.wrong_type {
            write!(f, "; {name} is {dtype} and should be f32, f16 or bf16")?;
        }
        Ok(())
    }
}

impl ModelError {
    pub(crate) fn spec(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Spec { field: field.into(), reason: reason.into() }
    }

    /// An error about a file called `file`.
    pub fn bad_file(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self::BadFile { file: file.into(), what: what.into() }
    }

    /// Converts an I/O error, for `map_err` after a file operation.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_path_buf(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tensor_problem_is_listed() {
        let problems = TensorProblems {
            missing: vec!["stem.weight".into(), "stem.bias".into()],
            left_over: vec!["fc.weight".into()],
            wrong_shape: vec![WrongShape {
                name: "last.weight".into(),
                expected: vec![1280, 320, 1, 1],
                found: vec![1],
            }],
            wrong_type: vec![("last.bias".into(), "I8".into())],
        };
        let text = problems.into_result().unwrap_err().to_string();
        for part in ["stem.weight, stem.bias", "fc.weight", "[1280, 320, 1, 1]", "last.bias is I8"] {
            assert!(text.contains(part), "{part} is missing from: {text}");
        }
    }

    #[test]
    fn no_problem_is_no_error() {
        assert!(TensorProblems::default().into_result().is_ok());
    }
}
