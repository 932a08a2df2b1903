//! A named pipe, for tests of what must not wait for one.

use std::path::Path;
use std::process::Command;

/// Makes a named pipe, which nobody reads or writes.
///
/// # Panics
/// If it cannot be made.
pub fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo {}", path.display());
}
