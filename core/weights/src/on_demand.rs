//! A file of tensors, each read when it is requested. Nothing is mapped, so truncating the file does not end the
//! process; nothing is held, so a model uses no memory of its own once its weights are packed; and if the file was
//! written to since it was opened, reading fails instead of yielding another network.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use silhouette_files::{Regular, open_regular};
use silhouette_kernels::memory::resize;

use crate::ModelError;
use crate::map::{refused, source};

/// An open file, or a part of it.
#[derive(Debug)]
pub(crate) struct OnDemand {
    file: File,
    path: PathBuf,
    part: Range<u64>,
    source: String,
}

impl OnDemand {
    /// Opens the file; only `part` (in bytes) is read, if passed, otherwise all of it.
    ///
    /// # Errors
    /// [`ModelError::Io`]; [`ModelError::BadFile`] if it is not a file, or the part reaches past its end.
    pub(crate) fn open(path: &Path, part: Option<Range<u64>>) -> Result<Self, ModelError> {
        let Regular { file, about } = open_regular(path, u64::MAX).map_err(refused(path))?;
        let part = part.unwrap_or(0..about.len());
        if part.is_empty() {
            return Err(ModelError::bad_file(path.display().to_string(), "it is empty"));
        }
        if part.end > about.len() {
            let what = format!("it has {} bytes; the part ends at {}", about.len(), part.end);
            return Err(ModelError::bad_file(path.display().to_string(), what));
        }
        let source = source(path, &about, &part);
        Ok(Self { file, path: path.to_owned(), part, source })
    }

    /// Bytes of the part.
    pub(crate) fn len(&self) -> u64 {
        self.part.end - self.part.start
    }

    /// Identifies the file and its state: another file, or one that was written to since, has a different text.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The bytes of `range`, relative to the part's beginning, in the memory of `bytes`.
    ///
    /// # Errors
    /// [`ModelError::BadFile`] if the file has changed since it was opened; [`ModelError::Io`];
    /// [`ModelError::OutOfMemory`].
    pub(crate) fn read(&self, range: Range<u64>, mut bytes: Vec<u8>) -> Result<Vec<u8>, ModelError> {
        let changed = || {
            let what = "it was written to since it was opened; replace a model by renaming a new file over it";
            ModelError::bad_file(self.path.display().to_string(), what)
        };
        if range.end > self.len() {
            return Err(changed());
        }
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        if bytes.capacity() < length {
            bytes = Vec::new();
        }
        bytes.truncate(length);
        resize(&mut bytes, length, 0, "a tensor of a model file")?;
        let result = read_exact_at(&self.file, &mut bytes, self.part.start + range.start);
        let now = self.file.metadata().map_err(ModelError::io(&self.path))?;
        if source(&self.path, &now, &self.part) != self.source {
            return Err(changed());
        }
        result.map_err(ModelError::io(&self.path))?;
        Ok(bytes)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], from: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, from)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut from: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, from)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        from += read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    #[test]
    fn what_changed_since_is_an_error() {
        let folder = Folder::new();
        let path = folder.path("numbers");
        std::fs::write(&path, [1, 2, 3, 4, 5, 6]).unwrap();
        let open = || OnDemand::open(&path, Some(1..5)).unwrap();
        assert_eq!((open().len(), open().read(1..3, vec![7; 3]).unwrap()), (4, vec![3, 4]));
        for part in [0..0, 2..7, 9..12] {
            assert!(matches!(OnDemand::open(&path, Some(part)), Err(ModelError::BadFile { .. })));
        }
        assert!(open().read(2..5, Vec::new()).is_err(), "past the part's end");
        // Replaced by a rename: the open one is unchanged.
        let kept = open();
        let next = folder.path("next");
        std::fs::write(&next, [9; 6]).unwrap();
        std::fs::rename(&next, &path).unwrap();
        assert_eq!(kept.read(0..4, Vec::new()).unwrap(), [2, 3, 4, 5]);
        // Truncated, and written to in place.
        for now in [&[1, 2][..], &[7; 6]] {
            std::fs::write(&path, [1, 2, 3, 4, 5, 6]).unwrap();
            let kept = open();
            std::thread::sleep(std::time::Duration::from_millis(20));
            std::fs::write(&path, now).unwrap();
            let text = kept.read(0..4, Vec::new()).unwrap_err().to_string();
            assert!(text.contains("was written to"), "{text}");
        }
    }
}
