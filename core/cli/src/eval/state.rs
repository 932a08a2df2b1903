//! The scores so far, as a file with one JSON object per line, so that an interrupted run can be resumed.
//!
//! The first line identifies what is scored and how; the file of another run is rejected, not mixed in, and so is one
//! that a run has open. A truncated last line is dropped.

use super::dataset::Item;
use super::measures::Measures;
use crate::args;
use crate::failure::Failure;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use silhouette::Model;
use silhouette_files::{Journal, read_regular};
use std::collections::HashSet;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_64;

/// The result for one image.
pub(super) trait Finished {
    /// The image's name in the data set.
    fn name(&self) -> &str;
}

/// A scored image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scored {
    /// Its name in the data set.
    pub(crate) name: String,
    /// Time from the decoded image to the mask.
    pub(crate) ms: f64,
    /// Multiply-adds of all runs of the network.
    pub(crate) macs: u64,
    /// The non-zero cells of its confusion matrix: true class, class in the mask, pixels.
    pub(crate) pairs: Vec<(u8, u8, u64)>,
    /// The border of its foreground, if scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) borders: Option<[Border; 2]>,
}

impl Finished for Scored {
    fn name(&self) -> &str {
        &self.name
    }
}

/// The border of an alpha, plain or refined: pixels near both contours and near either, its measures, and the time for the alpha.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Border {
    pub(crate) hit: u64,
    pub(crate) union: u64,
    pub(crate) measures: Measures,
    pub(crate) ms: f64,
}

/// The file that stores finished images, next to the report.
pub(super) fn partial(report: Option<&PathBuf>) -> Option<PathBuf> {
    report.map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        PathBuf::from(name)
    })
}

/// What must be the same to resume an interrupted run: weights, images, protocol. Not the number of threads.
pub(super) fn identity(
    model: &Model,
    engine: &args::Engine,
    items: &[Item],
    labels: &[String],
    described: &Value,
) -> Value {
    let mut hasher = XxHash3_64::new();
    // Each with its length, so that no two lists run into the same bytes.
    let mut take = |bytes: &[u8]| {
        hasher.write(&(bytes.len() as u64).to_le_bytes());
        hasher.write(bytes);
    };
    if let Some(path) = &engine.model {
        // If it is unreadable now, it is not the file that was opened before, and the state belongs to another one.
        take(&read_regular(path, u64::MAX).unwrap_or_default());
    }
    for item in items {
        take(item.name.as_bytes());
        take(item.image.as_os_str().as_encoded_bytes());
        take(item.mask.as_os_str().as_encoded_bytes());
    }
    for label in labels {
        take(label.as_bytes());
    }
    let mut described = described.clone();
    if let Value::Object(fields) = &mut described {
        fields.remove("threads");
        fields.insert("xxhash3".into(), hasher.finish().into());
        fields.insert("provenance".into(), model.provenance().into());
    }
    described
}

/// The file.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    journal: Journal,
}

/// Far more than any data set's state needs.
const LONGEST: u64 = 1 << 30;

/// An image's line: a name, and at most 65,536 pairs.
const LONGEST_LINE: u64 = 1 << 21;

