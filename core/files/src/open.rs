//! Opens files named by a user: one may be a pipe that never ends, a device, or larger than memory.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

/// Why a file was not opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// An error of the operating system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A folder, a pipe, a device, or a socket.
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    /// More bytes than the caller accepts.
    #[error("it is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// A file that someone else owns or can write to, where only our own is accepted.
    #[error("{0}: it is not used")]
    NotOurs(&'static str),
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io(error) => error,
            OpenError::TooLarge { .. } => Self::new(io::ErrorKind::FileTooLarge, error),
            OpenError::NotRegular(_) => Self::new(io::ErrorKind::InvalidInput, error),
            OpenError::NotOurs(_) => Self::new(io::ErrorKind::PermissionDenied, error),
        }
    }
}

/// A regular file, open for reading.
#[derive(Debug)]
pub struct Regular {
    /// The file.
    pub file: File,
    /// The system's metadata of the opened file, not of its path.
    pub about: Metadata,
}

impl Regular {
    /// Its length in bytes when it was opened.
    #[allow(clippy::len_without_is_empty, reason = "a file, not a collection")]
    pub fn len(&self) -> u64 {
        self.about.len()
    }
}

/// Opens a regular file of at most `limit` bytes for reading. Never blocks: a pipe is rejected, not opened.
///
/// # Errors
/// [`OpenError`].
pub fn open_regular(path: &Path, limit: u64) -> Result<Regular, OpenError> {
    // Checked before opening: opening a pipe, even briefly, wakes a process waiting for its reader.
    regular(std::fs::metadata(path)?.file_type())?;
    opened(path, limit, 0)
}

/// Like [`open_regular`], for a file that only we can have written: not a link, owned by this process's user, writable
/// by no one else. Systems without such owners reject only links.
///
/// # Errors
/// [`OpenError`].
pub fn open_own(path: &Path, limit: u64) -> Result<Regular, OpenError> {
    let opened = open_owned(path, limit)?;
    only_ours_to_write(&opened.about)?;
    Ok(opened)
}

/// Not a link, and owned by this process's user.
pub(crate) fn open_owned(path: &Path, limit: u64) -> Result<Regular, OpenError> {
    let about = std::fs::symlink_metadata(path)?;
    if about.is_symlink() {
        return Err(OpenError::NotOurs("it is a link"));
    }
    regular(about.file_type())?;
    #[cfg(unix)]
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    #[cfg(not(unix))]
    let flags = 0;
    let opened = opened(path, limit, flags)?;
    owned(&opened.about)?;
    Ok(opened)
}

/// Reads all of a regular file of at most `limit` bytes, counted while reading: it may grow meanwhile.
///
/// # Errors
/// [`OpenError`].
pub fn read_regular(path: &Path, limit: u64) -> Result<Vec<u8>, OpenError> {
    whole(open_regular(path, limit)?, limit)
}

/// [`read_regular`] for a file that only we can have written: see [`open_own`].
///
/// # Errors
/// [`OpenError`].
pub fn read_own(path: &Path, limit: u64) -> Result<Vec<u8>, OpenError> {
    whole(open_own(path, limit)?, limit)
}

/// Reads the first `bytes` of a regular file, or all of a shorter one.
///
/// # Errors
/// [`OpenError`].
pub fn read_start(path: &Path, bytes: usize) -> Result<Vec<u8>, OpenError> {
    let mut start = Vec::new();
    open_regular(path, u64::MAX)?.file.take(bytes as u64).read_to_end(&mut start)?;
    Ok(start)
}

fn whole(regular: Regular, limit: u64) -> Result<Vec<u8>, OpenError> {
    let mut bytes = Vec::new();
    let length = usize::try_from(regular.len()).unwrap_or(usize::MAX);
    bytes.try_reserve_exact(length).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    // One byte more than allowed: if it exists, the file is too large.
    regular.file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(OpenError::TooLarge { limit }) } else { Ok(bytes) }
}

/// [`read_regular`] for text in UTF-8.
///
/// # Errors
/// [`OpenError`]; containing [`io::ErrorKind::InvalidData`] if it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, OpenError> {
    let bytes = read_regular(path, limit)?;
    Ok(String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))?)
}

