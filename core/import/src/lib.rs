//! Foreign model files into our own: a specification and named tensors, quantised ones as
//! the file has them.
//!
//! | format | told by | read in |
//! | --- | --- | --- |
//! | TensorFlow Lite, float and quantised | `TFL3` at byte 4 | `tflite` |
//! | PyTorch state dict, `.pth` | a zip archive | `pytorch` |
//! | PyTorch state dict, `.safetensors` | its JSON header | `pytorch` |
//! | TensorFlow frozen graph | a protocol buffer of nodes | not yet: `Format::FrozenGraph` |
//! | ONNX | a protocol buffer with a format version first | not yet: `Format::Onnx` |
//!
//! The format is told by the content and never by the file's name. Formats that carry a graph hand it to
//! `recognise`, which finds the network by its structure; formats that carry names only hand them to the table of
//! names. Both ways end in `assemble`, where the specification is completed, unrolled and compared with every tensor.

#![deny(unsafe_code)] // but for the generated reader of flatbuffers

mod budget;
mod derived;
mod error;
#[cfg(test)]
mod fixture;
mod graph;
mod pytorch;
mod recognise;
mod tables;
mod tensor;
mod tflite;

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::path::Path;

use log::warn;
use silhouette_files::{OpenError, Regular, open_regular};
use silhouette_network::ModelError;
use silhouette_network::error::{TensorProblems, WrongShape};
use silhouette_network::network::Network;
use silhouette_network::spec::{Classifier, DeeplabV3, Extractor, FORMAT, Fit, Head, Input, Spec, Task, VOC_LABELS};
use silhouette_weights::{Activations, ModelFile, QuantisedTensors, Tensors};

pub use error::{ImportError, ImportFailure};

use derived::Derived;
use recognise::verify;
use tensor::{Made, Tensor};

/// Files that are longer are refused before anything is read: the largest network here has some 60 MB of float weights.
const MAX_FILE: u64 = 1 << 30;

/// So many bytes tell the format.
const HEAD: u64 = 1024;

/// What a file may not say, and what shall be other than it says. The field names are the command line's flags.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The whole specification, where the file has names but no graph (PyTorch), or to say in one place what a graph
    /// cannot (labels, normalisation). A graph file must agree with its structure.
    pub spec: Option<Spec>,
    /// One label per class, in the order of the logits; of a head with a single logit, that of the foreground, or of background
    /// and foreground.
    pub labels: Option<Vec<String>>,
    /// Whether a background may stand before the labels, where the file has one class more than there are labels.
    pub optional_background: bool,
    /// Height and width of the input.
    pub size: Option<usize>,
    /// 8, 16 or 32, where it shall be another than the file's (or the specification's).
    pub output_stride: Option<usize>,
    /// Subtracted from R, G and B (0 to 255).
    pub mean: Option<[f32; 3]>,
    /// What they are divided by after that.
    pub std: Option<[f32; 3]>,
    /// How pictures are fitted into the square. Where nobody says: letterboxed with the mean's grey for segmentation,
    /// as DeepLab is trained and evaluated, stretched for classifiers.
    pub fit: Option<Fit>,
    /// A short name; the file's own where it is not given.
    pub name: Option<String>,
    /// Licence of the weights.
    pub licence: Option<String>,
    /// Where the weights come from; the file's name and format where it is not given.
    pub provenance: Option<String>,
}

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
    /// What the bytes between its layers stand for, in a quantised file.
    pub activations: Activations,
}

impl Imported {
    /// The network as a model that can be run and saved, made of these tensors themselves: there is no second copy of them.
    ///
    /// # Errors
    /// As [`ModelFile::quantised`]; none after an import that went well.
    pub fn into_model(self) -> Result<ModelFile, ModelError> {
        ModelFile::quantised(self.spec, self.tensors, self.quantised, self.activations)
    }
}

