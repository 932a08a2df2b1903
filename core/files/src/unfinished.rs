//! Files being written: their names, and the removal of those whose writer died.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::{Builder, NamedTempFile};

use crate::lock;
use crate::open::open_owned;

/// Prefix and suffix of the names of unfinished files; sixteen random letters and digits between them.
const PREFIX: &str = ".unfinished-";
const SUFFIX: &str = ".silhouette";
const RANDOM: usize = 16;

/// Number of folders remembered as already cleaned up.
const FOLDERS: usize = 64;

/// Creates and locks a new file in `folder` that no one else has, with the permissions `mode` minus the user's umask.
pub(crate) fn create(folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX).rand_bytes(RANDOM);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = mode;
    loop {
        let file = builder.tempfile_in(folder)?;
        // Between its creation and its lock another process may have mistaken it for a leftover.
        match lock::try_lock(file.as_file()) {
            Ok(true) if lock::has_name(file.as_file()) => return Ok(file),
            Ok(_) => {}
            // No support for locks: then no one can mistake it either.
            Err(_) => return Ok(file),
        }
    }
}

/// Removes leftovers of this user's dead writers from `folder`. Files of living writers stay, and so do those in doubt.
pub fn remove_unfinished(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_unfinished)).for_each(|entry| {
        remove_if_dead(&entry.path());
    });
}

/// [`remove_unfinished`], once per process and folder: later leftovers are for later processes.
pub(crate) fn remove_once(folder: &Path) {
    static LOOKED_THROUGH: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut known = LOOKED_THROUGH.lock().unwrap_or_else(PoisonError::into_inner);
    if known.iter().any(|path| path == folder) {
        return;
    }
    if known.len() == FOLDERS {
        known.clear();
    }
    known.push(folder.to_owned());
    drop(known);
    remove_unfinished(folder);
}

/// Our names, or those that earlier versions used: `.unfinished-PROCESS-NUMBER-NAME`.
fn is_unfinished(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let ours = rest.strip_suffix(SUFFIX);
    let earlier = || {
        let mut parts = rest.splitn(3, '-');
        let numbers =
            parts.by_ref().take(2).filter(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        numbers.count() == 2 && parts.next().is_some()
    };
    ours.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|b| b.is_ascii_alphanumeric())) || earlier()
}

fn remove_if_dead(path: &Path) {
    // If the lock is free, the file has no living writer. The lock is held until the name is removed.
    let Ok(opened) = open_owned(path, u64::MAX) else { return };
    if matches!(lock::try_lock(&opened.file), Ok(true)) && still_at(&opened.file, path) {
        // Files that cannot be removed stay.
        let _ = fs::remove_file(path);
    }
}

/// Whether `path` still names the opened file: its writer may have finished since.
#[cfg(unix)]
fn still_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(opened) = file.metadata() else { return false };
    fs::symlink_metadata(path).is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino()))
}

#[cfg(not(unix))]
fn still_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    #[test]
    fn what_dead_writers_left_goes_and_all_else_stays() {
        let folder = Folder::new();
        let living = create(folder.root(), 0o666).unwrap();
        let living_name = living.path().file_name().unwrap().to_str().unwrap().to_owned();
        assert!(is_unfinished(&living_name), "{living_name}");
        let theirs = [".unfinished-novel.txt", ".unfinished-1-2", "unfinished", ".unfinished-0123456789abcdef.txt"];
        for name in theirs {
            folder.write(name, "theirs");
        }
        folder.write(".unfinished-0123456789abcdef.silhouette", "half");
        folder.write(".unfinished-77-0-silhouette-0123456789abcdef.packed", "half");
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path("target"), folder.path(".unfinished-fedcba9876543210.silhouette"))
            .unwrap();
        remove_unfinished(folder.root());
        let mut stay: Vec<String> = theirs.iter().map(|name| (*name).to_owned()).collect();
        stay.push(living_name);
        #[cfg(unix)]
        stay.push(".unfinished-fedcba9876543210.silhouette".to_owned());
        stay.sort();
        assert_eq!(folder.files(), stay);
    }

    #[test]
    fn writers_and_who_removes_do_not_meet() {
        let folder = Folder::new();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let file = create(folder.root(), 0o666).unwrap();
                        assert!(file.path().exists());
                    }
                });
            }
            scope.spawn(|| (0..300).for_each(|_| remove_unfinished(folder.root())));
        });
        assert!(folder.files().is_empty());
    }
}
