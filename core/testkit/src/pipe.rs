//! A named pipe, for tests of code that must not block on one.

use std::path::Path;
use std::process::Command;

/// Creates a named pipe without readers or writers.
///
/// # Panics
/// If it cannot be created.
pub fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo {}", path.display());
}
