//! Errors of the command line: one line, with what is wrong and where.

use std::fmt;
use std::path::Path;

/// A line for stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The file (or option) that it is about; may be empty.
    pub(crate) place: String,
    /// What is wrong, and what to do about it.
    pub(crate) text: String,
}

impl Failure {
    /// About a file.
    pub(crate) fn new(place: &Path, text: impl fmt::Display) -> Self {
        Self { place: place.display().to_string(), text: text.to_string() }
    }

    /// About the call as a whole, or an option named in `text`.
    pub(crate) fn general(text: impl fmt::Display) -> Self {
        Self { place: String::new(), text: text.to_string() }
    }

    /// Prints it on stderr, past a progress bar if there is one.
    pub(crate) fn print(&self) {
        use std::io::Write as _;
        // If stderr is gone nothing can be done, and the exit code reports the failure too.
        let _ = writeln!(std::io::stderr(), "error: {self}");
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repeated = self.place.is_empty() || names(&self.text, &self.place);
        let line = if repeated { self.text.clone() } else { format!("{}: {}", self.place, self.text) };
        f.write_str(&one_line(&line))
    }
}

/// Whether `text` contains `place` as a word of its own: some library errors already name the file.
fn names(text: &str, place: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || "._-/\\".contains(c);
    text.match_indices(place).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = &text[at + found.len()..];
        let ended = after.is_empty() || !after.starts_with(part_of_word);
        ended && !before.is_some_and(part_of_word)
    })
}

/// Names and texts from files may contain line breaks and escape sequences: one line stays one line.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_whatever_the_name_holds() {
        let failure = Failure::new(Path::new("a\nb\u{1b}[31m.jpg"), "bad\ntwo");
        assert_eq!(failure.to_string(), "a; b\\u{1b}[31m.jpg: bad; two");
    }

    #[test]
    fn the_place_is_said_once() {
        assert_eq!(Failure::new(Path::new("x"), "x: bad").to_string(), "x: bad");
        assert_eq!(Failure::new(Path::new("x"), "cannot read x: bad").to_string(), "cannot read x: bad");
        assert_eq!(Failure::new(Path::new("x"), "a x.png, ax, y/x: bad").to_string(), "x: a x.png, ax, y/x: bad");
        assert_eq!(Failure::general("bad").to_string(), "bad");
    }
}
