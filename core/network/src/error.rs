//! What can go wrong with a model: typed, each saying what was wrong, where, and what to do where that is known.

use std::fmt;
use std::path::{Path, PathBuf};

use silhouette_kernels::memory::OutOfMemory;

/// Everything that is refused of a spec, a network, a model file or the buffers of one inference, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The operating system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is cut off, damaged, hostile, or of another kind than it should be.
    #[error("{file}: not a usable model file: {what}")]
    BadFile {
        /// Its name, as the caller knows it.
        file: String,
        /// What is wrong with it, and where.
        what: String,
    },
    /// A file made by a newer version of this library.
    #[error(
        "spec format {found} is unknown; this version reads formats 1 to {newest}: update the library, or export the model again"
    )]
    UnknownFormat {
        /// The version in the file.
        found: u64,
        /// The newest version that this library knows.
        newest: u32,
    },
    /// A spec that describes no possible network.
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
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The tensors of a file are not the network's.
    #[error("{0}")]
    Tensors(TensorProblems),
    /// One tensor has values that cannot be used.
    #[error("tensor {name}: {what}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// Something that exists but that this build, machine or version cannot do.
    #[error("{what} is not supported: {why}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// Why it cannot be had, and what can.
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
    /// The system has no memory for the network or its maps.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// Input or output buffers that do not fit the network.
    #[error("{what}: the network expects {wanted}, got {found}")]
    Mismatch {
        /// Which buffer.
        what: &'static str,
        /// What fits.
        wanted: String,
        /// What was given.
        found: String,
    },
}

/// How the tensors of a file differ from those that the network needs; at least one list is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorProblems {
    /// Names that the network needs and the file does not have.
    pub missing: Vec<String>,
    /// Names that the file has and the network has no place for.
    pub left_over: Vec<String>,
    /// Names with another shape than the network's.
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
    pub wanted: Vec<usize>,
    /// The file's.
    pub found: Vec<usize>,
}

impl TensorProblems {
    /// No problem at all.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.left_over.is_empty()
            && self.wrong_shape.is_empty()
            && self.wrong_type.is_empty()
    }

    /// `Ok` where there is no problem.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] with every problem in it.
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
            write!(f, "; {} is {:?} and should be {:?}", w.name, w.found, w.wanted)?;
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

    /// For a file called `file`.
    pub fn bad_file(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self::BadFile { file: file.into(), what: what.into() }
    }

    /// For `map_err` after a file operation.
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
            wrong_shape: vec![WrongShape { name: "last.weight".into(), wanted: vec![1280, 320, 1, 1], found: vec![1] }],
            wrong_type: vec![("last.bias".into(), "I8".into())],
        };
        let text = problems.into_result().unwrap_err().to_string();
        for part in ["stem.weight, stem.bias", "fc.weight", "[1280, 320, 1, 1]", "last.bias is I8"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn no_problem_is_no_error() {
        assert!(TensorProblems::default().into_result().is_ok());
    }
}
