//! Opening models, the same way for every command.

use crate::args::Engine;
use crate::failure::Failure;
use serde_json::Value;
use silhouette::{Model, Options};
use silhouette_files::{OpenError, read_text};
use silhouette_network::spec::Spec;
use std::path::Path;

/// Maximum length of a spec file: a hundred kilobytes of labels, with room to spare.
const LONGEST_SPEC: u64 = 1 << 20;

/// Opens a model file.
pub(crate) fn model(path: &Path) -> Result<Model, Failure> {
    Model::open(path).map_err(|error| Failure::new(path, error))
}

/// Opens the model that `--model` names.
pub(crate) fn named(engine: &Engine) -> Result<Model, Failure> {
    match &engine.model {
        Some(path) => model(path),
        None => Err(Failure::general(
            "no model: pass --model MODEL.safetensors; `silhouette import SRC -o MODEL.safetensors` converts a .tflite, .onnx, .pb, .pth or \
             .safetensors file to one",
        )),
    }
}

/// Opens the segmentation model that `--model` names, or the built-in one of 21 classes.
pub(crate) fn named_or_builtin(engine: &Engine) -> Result<Model, Failure> {
    match &engine.model {
        Some(path) => model(path),
        None => Model::voc21().map_err(Failure::general),
    }
}

/// Opens the model that `--model` names, or the built-in one of people.
pub(crate) fn named_or_people(engine: &Engine) -> Result<Model, Failure> {
    match &engine.model {
        Some(path) => model(path),
        None => Model::people().map_err(Failure::general),
    }
}

/// The options from the command line.
pub(crate) fn options(engine: &Engine) -> Options {
    let mut options = Options::new().backend(engine.backend).precision(engine.precision).concurrency(1);
    if let Some(shape) = engine.input_shape {
        options = options.input_shape(shape);
    }
    if let Some(size) = engine.size {
        options = options.size(size);
    }
    if let Some(threads) = engine.threads {
        options = options.threads(threads);
    }
    if let Some(folder) = &engine.weight_cache {
        options = options.weight_cache(folder);
    }
    options
}

/// An error about the model as a whole, with its file's name.
pub(crate) fn about(engine: &Engine, error: &silhouette::Error) -> Failure {
    match &engine.model {
        Some(path) if matches!(error, silhouette::Error::InvalidModel(_)) => Failure::new(path, error),
        _ => Failure::general(error),
    }
}

/// A spec, from a JSON file or a preset's name.
pub(crate) fn spec(name: &str) -> Result<Spec, Failure> {
    let path = Path::new(name);
    let is_file = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) || path.exists();
    if !is_file {
        return Spec::preset(name).map_err(|error| Failure::general(format!("--spec: {error}")));
    }
    let text = read_text(path, LONGEST_SPEC).map_err(|error| match error {
        OpenError::TooLarge { .. } => Failure::new(path, "too long for a spec: over 1 MiB"),
        error => Failure::new(path, format!("cannot be read: {error}")),
    })?;
    // The output of `info` and `import` contains the spec as one field of several.
    let text = match serde_json::from_str(&text) {
        Ok(Value::Object(mut printed)) if !printed.contains_key("format") => {
            printed.remove("spec").map_or(text, |spec| spec.to_string())
        }
        _ => text,
    };
    Spec::from_json(&text).map_err(|error| Failure::new(path, error))
}
