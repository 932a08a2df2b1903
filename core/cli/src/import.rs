//! `silhouette import`: a foreign model to one of ours.

use crate::args::Import;
use crate::failure::Failure;
use crate::{load, output};
use serde_json::json;
use silhouette_files::{OpenError, read_text};
use silhouette_import::{ImportOptions, import as import_file};
use silhouette_weights::Dtype;
use std::path::{Path, PathBuf};

/// The longest file of labels: ten thousand classes with long names.
const LONGEST_LABELS: u64 = 1 << 20;

/// Runs the command.
///
/// # Errors
/// What is wrong with the source or an option, or that the result cannot be written.
pub(crate) fn import(args: &Import) -> Result<(), Vec<Failure>> {
    convert(args).map_err(|failure| vec![failure])
}

fn convert(args: &Import) -> Result<(), Failure> {
    let spec = args.spec.as_ref().map(PathBuf::from);
    output::refuse_inputs([&args.output], [&args.source].into_iter().chain(&args.labels).chain(&spec))?;
    let options = ImportOptions {
        spec: args.spec.as_deref().map(load::spec).transpose()?,
        labels: args.labels.as_deref().map(labels).transpose()?,
        size: args.size,
        output_stride: args.output_stride,
        mean: args.mean,
        std: args.std,
        ..ImportOptions::default()
    };
    let imported = import_file(&args.source, &options).map_err(|error| Failure::new(&args.source, error))?;
    let model = imported.model().map_err(|error| Failure::new(&args.source, error))?;
    // Whole or not at all: saving goes through a file beside it.
    model.save(&args.output, Dtype::F32).map_err(|error| Failure::new(&args.output, error))?;
    let spec = &imported.spec;
    if args.json {
        output::say(
            &json!({
                "source": args.source.display().to_string(),
                "file": args.output.display().to_string(),
                "spec": spec,
            })
            .to_string(),
        );
    } else {
        output::say(&output::one_line(&format!(
            "{}: '{}', {} classes, input {}x{} -> {}",
            args.source.display(),
            spec.name,
            spec.labels.len(),
            spec.input.size,
            spec.input.size,
            args.output.display()
        )));
    }
    Ok(())
}

/// One label per line; blank lines at the end do not count.
fn labels(path: &Path) -> Result<Vec<String>, Failure> {
    let text = read_text(path, LONGEST_LABELS).map_err(|error| match error {
        OpenError::TooLarge { .. } => Failure::new(path, "too long for a file of labels: over 1 MiB"),
        error => Failure::new(path, format!("cannot be read: {error}")),
    })?;
    Ok(text.trim_end().lines().map(|line| line.trim().to_owned()).collect())
}
