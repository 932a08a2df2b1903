//! What is wrong with a picture's bytes, before it is known what the file is called.

use silhouette_kernels::memory::OutOfMemory;

#[derive(Debug)]
pub(super) enum Problem {
    /// The reader failed.
    Read(std::io::Error),
    /// More pixels than the limit.
    TooLarge { width: u32, height: u32 },
    /// It ends too early; what there is of it.
    Cut(String),
    /// It is no picture that can be, in words.
    Damaged(String),
    /// There is no memory for it.
    OutOfMemory(OutOfMemory),
}

impl From<OutOfMemory> for Problem {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}
