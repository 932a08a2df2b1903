//! Tensor names of PyTorch implementations of MobileNetV2 and of DeepLabV3 on it, and their meaning.
//!
//! | implementation | stem | block 3's depthwise layer | head |
//! | --- | --- | --- | --- |
//! | torchvision `mobilenet_v2` | `features.0.0` | `features.4.conv.1.0` | `classifier.1` |
//! | torchvision `DeepLabV3` on its features | `backbone.0.0` | `backbone.4.conv.1.0` | `classifier.0.convs.0.0` … `classifier.4` |
//! | VainF `deeplabv3_mobilenet` | `backbone.low_level_features.0.0` | `backbone.high_level_features.4.conv.1.0` | `classifier.classifier.0.convs.0.0` … |
//! | `segmentation_models_pytorch` `DeepLabV3` | `encoder.features.0.0` | `encoder.features.4.conv.1.0` | `decoder.aspp.convs.0.0` … `segmentation_head.0` |
//! | Hugging Face `MobileNetV2For…` | `mobilenet_v2.conv_stem.first_conv` | `mobilenet_v2.layer.2.conv_3x3` | `segmentation_head.conv_aspp` …, `classifier` |
//! | timm `mobilenetv2_*` | `conv_stem` | `blocks.2.0.conv_dw` | `conv_head`, `classifier` |
//! | this library | `stem` | `blocks.3.depthwise` | `head.branch` … |
//!
//! Training wraps networks: every name may have any prefix (`model.`, `module.`, `_orig_mod.`, the keys of the
//! dictionaries that hold it), which is found by where the stem is.

use std::collections::{BTreeMap, HashSet};

/// The meaning of a name in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// One of our tensors, by name.
    Tensor(String),
    /// Batch norm's count of batches, which only training uses.
    Counter,
    /// Part of a second classifier that only training uses.
    Auxiliary,
    /// Unknown.
    Unknown,
}

/// An implementation, as far as its conventions differ from another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Implementation {
    Torchvision,
    TorchvisionDeeplab,
    Vainf,
    Smp,
    HuggingFace,
    Timm,
    Own,
}

/// The names of one implementation.
struct Naming {
    implementation: Implementation,
    /// Its name in messages.
    about: &'static str,
    /// The stem's weight, by which a network is found.
    stem: &'static str,
    /// Tensors that every network with this head has, if there are similar networks with other heads.
    needs: &'static [&'static str],
    extractor: Layers,
    head: HeadNames,
}

/// How an extractor's layers are called.
enum Layers {
    /// Numbered after one of these prefixes.
    Numbered(&'static [&'static str]),
    HuggingFace(&'static str),
    Timm,
    Own,
}

