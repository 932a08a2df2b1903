//! Finds and reads the file of a model: itself, or the weights in a Hugging Face folder, with its configuration beside them.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use log::warn;
use silhouette_files::{OpenError, Regular, open_regular, read_text};

use crate::error::{FREEZE, ImportError};
use crate::format::{self, CHECKPOINT, unsupported};

/// Longer files are rejected before anything is read: the largest supported network has some 60 MB of float weights.
const MAX_FILE: u64 = 1 << 30;

/// Longer configurations are not read: one of a thousand classes has some 60 kB.
const MAX_CONFIG: u64 = 1 << 20;

/// Number of bytes from which the format is recognised.
const HEAD: u64 = 1024;

/// The weights of a Hugging Face folder, the ones to prefer first.
const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// What Hugging Face's libraries write beside the weights.
const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";

/// A model's file in memory.
pub(crate) struct Source {
    pub(crate) bytes: Vec<u8>,
    /// A name for the network.
    pub(crate) name: String,
    /// The text of the `config.json` beside it.
    pub(crate) config: Option<String>,
    /// The text of the `preprocessor_config.json` beside it.
    pub(crate) preprocessor: Option<String>,
}

/// Reads a model's file, or the one in a folder.
pub(crate) fn read(path: &Path) -> Result<Source, ImportError> {
    let folder = std::fs::metadata(path)?.is_dir();
    let file = if folder { in_folder(path)? } else { path.to_owned() };
    let bytes = whole(&file)?;
    let name = if folder { path.file_name() } else { path.file_stem() };
    let beside = file.parent().unwrap_or(Path::new(""));
    Ok(Source {
        bytes,
        name: name.map_or_else(|| "imported".into(), |name| name.to_string_lossy().into_owned()),
        config: text(&beside.join(CONFIG)),
        preprocessor: text(&beside.join(PREPROCESSOR)),
    })
}

/// The files that importing a path reads, as far as they exist.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    let file = if path.is_dir() { in_folder(path).ok() } else { Some(path.to_owned()) };
    let Some(file) = file else { return Vec::new() };
    let beside = file.parent().unwrap_or(Path::new(""));
    let configurations = [CONFIG, PREPROCESSOR].map(|name| beside.join(name));
    [file].into_iter().chain(configurations).filter(|file| file.exists()).collect()
}

/// The weights in a folder.
fn in_folder(folder: &Path) -> Result<PathBuf, ImportError> {
    if let Some(weights) = WEIGHTS.iter().map(|name| folder.join(name)).find(|file| file.exists()) {
        return Ok(weights);
    }
    let has = |name: &str| folder.join(name).exists();
    if has("saved_model.pb") {
        return Err(unsupported("a TensorFlow SavedModel", FREEZE));
    }
    if has("Manifest.json") && has("Data") {
        let instead = "import the TensorFlow Lite, ONNX or PyTorch file it was made from";
        return Err(unsupported("a Core ML package (.mlpackage)", instead));
    }
    if has("checkpoint") {
        return Err(unsupported("a TensorFlow checkpoint", CHECKPOINT));
    }
    if has("data.pkl") {
        return Err(unsupported("an unpacked PyTorch file", "import the file itself, as PyTorch wrote it"));
    }
    let instead = format!("import a file, or a Hugging Face folder with {}", WEIGHTS.join(" or "));
    Err(unsupported("such a folder", &instead))
}

/// A small text file, if it is there and readable.
fn text(path: &Path) -> Option<String> {
    match read_text(path, MAX_CONFIG) {
        Ok(text) => Some(text),
        Err(OpenError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            warn!("{}: it is not read: {error}", path.display());
            None
        }
    }
}

fn whole(path: &Path) -> Result<Vec<u8>, ImportError> {
    let Regular { mut file, about: metadata } = open_regular(path, MAX_FILE).map_err(|error| match error {
        OpenError::TooLarge { .. } => unsupported("a file over 1 GiB", "no supported network is that large"),
        error => ImportError::Io(error.into()),
    })?;
    // The first bytes show whether it is a model at all; then at most the length just determined is read.
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut bytes)?;
    format::format(&bytes, metadata.len()).map_err(|error| match error {
        // A part of a checkpoint is only numbers.
        ImportError::UnknownFormat { .. } if is_part_of_a_checkpoint(path) => {
            unsupported("a part of a TensorFlow checkpoint (.data)", CHECKPOINT)
        }
        error => error,
    })?;
    let rest = metadata.len().saturating_sub(HEAD) as usize;
    bytes.try_reserve_exact(rest).map_err(|_| std::io::Error::from(std::io::ErrorKind::OutOfMemory))?;
    file.take(metadata.len()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_part_of_a_checkpoint(path: &Path) -> bool {
    path.extension().and_then(OsStr::to_str).is_some_and(|end| end.starts_with("data-") && end.contains("-of-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_testkit::Folder;

    fn refused(path: &Path) -> String {
        read(path).err().unwrap().to_string()
    }

    #[test]
    fn folders_are_called_by_their_names() {
        let folder = Folder::new();
        for (file, part) in [
            ("saved/saved_model.pb", "SavedModel"),
            ("unpacked/data.pkl", "PyTorch"),
            ("trained/checkpoint", "TensorFlow checkpoint"),
            ("photos/a.jpg", "such a folder is not supported"),
        ] {
            let path = folder.path(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, b"x").unwrap();
            let error = refused(path.parent().unwrap());
            assert!(error.contains(part), "{file}: {error}");
        }
        let part = folder.write("model.ckpt.data-00000-of-00001", "0123456789");
        assert!(refused(&part).contains("TensorFlow checkpoint"), "{}", refused(&part));
        let other = folder.write("model.bin", "0123456789");
        assert!(refused(&other).contains("not a known model file"), "{}", refused(&other));
    }

    #[test]
    fn a_folder_gives_its_weights_and_what_is_beside_them() {
        let folder = Folder::new();
        let tflite = "....TFL3";
        folder.write("pytorch_model.bin", tflite);
        folder.write("config.json", "{}");
        let source = read(&folder.path("")).unwrap();
        assert_eq!((&source.bytes[..], source.config.as_deref()), (tflite.as_bytes(), Some("{}")));
        assert_eq!(source.preprocessor, None);
        folder.write("model.safetensors", "more TFL3");
        let error = refused(&folder.path(""));
        assert!(error.contains("not a known model file"), "safetensors is preferred: {error}");
    }
}
