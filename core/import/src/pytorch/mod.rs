//! PyTorch state dicts: names and tensors, no graph. `names` recognises the implementation by its names.
//!
//! What names and shapes do not determine (atrous rates, output stride, resize, input size) comes from the passed
//! specification. Only for classifiers can the rest be derived: these implementations all pad symmetrically, and if the
//! channels are the paper's table at some width, so are the strides.

mod archive;
mod names;
mod pickle;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use log::{debug, info, warn};
use silhouette_network::error::TensorProblems;
use silhouette_network::spec::{Classifier, DeeplabV3, Extractor, Feature, Head, Padding, Spec};
use silhouette_weights::Activations;

use crate::derived::Derived;
use crate::error::ImportError;
use crate::tables;
use crate::tensor::Tensor;
use archive::StateDict;

/// A network, and the passed specification as it applies to the file.
type Read<'a> = (Derived<'a>, Option<Spec>);

/// Reads a `.pth` file.
pub(super) fn import_pth<'a>(bytes: &'a [u8], given: Option<&Spec>) -> Result<Read<'a>, ImportError> {
    derive(archive::pth(bytes, &known)?, given)
}

/// Reads a `.safetensors` file.
pub(super) fn import_safetensors<'a>(bytes: &'a [u8], given: Option<&Spec>) -> Result<Read<'a>, ImportError> {
    derive(archive::safetensors(bytes, &known)?, given)
}

fn derive<'a>(state: StateDict<'a>, given: Option<&Spec>) -> Result<Read<'a>, ImportError> {
    let (tensors, dialect) = rename(state)?;
    let given = given.map(|spec| by_conventions(spec, dialect));
    let (extractor, head, padding) = match &given {
        Some(spec) => (spec.extractor.clone(), head(&spec.head, &tensors, dialect.is_some()), spec.padding),
        None => classifier(&tensors)?,
    };
    let derived = Derived {
        extractor,
        head,
        padding,
        size: None,
        normalisation: None,
        tensors,
        activations: Activations::new(),
        convs: None,
        // PyTorch's default, which all these implementations use.
        batch_norm_epsilon: 1e-5,
    };
    Ok((derived, given))
}

/// A preset is the paper's network with TensorFlow's conventions; the names of a PyTorch implementation imply
/// PyTorch's. A specification written for the file is left unchanged.
fn by_conventions(given: &Spec, dialect: Option<&str>) -> Spec {
    let preset = || Spec::preset(&given.name).is_ok_and(|preset| preset == *given);
    match dialect {
        Some(dialect) if given.padding == Padding::Same && preset() => {
            warn!(
                "'{}' is TensorFlow's; taken as {dialect} has it: symmetric padding, epsilon 1e-5, ImageNet's mean and deviation, \
                 and DeepLabV3's image pooling last and half-pixel resize",
                given.name
            );
            given.clone().pytorch()
        }
        Some(dialect) if given.padding == Padding::Same => {
            warn!(
                "the spec's padding is TensorFlow's, but {dialect} pads symmetrically: results may differ from PyTorch's"
            );
            given.clone()
        }
        _ => given.clone(),
    }
}

/// The specification's head with everything that the tensors determine: the number of classes and of channels, whether
/// there is a 3x3 layer before the classifier, and in PyTorch's (`theirs`) that image pooling is last.
fn head(given: &Head, tensors: &HashMap<String, Tensor<'_>>, theirs: bool) -> Head {
    let channels = |name: &str| tensors.get(name).and_then(|tensor| tensor.dims().first().copied());
    let said = match given {
        Head::Classifier(head) => {
            Head::Classifier(Classifier { classes: channels("classifier.weight").unwrap_or(head.classes) })
        }
        Head::DeeplabV3(head) => Head::DeeplabV3(DeeplabV3 {
            classes: channels("head.classifier.weight").unwrap_or(head.classes),
            channels: channels("head.project.weight").unwrap_or(head.channels),
            refine: tensors.contains_key("head.refine.weight"),
            pooling_last: head.pooling_last || (theirs && tensors.contains_key("head.pool.weight")),
            ..head.clone()
        }),
    };
    if said != *given {
        info!("its tensors imply the head {said:?} instead of {given:?}");
    }
    said
}

