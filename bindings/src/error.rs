//! Converts errors for other languages, and panics to errors.

use silhouette::Error;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An error: `reason` states what was wrong and where, `advice` what the caller can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum SilhouetteError {
    /// The frame cannot be read: sizes, strides, planes, region.
    #[error("invalid frame: {reason}; {advice}")]
    InvalidFrame {
        /// What was wrong, and where.
        reason: String,
        /// What the caller can do.
        advice: String,
    },
    /// The model cannot be used: truncated, damaged, unknown, or for another task.
    #[error("invalid model: {reason}; {advice}")]
    InvalidModel {
        /// What was wrong, and where.
        reason: String,
        /// What the caller can do.
        advice: String,
    },
    /// The request is well-formed, but not supported here.
    #[error("unsupported: {reason}; {advice}")]
    Unsupported {
        /// What was wrong, and where.
        reason: String,
        /// What the caller can do.
        advice: String,
    },
    /// The object was closed.
    #[error("closed: {reason}; {advice}")]
    Closed {
        /// What was wrong, and where.
        reason: String,
        /// What the caller can do.
        advice: String,
    },
    /// A fault of this library or of the underlying system.
    #[error("internal: {reason}; {advice}")]
    Internal {
        /// What was wrong, and where.
        reason: String,
        /// What the caller can do.
        advice: String,
    },
}

/// The result of fallible functions of this crate.
pub type Result<T> = std::result::Result<T, SilhouetteError>;

impl SilhouetteError {
    /// The number of its kind in C and JNI: 1 to 5, in the order of the variants.
    pub fn kind(&self) -> i32 {
        match self {
            Self::InvalidFrame { .. } => 1,
            Self::InvalidModel { .. } => 2,
            Self::Unsupported { .. } => 3,
            Self::Closed { .. } => 4,
            Self::Internal { .. } => 5,
        }
    }

    /// Reason and advice.
    pub fn texts(&self) -> (&str, &str) {
        match self {
            Self::InvalidFrame { reason, advice }
            | Self::InvalidModel { reason, advice }
            | Self::Unsupported { reason, advice }
            | Self::Closed { reason, advice }
            | Self::Internal { reason, advice } => (reason, advice),
        }
    }

    pub(crate) fn frame(reason: impl Into<String>, advice: &str) -> Self {
        Self::InvalidFrame { reason: reason.into(), advice: advice.to_owned() }
    }

    pub(crate) fn unsupported(reason: impl Into<String>, advice: &str) -> Self {
        Self::Unsupported { reason: reason.into(), advice: advice.to_owned() }
    }

    pub(crate) fn closed(what: &str) -> Self {
        Self::Closed { reason: format!("the {what} was closed"), advice: "create a new one".to_owned() }
    }

    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        let advice = "please report it with the model and the frame's size".to_owned();
        Self::Internal { reason: reason.into(), advice }
    }

    pub(crate) fn panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Self::internal(format!("a panic: {text}"))
    }
}

impl From<Error> for SilhouetteError {
    fn from(error: Error) -> Self {
        let reason = error.reason().to_owned();
        let advice = error.advice().to_owned();
        match error {
            Error::InvalidFrame(_) => Self::InvalidFrame { reason, advice },
            Error::InvalidModel(_) => Self::InvalidModel { reason, advice },
            Error::Unsupported(_) => Self::Unsupported { reason, advice },
            Error::Closed(_) => Self::Closed { reason, advice },
            // `Error` may grow; an unknown kind is not the caller's fault.
            _ => Self::Internal { reason, advice },
        }
    }
}

impl From<silhouette::FrameError> for SilhouetteError {
    fn from(error: silhouette::FrameError) -> Self {
        Error::from(error).into()
    }
}

/// Runs `work`; a panic becomes [`SilhouetteError::Internal`]. The objects of this crate stay usable after it: anything
/// a panic may have left half done is behind locks that ignore poisoning, and is rewritten by the next call.
///
/// # Errors
/// The error of `work`, or the panic.
pub fn guard<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(SilhouetteError::panic(&*payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_internal_error_that_says_what_it_said() {
        let number = 3;
        for (result, text) in [
            (guard::<()>(|| panic!("plain")), "a panic: plain"),
            (guard::<()>(|| panic!("number {number}")), "a panic: number 3"),
            (guard::<()>(|| std::panic::panic_any(7)), "a panic: no message"),
        ] {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.texts().0), (5, text));
        }
    }
}
