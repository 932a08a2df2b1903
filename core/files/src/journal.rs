//! A file to which one process at a time appends lines, so that interrupted work can be resumed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::lock;
use crate::open::{OpenError, regular};

/// Attempts to open a journal whose last owner keeps removing it.
const ATTEMPTS: usize = 16;

/// Why a journal was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It cannot be opened or read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Another process, or this one, has it open.
    #[error("another run is writing to it; wait until it ends, or choose another file")]
    Busy,
}

impl From<io::Error> for JournalError {
    fn from(error: io::Error) -> Self {
        Self::Open(error.into())
    }
}

/// An open journal; nothing else can open it while this value lives.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens or creates the file. An incomplete last line was left by a writer that died, and is removed.
    ///
    /// # Errors
    /// [`JournalError::Busy`] if it is already open; [`OpenError`] if it is not a regular file, or is longer than `limit` bytes.
    pub fn open(path: &Path, limit: u64) -> Result<Self, JournalError> {
        let mut journal = Self { file: locked(path)?, path: path.to_owned() };
        let mut length = 0;
        let mut whole = 0;
        let mut chunk = [0; 1 << 13];
        loop {
            let read = match journal.file.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(end) = chunk[..read].iter().rposition(|&byte| byte == b'\n') {
                whole = length + end as u64 + 1;
            }
            length += read as u64;
            if length > limit {
                return Err(OpenError::TooLarge { limit }.into());
            }
        }
        if whole < length {
            journal.file.set_len(whole)?;
        }
        Ok(journal)
    }

    /// The lines that it holds, from the first on, of which no more than one is held in memory. One of more than `longest` bytes, or that
    /// is no text, is an error, and the last one that is returned.
    pub fn lines(&mut self, longest: u64) -> impl Iterator<Item = Result<String, OpenError>> {
        let begin = self.file.seek(SeekFrom::Start(0));
        let mut reader = BufReader::new(&self.file);
        let mut failed = false;
        let mut line = move || -> Result<Option<String>, OpenError> {
            let mut line = String::new();
            // (With its end.)
            if io::Read::by_ref(&mut reader).take(longest.saturating_add(1)).read_line(&mut line)? == 0 {
                return Ok(None);
            }
            if line.pop() == Some('\n') { Ok(Some(line)) } else { Err(OpenError::TooLarge { limit: longest }) }
        };
        let mut begin = Some(begin);
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let begun = begin.take().unwrap_or(Ok(0)).map_err(OpenError::from);
            let next = begun.and_then(|_| line());
            failed = next.is_err();
            next.transpose()
        })
    }

    /// Appends a line, which must not contain a line break.
    ///
    /// # Errors
    /// The system's.
    pub fn add(&mut self, line: &str) -> io::Result<()> {
        // In one call: dying between two would leave a line that looks whole.
        self.file.write_all(format!("{line}\n").as_bytes())
    }

    /// Removes the file: the work is done.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(self) -> io::Result<()> {
        // While it is locked: a process waiting for it notices that it no longer has a name, and creates a new one.
        std::fs::remove_file(&self.path)
    }
}

fn locked(path: &Path) -> Result<File, JournalError> {
    if let Ok(about) = std::fs::metadata(path) {
        regular(about.file_type())?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    for _ in 0..ATTEMPTS {
        let file = options.open(path)?;
        regular(file.metadata()?.file_type())?;
        match lock::try_lock(&file) {
            Ok(true) if lock::has_name(&file) => return Ok(file),
            Ok(true) => {}
            Ok(false) => return Err(JournalError::Busy),
            // Nothing shows whether there is another writer: two writers to one file would lose both.
            Err(error) => return Err(error.into()),
        }
    }
    Err(JournalError::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    #[test]
    fn lines_come_back_and_a_torn_one_does_not() {
        let folder = Folder::new();
        let path = folder.path("journal");
        let lines = |journal: &mut Journal| journal.lines(5).collect::<Result<Vec<_>, _>>().unwrap();
        let mut journal = Journal::open(&path, 99).unwrap();
        assert!(lines(&mut journal).is_empty());
        journal.add("one").unwrap();
        journal.add("two").unwrap();
        assert!(matches!(Journal::open(&path, 99), Err(JournalError::Busy)));
        drop(journal);
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        let mut journal = Journal::open(&path, 99).unwrap();
        assert_eq!(lines(&mut journal), ["one", "two"]);
        // Again, and no longer ones than that.
        assert_eq!(lines(&mut journal), ["one", "two"]);
        assert!(journal.lines(2).collect::<Result<Vec<_>, _>>().unwrap_err().to_string().contains("larger"));
        journal.add("three").unwrap();
        drop(journal);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        // Torn within a character.
        std::fs::write(&path, b"one\n\xc3").unwrap();
        let mut journal = Journal::open(&path, 99).unwrap();
        assert_eq!(lines(&mut journal), ["one"]);
        journal.remove().unwrap();
        assert!(folder.files().is_empty());
        folder.write("journal", b"\xc3\n1\n");
        let read: Vec<_> = Journal::open(&path, 99).unwrap().lines(9).collect();
        assert!(read.len() == 1 && read[0].is_err(), "{read:?}");
        folder.write("journal", "12345");
        assert!(Journal::open(&path, 4).unwrap_err().to_string().contains("larger"));
        assert!(Journal::open(folder.root(), 4).unwrap_err().to_string().contains("a folder"));
    }

    #[test]
    fn one_at_a_time_even_while_it_is_removed() {
        let folder = Folder::new();
        let path = folder.path("journal");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        match Journal::open(&path, 99) {
                            Ok(mut journal) => {
                                assert!(journal.lines(99).next().is_none(), "two had it");
                                journal.add("mine").unwrap();
                                journal.remove().unwrap();
                            }
                            Err(JournalError::Busy) => std::thread::yield_now(),
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        assert!(folder.files().is_empty());
    }
}
