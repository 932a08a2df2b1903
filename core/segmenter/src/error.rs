//! The library's errors, in five kinds, each with the reason and what to do about it.

use silhouette_engine::engine::EngineError;
use silhouette_imaging::frame::FrameError;
use silhouette_kernels::memory::OutOfMemory;
use silhouette_network::ModelError;
use std::fmt;

/// Every error of this library.
///
/// Detailed errors of the crates below are grouped by what a caller can do about them; the text keeps the details
/// (file, tensor, field, plane).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The frame or image cannot be read: sizes, strides, region, or a file that is not an image.
    #[error("invalid frame: {0}")]
    InvalidFrame(Problem),
    /// The model cannot be used: truncated, damaged, of an unknown network, or for another task.
    #[error("invalid model: {0}")]
    InvalidModel(Problem),
    /// The request is well-formed, but not supported here: backend, size, class, file format, a number out of bounds,
    /// insufficient memory.
    #[error("unsupported: {0}")]
    Unsupported(Problem),
    /// The object was closed; calls that were still waiting end with this too.
    #[error("closed: {0}")]
    Closed(Problem),
    /// A fault of this library or of the underlying system.
    #[error("internal: {0}")]
    Internal(Problem),
}

/// The reason of an [`Error`], and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What was wrong, and where.
    pub reason: String,
    /// What the caller can do.
    pub advice: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.advice.is_empty() { f.write_str(&self.reason) } else { write!(f, "{}; {}", self.reason, self.advice) }
    }
}

/// The result of fallible functions of this library.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What was wrong, and where.
    pub fn reason(&self) -> &str {
        &self.problem().reason
    }

    /// What the caller can do.
    pub fn advice(&self) -> &str {
        &self.problem().advice
    }

    fn problem(&self) -> &Problem {
        match self {
            Self::InvalidFrame(p)
            | Self::InvalidModel(p)
            | Self::Unsupported(p)
            | Self::Closed(p)
            | Self::Internal(p) => p,
        }
    }

    pub(crate) fn frame(reason: impl fmt::Display, advice: &str) -> Self {
        Self::InvalidFrame(problem(reason, advice))
    }

    pub(crate) fn model(reason: impl fmt::Display, advice: &str) -> Self {
        Self::InvalidModel(problem(reason, advice))
    }

    pub(crate) fn unsupported(reason: impl fmt::Display, advice: &str) -> Self {
        Self::Unsupported(problem(reason, advice))
    }

    pub(crate) fn closed(what: &str) -> Self {
        Self::Closed(problem(format_args!("the {what} was closed"), "create a new one"))
    }

    pub(crate) fn internal(reason: impl fmt::Display) -> Self {
        Self::Internal(problem(reason, "please report it with the model and the frame's size"))
    }
}

impl From<OutOfMemory> for Error {
    fn from(error: OutOfMemory) -> Self {
        Self::unsupported(error, "use a smaller size, or fewer concurrent calls")
    }
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        if let FrameError::OutOfMemory(error) = error {
            return error.into();
        }
        Self::frame(error, "pass planes, strides and sizes as the camera or decoder reports them")
    }
}

impl From<ModelError> for Error {
    fn from(error: ModelError) -> Self {
        match &error {
            ModelError::OutOfMemory(error) => (*error).into(),
            ModelError::Unsupported { .. } | ModelError::UnknownPreset { .. } | ModelError::TooLarge { .. } => {
                Self::Unsupported(problem(error, ""))
            }
            ModelError::Mismatch { .. } => Self::internal(error),
            _ => Self::model(error, "use a file that `silhouette import` wrote"),
        }
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match &error {
            EngineError::OutOfMemory(error) => (*error).into(),
            EngineError::Unsupported { .. } => Self::Unsupported(problem(error, "")),
            _ => Self::internal(error),
        }
    }
}

#[cfg(feature = "graph")]
impl From<silhouette_graph::GraphError> for Error {
    fn from(error: silhouette_graph::GraphError) -> Self {
        match error {
            silhouette_graph::GraphError::Model(error) => error.into(),
            other => EngineError::from(other).into(),
        }
    }
}

#[cfg(feature = "files")]
impl From<silhouette_imaging::files::FileError> for Error {
    fn from(error: silhouette_imaging::files::FileError) -> Self {
        use silhouette_imaging::files::FileError;
        match &error {
            FileError::Write { .. } => Self::Internal(problem(error, "check the folder and the space on its disk")),
            FileError::TooLarge { .. } => Self::frame(error, "resize it first"),
            FileError::Truncated { .. } | FileError::Foreign { .. } => Self::frame(error, ""),
            FileError::OutOfMemory { source, .. } => (*source).into(),
            FileError::Empty { .. } => Self::frame(error, "get the file again"),
            _ => Self::frame(error, "pass a PNG, JPEG or WebP image"),
        }
    }
}

fn problem(reason: impl fmt::Display, advice: &str) -> Problem {
    Problem { reason: reason.to_string(), advice: advice.to_owned() }
}