/// How a head's layers are called.
enum HeadNames {
    /// A linear layer after this prefix.
    Linear(&'static str),
    /// DeepLabV3's: the prefixes of ASPP, of the 3x3 layer before the classifier, of its batch norm, of the classifier.
    Deeplab {
        aspp: &'static str,
        refine: (&'static str, &'static str),
        classifier: &'static str,
    },
    HuggingFace(&'static str),
    Own,
}

/// Where one network's names contain another's (`backbone.features.0.0` ends with `features.0.0`), the longer ones come first.
const NAMINGS: &[Naming] = &[
    Naming {
        implementation: Implementation::Vainf,
        about: "VainF's deeplabv3_mobilenet",
        stem: "backbone.low_level_features.0.0.weight",
        needs: &["classifier.classifier.0.convs.0.0.weight"],
        extractor: Layers::Numbered(&["backbone.low_level_features.", "backbone.high_level_features."]),
        head: HeadNames::Deeplab {
            aspp: "classifier.classifier.0.",
            refine: ("classifier.classifier.1.", "classifier.classifier.2."),
            classifier: "classifier.classifier.4.",
        },
    },
    Naming {
        implementation: Implementation::Smp,
        about: "segmentation_models_pytorch's DeepLabV3 on mobilenet_v2",
        stem: "encoder.features.0.0.weight",
        needs: &["decoder.aspp.convs.0.0.weight"],
        extractor: Layers::Numbered(&["encoder.features."]),
        head: HeadNames::Deeplab {
            aspp: "decoder.aspp.",
            refine: ("decoder.conv.", "decoder.bn."),
            classifier: "segmentation_head.0.",
        },
    },
    // Before its version 0.5 the decoder was a sequence.
    Naming {
        implementation: Implementation::Smp,
        about: "segmentation_models_pytorch's DeepLabV3 on mobilenet_v2",
        stem: "encoder.features.0.0.weight",
        needs: &["decoder.0.convs.0.0.weight"],
        extractor: Layers::Numbered(&["encoder.features."]),
        head: HeadNames::Deeplab {
            aspp: "decoder.0.",
            refine: ("decoder.1.", "decoder.2."),
            classifier: "segmentation_head.0.",
        },
    },
    Naming {
        implementation: Implementation::TorchvisionDeeplab,
        about: "torchvision's DeepLabV3 on mobilenet_v2",
        stem: "backbone.features.0.0.weight",
        needs: &["classifier.0.convs.0.0.weight"],
        extractor: Layers::Numbered(&["backbone.features."]),
        head: TORCHVISION_HEAD,
    },
    Naming {
        implementation: Implementation::TorchvisionDeeplab,
        about: "torchvision's DeepLabV3 on mobilenet_v2",
        stem: "backbone.0.0.weight",
        needs: &["classifier.0.convs.0.0.weight"],
        extractor: Layers::Numbered(&["backbone."]),
        head: TORCHVISION_HEAD,
    },
    Naming {
        implementation: Implementation::HuggingFace,
        about: "Hugging Face's MobileNetV2ForSemanticSegmentation",
        stem: "mobilenet_v2.conv_stem.first_conv.convolution.weight",
        needs: &["segmentation_head.conv_projection.convolution.weight"],
        extractor: Layers::HuggingFace("mobilenet_v2."),
        head: HeadNames::HuggingFace("segmentation_head."),
    },
    Naming {
        implementation: Implementation::HuggingFace,
        about: "Hugging Face's MobileNetV2ForImageClassification",
        stem: "mobilenet_v2.conv_stem.first_conv.convolution.weight",
        needs: &["classifier.weight"],
        extractor: Layers::HuggingFace("mobilenet_v2."),
        head: HeadNames::Linear("classifier."),
    },
    Naming {
        implementation: Implementation::Torchvision,
        about: "torchvision's mobilenet_v2",
        stem: "features.0.0.weight",
        needs: &["features.1.conv.0.0.weight", "classifier.1.weight"],
        extractor: Layers::Numbered(&["features."]),
        head: HeadNames::Linear("classifier.1."),
    },
    Naming {
        implementation: Implementation::Timm,
        about: "timm's mobilenetv2",
        stem: "conv_stem.weight",
        needs: &["blocks.0.0.conv_dw.weight", "classifier.weight"],
        extractor: Layers::Timm,
        head: HeadNames::Linear("classifier."),
    },
    Naming {
        implementation: Implementation::Own,
        about: "this library",
        stem: "stem.weight",
        needs: &["blocks.0.depthwise.weight"],
        extractor: Layers::Own,
        head: HeadNames::Own,
    },
];

const TORCHVISION_HEAD: HeadNames = HeadNames::Deeplab {
    aspp: "classifier.0.",
    refine: ("classifier.1.", "classifier.2."),
    classifier: "classifier.4.",
};

/// A tensor's name by which another network is known, and what it is called.
const STRANGERS: &[(&str, &str)] = &[
    ("classifier.aspp.convs.0.0.weight", "a DeepLabV3+ (its decoder has full 3x3 convolutions)"),
    ("decoder.aspp.0.convs.0.0.weight", "a DeepLabV3+ of segmentation_models_pytorch"),
    ("decoder.blocks.0.conv1.0.weight", "a U-Net of segmentation_models_pytorch"),
    ("layer1.0.conv1.weight", "a ResNet"),
    ("features.1.block.0.0.weight", "a MobileNetV3 or an EfficientNet of torchvision"),
    ("backbone.1.block.0.0.weight", "a MobileNetV3 of torchvision"),
    ("blocks.0.0.se.conv_reduce.weight", "a MobileNetV3 or an EfficientNet of timm"),
    ("blocks.1.0.se.conv_reduce.weight", "a MobileNetV3 or an EfficientNet of timm"),
    ("stages.0.blocks.0.conv_dw.weight", "a ConvNeXt"),
    ("model.0.conv.weight", "a YOLO"),
    ("features.1.conv.0.0.weight", "a MobileNetV2 without a known head"),
    ("blocks.0.0.conv_dw.weight", "a MobileNetV2 of timm without its classifier"),
    ("conv_stem.first_conv.convolution.weight", "a MobileNetV2 of Hugging Face without a known head"),
];

/// A network among a file's names.
pub(super) struct Found {
    /// What stands before each of its names: empty, or ends with a dot.
    pub(super) prefix: String,
    naming: &'static Naming,
}

/// Every network among the names, in the order of its prefix.
pub(super) fn networks(names: &[&str]) -> Vec<Found> {
    let all: HashSet<&str> = names.iter().copied().collect();
    let mut found: Vec<Found> = names
        .iter()
        .filter(|name| name.ends_with("weight"))
        .filter_map(|name| {
            NAMINGS.iter().find_map(|naming| {
                let prefix = name.strip_suffix(naming.stem)?;
                let whole = (prefix.is_empty() || prefix.ends_with('.'))
                    && naming.needs.iter().all(|needed| all.contains(format!("{prefix}{needed}").as_str()));
                whole.then(|| Found { prefix: prefix.to_owned(), naming })
            })
        })
        .collect();
    found.sort_by(|a, b| a.prefix.cmp(&b.prefix));
    found
}

/// Another network whose names these are, if it is a known one.
pub(super) fn stranger(names: &[&str]) -> Option<&'static str> {
    let ends = |name: &&str, with: &str| {
        name.strip_suffix(with).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    STRANGERS.iter().find(|(tensor, _)| names.iter().any(|name| ends(name, tensor))).map(|&(_, about)| about)
}

/// The names of one network, without their common prefix.
pub(super) struct Translation<'a> {
    names: HashSet<&'a str>,
    naming: &'static Naming,
    /// timm's blocks of each stage, counted from the network's first block.
    firsts: BTreeMap<usize, usize>,
}

impl<'a> Translation<'a> {
    /// Of the names that follow the prefix of `found`.
    pub(super) fn new(found: &Found, names: impl Iterator<Item = &'a str>) -> Self {
        let names: HashSet<&'a str> = names.collect();
        let firsts = timm_stages(&names);
        Self { names, naming: found.naming, firsts }
    }