/// A file format, told by the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// TensorFlow Lite.
    TfLite,
    /// PyTorch's zip archive of a pickle and raw tensors.
    Pth,
    /// Safetensors.
    Safetensors,
    /// TensorFlow's `GraphDef`.
    FrozenGraph,
    /// ONNX.
    Onnx,
}

/// Imports a network from a file, whatever its format.
///
/// # Errors
/// The file cannot be read, is of no known format, damaged, or holds a network that is not known here; tensors are missing or
/// left over; or something that the file does not say was not given in `options`.
pub fn import(path: &Path, options: &ImportOptions) -> Result<Imported, ImportFailure> {
    let stem = path.file_stem().map_or_else(|| "imported".into(), |stem| stem.to_string_lossy().into_owned());
    read(path)
        .and_then(|bytes| import_bytes(&bytes, &stem, options))
        .map_err(|source| ImportFailure { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, ImportError> {
    let unsupported = |what: String, instead: &str| ImportError::Unsupported { what, instead: instead.to_owned() };
    let Regular { mut file, about: metadata } = open_regular(path, MAX_FILE).map_err(|error| match error {
        OpenError::Io(error) => error.into(),
        OpenError::TooLarge { .. } => unsupported("so long a file".into(), "no network here has more than 1 GiB"),
        error => unsupported(error.to_string(), "copy it into a file"),
    })?;
    // Whether it is a model at all shows in its first bytes; then no more than it was long a moment ago is read.
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut bytes)?;
    format(&bytes, metadata.len())?;
    let rest = metadata.len().saturating_sub(HEAD) as usize;
    bytes.try_reserve_exact(rest).map_err(|_| std::io::Error::from(std::io::ErrorKind::OutOfMemory))?;
    file.take(metadata.len()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Imports a network from a file's content; `name` is what it is called where `options` do not say.
///
/// # Errors
/// As [`import`], without the file's name.
pub fn import_bytes(bytes: &[u8], name: &str, options: &ImportOptions) -> Result<Imported, ImportError> {
    let unsupported = |what: &str, instead: &str| {
        Err(ImportError::Unsupported { what: what.to_owned(), instead: instead.to_owned() })
    };
    let given = options.spec.as_ref();
    let ((derived, given), format) = match format(bytes, bytes.len() as u64)? {
        Format::TfLite => ((tflite::import(bytes)?, given.cloned()), "TensorFlow Lite"),
        Format::Pth => (pytorch::import_pth(bytes, given)?, "PyTorch"),
        Format::Safetensors => (pytorch::import_safetensors(bytes, given)?, "safetensors"),
        Format::FrozenGraph => {
            return unsupported("a TensorFlow frozen graph", "convert it to TensorFlow Lite and import that");
        }
        Format::Onnx => return unsupported("ONNX", "import the TensorFlow Lite or PyTorch file it was made from"),
    };
    let provenance = format!("imported from {name} ({format})");
    assemble(derived, name, provenance, &ImportOptions { spec: given, ..options.clone() })
}

/// Tells the format by the beginning of a file of `length` bytes.
///
/// # Errors
/// [`ImportError::UnknownFormat`], or [`ImportError::Unsupported`] for formats that are known and not read.
fn format(bytes: &[u8], length: u64) -> Result<Format, ImportError> {
    let unsupported = |what: &str, instead: &str| {
        Err(ImportError::Unsupported { what: what.to_owned(), instead: instead.to_owned() })
    };
    if bytes.get(4..8) == Some(tflite::IDENTIFIER) {
        return Ok(Format::TfLite);
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Ok(Format::Pth);
    }
    if bytes.starts_with(b"\x80\x02\x8a\x0a") {
        return unsupported("PyTorch's format from before version 1.6", "load it and save it again with a newer one");
    }
    if bytes.starts_with(b"\x89HDF") {
        return unsupported("HDF5 (Keras)", "convert the model to TensorFlow Lite and import that");
    }
    if let Some((header, rest)) = bytes.split_first_chunk::<8>()
        && rest.first() == Some(&b'{')
        && u64::from_le_bytes(*header) <= length.saturating_sub(8)
    {
        return Ok(Format::Safetensors);
    }
    if looks_like_onnx(bytes) {
        return Ok(Format::Onnx);
    }
    if looks_like_frozen_graph(bytes) {
        return Ok(Format::FrozenGraph);
    }
    let begins = bytes.get(..16.min(bytes.len())).unwrap_or_default().escape_ascii().to_string();
    Err(ImportError::UnknownFormat { begins: if begins.is_empty() { "nothing".into() } else { format!("'{begins}'") } })
}

/// ONNX's `ModelProto` begins with its version: field 1, a small number; then text fields or the operator sets.
fn looks_like_onnx(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, 1..=100, 0x12 | 0x1a | 0x22 | 0x32 | 0x3a | 0x42, ..])
}

/// TensorFlow's `GraphDef` begins with a node: field 1, a message that begins with a name (1) and an operator (2).
fn looks_like_frozen_graph(bytes: &[u8]) -> bool {
    let Some((0x0a, rest)) = bytes.split_first().map(|(&b, rest)| (b, rest)) else { return false };
    let length = rest.iter().take(5).take_while(|&&b| b >= 0x80).count() + 1;
    let Some([0x0a, name, node @ ..]) = rest.get(length..) else { return false };
    let Some([0x12, operator, text @ ..]) = node.get(usize::from(*name)..) else { return false };
    text.get(..usize::from(*operator)).is_some_and(|t| !t.is_empty() && t.iter().all(u8::is_ascii_alphanumeric))
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
    let (mut tensors, mut quantised) = (Tensors::new(), QuantisedTensors::new());
    for (name, tensor) in derived.tensors {
        match tensor.made().map_err(|error| ImportError::Spec(Box::new(error.into())))? {
            Made::Float(tensor) => drop(tensors.insert(name, tensor)),
            Made::Quantised(tensor) => drop(quantised.insert(name, tensor)),
        }
    }
    if options.labels.is_none() && options.spec.is_none() && spec.labels == VOC_LABELS {
        warn!(
            "nothing says what its 21 classes are called: taken for PASCAL VOC's, as DeepLab's public models have them"
        );
    }
    Ok(Imported { spec, tensors, quantised, activations: derived.activations })
}

fn unroll(spec: &Spec) -> Result<Network, ImportError> {
    Network::native(spec).map_err(|error| ImportError::Spec(Box::new(error)))
}

/// What was given first, then what the file says, then what the given specification says.
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
    let labels = labels(&derived.head, derived.convs.is_some(), task, options)?;
    let (mean, std) = (derived.normalisation.map(|n| [n.0; 3]), derived.normalisation.map(|n| [n.1; 3]));
    let mean = options.mean.or(mean).or(given.map(|spec| spec.input.mean));
    let std = options.std.or(std).or(given.map(|spec| spec.input.std));
    let mean = mean.ok_or_else(|| not_said("what is subtracted from a pixel (0 to 255)", "--mean"))?;
    let std = std.ok_or_else(|| not_said("what a pixel is divided by", "--std"))?;
    let size = options.size.or(derived.size).or(given.map(|spec| spec.input.size));
    let size = size.ok_or_else(|| not_said("the input's size", "--size"))?;
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

/// The same head of another number of classes.
fn with_classes(head: &Head, classes: usize) -> Head {
    match head {
        Head::Classifier(_) => Head::Classifier(Classifier { classes }),
        Head::DeeplabV3(head) => Head::DeeplabV3(DeeplabV3 { classes, ..head.clone() }),
    }
}

/// What the output means where that is not what the head implies: a single logit at each pixel is an alpha, its sigmoid the
/// foreground's.
fn task(head: &Head, given: Option<&Spec>) -> Result<Option<Task>, ImportError> {
    match head {
        Head::Classifier(Classifier { classes: 1 }) => Err(ImportError::Unsupported {
            what: "a classifier with a single logit".into(),
            instead: "its only class would always be certain; give it two logits, 0 and the one that it has".into(),
        }),
        Head::DeeplabV3(DeeplabV3 { classes: 1, .. }) => Ok(Some(Task::Alpha)),
        Head::Classifier(_) | Head::DeeplabV3(_) => {
            // Said of an alpha, it does not hold for a file with more logits.
            Ok(given.filter(|spec| spec.task != Some(Task::Alpha)).and_then(|spec| spec.task))
        }
    }
}

/// What was given, else what the specification says, where it says it of as many classes as the file has; an alpha can do
/// without, and 21 classes of a graph are VOC's.
fn labels(head: &Head, graph: bool, task: Option<Task>, options: &ImportOptions) -> Result<Vec<String>, ImportError> {
    let graph = graph && matches!(head, Head::DeeplabV3(_));
    let (alpha, logits) = (task == Some(Task::Alpha), classes(head));
    let classes = if alpha { 2 } else { logits };
    let ours = options.spec.as_ref().filter(|spec| self::classes(&spec.head) == logits).map(|spec| &spec.labels);
    let (labels, flag) = match (&options.labels, ours) {
        (Some(given), _) => (given.clone(), "--labels"),
        (None, Some(ours)) => (ours.clone(), "--spec"),
        (None, None) if alpha => (vec!["foreground".into()], "--labels"),
        // The public models that come as graphs, and most that were made of them.
        (None, None) if options.spec.is_none() && graph && logits == VOC_LABELS.len() => {
            (VOC_LABELS.map(String::from).to_vec(), "--labels")
        }
        (None, None) => return Err(not_said(&format!("what its {classes} classes are called"), "--labels")),
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
                "{} labels for a single logit, which has two: the background's and the foreground's",
                labels.len()
            ),
        }),
        labels => {
            Err(ImportError::DoesNotFit { flag, problem: format!("{} labels for {classes} classes", labels.len()) })
        }
    }
}

