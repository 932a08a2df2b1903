//! Writes files atomically.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::unfinished;

/// Maximum number of links to follow.
const LINKS: usize = 40;

/// Has `content` write a file, which then replaces `path` in one step: anyone who reads `path` meanwhile, or has it
/// mapped, sees the old file or the new one; if anything fails, the old one stays. It is written next to `path` under a
/// temporary name, and synced to disk before the rename. An existing file's permissions are preserved.
///
/// A link is followed, and stays. An existing target that is not a regular file (a pipe, a device, the standard output
/// by one of its names) is written to, not replaced; a folder is an error.
///
/// # Errors
/// The error of `content`, or what `cannot` makes of the system's error.
pub fn write_whole<E>(
    path: &Path,
    cannot: impl Fn(io::Error) -> E,
    content: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    fill(Target::of(path), cannot, content)
}

/// [`write_whole`] for a file that only this process's user can read and write. It replaces whatever existed, including
/// a link: nothing is written through it.
///
/// # Errors
/// As [`write_whole`].
pub fn write_own<E>(
    path: &Path,
    cannot: impl Fn(io::Error) -> E,
    content: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    fill(Target::beside(path.to_owned(), 0o600, None), cannot, content)
}

fn fill<E>(
    target: io::Result<Target>,
    cannot: impl Fn(io::Error) -> E,
    content: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let mut target = target.map_err(&cannot)?;
    let mut writer = BufWriter::new(target.file());
    content(&mut writer)?;
    writer.flush().map_err(&cannot)?;
    drop(writer);
    target.finish().map_err(cannot)
}

/// [`write_whole`] for bytes in memory.
///
/// # Errors
/// The system's.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_whole(path, |error| error, |to| to.write_all(bytes))
}

/// The destination of the bytes.
enum Target {
    /// A temporary file, renamed to `path` once it is complete.
    Beside { unfinished: tempfile::NamedTempFile, path: PathBuf, before: Option<Box<Metadata>> },
    /// The existing target directly.
    Through(File),
}