    /// The implementation, for messages.
    pub(super) fn about(&self) -> &'static str {
        self.naming.about
    }

    /// The implementation whose conventions apply.
    pub(super) fn implementation(&self) -> Implementation {
        self.naming.implementation
    }

    /// The meaning of `name`, one of the network's.
    pub(super) fn target(&self, name: &str) -> Target {
        if name.ends_with(".num_batches_tracked") {
            return Target::Counter;
        }
        if name.starts_with("aux_classifier.") || name.starts_with("classification_head.") {
            return Target::Auxiliary;
        }
        let extractor = match &self.naming.extractor {
            Layers::Numbered(prefixes) => {
                prefixes.iter().find_map(|prefix| self.numbered_layer(name.strip_prefix(prefix)?, prefix))
            }
            Layers::HuggingFace(prefix) => name.strip_prefix(prefix).and_then(hugging_face_layer),
            Layers::Timm => timm(name, &self.firsts),
            Layers::Own => Some(name.to_owned()),
        };
        let ours = extractor.or_else(|| match &self.naming.head {
            HeadNames::Linear(prefix) => {
                let tail = name.strip_prefix(prefix).filter(|tail| matches!(*tail, "weight" | "bias"))?;
                Some(format!("classifier.{tail}"))
            }
            HeadNames::Deeplab { aspp, refine: (conv, norm), classifier } => {
                let branch = name.strip_prefix(aspp).and_then(|rest| self.aspp(rest, aspp));
                branch.or_else(|| convolution_or_norm("head.refine", name, conv, norm)).or_else(|| {
                    let tail = name.strip_prefix(classifier).filter(|tail| matches!(*tail, "weight" | "bias"))?;
                    Some(format!("head.classifier.{tail}"))
                })
            }
            HeadNames::HuggingFace(prefix) => name.strip_prefix(prefix).and_then(hugging_face_head),
            HeadNames::Own => None,
        });
        ours.map_or(Target::Unknown, Target::Tensor)
    }

