//! Locks that distinguish a living writer from a dead one: the system releases them when a process ends, however it
//! ends.

use std::fs::File;
use std::io;

/// Locks an open file for as long as it is open; `false` if it is already locked.
///
/// # Errors
/// If the file system does not support locks.
#[cfg(unix)]
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    // The standard library does not support Android.
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
    // An open file cannot be removed on this system.
    true
}
