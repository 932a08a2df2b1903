//! Maps an open file into memory: the only `unsafe` of this crate.
#![allow(unsafe_code)]

use std::fs::Metadata;
use std::ops::Range;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};
use silhouette_files::{OpenError, Regular, open_regular};
use silhouette_kernels::pack::WeightOwner;
use silhouette_network::ModelError;

/// A file or a part of one, read-only; its pages are read when touched.
#[derive(Debug)]
pub struct Map {
    mapped: Mmap,
    source: String,
}

impl Map {
    /// Maps the whole file.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let opened = open_regular(path, u64::MAX).map_err(refused(path))?;
        Self::of(&opened, path)
    }

    /// Maps all of an open file; `path` names it in errors. (Its pages are mapped as they are touched: having the system
    /// map all of them at once, which `MAP_POPULATE` does, takes longer, even if all are read.)
    ///
    /// # Errors
    /// [`ModelError::Io`]; [`ModelError::BadFile`] for an empty one.
    pub fn of(opened: &Regular, path: &Path) -> Result<Self, ModelError> {
        // The opened file's length, not the path's: another file may have replaced it since.
        let Regular { file, about } = opened;
        let name = path.display().to_string();
        if about.len() == 0 {
            return Err(ModelError::bad_file(name, "it is empty"));
        }
        let length = usize::try_from(about.len())
            .map_err(|_| ModelError::bad_file(&name, "it is larger than the address space"))?;
        // SAFETY: the mapping is read-only and private to this value. Writing to the file or truncating it while it is
        // mapped would break this: we never do (we write a new file and rename it), only this user may write to files
        // of packed weights, and the documentation of `ModelFile::map` requires it of callers; `ModelFile::open` and
        // `open_part` map nothing.
        let mapped = unsafe { MmapOptions::new().len(length).map(file) }.map_err(ModelError::io(path))?;
        Ok(Self { mapped, source: source(path, about, &(0..about.len())) })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.mapped
    }

    /// Identifies the file and its state: another file, or one that was written to since, has a different text.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Releases the pages of `range`; when touched, they are read from the file again.
    pub(crate) fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        {
            // SAFETY: the mapping is of a file and never written, so a dropped page comes back with the same bytes;
            // memmap2 checks the range and extends it down to a page boundary; that page comes back likewise.
            let result = unsafe {
                self.mapped.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
            };
            // If the system ignores the advice, it costs memory, nothing else.
            if let Err(e) = result {
                log::debug!("pages of the model file stay in memory: {e}");
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// Converts an error of opening a file, for `map_err`.
pub(crate) fn refused(path: &Path) -> impl FnOnce(OpenError) -> ModelError + '_ {
    move |error| match error {
        OpenError::Io(error) => ModelError::io(path)(error),
        error => ModelError::bad_file(path.display().to_string(), error.to_string()),
    }
}

/// Identifies the part of a file and its state: another one, or one that was written to since, has a different text.
pub(crate) fn source(path: &Path, about: &Metadata, part: &Range<u64>) -> String {
    format!("{} of {} bytes, {part:?}", state(path, about), about.len())
}

/// Identifies the file and when it was last written.
#[cfg(unix)]
fn state(_: &Path, about: &Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    format!("file {}:{} written {}.{:09}", about.dev(), about.ino(), about.mtime(), about.mtime_nsec())
}

#[cfg(not(unix))]
fn state(path: &Path, about: &Metadata) -> String {
    format!("{:?} written {:?}", path.canonicalize(), about.modified())
}

/// The contents of a mapped file from an offset on.
#[derive(Debug)]
pub struct Tail {
    map: Map,
    start: usize,
}

impl Tail {
    /// `None` if the file ends before `start`.
    pub fn new(map: Map, start: usize) -> Option<Self> {
        (start <= map.bytes().len()).then_some(Self { map, start })
    }
}

// SAFETY: the mapping does not move as long as this value lives, and is read-only; for other processes, see
// `Map::of`.
unsafe impl WeightOwner for Tail {
    fn bytes(&self) -> &[u8] {
        &self.map.bytes()[self.start..]
    }
}
