//! A folder that is removed with the test that created it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// An empty temporary folder of a test; dropping it removes it with all its contents.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Creates a new one.
    ///
    /// # Panics
    /// If it cannot be created.
    #[allow(clippy::new_without_default, reason = "it creates something on disk")]
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("silhouette-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        // Left over from an earlier process with the same id.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(path)
    }

    /// The folder's path.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The path of `name` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and returns its path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    /// The names in it, sorted.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap_or_else(|e| panic!("{}: {e}", self.0.display()));
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.ok().and_then(|entry| entry.file_name().into_string().ok()).expect("a test uses UTF-8 names")
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_what_is_in_it() {
        let folder = Folder::new();
        let other = Folder::new();
        assert_ne!(folder.root(), other.root());
        folder.write("b", "1");
        folder.write("a", [2]);
        assert_eq!(folder.files(), ["a", "b"]);
        let path = folder.root().to_owned();
        drop(folder);
        assert!(!path.exists() && other.root().exists());
    }
}
