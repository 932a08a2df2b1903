//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the name of a file that is being written begins with.
pub const UNFINISHED: &str = ".unfinished-";

/// Has `content` write a file beside `path` (at the place that it is given; nothing is there), which then takes the place of `path`: who reads
/// `path` meanwhile, or has it mapped, sees the old file or the new one. The file beside it has the name's own ending.
///
/// # Errors
/// What `content` gives; else what `cannot` makes of the system's error.
pub fn write_whole<E>(
    path: &Path,
    cannot: impl FnOnce(io::Error) -> E,
    content: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut name = std::ffi::OsString::from(format!("{UNFINISHED}{}-{number}-", std::process::id()));
    name.push(path.file_name().unwrap_or_default());
    let beside: PathBuf = path.with_file_name(name);
    let written = content(&beside).and_then(|()| {
        let sync = || File::open(&beside)?.sync_all();
        sync().and_then(|()| fs::rename(&beside, path)).map_err(cannot)
    });
    if written.is_err() {
        // Best effort: the error that counts is the first.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let folder = Folder::new();
        let path = folder.path("file.txt");
        let write = |text: &'static str, end: Result<(), io::Error>| {
            write_whole(
                &path,
                |e| e,
                |to| {
                    assert!(to.extension().is_some_and(|ending| ending == "txt") && !to.exists());
                    fs::write(to, text).and(end)
                },
            )
        };
        write("old", Ok(())).unwrap();
        assert!(write("half", Err(io::Error::other("on purpose"))).is_err());
        assert_eq!((fs::read(&path).unwrap(), folder.files()), (b"old".to_vec(), vec!["file.txt".to_owned()]));
        write("new", Ok(())).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
