//! A file mapped into memory: the only `unsafe` of this crate.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

use crate::error::ModelError;

/// A file or a part of one, read-only, its pages read as they are touched.
#[derive(Debug)]
pub(super) struct Map(Mmap);

impl Map {
    /// Maps the whole file, or `part` of it, counted in bytes.
    pub(super) fn open(path: &Path, part: Option<Range<u64>>) -> Result<Self, ModelError> {
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
        let map =
            unsafe { MmapOptions::new().offset(part.start).len(length).map(&file) }.map_err(ModelError::io(path))?;
        Ok(Self(map))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Lets the pages of `range` go; touched again, they are read from the file again.
    pub(super) fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        {
            // SAFETY: the mapping is of a file and never written, so that a dropped page comes back with the same bytes;
            // memmap2 checks the range and extends it down to a page border, whose page comes back likewise.
            let result =
                unsafe { self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
            // Advice that the system does not take costs memory, nothing else.
            if let Err(e) = result {
                log::debug!("pages of the model file stay in memory: {e}");
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}
