//! Recognises a file's format by its content; formats that are not supported are named in the error, with the way to convert them.

use crate::error::{FREEZE, ImportError};
use crate::pytorch::archive::LEGACY;
use crate::tflite;

/// A supported format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// TensorFlow Lite.
    TfLite,
    /// ONNX.
    Onnx,
    /// TensorFlow's `GraphDef` with its weights.
    FrozenGraph,
    /// An archive, such as the model zoo's around a frozen graph.
    Gzip,
    /// PyTorch's zip archive of a pickle and raw tensors.
    Pth,
    /// PyTorch's pickles and raw tensors from before version 1.6.
    LegacyPth,
    /// Safetensors.
    Safetensors,
}

const TO_TFLITE: &str = "convert it to TensorFlow Lite (tf.lite.TFLiteConverter) or ONNX (tf2onnx) and import that";
const SOURCE: &str = "import the TensorFlow Lite, ONNX or PyTorch file it was made from";

/// How unsupported formats begin, what they are, and what to do instead.
const BEGINNINGS: &[(&[u8], &str, &str)] = &[
    (b"\x89HDF", "HDF5 (Keras .h5)", TO_TFLITE),
    (b"\x80\x02", "a Python pickle", "load it in Python and save its tensors: torch.save(tensors, \"weights.pth\")"),
    (b"\x80\x03", "a Python pickle", "load it in Python and save its tensors: torch.save(tensors, \"weights.pth\")"),
    (b"\x80\x04", "a Python pickle", "load it in Python and save its tensors: torch.save(tensors, \"weights.pth\")"),
    (b"\x80\x05", "a Python pickle", "load it in Python and save its tensors: torch.save(tensors, \"weights.pth\")"),
    (b"\x93NUMPY", "a NumPy array", "import the model file that it was made from"),
    (b"BZh", "a bzip2 archive", "unpack it and import the model inside"),
    (b"\xfd7zXZ", "an xz archive", "unpack it and import the model inside"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it and import the model inside"),
    (b"Rar!", "a RAR archive", "unpack it and import the model inside"),
    (b"GGUF", "GGUF", SOURCE),
    (b"7767517\n", "an ncnn model (.param)", SOURCE),
    (b"<?xml", "XML (an OpenVINO model?)", SOURCE),
    (b"version https://git-lfs", "a Git LFS pointer, not the model itself,", "fetch the model: git lfs pull"),
    (b"<!DOCTYPE", "a web page, not a model,", "download the file itself"),
    (b"<!doctype", "a web page, not a model,", "download the file itself"),
    (b"<html", "a web page, not a model,", "download the file itself"),
    (b"model_checkpoint_path:", "a TensorFlow checkpoint", CHECKPOINT),
];

/// What to do with a TensorFlow checkpoint, which has variables but no graph.
pub(crate) const CHECKPOINT: &str = "export the network with it and convert that to TensorFlow Lite";

pub(crate) fn unsupported(what: &str, instead: &str) -> ImportError {
    ImportError::Unsupported { what: what.to_owned(), instead: instead.to_owned() }
}

/// Recognises the format from the beginning of a file of `length` bytes.
///
/// # Errors
/// [`ImportError::UnknownFormat`], or [`ImportError::Unsupported`] for known formats that are not supported.
pub(crate) fn format(bytes: &[u8], length: u64) -> Result<Format, ImportError> {
    if bytes.get(4..8) == Some(tflite::IDENTIFIER) {
        return Ok(Format::TfLite);
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Ok(Format::Pth);
    }
    if bytes.starts_with(b"\x1f\x8b") {
        return Ok(Format::Gzip);
    }
    if bytes.starts_with(LEGACY) {
        return Ok(Format::LegacyPth);
    }
    if let Some((header, rest)) = bytes.split_first_chunk::<8>()
        && rest.first() == Some(&b'{')
        && u64::from_le_bytes(*header) <= length.saturating_sub(8)
    {
        return Ok(Format::Safetensors);
    }
    if let Some(&(_, what, instead)) = BEGINNINGS.iter().find(|(begins, ..)| bytes.starts_with(begins)) {
        return Err(unsupported(what, instead));
    }
    if bytes.get(4..8) == Some(b"ET12") {
        return Err(unsupported("an ExecuTorch program (.pte)", SOURCE));
    }
    match versioned(bytes) {
        Some(Versioned::Onnx) => return Ok(Format::Onnx),
        Some(Versioned::SavedModel) => {
            let what = "a TensorFlow SavedModel (saved_model.pb)";
            return Err(unsupported(what, FREEZE));
        }
        Some(Versioned::CoreMl) => return Err(unsupported("Core ML (.mlmodel)", SOURCE)),
        None => {}
    }
    if looks_like_frozen_graph(bytes) {
        return Ok(Format::FrozenGraph);
    }
    // The first key of a table of variables: its header.
    if let [0, 0, 4..=32, 0x08, ..] = bytes {
        return Err(unsupported("a TensorFlow checkpoint (.index)", CHECKPOINT));
    }
    let begins = bytes.get(..16.min(bytes.len())).unwrap_or_default().escape_ascii().to_string();
    Err(ImportError::UnknownFormat { begins: if begins.is_empty() { "nothing".into() } else { format!("'{begins}'") } })
}

/// Protocol buffers that begin with a version, field 1.
enum Versioned {
    Onnx,
    SavedModel,
    CoreMl,
}

/// What a protocol buffer is that begins with a small number, by its next field.
fn versioned(bytes: &[u8]) -> Option<Versioned> {
    let [0x08, version @ 1..=100, field, rest @ ..] = bytes else { return None };
    // Field 2 is the producer's name in ONNX, the network with its variables in a SavedModel, a description in Core ML.
    if *field != 0x12 {
        return matches!(field, 0x1a | 0x22 | 0x32 | 0x3a | 0x42).then_some(Versioned::Onnx);
    }
    let text = |bytes: &[u8]| {
        let (&length, rest) = bytes.split_first()?;
        let text = rest.get(..usize::from(length).min(rest.len())).filter(|_| length < 0x80)?;
        Some(text.iter().all(|&byte| (b' '..=b'~').contains(&byte)))
    };
    if text(rest) == Some(true) {
        return Some(Versioned::Onnx);
    }
    let length = rest.iter().take(9).take_while(|&&byte| byte >= 0x80).count() + 1;
    let message = rest.get(length..)?;
    // A description begins with the input, which begins with its name.
    if let [0x0a, _, 0x0a, name @ ..] = message
        && text(name) == Some(true)
    {
        return Some(Versioned::CoreMl);
    }
    Some(if *version == 1 { Versioned::SavedModel } else { Versioned::Onnx })
}

/// TensorFlow's `GraphDef` begins with a node: field 1, a message that begins with a name (1) and an operator (2).
fn looks_like_frozen_graph(bytes: &[u8]) -> bool {
    let Some((0x0a, rest)) = bytes.split_first().map(|(&b, rest)| (b, rest)) else { return false };
    let length = rest.iter().take(5).take_while(|&&b| b >= 0x80).count() + 1;
    let Some([0x0a, name, node @ ..]) = rest.get(length..) else { return false };
    let Some([0x12, operator, text @ ..]) = node.get(usize::from(*name)..) else { return false };
    text.get(..usize::from(*operator)).is_some_and(|t| !t.is_empty() && t.iter().all(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_called_by_their_names() {
        for (bytes, name) in [
            (&b"\x89HDF\r\n\x1a\n"[..], "HDF5 (Keras .h5)"),
            (b"\x08\x01\x12\xff\xc5\x64\x0a\xb4\x1d\x12\x84\x1d\x0a\x44", "SavedModel"),
            (b"\x08\x01\x12\x85\x10\x0a\x1a\x0a\x05image\x12\x0f", "Core ML"),
            (b"\x08\x04\x12\x0b\x0a\x09\x0a\x05image\x12\x00", "Core ML"),
            (b"\0\0\x1a\x08\x01\x1a\x02\x08\x01", "TensorFlow checkpoint"),
            (b"model_checkpoint_path: \"model\"", "TensorFlow checkpoint"),
            (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}.", "pickle"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"\x1c\0\0\0ET12", "ExecuTorch"),
        ] {
            let error = format(bytes, bytes.len() as u64).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, ImportError::Unsupported { .. }) && text.contains(name), "{bytes:?}: {text}");
        }
        for (bytes, expected) in [
            (&b"\x08\x08\x12\x07pytorch\x1a\x032.1"[..], Format::Onnx),
            (b"\x08\x09\x3a\x80\x10", Format::Onnx),
            (b"\x0a\x19\x0a\x05input\x12\x0bPlaceholder", Format::FrozenGraph),
            (b"\x1f\x8b\x08\0", Format::Gzip),
        ] {
            assert_eq!(format(bytes, bytes.len() as u64).unwrap(), expected, "{bytes:?}");
        }
        for bytes in [&b""[..], b"\x08", b"\x08\x01\x12", b"\x08\x01\x12\xff\xff\xff", b"\0\0\0\0", b"x"] {
            let error = format(bytes, bytes.len() as u64).unwrap_err();
            assert!(matches!(error, ImportError::UnknownFormat { .. }), "{bytes:?}: {error}");
        }
    }
}