/// The specification's colours, where they are of as many classes as the file has; black beside the one of an alpha.
fn colors(given: Option<&Spec>, classes: usize) -> Vec<[u8; 3]> {
    match given.map_or(&[][..], |spec| &spec.colors) {
        &[foreground] if classes == 2 => vec![[0; 3], foreground],
        colors if colors.len() == classes => colors.to_vec(),
        _ => Vec::new(),
    }
}

fn not_said(what: &str, flag: &'static str) -> ImportError {
    ImportError::NotSaid { what: what.to_owned(), flag }
}

/// Every tensor that the network needs, in its shape; none beside them; all numbers finite.
fn check_tensors(network: &Network, tensors: &HashMap<String, Tensor<'_>>) -> Result<(), ImportError> {
    let mut problems = TensorProblems::default();
    let mut used = HashSet::new();
    for conv in network.convs() {
        let bias = conv.bias();
        let folded = !conv.batch_norm || tensors.contains_key(&bias.name);
        let others = if folded { vec![bias] } else { conv.bn().to_vec() };
        for wanted in std::iter::once(conv.weight()).chain(others) {
            match tensors.get(&wanted.name) {
                None => problems.missing.push(wanted.name),
                Some(tensor) if tensor.dims() != wanted.shape => {
                    let found = tensor.dims().to_vec();
                    problems.wrong_shape.push(WrongShape { name: wanted.name.clone(), wanted: wanted.shape, found });
                    used.insert(wanted.name);
                }
                Some(tensor) => {
                    if !tensor.values().all(f32::is_finite) {
                        return Err(ImportError::Damaged {
                            format: "model",
                            place: format!("tensor '{}'", wanted.name),
                            problem: "it has values that are not finite numbers".into(),
                        });
                    }
                    used.insert(wanted.name);
                }
            }
        }
    }
    problems.left_over.extend(tensors.keys().filter(|name| !used.contains(*name)).cloned());
    problems.left_over.sort();
    if problems.is_empty() { Ok(()) } else { Err(ImportError::Tensors(problems)) }
}