/// Opens a file and reads its metadata; `flags` are added to those that keep opening from blocking.
fn opened(path: &Path, limit: u64, flags: i32) -> Result<Regular, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed() | flags);
    }
    #[cfg(not(unix))]
    let _ = flags;
    let file = options.open(path)?;
    let about = file.metadata()?;
    regular(about.file_type())?;
    if about.len() > limit {
        return Err(OpenError::TooLarge { limit });
    }
    Ok(Regular { file, about })
}

pub(crate) fn regular(kind: FileType) -> Result<(), OpenError> {
    if kind.is_file() { Ok(()) } else { Err(OpenError::NotRegular(name(kind))) }
}

/// The kind of file, with its article.
fn name(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a folder" } else { "something else" }
}

#[cfg(unix)]
fn owned(about: &Metadata) -> Result<(), OpenError> {
    use std::os::unix::fs::MetadataExt as _;
    let ours = about.uid() == rustix::process::geteuid().as_raw();
    if ours { Ok(()) } else { Err(OpenError::NotOurs("another user owns it")) }
}

#[cfg(unix)]
fn only_ours_to_write(about: &Metadata) -> Result<(), OpenError> {
    use std::os::unix::fs::MetadataExt as _;
    if about.mode() & 0o022 == 0 { Ok(()) } else { Err(OpenError::NotOurs("other users may write to it")) }
}

#[cfg(not(unix))]
fn owned(_: &Metadata) -> Result<(), OpenError> {
    Ok(())
}

#[cfg(not(unix))]
fn only_ours_to_write(_: &Metadata) -> Result<(), OpenError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = Folder::new();
        let path = folder.write("file", "12345");
        assert_eq!(read_regular(&path, 5).unwrap(), b"12345");
        assert_eq!(open_regular(&path, 5).unwrap().len(), 5);
        for result in [read_regular(&path, 4).map(drop), open_regular(&path, 4).map(drop)] {
            assert!(matches!(result, Err(OpenError::TooLarge { limit: 4 })), "{result:?}");
        }
        assert_eq!(read_text(&path, 9).unwrap(), "12345");
        assert_eq!((read_start(&path, 2).unwrap(), read_start(&path, 9).unwrap()), (b"12".to_vec(), b"12345".to_vec()));
        let path = folder.write("bytes", [0xff]);
        assert!(read_text(&path, 9).unwrap_err().to_string().contains("utf-8"));
        assert!(matches!(read_regular(&folder.path("none"), 9), Err(OpenError::Io(_))));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = Folder::new();
        let pipe = folder.path("pipe");
        silhouette_testkit::pipe(&pipe);
        std::os::unix::fs::symlink(&pipe, folder.path("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path("socket")).unwrap();
        let device = Path::new("/dev/zero").to_owned();
        for (path, what) in [
            (pipe, "a pipe"),
            (folder.path("link"), "a pipe"),
            (folder.path("socket"), "a socket"),
            (folder.root().to_owned(), "a folder"),
            (device, "a device"),
        ] {
            let error = read_regular(&path, 9).unwrap_err().to_string();
            assert!(error.starts_with(&format!("it is {what}")), "{}: {error}", path.display());
        }
        // A file of /proc claims to be empty, but is not.
        assert!(
            !read_text(Path::new("/proc/self/status"), 1 << 20).unwrap().is_empty() || cfg!(not(target_os = "linux"))
        );
    }

    #[cfg(unix)]
    #[test]
    fn only_our_own_files() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new();
        let path = folder.write("file", "1");
        let mode = |mode: u32| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(open_own(&path, 9).is_ok());
        for open in [0o664, 0o646] {
            mode(open);
            assert!(open_own(&path, 9).unwrap_err().to_string().contains("other users"), "{open:o}");
        }
        mode(0o600);
        std::os::unix::fs::symlink(&path, folder.path("link")).unwrap();
        assert!(open_own(&folder.path("link"), 9).unwrap_err().to_string().contains("a link"));
        assert!(open_regular(&folder.path("link"), 9).is_ok());
    }
}
