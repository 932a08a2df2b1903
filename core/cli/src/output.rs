//! The program's output: files written atomically, and lines on stdout.

use crate::failure::Failure;
pub(crate) use crate::failure::one_line;
use silhouette_files::{IsInput, write_bytes};
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Whether lines for humans and machines go to stderr, because an image goes to stdout.
static ASIDE: AtomicBool = AtomicBool::new(false);

/// From now on, [`say`] prints on stderr: stdout carries an image or a video.
pub(crate) fn say_aside() {
    ASIDE.store(true, Ordering::Relaxed);
}

/// Prints one line on stdout.
///
/// A closed pipe (`silhouette … | head`) is not an error: the program ends quietly, as other commands do.
pub(crate) fn say(line: &str) {
    if ASIDE.load(Ordering::Relaxed) {
        let _ = writeln!(io::stderr(), "{line}");
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        let gone = error.kind() == io::ErrorKind::BrokenPipe;
        if !gone {
            let _ = writeln!(io::stderr(), "error: stdout: {error}");
        }
        std::process::exit(i32::from(!gone));
    }
}

/// Prints a line on stderr that is neither a result nor an error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "note: {}", one_line(text));
}

/// A number of things, whose name takes an s where there are several.
pub(crate) fn counted(number: u64, name: &str) -> String {
    if number == 1 { format!("1 {name}") } else { format!("{number} {name}s") }
}

/// A key that is equal for two names that some file system treats as one: it ignores case, and whether an accent is a
/// character of its own.
pub(crate) fn alike(name: &str) -> String {
    name.nfd().flat_map(char::to_lowercase).nfc().collect()
}

/// The given paths, with a number at the end of those that another one equals, so that no output overwrites another.
pub(crate) fn distinct(paths: &[PathBuf]) -> Vec<PathBuf> {
    let key = |path: &Path| alike(&path.to_string_lossy());
    let mut taken: HashMap<String, usize> = HashMap::new();
    for path in paths {
        *taken.entry(key(path)).or_default() += 1;
    }
    let mut used: HashSet<String> =
        taken.iter().filter(|(_, count)| **count == 1).map(|(key, _)| key.clone()).collect();
    paths
        .iter()
        .map(|path| {
            if taken[&key(path)] == 1 {
                return path.clone();
            }
            let mut number = 1;
            loop {
                let mut name = path.file_name().unwrap_or_default().to_owned();
                if number > 1 {
                    name.push(format!("-{number}"));
                }
                let candidate = path.with_file_name(name);
                if used.insert(key(&candidate)) {
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
    fn no_two_photos_share_a_name() {
        let distinct = |names: &[&str]| {
            let paths: Vec<_> = names.iter().map(PathBuf::from).collect();
            distinct(&paths).into_iter().map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(distinct(&["x", "x", "x-2", "X", "y"]), ["x", "x-3", "x-2", "X-4", "y"]);
        assert_eq!(distinct(&["a/x", "b/x", "a/x", "a.b/x.y"]), ["a/x", "b/x", "a/x-2", "a.b/x.y"]);
        // An accent composed, and as a separate character: one name to some file systems.
        let names = ["caf\u{e9}", "cafe\u{301}", "CAFE\u{301}"];
        assert_eq!(distinct(&names), ["caf\u{e9}", "cafe\u{301}-2", "CAFE\u{301}-3"]);
    }
}
