//! What leaves the program: files that are there whole or not at all, and lines on stdout.

use crate::failure::Failure;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `path` through a temporary file beside it, which takes its place only when `write` has succeeded; `write` gets
/// the temporary file's path (it exists, and is empty).
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    let cannot = |error: io::Error| Failure::new(path, format!("cannot be written: {error}"));
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if path.is_dir() {
        return Err(Failure::new(path, "cannot be written: it is a folder"));
    }
    let mut builder = tempfile::Builder::new();
    // Writers that choose the format by the name see the one that the result will have.
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    builder.prefix(".silhouette-").suffix(&extension);
    // A temporary file is private by default; the result is an ordinary file, as the user's umask wants it.
    #[cfg(unix)]
    builder.permissions(<std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
    let file = builder.tempfile_in(folder).map_err(cannot)?.into_temp_path();
    write(&file)?;
    file.persist(path).map_err(|error| cannot(error.error))
}

/// One line on stdout.
///
/// A reader that has gone (`silhouette … | head`) is no error: the program ends quietly, as other commands do.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        let gone = error.kind() == io::ErrorKind::BrokenPipe;
        if !gone {
            let _ = writeln!(io::stderr(), "error: stdout: {error}");
        }
        std::process::exit(i32::from(!gone));
    }
}

/// Names and texts from files may hold line breaks and escape sequences: one line stays one line.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => line.push_str("; "),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

/// The part of each photo's output names that comes before the effect: its stem; with a number where two photos of one
/// call have the same one, so that neither overwrites the other.
pub(crate) fn stems(photos: &[PathBuf]) -> Vec<String> {
    let stem = |photo: &PathBuf| {
        photo.file_stem().map_or_else(|| "photo".to_owned(), |stem| stem.to_string_lossy().into_owned())
    };
    let plain: Vec<String> = photos.iter().map(stem).collect();
    // Compared without case, as some file systems do.
    let mut taken: HashMap<String, usize> = HashMap::new();
    for stem in &plain {
        *taken.entry(stem.to_lowercase()).or_default() += 1;
    }
    let mut used: std::collections::HashSet<String> =
        plain.iter().map(|stem| stem.to_lowercase()).filter(|stem| taken[stem] == 1).collect();
    plain
        .into_iter()
        .map(|stem| {
            if taken[&stem.to_lowercase()] == 1 {
                return stem;
            }
            let mut number = 1;
            loop {
                let candidate = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
                if used.insert(candidate.to_lowercase()) {
                    return candidate;
                }
                number += 1;
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_photos_share_a_stem() {
        let photos = ["a/x.png", "b/x.jpg", "x-2.png", "c/X.webp", "y.png"].map(PathBuf::from);
        assert_eq!(stems(&photos), ["x", "x-3", "x-2", "X-4", "y"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, |to| {
            std::fs::write(to, b"old").unwrap();
            Ok(())
        })
        .unwrap();
        let failed = write_atomically(&path, |to| {
            std::fs::write(to, b"half").unwrap();
            Err(Failure::new(&path, "on purpose"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
