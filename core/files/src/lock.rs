//! Locks that tell a living writer from a dead one: the system takes them back when a process ends, however it ends.

use std::fs::File;
use std::io;

/// Takes the lock of an open file for as long as it is open; `false` where another has it.
///
/// # Errors
/// Where the file system knows no locks.
#[cfg(unix)]
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    // The standard library's own has no Android.
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the opened file still has a name.
#[cfg(unix)]
pub(crate) fn has_name(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    file.metadata().is_ok_and(|about| about.nlink() > 0)
}

#[cfg(not(unix))]
pub(crate) fn has_name(_: &File) -> bool {
    // An open file cannot be removed there.
    true
}
