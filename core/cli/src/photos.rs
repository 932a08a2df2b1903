//! Processes several photos: a progress bar, and a failure of one does not stop the rest.

use crate::failure::Failure;
use crate::inputs::{Inputs, about};
use crate::output;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use silhouette::files::Photo;
use std::path::Path;

/// The report for a successful photo.
pub(crate) struct Report {
    /// For humans, without the photo's name.
    pub(crate) text: String,
    /// For machines: the fields in addition to `photo`.
    pub(crate) json: Value,
}

impl Report {
    /// Adds what the photo does not hold of its file.
    pub(crate) fn of(mut self, photo: &Photo) -> Self {
        let (words, fields) = about(photo);
        for word in words {
            self.text = format!("{}; {word}", self.text);
        }
        if let Value::Object(json) = &mut self.json {
            json.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        self
    }
}

/// Calls `work` with each photo's path and its number. Results go to stdout and failures to stderr, as they occur; with `json`
/// both go to stdout too, one object per line.
///
/// # Errors
/// An empty list if any photo failed: everything has been printed.
pub(crate) fn each(
    inputs: &Inputs,
    json: bool,
    mut work: impl FnMut(usize, &Path) -> Result<Report, Vec<Failure>>,
) -> Result<(), Vec<Failure>> {
    let bar = bar(inputs.list.len());
    let mut failed = inputs.incomplete();
    for (number, input) in inputs.list.iter().enumerate() {
        let photo = &input.path;
        bar.set_message(output::one_line(&photo.file_name().unwrap_or_default().to_string_lossy()));
        let done = work(number, photo);
        bar.inc(1);
        bar.suspend(|| match done {
            Ok(report) => print(photo, report, json),
            Err(failures) => {
                failed = true;
                for failure in failures {
                    if json {
                        output::say(
                            &json!({ "photo": photo.display().to_string(), "error": failure.to_string() }).to_string(),
                        );
                    }
                    failure.print();
                }
            }
        });
    }
    bar.finish_and_clear();
    inputs.tell_skipped(json);
    if failed { Err(Vec::new()) } else { Ok(()) }
}

fn print(photo: &Path, report: Report, json: bool) {
    if json {
        let mut line = json!({ "photo": photo.display().to_string() });
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), report.json) {
            line.extend(fields);
        }
        output::say(&line.to_string());
    } else {
        output::say(&output::one_line(&format!("{}: {}", photo.display(), report.text)));
    }
}

/// On stderr, plain (no colours), and only for several photos; indicatif shows nothing if stderr is not a terminal.
fn bar(photos: usize) -> ProgressBar {
    if photos < 2 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(photos as u64).with_style(style)
}
