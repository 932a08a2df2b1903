//! Writes an experiment's figure in the format of its file name.

use crate::args::Report;
use crate::failure::Failure;
use crate::output;
use silhouette_experiments::chart::Figure;
use std::path::{Path, PathBuf};

/// The format of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Svg,
    Png,
}

/// By the file name.
fn format(path: &Path) -> Result<Format, Failure> {
    match path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).as_deref() {
        Some("svg") => Ok(Format::Svg),
        Some("png") => Ok(Format::Png),
        _ => Err(Failure::new(path, "a figure must be .svg or .png")),
    }
}

/// Rejects a figure that cannot be written, or would overwrite an input, before anything is computed for it.
pub(super) fn check<'a>(report: &'a Report, inputs: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Failure> {
    output::refuse_inputs(&report.output, inputs)?;
    report.output.as_deref().map_or(Ok(()), |path| format(path).map(|_| ()))
}

/// Writes the figure if requested.
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
