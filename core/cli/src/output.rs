//! What leaves the program: files that are there whole or not at all, and lines on stdout.

use crate::failure::Failure;
pub(crate) use crate::failure::one_line;
use silhouette_weights::write_whole;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// [`write_whole`] for the command: `write` gets the place to write to.
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(Failure::new(path, "cannot be written: it is a folder"));
    }
    write_whole(path, |error| Failure::new(path, format!("cannot be written: {error}")), write)
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
}
