//! PyTorch state dicts: names and tensors, no graph. `names` finds the network among the names and recognises its
//! implementation, whose conventions (padding, epsilon, resize) are those of `conventions`.
//!
//! What the tensors determine (channels, classes, the head's branches) is taken from them. What they do not (output stride,
//! atrous rates) comes from Hugging Face's `config.json`, from options or from a preset. A specification written for the
//! file replaces all of that but the head's parts.

pub(crate) mod archive;
mod config;
mod conventions;
#[cfg(test)]
mod goldens;
mod names;
mod pickle;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod written;
mod zip_kinds;

use std::collections::{HashMap, HashSet};

use log::{debug, info, warn};
use silhouette_network::error::TensorProblems;
use silhouette_network::spec::{
    Aspp, Classifier, DeeplabV3, Extractor, Feature, Head, MobilenetV2, Padding, Resize, Spec,
};
use silhouette_weights::Activations;

use crate::derived::Derived;
use crate::error::{ImportError, Missing};
use crate::options::ImportOptions;
use crate::tables;
use crate::tensor::Tensor;
use archive::StateDict;
use config::{Config, Processor};
use conventions::{Conventions, padding_name};
use names::{Found, Implementation, Target, Translation};

/// A network, and the passed specification as it applies to the file.
type Read<'a> = (Derived<'a>, Option<Spec>);

/// The containers of state dicts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Container {
    /// A zip archive.
    Pth,
    /// From before PyTorch 1.6.
    Legacy,
    Safetensors,
}

/// Reads a state dict.
pub(super) fn import<'a>(
    bytes: &'a [u8],
    container: Container,
    options: &ImportOptions,
) -> Result<Read<'a>, ImportError> {
    let choose = |names: &[&str]| choose(names, options.key.as_deref()).map(|found| found.prefix);
    let state = match container {
        Container::Pth => archive::pth(bytes, &choose),
        Container::Legacy => archive::legacy(bytes, &choose),
        Container::Safetensors => archive::safetensors(bytes, &choose),
    }?;
    derive(state, options)
}

/// The network to import, among the names of a file: the one that `--key` names, or the only one, or the only one that is
/// not an average of another.
fn choose(names: &[&str], key: Option<&str>) -> Result<Found, ImportError> {
    let mut networks = names::networks(names);
    let place = |found: &Found| match found.prefix.strip_suffix('.') {
        Some(path) => format!("'{}'", path.escape_debug()),
        None => "the top level".to_owned(),
    };
    let places = |networks: &[Found]| {
        let mut places: Vec<String> = networks.iter().take(8).map(place).collect();
        if networks.len() > places.len() {
            places.push(format!("{} more", networks.len() - places.len()));
        }
        places.join(", ")
    };
    if networks.is_empty() {
        let first = names.iter().take(8).map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
        let problem = match names::stranger(names) {
            Some(stranger) => format!("they are those of {stranger}; only MobileNetV2 and DeepLabV3 on it are read"),
            None => "they are not those of a MobileNetV2 or of a DeepLabV3 on it, by torchvision, timm, VainF, \
                     segmentation_models_pytorch or Hugging Face"
                .into(),
        };
        let problem = format!("{problem}; the first are: {first}");
        return Err(ImportError::UnknownNetwork { place: "the tensors' names".into(), problem });
    }
    if let Some(key) = key {
        let path = if key.is_empty() { String::new() } else { format!("{}.", key.trim_end_matches('.')) };
        let all = places(&networks);
        let exact = networks.iter().any(|found| found.prefix == path);
        networks.retain(|found| if exact { found.prefix == path } else { found.prefix.starts_with(&path) });
        if networks.is_empty() {
            let problem = format!("there is no network under it, but under {all}");
            return Err(ImportError::DoesNotFit { flag: "--key", problem });
        }
    }
    if networks.len() > 1 {
        let (averages, plain): (Vec<_>, Vec<_>) = networks.into_iter().partition(|found| is_average(&found.prefix));
        networks = if let [network] = &plain[..] {
            warn!(
                "the network under {} is imported, not its average under {} (--key selects)",
                place(network),
                places(&averages)
            );
            plain
        } else {
            averages.into_iter().chain(plain).collect()
        };
    }
    match <[Found; 1]>::try_from(networks) {
        Ok([found]) => {
            log_rest(names, &found);
            Ok(found)
        }
        Err(networks) => Err(ImportError::NotSaid {
            missing: vec![Missing {
                what: format!("which of its networks is meant, those under {}", places(&networks)),
                flag: "--key",
                value: "KEY",
            }],
        }),
    }
}