/// The implementation whose names these are.
fn translation<'a>(names: &[&'a str]) -> Result<names::Translation<'a>, ImportError> {
    names::Translation::new(names).ok_or_else(|| ImportError::UnknownNetwork {
        place: "the tensors' names".into(),
        problem: format!(
            "they are neither torchvision's, timm's, nor those of a DeepLabV3 on a MobileNetV2; the first are: {}",
            names.iter().take(8).map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ")
        ),
    })
}

fn known(names: &[&str]) -> Result<(), ImportError> {
    translation(names).map(|_| ())
}

/// Tensors by our names; and the implementation whose names the file uses, if not ours.
type Renamed<'a> = (HashMap<String, Tensor<'a>>, Option<&'static str>);

/// Our names for the file's tensors, linear layers as 1x1 convolutions; and the implementation
/// whose names the file uses, if not ours.
fn rename(state: StateDict<'_>) -> Result<Renamed<'_>, ImportError> {
    let keys: Vec<String> = state.keys().cloned().collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let translation = translation(&names)?;
    info!("state dict with names of {}", translation.dialect());
    if let Some(caveat) = translation.caveat() {
        warn!("{}: {caveat}", translation.dialect());
    }
    let mut tensors = HashMap::new();
    let mut problems = TensorProblems::default();
    let mut counters = 0;
    let mut auxiliary = 0;
    for (name, tensor) in state {
        match translation.target(&name) {
            names::Target::Tensor(target) => match tensor {
                Some(tensor) => {
                    let tensor = match tensor.dims() {
                        [_, _] if target == "classifier.weight" => tensor.extended(4),
                        _ => tensor,
                    };
                    if tensors.insert(target, tensor).is_some() {
                        problems.left_over.push(name);
                    }
                }
                None => problems.wrong_type.push((name, "integers".into())),
            },
            names::Target::Counter => counters += 1,
            names::Target::Auxiliary => auxiliary += 1,
            names::Target::Unknown => problems.left_over.push(name),
        }
    }
    debug!("{counters} batch counters of batch norm ignored");
    if auxiliary > 0 {
        info!("{auxiliary} tensors of an auxiliary classifier, which only training uses, ignored");
    }
    let dialect = (!translation.is_own()).then(|| translation.dialect());
    if problems.is_empty() { Ok((tensors, dialect)) } else { Err(ImportError::Tensors(problems)) }
}

/// A classifier's structure, from the shapes of its tensors.
fn classifier(tensors: &HashMap<String, Tensor<'_>>) -> Result<(Extractor, Head, Padding), ImportError> {
    let not_said = |what: &str| ImportError::NotSaid { what: what.to_owned(), flag: "--spec" };
    let dims = |name: &str| tensors.get(name).map(|t| t.dims().to_vec()).filter(|d| d.len() == 4);
    if tensors.keys().any(|name| name.starts_with("head.")) {
        return Err(not_said("its atrous rates, output stride, padding and resize (use a preset or a spec file)"));
    }
    let missing = |name: &str| {
        ImportError::Tensors(TensorProblems { missing: vec![name.to_owned()], ..TensorProblems::default() })
    };
    let stem = dims("stem.weight").ok_or_else(|| missing("stem.weight"))?[0];
    let linear = dims("classifier.weight").ok_or_else(|| missing("classifier.weight"))?;
    let last = dims("last.weight").map(|d| d[0]);
    let mut blocks = Vec::new();
    let mut c_in = stem;
    while let Some(project) = dims(&format!("blocks.{}.project.weight", blocks.len())) {
        let wide = dims(&format!("blocks.{}.expand.weight", blocks.len())).map_or(c_in, |d| d[0]);
        blocks.push((wide / c_in.max(1), project[0]));
        c_in = project[0];
    }
    let v2 = tables::fit_v2_without_strides(stem, &blocks, last)
        .ok_or_else(|| not_said("the strides of its blocks, which are not the paper's table"))?;
    let feature = if last.is_some() { Feature::LastLayer } else { Feature::LastBottleneck };
    let head = Head::Classifier(Classifier { classes: linear[0] });
    Ok((Extractor::MobilenetV2(silhouette_network::spec::MobilenetV2 { feature, ..v2 }), head, Padding::Symmetric))
}
