//! The program's output: files written atomically, and lines on stdout.

use crate::failure::Failure;
pub(crate) use crate::failure::one_line;
use silhouette_files::{IsInput, write_bytes};
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization as _;

/// Writes a file atomically.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_bytes(path, bytes).map_err(|error| Failure::new(path, format!("cannot be written: {error}")))
}

/// Rejects, before anything is read, outputs that are also inputs.
pub(crate) fn refuse_inputs<'a>(
    outputs: impl IntoIterator<Item = &'a PathBuf>,
    inputs: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(), Failure> {
    silhouette_files::refuse_inputs(outputs, inputs).map_err(|error: IsInput| Failure::general(error))
}

/// Prints one line on stdout.
///
/// A closed pipe (`silhouette … | head`) is not an error: the program ends quietly, as other commands do.
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

/// A key that is equal for two names that some file system treats as one: it ignores case, and whether an accent is a
/// character of its own.
pub(crate) fn alike(name: &str) -> String {
    name.nfd().flat_map(char::to_lowercase).nfc().collect()
}

/// The part of each photo's output names before the effect: its stem; with a number if two photos of one call have the
/// same stem, so that neither overwrites the other.
pub(crate) fn stems(photos: &[PathBuf]) -> Vec<String> {
    let stem = |photo: &PathBuf| {
        photo.file_stem().map_or_else(|| "photo".to_owned(), |stem| stem.to_string_lossy().into_owned())
    };
    let plain: Vec<String> = photos.iter().map(stem).collect();
    let mut taken: HashMap<String, usize> = HashMap::new();
    for stem in &plain {
        *taken.entry(alike(stem)).or_default() += 1;
    }
    let mut used: std::collections::HashSet<String> =
        plain.iter().map(|stem| alike(stem)).filter(|stem| taken[stem] == 1).collect();
    plain
        .into_iter()
        .map(|stem| {
            if taken[&alike(&stem)] == 1 {
                return stem;
            }
            let mut number = 1;
            loop {
                let candidate = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
                if used.insert(alike(&candidate)) {
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
        // An accent composed, and as a separate character: one name to some file systems.
        let photos = ["a/caf\u{e9}.png", "b/cafe\u{301}.png", "c/CAFE\u{301}.png"].map(PathBuf::from);
        assert_eq!(stems(&photos), ["caf\u{e9}", "cafe\u{301}-2", "CAFE\u{301}-3"]);
    }
}