/// Whether a network under these keys is the average of another: of its weights over the steps of training.
fn is_average(prefix: &str) -> bool {
    let prefix = prefix.to_ascii_lowercase();
    prefix.split(['.', '_']).any(|word| matches!(word, "ema" | "swa" | "average" | "averaged" | "avg"))
}

/// Logs which tensors of the same training script are not imported.
fn log_rest(names: &[&str], found: &Found) {
    if !found.prefix.is_empty() {
        info!("the network under '{}'", found.prefix.trim_end_matches('.').escape_debug());
    }
    let rest = |name: &&&str| !name.starts_with(&found.prefix) && !name.ends_with("n_averaged");
    let count = names.iter().filter(rest).count();
    if count > 0 {
        let first: Vec<String> =
            names.iter().filter(rest).take(4).map(|name| name.escape_debug().to_string()).collect();
        info!("{count} tensors beside the network are not imported, the first are: {}", first.join(", "));
    }
}

fn derive<'a>(mut state: StateDict<'a>, options: &ImportOptions) -> Result<Read<'a>, ImportError> {
    let names: Vec<String> = state.keys().cloned().collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (found, others): (Vec<Found>, Vec<Found>) =
        names::networks(&names).into_iter().partition(|found| found.prefix.is_empty());
    let Some(found) = found.first() else {
        return Err(ImportError::UnknownNetwork { place: "the tensors' names".into(), problem: "no network".into() });
    };
    // The dictionary of another network may be among a network's names.
    let others: HashSet<&str> = others.iter().map(|other| &other.prefix[..]).collect();
    let is_others = |name: &str| name.match_indices('.').any(|(dot, _)| others.contains(&name[..=dot]));
    state.retain(|name, _| !is_others(name));
    let translation = Translation::new(found, names.iter().copied().filter(|name| !is_others(name)));
    let implementation = translation.implementation();
    info!("state dict with names of {}", translation.about());
    let mut tensors = rename(state, &translation)?;
    without_unread_layer(&mut tensors);
    let hugging_face = implementation == Implementation::HuggingFace;
    let config = options.config.as_deref().filter(|_| hugging_face).map(Config::parse).transpose()?;
    let processor = options.preprocessor.as_deref().filter(|_| hugging_face).map(Processor::parse).transpose()?;
    let conventions = Conventions::of(implementation, config.as_ref());
    let preset = |spec: &&Spec| Spec::preset(&spec.name).is_ok_and(|preset| preset == **spec);
    // A preset does not know its epsilons either.
    if hugging_face && config.is_none() && options.spec.as_ref().is_none_or(|spec| preset(&spec)) {
        let missing = Missing { what: "its configuration".into(), flag: "--config", value: "config.json" };
        return Err(ImportError::NotSaid { missing: vec![missing] });
    }
    let mut missing = Vec::new();
    let spec = match (options.spec.as_ref(), &conventions) {
        // Ours, or written for the file.
        (Some(spec), None) => with_overrides(spec, &tensors, implementation, options)?,
        (Some(spec), Some(conventions)) if !preset(&spec) => {
            if spec.padding != conventions.padding {
                warn!(
                    "the spec's padding is '{}', that of {} '{}': results may differ from PyTorch's",
                    padding_name(spec.padding),
                    translation.about(),
                    padding_name(conventions.padding)
                );
            }
            with_overrides(spec, &tensors, implementation, options)?
        }
        (given, conventions) => {
            if let (Some(given), Some(conventions)) = (given, conventions) {
                let differences = conventions.differences(given);
                if !differences.is_empty() {
                    warn!("'{}' is taken as {} has it: {differences}", given.name, translation.about());
                }
            }
            Structure { options, config: config.as_ref(), conventions: conventions.as_ref(), preset: given }
                .spec(&tensors, &mut missing)?
        }
    };
    let mut derived = Derived {
        extractor: spec.extractor.clone(),
        head: spec.head.clone(),
        padding: spec.padding,
        size: None,
        normalisation: None,
        labels: None,
        tensors,
        activations: Activations::new(),
        convs: None,
        batch_norm_epsilon: spec.batch_norm_epsilon,
        head_batch_norm_epsilon: spec.head_batch_norm_epsilon,
        missing,
    };
    if let (Some(config), Some(conventions)) = (config, &conventions) {
        let processor = processor.unwrap_or_default();
        if processor.mean.is_none() && options.mean.is_none() {
            warn!("mean and deviation of a pixel are taken as 127.5, as Hugging Face's processor has them by default");
        }
        derived.size = processor.size.or(Some(config.size));
        let (mean, std) = conventions.pixels;
        derived.normalisation = Some((processor.mean.unwrap_or(mean), processor.std.unwrap_or(std)));
        derived.labels = config.labels;
    }
    // Its labels are of its own head's classes.
    let given = options.spec.as_ref().map(|given| Spec { head: given.head.clone(), ..spec });
    Ok((derived, given))
}