    /// `0.0.weight`, `4.conv.1.0.weight`, `18.1.bias`: the rest of a name after `features.`.
    fn numbered_layer(&self, name: &str, prefix: &str) -> Option<String> {
        let (number, rest) = name.split_once('.')?;
        let index: usize = number.parse().ok()?;
        let Some(inner) = rest.strip_prefix("conv.") else {
            let layer = if index == 0 { "stem" } else { "last" };
            return convolution_or_norm(layer, rest, "0.", "1.");
        };
        let block = format!("blocks.{}", index.checked_sub(1)?);
        // With an expansion: expand 0.0 and 0.1, depthwise 1.0 and 1.1, project 2 and 3; without: one less.
        let expands = self.names.contains(format!("{prefix}{number}.conv.3.weight").as_str());
        let layers: &[(&str, &str, &str)] = if expands {
            &[("expand", "0.0.", "0.1."), ("depthwise", "1.0.", "1.1."), ("project", "2.", "3.")]
        } else {
            &[("depthwise", "0.0.", "0.1."), ("project", "1.", "2.")]
        };
        layers.iter().find_map(|(part, conv, norm)| convolution_or_norm(&format!("{block}.{part}"), inner, conv, norm))
    }

    /// `convs.1.0.weight`, `project.1.bias`: the rest of a name after ASPP's prefix.
    fn aspp(&self, name: &str, prefix: &str) -> Option<String> {
        if let Some(rest) = name.strip_prefix("project.") {
            return convolution_or_norm("head.project", rest, "0.", "1.");
        }
        let (number, rest) = name.strip_prefix("convs.")?.split_once('.')?;
        let index: usize = number.parse().ok()?;
        // The pooling branch has no parameters at 0, so its convolution is at 1.
        let is_pool = |i: usize| !self.names.contains(format!("{prefix}convs.{i}.0.weight").as_str());
        match index {
            0 => convolution_or_norm("head.branch", rest, "0.", "1."),
            _ if is_pool(index) => convolution_or_norm("head.pool", rest, "1.", "2."),
            _ => convolution_or_norm(&format!("head.aspp.{}", index - 1), rest, "0.", "1."),
        }
    }
}

/// The rest of a name after `mobilenet_v2.`: its stem includes the first block.
fn hugging_face_layer(name: &str) -> Option<String> {
    let layer = |ours: &str, rest: &str| convolution_or_norm(ours, rest, "convolution.", "normalization.");
    let (block, rest) = if let Some(rest) = name.strip_prefix("conv_1x1.") {
        return layer("last", rest);
    } else if let Some(rest) = name.strip_prefix("conv_stem.") {
        if let Some(rest) = rest.strip_prefix("first_conv.") {
            return layer("stem", rest);
        }
        (0, rest)
    } else {
        let (number, rest) = name.strip_prefix("layer.")?.split_once('.')?;
        (number.parse::<usize>().ok()?.checked_add(1)?, rest)
    };
    let (part, rest) = rest.split_once('.')?;
    let part = match part {
        "expand_1x1" => "expand",
        "conv_3x3" => "depthwise",
        "reduce_1x1" => "project",
        _ => return None,
    };
    layer(&format!("blocks.{block}.{part}"), rest)
}

