//! `silhouette import`: converts a foreign model to our format.

use crate::args::{Import, Padding, Resize};
use crate::failure::Failure;
use crate::{labels, load, output};
use serde_json::json;
use silhouette_files::read_text;
use silhouette_import::{ImportOptions, files_read, import as import_file};
use silhouette_network::spec;
use silhouette_weights::Dtype;
use std::path::PathBuf;

/// Maximum length of a configuration.
const LONGEST_CONFIG: u64 = 1 << 20;

/// Runs the command.
///
/// # Errors
/// A problem with the source or an option, or the result cannot be written.
pub(crate) fn import(args: &Import) -> Result<(), Vec<Failure>> {
    convert(args).map_err(|failure| vec![failure])
}

fn convert(args: &Import) -> Result<(), Failure> {
    let spec = args.spec.as_ref().map(PathBuf::from);
    let files = files_read(&args.source);
    let read = files.iter().chain(&args.labels).chain(&spec).chain(&args.config);
    output::refuse_inputs([&args.output], read)?;
    let labels = args.labels.as_deref().map(labels::read).transpose()?;
    let config = args.config.as_ref().map(|path| {
        read_text(path, LONGEST_CONFIG).map_err(|error| Failure::new(path, format!("cannot be read: {error}")))
    });
    let options = ImportOptions {
        spec: args.spec.as_deref().map(load::spec).transpose()?,
        optional_background: labels.as_ref().is_some_and(|labels| labels.optional_background),
        labels: labels.map(|labels| labels.names),
        size: args.size,
        output_stride: args.output_stride,
        mean: args.mean,
        std: args.std,
        key: args.key.clone(),
        rates: args.rates.clone(),
        padding: args.padding.map(|padding| match padding {
            Padding::Same => spec::Padding::Same,
            Padding::Symmetric => spec::Padding::Symmetric,
            Padding::BlockInput => spec::Padding::BlockInput,
        }),
        resize: args.resize.map(|resize| match resize {
            Resize::AlignCorners => spec::Resize::AlignCorners,
            Resize::HalfPixel => spec::Resize::HalfPixel,
        }),
        config: config.transpose()?,
        ..ImportOptions::default()
    };
    let imported = import_file(&args.source, &options).map_err(|error| Failure::new(&args.source, error))?;
    let spec = imported.spec.clone();
    let model = imported.into_model().map_err(|error| Failure::new(&args.source, error))?;
    // Atomic: saving goes through a temporary file and a rename.
    model.save(&args.output, Dtype::F32).map_err(|error| Failure::new(&args.output, error))?;
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