/// A specification with everything that the tensors determine of its head, and with the options that replace its fields.
fn with_overrides(
    spec: &Spec,
    tensors: &HashMap<String, Tensor<'_>>,
    implementation: Implementation,
    options: &ImportOptions,
) -> Result<Spec, ImportError> {
    let theirs = implementation != Implementation::Own;
    let mut spec = Spec { head: head(&spec.head, tensors, theirs), ..spec.clone() };
    spec.padding = options.padding.unwrap_or(spec.padding);
    if let Head::DeeplabV3(head) = &mut spec.head {
        head.resize = options.resize.unwrap_or(head.resize);
        let rates = match &mut head.aspp {
            Aspp::None => &mut Vec::new(),
            Aspp::Plain { rates } | Aspp::Separable { rates } => rates,
        };
        check_rates(options, rates.len())?;
        if let Some(given) = &options.rates {
            rates.clone_from(given);
        }
    }
    Ok(spec)
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

/// Our names for the network's tensors, linear layers as 1x1 convolutions.
fn rename<'a>(state: StateDict<'a>, translation: &Translation<'_>) -> Result<HashMap<String, Tensor<'a>>, ImportError> {
    let mut tensors = HashMap::new();
    let mut problems = TensorProblems::default();
    let mut counters = 0;
    let mut auxiliary = 0;
    for (name, tensor) in state {
        match translation.target(&name) {
            Target::Tensor(target) => match tensor {
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
            Target::Counter => counters += 1,
            Target::Auxiliary => auxiliary += 1,
            Target::Unknown => problems.left_over.push(name),
        }
    }
    debug!("{counters} batch counters of batch norm ignored");
    if auxiliary > 0 {
        info!("{auxiliary} tensors of an auxiliary classifier, which only training uses, ignored");
    }
    if problems.is_empty() { Ok(tensors) } else { Err(ImportError::Tensors(problems)) }
}

/// Derives a specification from tensors and conventions, and the rest from options and a preset.
struct Structure<'o> {
    options: &'o ImportOptions,
    config: Option<&'o Config>,
    conventions: Option<&'o Conventions>,
    preset: Option<&'o Spec>,
}

type Named<'t, 'a> = &'t HashMap<String, Tensor<'a>>;

/// Lengths of a tensor's dimensions, if there are four.
fn dims(tensors: Named<'_, '_>, name: &str) -> Option<[usize; 4]> {
    <[usize; 4]>::try_from(tensors.get(name)?.dims()).ok()
}

fn needed(tensors: Named<'_, '_>, name: &str) -> Result<[usize; 4], ImportError> {
    dims(tensors, name).ok_or_else(|| {
        ImportError::Tensors(TensorProblems { missing: vec![name.to_owned()], ..TensorProblems::default() })
    })
}

impl Structure<'_> {
    /// Fills `missing` with what is nowhere; those fields then have some value.
    fn spec(&self, tensors: Named<'_, '_>, missing: &mut Vec<Missing>) -> Result<Spec, ImportError> {
        let segments = tensors.keys().any(|name| name.starts_with("head."));
        let head = if segments {
            self.deeplab(tensors, missing)?
        } else {
            Head::Classifier(Classifier { classes: needed(tensors, "classifier.weight")?[0] })
        };
        let extractor = self.extractor(tensors, segments, missing)?;
        let conventions = self.conventions;
        let padding = self.options.padding.or(conventions.map(|c| c.padding)).or(self.preset.map(|spec| spec.padding));
        let padding = padding.unwrap_or_else(|| {
            if segments {
                missing.push(Missing { what: "its padding".into(), flag: "--padding", value: "same|symmetric" });
            }
            Padding::Symmetric
        });
        let mut spec = match self.preset {
            Some(preset) => preset.clone(),
            None => Spec::preset("torchvision_mobilenet_v2").map_err(|error| ImportError::Spec(Box::new(error)))?,
        };
        if let Some(conventions) = conventions {
            (spec.batch_norm_epsilon, spec.head_batch_norm_epsilon) = (conventions.epsilon, conventions.head_epsilon);
            (spec.input.mean, spec.input.std) = conventions.pixels;
        }
        if !segments {
            spec.head_batch_norm_epsilon = None;
        }
        Ok(Spec { extractor, head, padding, ..spec })
    }

    /// The extractor that has these channels.
    fn extractor(
        &self,
        tensors: Named<'_, '_>,
        segments: bool,
        missing: &mut Vec<Missing>,
    ) -> Result<Extractor, ImportError> {
        let stem = needed(tensors, "stem.weight")?[0];
        let last = dims(tensors, "last.weight").map(|d| d[0]);
        let mut blocks = Vec::new();
        let mut c_in = stem;
        while let Some(project) = dims(tensors, &format!("blocks.{}.project.weight", blocks.len())) {
            let wide = dims(tensors, &format!("blocks.{}.expand.weight", blocks.len())).map_or(c_in, |d| d[0]);
            blocks.push((wide / c_in.max(1), project[0]));
            c_in = project[0];
        }
        let of_preset = match self.preset.map(|spec| &spec.extractor) {
            Some(Extractor::MobilenetV2(v2)) => Some(v2),
            _ => None,
        };
        let fitted = tables::fit_v2_without_strides(stem, &blocks, last);
        let mut v2 = fitted.or_else(|| of_preset.cloned()).unwrap_or_else(|| {
            let what = "the strides of its blocks, which are not the paper's table,".to_owned();
            missing.push(Missing { what, flag: "--spec", value: "SPEC.json" });
            MobilenetV2::paper(1.0, 32)
        });
        v2.feature = if last.is_some() { Feature::LastLayer } else { Feature::LastBottleneck };
        v2.dilate_first = self.conventions.is_some_and(|conventions| conventions.dilate_first);
        let stride = self.options.output_stride.or(self.config.map(|config| config.output_stride));
        v2.output_stride = stride.or(of_preset.map(|v2| v2.output_stride)).unwrap_or_else(|| {
            if segments {
                let what = "its output stride".to_owned();
                missing.push(Missing { what, flag: "--output-stride", value: "8|16|32" });
            }
            32
        });
        Ok(Extractor::MobilenetV2(v2))
    }

    fn deeplab(&self, tensors: Named<'_, '_>, missing: &mut Vec<Missing>) -> Result<Head, ImportError> {
        let has = |name: &str| tensors.contains_key(name);
        let of_preset = match self.preset.map(|spec| &spec.head) {
            Some(Head::DeeplabV3(head)) => Some(head),
            _ => None,
        };
        let image_pooling = has("head.pool.weight");
        let conventions = self.conventions;
        let pooling_last = conventions.map(|c| c.pooling_last).or(of_preset.map(|head| head.pooling_last));
        let pooling_last = pooling_last.unwrap_or_else(|| {
            if image_pooling {
                let what = "the place of the image pooling among its branches".to_owned();
                missing.push(Missing { what, flag: "--spec", value: "SPEC.json" });
            }
            false
        });
        let resize = self.options.resize.or(conventions.map(|c| c.resize)).or(of_preset.map(|head| head.resize));
        let resize = resize.unwrap_or_else(|| {
            let what = "how its logits are resized".to_owned();
            missing.push(Missing { what, flag: "--resize", value: "align-corners|half-pixel" });
            Resize::HalfPixel
        });
        let separable = has("head.aspp.0.depthwise.weight");
        let part = if separable { ".depthwise" } else { "" };
        let count = (0..tensors.len()).take_while(|i| has(&format!("head.aspp.{i}{part}.weight"))).count();
        let rates = self.rates(count, of_preset.map(|head| &head.aspp), missing)?;
        Ok(Head::DeeplabV3(DeeplabV3 {
            classes: needed(tensors, "head.classifier.weight")?[0],
            channels: needed(tensors, "head.project.weight")?[0],
            image_pooling,
            aspp: match rates {
                None => Aspp::None,
                Some(rates) if separable => Aspp::Separable { rates },
                Some(rates) => Aspp::Plain { rates },
            },
            pooling_last: image_pooling && pooling_last,
            refine: has("head.refine.weight"),
            decoder: of_preset.and_then(|head| head.decoder.clone()),
            resize,
        }))
    }

    /// The atrous rates of so many branches; `None` for no branch.
    fn rates(
        &self,
        count: usize,
        preset: Option<&Aspp>,
        missing: &mut Vec<Missing>,
    ) -> Result<Option<Vec<usize>>, ImportError> {
        check_rates(self.options, count)?;
        if count == 0 {
            return Ok(None);
        }
        let of_preset = match preset {
            Some(Aspp::Plain { rates } | Aspp::Separable { rates }) if rates.len() == count => Some(rates),
            _ => None,
        };
        Ok(Some(self.options.rates.as_ref().or(of_preset).cloned().unwrap_or_else(|| {
            let what = format!("the rates of its {count} atrous branches");
            missing.push(Missing { what, flag: "--rates", value: if count == 3 { "R,R,R" } else { "R,..." } });
            vec![1; count]
        })))
    }
}

/// Checks that there is one rate for each of the branches.
fn check_rates(options: &ImportOptions, count: usize) -> Result<(), ImportError> {
    match &options.rates {
        Some(rates) if rates.len() != count => {
            let problem = format!("{} rates for {count} atrous branches", rates.len());
            Err(ImportError::DoesNotFit { flag: "--rates", problem })
        }
        _ => Ok(()),
    }
}

/// Removes the last 1x1 layer if a segmentation head reads the map before it.
fn without_unread_layer(tensors: &mut HashMap<String, Tensor<'_>>) {
    let Some(last) = dims(tensors, "last.weight") else { return };
    let read = ["head.branch.weight", "head.pool.weight"].map(|name| dims(tensors, name).map(|d| d[1]));
    if last[0] != last[1] && read == [Some(last[1]); 2] {
        tensors.retain(|name, _| !name.starts_with("last."));
        debug!("the last 1x1 layer, which the head does not read, ignored");
    }
}
