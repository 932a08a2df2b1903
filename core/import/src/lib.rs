//! Converts foreign model files to our format: a specification and named tensors; quantised ones stay as in the file.
//!
//! | format | recognised by | read in |
//! | --- | --- | --- |
//! | TensorFlow Lite, float and quantised | `TFL3` at byte 4 | `tflite` |
//! | ONNX | its first fields | `onnx` |
//! | TensorFlow's frozen graph, `.pb`, or the zoo's `.tar.gz` around it | a node first; gzip | `tensorflow` |
//! | PyTorch state dict, `.pth` | a zip archive, or from before version 1.6 a certain pickle | `pytorch` |
//! | PyTorch state dict, `.safetensors` | its JSON header | `pytorch` |
//!
//! The format is recognised by content, never by the file's name; `format` calls others by their names. Formats that carry a graph pass it to `recognise`,
//! which finds the network by its structure; formats that carry only names use the table of names. Both end in
//! `assemble`, which completes and unrolls the specification and compares it with every tensor.

#![deny(unsafe_code)] // but for the generated reader of flatbuffers

mod budget;
mod derived;
mod error;
#[cfg(test)]
mod fixture;
mod flow;
mod fold;
mod format;
mod graph;
mod onnx;
mod options;
mod pytorch;
mod recognise;
mod source;
mod tables;
mod tensor;
mod tensorflow;
mod tflite;
mod wire;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use log::warn;
use silhouette_network::ModelError;
use silhouette_network::error::{TensorProblems, WrongShape};
use silhouette_network::network::Network;
use silhouette_network::spec::{
    Classifier, DeeplabV3, Extractor, FORMAT, Fit, Head, Input, Resize, Spec, Task, VOC_LABELS,
};
use silhouette_weights::{Activations, ModelFile, QuantisedTensors, Tensors};

pub use error::{ImportError, ImportFailure, Missing};
pub use options::ImportOptions;

use derived::Derived;
use format::Format;
use pytorch::Container;
use recognise::verify;
use source::Source;
use tensor::{Made, Tensor};

/// An imported network.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network.
    pub spec: Spec,
    /// Its float tensors by our names (see [`silhouette_network::network::Conv::name`]): convolution weights (O, I / groups, K, K),
    /// biases and batch norm's four (O).
    pub tensors: Tensors,
    /// Its quantised tensors by the same names.
    pub quantised: QuantisedTensors,
    /// What the bytes between its layers represent, in a quantised file.
    pub activations: Activations,
}

impl Imported {
    /// The network as a model that can be run and saved, made of these tensors themselves: there is no second copy of them.
    ///
    /// # Errors
    /// As [`ModelFile::quantised`]; none after a successful import.
    pub fn into_model(self) -> Result<ModelFile, ModelError> {
        ModelFile::quantised(self.spec, self.tensors, self.quantised, self.activations)
    }
}

/// Imports a network from a file, whatever its format, or from a Hugging Face folder.
///
/// # Errors
/// If the file cannot be read, has an unknown format, is damaged, or contains an unknown network; if tensors are
/// missing or left over; or if something that the file does not store was not passed in `options`.
pub fn import(path: &Path, options: &ImportOptions) -> Result<Imported, ImportFailure> {
    source::read(path)
        .and_then(|source| {
            let Source { bytes, name, config, preprocessor } = source;
            let config = options.config.clone().or(config);
            let preprocessor = options.preprocessor.clone().or(preprocessor);
            import_bytes(&bytes, &name, &ImportOptions { config, preprocessor, ..options.clone() })
        })
        .map_err(|source| ImportFailure { path: path.to_owned(), source })
}

/// The files that [`import`] reads for a path: the file itself, or the weights in a folder, and Hugging Face's configurations
/// beside them.
pub fn files_read(path: &Path) -> Vec<PathBuf> {
    source::files(path)
}

