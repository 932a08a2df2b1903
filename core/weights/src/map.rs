//! A file mapped into memory: the only `unsafe` of this crate.
#![allow(unsafe_code)]

use std::fs::{File, Metadata};
use std::ops::Range;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};
use silhouette_kernels::pack::Keeper;
use silhouette_network::ModelError;

/// A file or a part of one, read-only, its pages read as they are touched.
#[derive(Debug)]
pub struct Map {
    mapped: Mmap,
    source: String,
}

impl Map {
    /// Maps the whole file, or `part` of it, counted in bytes.
    pub(crate) fn open(path: &Path, part: Option<Range<u64>>) -> Result<Self, ModelError> {
        Self::with(path, part, &mut MmapOptions::new())
    }

    /// Maps the whole file and has the system fetch all of it at once, where it knows how to: everything will be read.
    ///
    /// # Errors
    /// [`ModelError::Io`]; [`ModelError::BadFile`] for what is no regular file, or empty.
    pub fn open_ahead(path: &Path) -> Result<Self, ModelError> {
        Self::with(path, None, MmapOptions::new().populate())
    }

    fn with(path: &Path, part: Option<Range<u64>>, options: &mut MmapOptions) -> Result<Self, ModelError> {
        let about = std::fs::metadata(path).map_err(ModelError::io(path))?;
        let name = path.display().to_string();
        // Asked before opening: opening a pipe would wait for its writer.
        if !about.is_file() {
            return Err(ModelError::bad_file(name, "it is not a regular file"));
        }
        let part = part.unwrap_or(0..about.len());
        if part.is_empty() {
            return Err(ModelError::bad_file(name, "it is empty"));
        }
        if part.end > about.len() {
            let what = format!("it has {} bytes, none up to {}", about.len(), part.end);
            return Err(ModelError::bad_file(name, what));
        }
        let length = usize::try_from(part.end - part.start)
            .map_err(|_| ModelError::bad_file(&name, "it is larger than the address space"))?;
        let file = File::open(path).map_err(ModelError::io(path))?;
        // SAFETY: the mapping is read-only and private to this value. Another process that writes to the file or cuts it
        // while it is mapped would break this; `save` never does (it writes a new file and renames it), and the
        // documentation of `ModelFile::open` asks it of everybody else.
        let mapped = unsafe { options.offset(part.start).len(length).map(&file) }.map_err(ModelError::io(path))?;
        let about = file.metadata().map_err(ModelError::io(path))?;
        Ok(Self { mapped, source: format!("{} of {} bytes, {part:?}", state(path, &about), about.len()) })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.mapped
    }

    /// Which file this is, in which state: another one, or one that was written since, has another text.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Lets the pages of `range` go; touched again, they are read from the file again.
    pub(crate) fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        {
            // SAFETY: the mapping is of a file and never written, so that a dropped page comes back with the same bytes;
            // memmap2 checks the range and extends it down to a page border, whose page comes back likewise.
            let result = unsafe {
                self.mapped.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
            };
            // Advice that the system does not take costs memory, nothing else.
            if let Err(e) = result {
                log::debug!("pages of the model file stay in memory: {e}");
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// Which file it is and when it was written last.
#[cfg(unix)]
fn state(_: &Path, about: &Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    format!("file {}:{} written {}.{:09}", about.dev(), about.ino(), about.mtime(), about.mtime_nsec())
}

#[cfg(not(unix))]
fn state(path: &Path, about: &Metadata) -> String {
    format!("{:?} written {:?}", path.canonicalize(), about.modified())
}

/// What a mapped file holds from a place on.
#[derive(Debug)]
pub struct Tail {
    map: Map,
    start: usize,
}

impl Tail {
    /// `None` where the file ends before `start`.
    pub fn new(map: Map, start: usize) -> Option<Self> {
        (start <= map.bytes().len()).then_some(Self { map, start })
    }
}

// SAFETY: the mapping stays where it is as long as this value lives, and is read-only; of other processes, see `Map::with`.
unsafe impl Keeper for Tail {
    fn bytes(&self) -> &[u8] {
        &self.map.bytes()[self.start..]
    }
}