/// The rest of a name after `segmentation_head.`.
fn hugging_face_head(name: &str) -> Option<String> {
    let (part, rest) = name.split_once('.')?;
    let ours = match part {
        "conv_pool" => "head.pool",
        "conv_aspp" => "head.branch",
        "conv_projection" => "head.project",
        "classifier" => {
            let tail = rest.strip_prefix("convolution.").filter(|tail| matches!(*tail, "weight" | "bias"))?;
            return Some(format!("head.classifier.{tail}"));
        }
        _ => return None,
    };
    convolution_or_norm(ours, rest, "convolution.", "normalization.")
}

/// `{conv}weight` is the layer's weight, `{norm}…` a tensor of its batch norm.
fn convolution_or_norm(layer: &str, name: &str, conv: &str, norm: &str) -> Option<String> {
    if name.strip_prefix(conv) == Some("weight") {
        return Some(format!("{layer}.weight"));
    }
    let tail = name.strip_prefix(norm)?;
    matches!(tail, "weight" | "bias" | "running_mean" | "running_var").then(|| format!("{layer}.bn.{tail}"))
}

/// The index of each stage's first block in the whole network.
fn timm_stages(names: &HashSet<&str>) -> BTreeMap<usize, usize> {
    let mut blocks: BTreeMap<usize, HashSet<&str>> = BTreeMap::new();
    for name in names {
        let mut parts = name.split('.');
        if let (Some("blocks"), Some(stage), Some(block)) = (parts.next(), parts.next(), parts.next())
            && let Ok(stage) = stage.parse()
        {
            blocks.entry(stage).or_default().insert(block);
        }
    }
    let mut first = 0;
    blocks
        .into_iter()
        .map(|(stage, blocks)| {
            let here = first;
            first += blocks.len();
            (stage, here)
        })
        .collect()
}