/// Imports a network from a file's content; `name` is its name unless `options` has one.
///
/// # Errors
/// As [`import`], without the file's name.
pub fn import_bytes(bytes: &[u8], name: &str, options: &ImportOptions) -> Result<Imported, ImportError> {
    let state_dict = |container| pytorch::import(bytes, container, options);
    let unpacked;
    let ((derived, given), format) = match format::format(bytes, bytes.len() as u64)? {
        Format::TfLite => {
            only_for_state_dicts(options)?;
            ((tflite::import(bytes, resize(options))?, options.spec.clone()), "TensorFlow Lite")
        }
        Format::Onnx => {
            only_for_state_dicts(options)?;
            ((onnx::import(bytes, options.size, resize(options))?, options.spec.clone()), "ONNX")
        }
        Format::FrozenGraph => {
            only_for_state_dicts(options)?;
            ((tensorflow::import(bytes, options.size, resize(options))?, options.spec.clone()), "TensorFlow")
        }
        Format::Gzip => {
            only_for_state_dicts(options)?;
            unpacked = tensorflow::archive::frozen_graph(bytes)?;
            ((tensorflow::import(&unpacked, options.size, resize(options))?, options.spec.clone()), "TensorFlow")
        }
        Format::Pth => (state_dict(Container::Pth)?, "PyTorch"),
        Format::LegacyPth => (state_dict(Container::Legacy)?, "PyTorch"),
        Format::Safetensors => (state_dict(Container::Safetensors)?, "safetensors"),
    };
    let provenance = format!("imported from {name} ({format})");
    assemble(derived, name, provenance, &ImportOptions { spec: given, ..options.clone() })
}

/// How the logits are resized, where a graph ends before that.
fn resize(options: &ImportOptions) -> Option<Resize> {
    let given = options.spec.as_ref().and_then(|spec| match &spec.head {
        Head::DeeplabV3(head) => Some(head.resize),
        Head::Classifier(_) => None,
    });
    options.resize.or(given)
}

