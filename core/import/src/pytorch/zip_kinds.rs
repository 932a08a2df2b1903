//! Recognises zip archives that are not PyTorch state dicts by the names of their entries.

use std::path::Path;

use crate::error::FREEZE;

/// The kind of archive, and what to do instead; `None` if it may be a state dict.
pub(super) fn other_than_a_state_dict(names: &[String]) -> Option<(String, String)> {
    // Entries are in a folder named after the file, or not.
    let has = |end: &str| {
        names.iter().any(|name| name.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('/')))
    };
    let inside =
        |folder: &str| names.iter().any(|name| name.starts_with(folder) || name.contains(&format!("/{folder}")));
    let kind = |what: &str, instead: &str| Some((what.to_owned(), instead.to_owned()));
    if has("data.pkl") {
        return if has("constants.pkl") || inside("code/") {
            kind(
                "a TorchScript archive",
                "save its tensors alone: torch.save(torch.jit.load(\"FILE\", \"cpu\").state_dict(), \"weights.pth\")",
            )
        } else {
            None
        };
    }
    if has("model.weights.h5") {
        return kind(
            "a Keras archive (.keras)",
            "convert the model to TensorFlow Lite (tf.lite.TFLiteConverter.from_keras_model) and import that",
        );
    }
    if has("serialized_exported_program.json") || has("models/model.json") || has("archive_format") {
        return kind(
            "a program of torch.export (.pt2)",
            "save its tensors alone: torch.save(torch.export.load(\"FILE\").state_dict, \"weights.pth\")",
        );
    }
    let ending = |ends: &[&str]| {
        names.iter().find(|name| {
            let extension = Path::new(name).extension();
            extension.is_some_and(|extension| ends.iter().any(|end| extension.eq_ignore_ascii_case(end)))
        })
    };
    if let Some(name) = ending(&["tflite"]) {
        let instead = format!("unzip it and import its '{}'", name.escape_debug());
        return Some(("a MediaPipe task bundle (.task), a zip archive around a TensorFlow Lite file,".into(), instead));
    }
    if ending(&["npy"]).is_some() {
        return kind("a NumPy archive (.npz)", "import the model file that it was made from");
    }
    if ending(&["mlmodel"]).is_some() {
        return kind("a zipped Core ML model", "import the TensorFlow Lite, ONNX or PyTorch file it was made from");
    }
    if has("saved_model.pb") {
        return kind("a zipped TensorFlow SavedModel", FREEZE);
    }
    let name = ending(&["pth", "pt", "ckpt", "bin", "safetensors", "onnx", "pb"])?;
    Some(("a zip archive around a model file".into(), format!("unzip it and import its '{}'", name.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_called_by_their_names() {
        for (names, what) in [
            (&["m/data.pkl", "m/constants.pkl", "m/code/__torch__.py"][..], "TorchScript"),
            (&["metadata.json", "config.json", "model.weights.h5"], "Keras"),
            (&["m/archive_format", "m/models/model.json"], "torch.export"),
            (&["selfie.tflite", "labels.txt"], "import its 'selfie.tflite'"),
            (&["arr_0.npy"], "NumPy"),
            (&["m.mlpackage/Manifest.json", "m.mlpackage/Data/com.apple.CoreML/model.mlmodel"], "Core ML"),
            (&["m/saved_model.pb"], "SavedModel"),
            (&["weights/best.pth"], "import its 'weights/best.pth'"),
        ] {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let (kind, instead) = other_than_a_state_dict(&names).unwrap();
            assert!(format!("{kind}: {instead}").contains(what), "{kind}: {instead}");
        }
        for names in [&["m/data.pkl", "m/data/0", "m/version"][..], &["readme.txt"], &[]] {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(other_than_a_state_dict(&names), None);
        }
    }
}