impl Target {
    fn of(path: &Path) -> io::Result<Self> {
        let (place, special) = follow(path)?;
        let before = match fs::metadata(&place) {
            Ok(about) => Some(about),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match before {
            Some(about) if about.is_dir() => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")),
            Some(about) if special || !about.is_file() => Ok(Self::Through(through(&place, &about)?)),
            before => {
                if before.is_some() {
                    // Checks the file's permission, as writing to it would: a rename checks only the folder's.
                    OpenOptions::new().write(true).open(&place)?;
                }
                Self::beside(place, 0o666, before)
            }
        }
    }

    fn beside(path: PathBuf, mode: u32, before: Option<Metadata>) -> io::Result<Self> {
        if path.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not name a file"));
        }
        let folder = folder_of(&path);
        unfinished::remove_once(folder);
        Ok(Self::Beside { unfinished: unfinished::create(folder, mode)?, path, before: before.map(Box::new) })
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Beside { unfinished, .. } => unfinished.as_file_mut(),
            Self::Through(file) => file,
        }
    }

    fn finish(self) -> io::Result<()> {
        let Self::Beside { unfinished, path, before } = self else { return Ok(()) };
        if let Some(before) = &before {
            keep_rights(unfinished.as_file(), before)?;
        }
        unfinished.as_file().sync_all()?;
        unfinished.persist(&path).map_err(|error| error.error)?;
        // Best effort: some file systems cannot, and the file exists anyway.
        #[cfg(unix)]
        let _ = File::open(folder_of(&path)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

/// The folder of a path, which may be a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The target of `path` through links, the last of which may dangle; and whether it names a file that a process has
/// open, which must not be replaced.
fn follow(path: &Path) -> io::Result<(PathBuf, bool)> {
    let mut place = path.to_owned();
    for _ in 0..LINKS {
        // Entries of /proc and /dev/fd look like links, but their targets are not paths.
        if is_open_file(&place) {
            return Ok((place, true));
        }
        match fs::symlink_metadata(&place) {
            Ok(about) if about.is_symlink() => {
                let to = fs::read_link(&place)?;
                place = place.parent().unwrap_or(Path::new("")).join(to);
            }
            Ok(_) => return Ok((place, false)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((place, false)),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many links"))
}

/// Whether a path names an open file of a process: `/proc/self/fd/1`, `/dev/fd/1`.
fn is_open_file(path: &Path) -> bool {
    let Some(folder) = path.parent().filter(|folder| folder.ends_with("fd")) else { return false };
    folder == Path::new("/dev/fd") || folder.canonicalize().is_ok_and(|folder| folder.starts_with("/proc"))
}

/// Opens a target that is not a regular file, or is open elsewhere, for writing.
fn through(path: &Path, about: &Metadata) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        use std::os::unix::fs::MetadataExt as _;
        // Our own standard output continues at its position: reopened, a file would be overwritten from the beginning.
        let out = io::stdout();
        let error = io::stderr();
        for stream in [out.as_fd(), error.as_fd()] {
            let file = File::from(stream.try_clone_to_owned()?);
            let same = |own: Metadata| (own.dev(), own.ino()) == (about.dev(), about.ino());
            if file.metadata().is_ok_and(same) {
                return Ok(file);
            }
        }
    }
    let mut options = OpenOptions::new();
    options.write(true).truncate(about.is_file());
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed());
    }
    options.open(path)
}

/// Copies the permissions of the replaced file, and its owner if we are allowed to set it.
fn keep_rights(file: &File, before: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let about = file.metadata()?;
        if (about.uid(), about.gid()) != (before.uid(), before.gid()) {
            let _ = std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid()));
        }
        file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o777))?;
    }
    #[cfg(not(unix))]
    file.set_permissions(before.permissions())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let folder = Folder::new();
        let path = folder.path("file.txt");
        let write = |text: &'static str, end: io::Result<()>| {
            write_whole(&path, |error| error, |to| to.write_all(text.as_bytes()).and(end))
        };
        write("old", Ok(())).unwrap();
        assert!(write("half", Err(io::Error::other("on purpose"))).is_err());
        assert_eq!((fs::read(&path).unwrap(), folder.files()), (b"old".to_vec(), vec!["file.txt".to_owned()]));
        write("new", Ok(())).unwrap();
        assert_eq!((fs::read(&path).unwrap(), folder.files()), (b"new".to_vec(), vec!["file.txt".to_owned()]));
        assert!(write_bytes(folder.root(), b"x").unwrap_err().to_string().contains("folder"));
        assert!(write_bytes(&folder.path("none").join("file"), b"x").is_err());
        // Names of maximum length.
        let long = folder.path(&"n".repeat(255));
        write_bytes(&long, b"long").unwrap();
        assert_eq!(fs::read(long).unwrap(), b"long");
    }

    #[cfg(unix)]
    #[test]
    fn rights_are_those_of_a_new_file_or_of_the_old_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new();
        let mode = |name: &str| fs::metadata(folder.path(name)).unwrap().permissions().mode() & 0o777;
        folder.write("plain", "");
        write_bytes(&folder.path("ours"), b"1").unwrap();
        assert_eq!(mode("ours"), mode("plain"));
        fs::set_permissions(folder.path("ours"), fs::Permissions::from_mode(0o640)).unwrap();
        write_bytes(&folder.path("ours"), b"2").unwrap();
        assert_eq!(mode("ours"), 0o640);
        let root = rustix::process::geteuid().is_root();
        fs::set_permissions(folder.path("ours"), fs::Permissions::from_mode(0o440)).unwrap();
        assert_eq!(write_bytes(&folder.path("ours"), b"3").is_ok(), root);
    }

    #[cfg(unix)]
    #[test]
    fn our_own_file_takes_the_place_of_a_link() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new();
        let victim = folder.write("victim", "theirs");
        let path = folder.path("own");
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        write_own(&path, |error| error, |to| to.write_all(b"ours")).unwrap();
        assert_eq!((fs::read(&victim).unwrap(), fs::read(&path).unwrap()), (b"theirs".to_vec(), b"ours".to_vec()));
        let about = fs::symlink_metadata(&path).unwrap();
        assert_eq!((about.is_file(), about.permissions().mode() & 0o777), (true, 0o600));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_stay() {
        use std::os::unix::fs::symlink;
        let folder = Folder::new();
        let other = Folder::new();
        symlink(other.path("file"), folder.path("link")).unwrap();
        symlink("link", folder.path("link to link")).unwrap();
        // A dangling link, then one to a file.
        for text in ["1", "2"] {
            write_bytes(&folder.path("link to link"), text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(other.path("file")).unwrap(), text);
        }
        assert_eq!(folder.files(), ["link", "link to link"]);
        assert_eq!(other.files(), ["file"]);
        symlink("circle", folder.path("circle")).unwrap();
        assert!(write_bytes(&folder.path("circle"), b"1").unwrap_err().to_string().contains("links"));
    }

    #[cfg(unix)]
    #[test]
    fn pipes_devices_and_open_files_are_written_through() {
        use std::io::Read as _;
        use std::os::fd::AsRawFd as _;
        use std::os::unix::fs::FileTypeExt as _;
        let folder = Folder::new();
        let pipe = folder.path("pipe");
        silhouette_testkit::pipe(&pipe);
        let read = std::thread::scope(|scope| {
            let reader = scope.spawn(|| fs::read(&pipe).unwrap());
            write_bytes(&pipe, b"through").unwrap();
            reader.join().unwrap()
        });
        assert_eq!(read, b"through");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        std::os::unix::fs::symlink("/dev/null", folder.path("null")).unwrap();
        write_bytes(&folder.path("null"), b"1").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        // A file that is open here: it is not replaced.
        folder.write("open", "before");
        let mut open = fs::File::open(folder.path("open")).unwrap();
        std::os::unix::fs::symlink(format!("/dev/fd/{}", open.as_raw_fd()), folder.path("to open")).unwrap();
        write_bytes(&folder.path("to open"), b"now").unwrap();
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!(text, "now");
        assert_eq!(folder.files(), ["null", "open", "pipe", "to open"]);
    }
}