/// Options for what a graph stores.
fn only_for_state_dicts(options: &ImportOptions) -> Result<(), ImportError> {
    let given = [
        ("--key", options.key.is_some()),
        ("--rates", options.rates.is_some()),
        ("--padding", options.padding.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(ImportError::DoesNotFit {
            flag,
            problem: "a graph stores this itself; only state dicts need it".into(),
        }),
        None => Ok(()),
    }
}

/// Completes the specification, unrolls it, and compares it with every convolution and tensor of the file.
fn assemble(
    derived: Derived<'_>,
    name: &str,
    provenance: String,
    options: &ImportOptions,
) -> Result<Imported, ImportError> {
    let mut spec = specification(&derived, name, provenance, options)?;
    let network = unroll(&spec)?;
    if let Some(convs) = &derived.convs {
        verify(&network, convs).map_err(|error| match (error, &options.spec) {
            (ImportError::UnknownNetwork { place, problem }, Some(_)) => {
                ImportError::DoesNotFit { flag: "--spec", problem: format!("{place}: {problem}") }
            }
            (error, _) => error,
        })?;
    }
    check_tensors(&network, &derived.tensors)?;
    if let Some(stride) = options.output_stride {
        match &mut spec.extractor {
            Extractor::MobilenetV2(v2) => v2.output_stride = stride,
            Extractor::MobilenetV1(v1) => v1.output_stride = stride,
        }
        unroll(&spec)?;
    }
    let derived_labels = derived.labels;
    let mut tensors = Tensors::new();
    let mut quantised = QuantisedTensors::new();
    for (name, tensor) in derived.tensors {
        match tensor.made().map_err(|error| ImportError::Spec(Box::new(error.into())))? {
            Made::Float(tensor) => drop(tensors.insert(name, tensor)),
            Made::Quantised(tensor) => drop(quantised.insert(name, tensor)),
        }
    }
    if options.labels.is_none() && options.spec.is_none() && derived_labels.is_none() && spec.labels == VOC_LABELS {
        warn!("the names of its 21 classes are unknown; PASCAL VOC's are assumed, as in DeepLab's public models");
    }
    Ok(Imported { spec, tensors, quantised, activations: derived.activations })
}

fn unroll(spec: &Spec) -> Result<Network, ImportError> {
    Network::native(spec).map_err(|error| ImportError::Spec(Box::new(error)))
}

/// The passed options first, then what the file stores, then the passed specification.
fn specification(
    derived: &Derived<'_>,
    name: &str,
    provenance: String,
    options: &ImportOptions,
) -> Result<Spec, ImportError> {
    let given = options.spec.as_ref();
    if let Some(spec) = given {
        let differs = |what: &str, here: &dyn std::fmt::Debug, there: &dyn std::fmt::Debug| ImportError::DoesNotFit {
            flag: "--spec",
            problem: format!("its {what} is {there:?}, the file's {here:?}"),
        };
        let classes = classes(&derived.head);
        let head = with_classes(&spec.head, classes);
        if derived.convs.is_some() && head != derived.head {
            return Err(differs("head", &derived.head, &head));
        }
        if spec.padding != derived.padding {
            return Err(differs("padding", &derived.padding, &spec.padding));
        }
    }
    let task = task(&derived.head, given)?;
    let mut missing = derived.missing.clone();
    let labels = labels(derived, task, options, &mut missing)?;
    let mean = derived.normalisation.map(|n| n.0);
    let std = derived.normalisation.map(|n| n.1);
    let mean = options.mean.or(mean).or(given.map(|spec| spec.input.mean));
    let std = options.std.or(std).or(given.map(|spec| spec.input.std));
    let size = options.size.or(derived.size).or(given.map(|spec| spec.input.size));
    let mut is_missing = |is: bool, what: &str, flag: &'static str, value: &'static str| {
        missing.extend(is.then(|| Missing { what: what.to_owned(), flag, value }));
    };
    is_missing(size.is_none(), "the input's size", "--size", "N");
    is_missing(mean.is_none(), "the mean of a pixel (0 to 255)", "--mean", "R,G,B");
    is_missing(std.is_none(), "its standard deviation", "--std", "R,G,B");
    let (Some(size), Some(mean), Some(std), true) = (size, mean, std, missing.is_empty()) else {
        return Err(ImportError::NotSaid { missing });
    };
    let fit = options.fit.or(given.map(|spec| spec.input.fit)).unwrap_or(match derived.head {
        Head::Classifier(_) => Fit::Stretch,
        Head::DeeplabV3(_) => Fit::Letterbox { fill: (mean.iter().sum::<f32>() / 3.0) as u8 },
    });
    let text = |option: &Option<String>, of_spec: fn(&Spec) -> &String, otherwise: String| {
        option.clone().or_else(|| given.map(of_spec).filter(|t| !t.is_empty()).cloned()).unwrap_or(otherwise)
    };
    Ok(Spec {
        format: FORMAT,
        name: options.name.clone().unwrap_or_else(|| name.to_owned()),
        extractor: given.map_or_else(|| derived.extractor.clone(), |spec| spec.extractor.clone()),
        head: derived.head.clone(),
        padding: derived.padding,
        batch_norm_epsilon: given.map_or(derived.batch_norm_epsilon, |spec| spec.batch_norm_epsilon),
        head_batch_norm_epsilon: given.map_or(derived.head_batch_norm_epsilon, |spec| spec.head_batch_norm_epsilon),
        input: Input { size, mean, std, fit },
        colors: colors(given, labels.len()),
        labels,
        licence: text(&options.licence, |spec| &spec.licence, String::new()),
        task,
        provenance: text(&options.provenance, |spec| &spec.provenance, provenance),
    })
}

fn classes(head: &Head) -> usize {
    match head {
        Head::Classifier(head) => head.classes,
        Head::DeeplabV3(head) => head.classes,
    }
}

/// The same head with another number of classes.
fn with_classes(head: &Head, classes: usize) -> Head {
    match head {
        Head::Classifier(_) => Head::Classifier(Classifier { classes }),
        Head::DeeplabV3(head) => Head::DeeplabV3(DeeplabV3 { classes, ..head.clone() }),
    }
}

/// The meaning of the output, if the head does not imply it: a single logit at each pixel is an alpha, its sigmoid the
/// foreground's share.
fn task(head: &Head, given: Option<&Spec>) -> Result<Option<Task>, ImportError> {
    match head {
        Head::Classifier(Classifier { classes: 1 }) => Err(ImportError::Unsupported {
            what: "a classifier with a single logit".into(),
            instead: "its only class would always be certain; convert it to two logits, 0 and the existing one".into(),
        }),
        Head::DeeplabV3(DeeplabV3 { classes: 1, .. }) => Ok(Some(Task::Alpha)),
        Head::Classifier(_) | Head::DeeplabV3(_) => {
            // An alpha task does not apply to a file with more logits.
            Ok(given.filter(|spec| spec.task != Some(Task::Alpha)).and_then(|spec| spec.task))
        }
    }
}

/// The passed labels, or the file's or the specification's if they match the file's number of classes; an alpha needs none,
/// and 21 classes of a DeepLab are VOC's.
fn labels(
    derived: &Derived<'_>,
    task: Option<Task>,
    options: &ImportOptions,
    missing: &mut Vec<Missing>,
) -> Result<Vec<String>, ImportError> {
    let alpha = task == Some(Task::Alpha);
    let logits = classes(&derived.head);
    let classes = if alpha { 2 } else { logits };
    let segments = matches!(derived.head, Head::DeeplabV3(_));
    let ours = options.spec.as_ref().filter(|spec| self::classes(&spec.head) == logits).map(|spec| &spec.labels);
    let stored = derived.labels.as_ref().filter(|labels| labels.len() == logits);
    let (labels, flag) = match (&options.labels, stored, ours) {
        (Some(given), ..) => (given.clone(), "--labels"),
        (None, Some(stored), _) => (stored.clone(), "--labels"),
        (None, None, Some(ours)) => (ours.clone(), "--spec"),
        (None, None, None) if alpha => (vec!["foreground".into()], "--labels"),
        // The public models, and most models derived from them.
        (None, None, None) if options.spec.is_none() && segments && logits == VOC_LABELS.len() => {
            (VOC_LABELS.map(String::from).to_vec(), "--labels")
        }
        (None, None, None) => {
            let what = format!("the names of its {classes} classes");
            missing.push(Missing { what, flag: "--labels", value: "FILE|SET" });
            return Ok(Vec::new());
        }
    };
    let background = || std::iter::once("background".to_owned());
    match labels.as_slice() {
        labels if options.optional_background && !alpha && labels.len() + 1 == classes => {
            Ok(background().chain(labels.iter().cloned()).collect())
        }
        [foreground] if alpha => Ok(background().chain([foreground.clone()]).collect()),
        labels if labels.len() == classes => Ok(labels.to_vec()),
        labels if alpha => Err(ImportError::DoesNotFit {
            flag,
            problem: format!(
                "{} labels for a single logit, which needs two: the background's and the foreground's",
                labels.len()
            ),
        }),
        labels => {
            Err(ImportError::DoesNotFit { flag, problem: format!("{} labels for {classes} classes", labels.len()) })
        }
    }
}

/// The specification's colours, if they match the file's number of classes; for an alpha, black and its one colour.
fn colors(given: Option<&Spec>, classes: usize) -> Vec<[u8; 3]> {
    match given.map_or(&[][..], |spec| &spec.colors) {
        &[foreground] if classes == 2 => vec![[0; 3], foreground],
        colors if colors.len() == classes => colors.to_vec(),
        _ => Vec::new(),
    }
}

/// Checks every tensor that the network needs: its shape is right, none is left over, and all values are finite.
fn check_tensors(network: &Network, tensors: &HashMap<String, Tensor<'_>>) -> Result<(), ImportError> {
    let mut problems = TensorProblems::default();
    let mut used = HashSet::new();
    for conv in network.convs() {
        let bias = conv.bias();
        let folded = !conv.batch_norm || tensors.contains_key(&bias.name);
        let others = if folded { vec![bias] } else { conv.bn().to_vec() };
        for expected in std::iter::once(conv.weight()).chain(others) {
            match tensors.get(&expected.name) {
                None => problems.missing.push(expected.name),
                Some(tensor) if tensor.dims() != expected.shape => {
                    let found = tensor.dims().to_vec();
                    problems.wrong_shape.push(WrongShape {
                        name: expected.name.clone(),
                        expected: expected.shape,
                        found,
                    });
                    used.insert(expected.name);
                }
                Some(tensor) => {
                    if !tensor.values().all(f32::is_finite) {
                        return Err(ImportError::Damaged {
                            format: "model",
                            place: format!("tensor '{}'", expected.name),
                            problem: "some of its values are not finite".into(),
                        });
                    }
                    used.insert(expected.name);
                }
            }
        }
    }
    problems.left_over.extend(tensors.keys().filter(|name| !used.contains(*name)).cloned());
    problems.left_over.sort();
    if problems.is_empty() { Ok(()) } else { Err(ImportError::Tensors(problems)) }
}
