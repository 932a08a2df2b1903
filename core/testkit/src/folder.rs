//! A folder that goes with the test that made it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// An empty folder of a test's own, in the system's folder for temporary files; dropped, it is removed with all in it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one.
    ///
    /// # Panics
    /// If it cannot be made.
    #[allow(clippy::new_without_default, reason = "it makes something on disk")]
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("silhouette-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        // What an earlier process of this number left.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(path)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Where `name` is in it, or would be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and says where.
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
            entry.ok().and_then(|entry| entry.file_name().into_string().ok()).expect("a test writes plain names")
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
        let (folder, other) = (Folder::new(), Folder::new());
        assert_ne!(folder.root(), other.root());
        folder.write("b", "1");
        folder.write("a", [2]);
        assert_eq!(folder.files(), ["a", "b"]);
        let path = folder.root().to_owned();
        drop(folder);
        assert!(!path.exists() && other.root().exists());
    }
}