fn timm(name: &str, firsts: &BTreeMap<usize, usize>) -> Option<String> {
    let Some(rest) = name.strip_prefix("blocks.") else {
        return convolution_or_norm("stem", name, "conv_stem.", "bn1.")
            .or_else(|| convolution_or_norm("last", name, "conv_head.", "bn2."));
    };
    let mut parts = rest.splitn(3, '.');
    let stage = parts.next()?;
    let block = parts.next()?;
    let inner = parts.next()?;
    let stage: usize = stage.parse().ok()?;
    let index = firsts.get(&stage)?.checked_add(block.parse().ok()?)?;
    // The first stage has no expansion: its pointwise layer projects.
    let layers: &[(&str, &str, &str)] = if stage == 0 {
        &[("depthwise", "conv_dw.", "bn1."), ("project", "conv_pw.", "bn2.")]
    } else {
        &[("expand", "conv_pw.", "bn1."), ("depthwise", "conv_dw.", "bn2."), ("project", "conv_pwl.", "bn3.")]
    };
    let block = format!("blocks.{index}");
    layers.iter().find_map(|(part, conv, norm)| convolution_or_norm(&format!("{block}.{part}"), inner, conv, norm))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(names: &[&str], name: &str) -> String {
        let [found] = &networks(names)[..] else { panic!("not one network") };
        let translation = Translation::new(found, names.iter().filter_map(|name| name.strip_prefix(&found.prefix[..])));
        match translation.target(name.strip_prefix(&found.prefix[..]).unwrap()) {
            Target::Tensor(target) => target,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn torchvision() {
        let names = [
            "classifier.1.weight",
            "features.0.0.weight",
            "features.1.conv.0.0.weight",
            "features.2.conv.3.weight",
            "features.1.conv.2.weight",
        ];
        for (name, ours) in [
            ("features.0.0.weight", "stem.weight"),
            ("features.0.1.running_var", "stem.bn.running_var"),
            ("features.1.conv.0.0.weight", "blocks.0.depthwise.weight"),
            ("features.1.conv.1.weight", "blocks.0.project.weight"),
            ("features.1.conv.2.weight", "blocks.0.project.bn.weight"),
            ("features.2.conv.0.1.bias", "blocks.1.expand.bn.bias"),
            ("features.2.conv.1.0.weight", "blocks.1.depthwise.weight"),
            ("features.2.conv.2.weight", "blocks.1.project.weight"),
            ("features.2.conv.3.weight", "blocks.1.project.bn.weight"),
            ("features.18.0.weight", "last.weight"),
            ("classifier.1.bias", "classifier.bias"),
            ("features.0.1.num_batches_tracked", "Counter"),
            ("features.2.se.fc1.weight", "Unknown"),
        ] {
            assert_eq!(target(&names, name), ours, "{name}");
        }
    }

    #[test]
    fn deeplab_heads() {
        for (stem, head) in [
            ("backbone.0.0.weight", "classifier."),
            ("backbone.features.0.0.weight", "classifier."),
            ("backbone.low_level_features.0.0.weight", "classifier.classifier."),
        ] {
            let with = |tail: &str| format!("module.{head}{tail}");
            let branch = with("0.convs.0.0.weight");
            let atrous = with("0.convs.1.0.weight");
            let stem = format!("module.{stem}");
            let names = [stem.as_str(), branch.as_str(), atrous.as_str()];
            for (name, ours) in [
                (stem.clone(), "stem.weight"),
                (branch.clone(), "head.branch.weight"),
                (atrous.clone(), "head.aspp.0.weight"),
                (with("0.convs.2.1.weight"), "head.pool.weight"),
                (with("0.convs.2.2.running_mean"), "head.pool.bn.running_mean"),
                (with("0.project.0.weight"), "head.project.weight"),
                (with("1.weight"), "head.refine.weight"),
                (with("2.bias"), "head.refine.bn.bias"),
                (with("4.bias"), "head.classifier.bias"),
                ("module.aux_classifier.0.weight".into(), "Auxiliary"),
            ] {
                assert_eq!(target(&names, &name), ours, "{name}");
            }
        }
    }

    #[test]
    fn timm_counts_blocks_through_its_stages() {
        let names = [
            "conv_stem.weight",
            "blocks.0.0.conv_dw.weight",
            "blocks.1.0.conv_pw.weight",
            "blocks.1.1.bn1.bias",
            "classifier.weight",
        ];
        for (name, ours) in [
            ("bn1.weight", "stem.bn.weight"),
            ("blocks.0.0.conv_pw.weight", "blocks.0.project.weight"),
            ("blocks.1.1.conv_dw.weight", "blocks.2.depthwise.weight"),
            ("blocks.1.0.bn3.bias", "blocks.1.project.bn.bias"),
            ("conv_head.weight", "last.weight"),
            ("bn2.running_mean", "last.bn.running_mean"),
            ("classifier.weight", "classifier.weight"),
            ("blocks.1.0.se.conv_reduce.weight", "Unknown"),
        ] {
            assert_eq!(target(&names, name), ours, "{name}");
        }
    }

    #[test]
    fn segmentation_models() {
        for (aspp, conv, norm) in
            [("decoder.aspp.", "decoder.conv.", "decoder.bn."), ("decoder.0.", "decoder.1.", "decoder.2.")]
        {
            let with = |tail: &str| format!("model.{aspp}{tail}");
            let branch = with("convs.0.0.weight");
            let atrous = with("convs.1.0.weight");
            let names = ["model.encoder.features.0.0.weight", branch.as_str(), atrous.as_str()];
            for (name, ours) in [
                ("model.encoder.features.0.0.weight".into(), "stem.weight"),
                (branch.clone(), "head.branch.weight"),
                (with("convs.1.1.bias"), "head.aspp.0.bn.bias"),
                (with("convs.2.1.weight"), "head.pool.weight"),
                (with("project.0.weight"), "head.project.weight"),
                (format!("model.{conv}weight"), "head.refine.weight"),
                (format!("model.{norm}running_var"), "head.refine.bn.running_var"),
                ("model.segmentation_head.0.bias".into(), "head.classifier.bias"),
                ("model.classification_head.3.weight".into(), "Auxiliary"),
            ] {
                assert_eq!(target(&names, &name), ours, "{name}");
            }
        }
    }

    #[test]
    fn hugging_face() {
        let stem = "mobilenet_v2.conv_stem.first_conv.convolution.weight";
        let names = [stem, "segmentation_head.conv_projection.convolution.weight"];
        for (name, ours) in [
            (stem, "stem.weight"),
            ("mobilenet_v2.conv_stem.first_conv.normalization.bias", "stem.bn.bias"),
            ("mobilenet_v2.conv_stem.conv_3x3.convolution.weight", "blocks.0.depthwise.weight"),
            ("mobilenet_v2.conv_stem.reduce_1x1.normalization.running_mean", "blocks.0.project.bn.running_mean"),
            ("mobilenet_v2.layer.0.expand_1x1.convolution.weight", "blocks.1.expand.weight"),
            ("mobilenet_v2.layer.15.conv_3x3.normalization.weight", "blocks.16.depthwise.bn.weight"),
            ("mobilenet_v2.conv_1x1.convolution.weight", "last.weight"),
            ("segmentation_head.conv_pool.convolution.weight", "head.pool.weight"),
            ("segmentation_head.conv_aspp.normalization.weight", "head.branch.bn.weight"),
            ("segmentation_head.conv_projection.convolution.weight", "head.project.weight"),
            ("segmentation_head.classifier.convolution.bias", "head.classifier.bias"),
            ("mobilenet_v2.layer.0.conv_3x3.normalization.num_batches_tracked", "Counter"),
            ("mobilenet_v2.layer.0.se.weight", "Unknown"),
            ("mobilenet_v2.layer.18446744073709551615.conv_3x3.convolution.weight", "Unknown"),
        ] {
            assert_eq!(target(&names, name), ours, "{name}");
        }
        let names = [stem, "classifier.weight"];
        assert_eq!(target(&names, "classifier.bias"), "classifier.bias");
    }

    #[test]
    fn networks_are_found_under_any_prefix() {
        let all = ["features.0.0.weight", "features.1.conv.0.0.weight", "classifier.1.weight"];
        let of = |prefix: &str| all.map(|name| format!("{prefix}{name}"));
        for prefix in ["", "model.", "module.", "_orig_mod.module.", "state_dict.model.", "a.b.c.d.e."] {
            let names = of(prefix);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let found = networks(&names);
            assert_eq!((found.len(), found[0].prefix.as_str()), (1, prefix));
        }
        let names: Vec<String> = of("student.").into_iter().chain(of("teacher.")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(
            networks(&names).iter().map(|found| &found.prefix[..]).collect::<Vec<_>>(),
            ["student.", "teacher."]
        );
        // A classifier that someone calls its backbone is none of DeepLabV3's.
        let names = of("backbone.");
        assert_eq!(networks(&[&names[0], &names[1], &names[2]])[0].naming.about, "torchvision's mobilenet_v2");
    }

    #[test]
    fn strangers_are_not_recognised() {
        for (names, about) in [
            (&["layer1.0.conv1.weight", "fc.weight"][..], Some("a ResNet")),
            (&["model.backbone.layer1.0.conv1.weight"], Some("a ResNet")),
            (
                &["features.0.0.weight", "features.1.block.0.0.weight"],
                Some("a MobileNetV3 or an EfficientNet of torchvision"),
            ),
            (&["xlayer1.0.conv1.weight"], None),
            // Without its head, and with another.
            (&["features.0.0.weight", "features.1.conv.0.0.weight"], Some("a MobileNetV2 without a known head")),
            (
                &[
                    "encoder.features.0.0.weight",
                    "encoder.features.1.conv.0.0.weight",
                    "decoder.aspp.0.convs.0.0.weight",
                ],
                Some("a DeepLabV3+ of segmentation_models_pytorch"),
            ),
            (
                &["mobilenet_v2.conv_stem.first_conv.convolution.weight"],
                Some("a MobileNetV2 of Hugging Face without a known head"),
            ),
            (&[], None),
        ] {
            assert!(networks(names).is_empty(), "{names:?}");
            assert_eq!(stranger(names), about, "{names:?}");
        }
    }
}
