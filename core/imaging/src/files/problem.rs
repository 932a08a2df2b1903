//! Problems with an image's bytes, before the file's name is known.

use silhouette_kernels::memory::OutOfMemory;

use super::kind::Kind;

#[derive(Debug)]
pub(super) enum Problem {
    /// The reader failed.
    Read(std::io::Error),
    /// More pixels than the limit.
    TooLarge { width: u32, height: u32 },
    /// It is truncated; describes which part is there.
    Cut(String),
    /// It is invalid; a description.
    Damaged(String),
    /// It is of a format that is not read.
    Foreign(Kind),
    /// It has no bytes.
    Empty,
    /// There is not enough memory for it.
    OutOfMemory(OutOfMemory),
}

impl From<OutOfMemory> for Problem {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}