impl State {
    /// Opens or creates the file; returns its contents. `run` identifies in one line what is scored and how; `pictures` is the number of
    /// images, which the file may not exceed.
    ///
    /// # Errors
    /// If the file cannot be read or written, another run has it open, or it belongs to another run.
    pub(super) fn open<T: Finished + DeserializeOwned>(
        path: &Path,
        run: &Value,
        pictures: usize,
    ) -> Result<(Self, Vec<T>), Failure> {
        let mut journal = Journal::open(path, LONGEST).map_err(|error| Failure::new(path, error))?;
        let mut scored: Vec<T> = Vec::new();
        let mut known = HashSet::new();
        let mut lines = journal.lines(LONGEST_LINE).enumerate();
        let begun = match lines.next() {
            None => false,
            Some((_, first)) => {
                let first = first.map_err(|error| Failure::new(path, error))?;
                if !serde_json::from_str::<Value>(&first).is_ok_and(|stored| stored == *run) {
                    return Err(Failure::new(
                        path,
                        "holds the state of another run (a different model, images or protocol); delete it, or pass another --json",
                    ));
                }
                true
            }
        };
        for (number, line) in lines {
            let wrong = |why: &dyn std::fmt::Display| {
                Failure::new(path, format!("line {}: {why}; delete the file to start again", number + 1))
            };
            let line = line.map_err(|error| wrong(&error))?;
            let one: T = serde_json::from_str(&line).map_err(|error| wrong(&error))?;
            // Earlier versions let two runs write at once: an image counts once.
            if known.insert(one.name().to_owned()) {
                if known.len() > pictures {
                    return Err(wrong(&format_args!("it lists more than the {pictures} images that there are")));
                }
                scored.push(one);
            }
        }
        if !begun {
            journal.add(&run.to_string()).map_err(|error| Failure::new(path, error))?;
        }
        Ok((Self { path: path.to_path_buf(), journal }, scored))
    }

    /// Adds an image.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn add(&mut self, scored: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(scored).map_err(|error| Failure::new(&self.path, error))?;
        self.journal.add(&line).map_err(|error| Failure::new(&self.path, error))
    }

    /// Removes the file once the run is complete.
    pub(crate) fn finish(self) {
        // If it cannot be deleted, the next run reads it and finds everything done, which is still right.
        let _ = self.journal.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use silhouette_testkit::Folder;

    fn scored(name: &str) -> Scored {
        Scored { name: name.into(), ms: 1.5, macs: 7, pairs: vec![(0, 0, 10), (3, 1, 2)], borders: None }
    }

    #[test]
    fn a_stopped_run_goes_on_and_a_cut_line_is_dropped() {
        let folder = Folder::new();
        let path = folder.path("state");
        let run = json!({ "size": 257 });
        let (mut state, before) = State::open::<Scored>(&path, &run, 3).unwrap();
        assert!(before.is_empty());
        assert!(State::open::<Scored>(&path, &run, 3).unwrap_err().to_string().contains("another run is writing"));
        state.add(&scored("a")).unwrap();
        state.add(&scored("b")).unwrap();
        drop(state);
        // Killed halfway through a line.
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"name\":\"c\",\"ms\":");
        std::fs::write(&path, text).unwrap();
        let (mut state, before) = State::open::<Scored>(&path, &run, 3).unwrap();
        assert_eq!(before, [scored("a"), scored("b")]);
        state.add(&scored("c")).unwrap();
        drop(state);
        // Written by two runs of an earlier version.
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str(&(serde_json::to_string(&scored("b")).unwrap() + "\n"));
        std::fs::write(&path, text).unwrap();
        assert!(
            State::open::<Scored>(&path, &run, 2)
                .unwrap_err()
                .to_string()
                .contains("line 4: it lists more than the 2 images")
        );
        let (state, before) = State::open::<Scored>(&path, &run, 3).unwrap();
        assert_eq!(before, [scored("a"), scored("b"), scored("c")]);
        state.finish();
        assert!(!path.exists());
    }

    #[test]
    fn another_runs_state_is_not_mixed_in() {
        let folder = Folder::new();
        let path = folder.path("state");
        drop(State::open::<Scored>(&path, &json!({ "size": 257 }), 3).unwrap());
        let refused = State::open::<Scored>(&path, &json!({ "size": 289 }), 3).unwrap_err();
        assert!(refused.to_string().contains("another run"));
        std::fs::write(&path, "{\"size\":257}\nno json\n").unwrap();
        assert!(State::open::<Scored>(&path, &json!({ "size": 257 }), 3).unwrap_err().to_string().contains("line 2"));
    }
}
