//! What has been scored so far, as a file of one JSON object a line, so that a run that was stopped goes on.
//!
//! The first line says what is scored and how; a file of another run is refused, not mixed in, and so is one that a run has open. A last
//! line that was cut off is dropped.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use silhouette_files::Journal;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A picture that was scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scored {
    /// Its name in the data set.
    pub(crate) name: String,
    /// Time from the decoded picture to the mask.
    pub(crate) ms: f64,
    /// Multiply-adds of all runs of the network.
    pub(crate) madds: u64,
    /// The cells of its confusion matrix that are not 0: true class, class in the mask, pixels.
    pub(crate) pairs: Vec<(u8, u8, u64)>,
    /// Of its foreground's border, where that is scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) borders: Option<[Border; 2]>,
}

/// The border of an alpha, plain or refined: pixels near both contours and near either, and the time of the alpha.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Border {
    pub(crate) hit: u64,
    pub(crate) union: u64,
    pub(crate) ms: f64,
}

/// The file.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    journal: Journal,
}

/// Far more than any data set's state.
const LONGEST: u64 = 1 << 30;

impl State {
    /// Opens or makes the file; returns what it holds already. `run` says in one line what is scored and how.
    ///
    /// # Errors
    /// If the file cannot be read or written, another run has it open, or it is of another run.
    pub(crate) fn open(path: &Path, run: &serde_json::Value) -> Result<(Self, Vec<Scored>), Failure> {
        let (mut journal, lines) = Journal::open(path, LONGEST).map_err(|error| Failure::new(path, error))?;
        let mut scored: Vec<Scored> = Vec::new();
        let mut known = HashSet::new();
        match lines.split_first() {
            None => journal.add(&run.to_string()).map_err(|error| Failure::new(path, error))?,
            Some((first, lines))
                if serde_json::from_str::<serde_json::Value>(first).is_ok_and(|stored| stored == *run) =>
            {
                for (number, line) in lines.iter().enumerate() {
                    let one: Scored = serde_json::from_str(line).map_err(|error| {
                        Failure::new(path, format!("line {}: {error}; delete the file to begin again", number + 2))
                    })?;
                    // Earlier versions let two runs write at once: a picture counts once.
                    if known.insert(one.name.clone()) {
                        scored.push(one);
                    }
                }
            }
            Some(_) => {
                return Err(Failure::new(
                    path,
                    "holds the state of another run (other model, pictures or protocol): delete it, or write to another --json",
                ));
            }
        }
        Ok((Self { path: path.to_path_buf(), journal }, scored))
    }

    /// Adds a picture.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn add(&mut self, scored: &Scored) -> Result<(), Failure> {
        let line = serde_json::to_string(scored).map_err(|error| Failure::new(&self.path, error))?;
        self.journal.add(&line).map_err(|error| Failure::new(&self.path, error))
    }

    /// The run is over: the file is not needed any more.
    pub(crate) fn finish(self) {
        // Where it cannot be deleted, the next run reads it and finds everything done: right, only quicker.
        let _ = self.journal.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use silhouette_testkit::Folder;

    fn scored(name: &str) -> Scored {
        Scored { name: name.into(), ms: 1.5, madds: 7, pairs: vec![(0, 0, 10), (3, 1, 2)], borders: None }
    }

    #[test]
    fn a_stopped_run_goes_on_and_a_cut_line_is_dropped() {
        let folder = Folder::new();
        let (path, run) = (folder.path("state"), json!({ "size": 257 }));
        let (mut state, before) = State::open(&path, &run).unwrap();
        assert!(before.is_empty());
        assert!(State::open(&path, &run).unwrap_err().to_string().contains("another run is writing"));
        state.add(&scored("a")).unwrap();
        state.add(&scored("b")).unwrap();
        drop(state);
        // Killed half way through a line.
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"name\":\"c\",\"ms\":");
        std::fs::write(&path, text).unwrap();
        let (mut state, before) = State::open(&path, &run).unwrap();
        assert_eq!(before, [scored("a"), scored("b")]);
        state.add(&scored("c")).unwrap();
        drop(state);
        // What two runs of an earlier version wrote.
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str(&(serde_json::to_string(&scored("b")).unwrap() + "\n"));
        std::fs::write(&path, text).unwrap();
        let (state, before) = State::open(&path, &run).unwrap();
        assert_eq!(before, [scored("a"), scored("b"), scored("c")]);
        state.finish();
        assert!(!path.exists());
    }

    #[test]
    fn another_runs_state_is_not_mixed_in() {
        let folder = Folder::new();
        let path = folder.path("state");
        drop(State::open(&path, &json!({ "size": 257 })).unwrap());
        let refused = State::open(&path, &json!({ "size": 289 })).unwrap_err();
        assert!(refused.to_string().contains("another run"));
        std::fs::write(&path, "{\"size\":257}\nno json\n").unwrap();
        assert!(State::open(&path, &json!({ "size": 257 })).unwrap_err().to_string().contains("line 2"));
    }
}
