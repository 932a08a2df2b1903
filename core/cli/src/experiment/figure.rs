//! An experiment's figure, written as its file's name says.

use crate::args::Report;
use crate::failure::Failure;
use crate::output;
use silhouette_experiments::chart::Figure;
use std::path::{Path, PathBuf};

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Svg,
    Png,
}

/// By the file's name.
fn format(path: &Path) -> Result<Format, Failure> {
    match path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).as_deref() {
        Some("svg") => Ok(Format::Svg),
        Some("png") => Ok(Format::Png),
        _ => Err(Failure::new(path, "a figure is written as .svg or .png")),
    }
}

/// Refuses a figure that cannot be written, or would be over something that is read, before anything is computed for it.
pub(super) fn check<'a>(report: &'a Report, inputs: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Failure> {
    output::refuse_inputs(&report.output, inputs)?;
    report.output.as_deref().map_or(Ok(()), |path| format(path).map(|_| ()))
}

/// Writes the figure where one is asked for.
pub(super) fn draw(report: &Report, figure: impl FnOnce() -> Figure) -> Result<(), Failure> {
    let Some(path) = report.output.as_deref() else { return Ok(()) };
    let bytes = match format(path)? {
        Format::Svg => figure().svg().into_bytes(),
        Format::Png => figure().png(),
    };
    output::write(path, &bytes)?;
    if !report.json {
        output::say(&output::one_line(&format!("-> {}", path.display())));
    }
    Ok(())
}
