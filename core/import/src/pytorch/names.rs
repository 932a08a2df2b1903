//! Tensor names of PyTorch implementations of MobileNetV2 and of DeepLabV3 on it, and their meaning.
//!
//! | implementation | stem | block 3's depthwise layer | head |
//! | --- | --- | --- | --- |
//! | torchvision `mobilenet_v2` | `features.0.0` | `features.4.conv.1.0` | `classifier.1` |
//! | torchvision `DeepLabV3` on its features | `backbone.0.0` | `backbone.4.conv.1.0` | `classifier.0.convs.0.0` … `classifier.4` |
//! | VainF `deeplabv3_mobilenet` | `backbone.low_level_features.0.0` | `backbone.high_level_features.4.conv.1.0` | `classifier.classifier.0.convs.0.0` … |
//! | timm `mobilenetv2_*` | `conv_stem` | `blocks.2.0.conv_dw` | `conv_head`, `classifier` |
//! | this library | `stem` | `blocks.3.depthwise` | `head.branch` … |

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

/// The names of one file.
pub(super) struct Translation<'a> {
    names: HashSet<&'a str>,
    /// The prefix of every name, from data-parallel training.
    prefix: &'static str,
    dialect: Dialect,
}

enum Dialect {
    Torchvision {
        /// The prefix of the layers' numbers.
        layers: &'static [&'static str],
        /// The prefix of DeepLabV3's head, if there is one.
        head: Option<&'static str>,
    },
    Timm {
        /// Blocks of each stage, counted from the network's first block.
        firsts: BTreeMap<usize, usize>,
    },
    Own,
}

/// Prefixes of wrappers around a whole network.
const WRAPPERS: [&str; 2] = ["module.", ""];

impl<'a> Translation<'a> {
    /// Recognises the implementation; `None` if it is unknown.
    pub(super) fn new(names: &[&'a str]) -> Option<Self> {
        let prefix = WRAPPERS.into_iter().find(|prefix| names.iter().all(|name| name.starts_with(prefix)))?;
        let names: HashSet<&'a str> = names.iter().map(|name| &name[prefix.len()..]).collect();
        let has = |name: &str| names.contains(name);
        let dialect = if has("features.0.0.weight") {
            Dialect::Torchvision { layers: &["features."], head: None }
        } else if has("backbone.low_level_features.0.0.weight") {
            Dialect::Torchvision {
                layers: &["backbone.low_level_features.", "backbone.high_level_features."],
                head: Some("classifier.classifier."),
            }
        } else if has("backbone.features.0.0.weight") {
            Dialect::Torchvision { layers: &["backbone.features."], head: Some("classifier.") }
        } else if has("backbone.0.0.weight") {
            Dialect::Torchvision { layers: &["backbone."], head: Some("classifier.") }
        } else if has("conv_stem.weight") {
            Dialect::Timm { firsts: timm_stages(&names) }
        } else if has("stem.weight") {
            Dialect::Own
        } else {
            return None;
        };
        Some(Self { names, prefix, dialect })
    }

    /// The implementation, for messages.
    pub(super) fn dialect(&self) -> &'static str {
        match &self.dialect {
            Dialect::Torchvision { head: None, .. } => "torchvision's mobilenet_v2",
            Dialect::Torchvision { head: Some("classifier.classifier."), .. } => "VainF's deeplabv3_mobilenet",
            Dialect::Torchvision { .. } => "torchvision's DeepLabV3 on mobilenet_v2",
            Dialect::Timm { .. } => "timm's mobilenetv2",
            Dialect::Own => "this library",
        }
    }

    /// Whether they are this library's.
    pub(super) fn is_own(&self) -> bool {
        matches!(self.dialect, Dialect::Own)
    }

    /// A property of this implementation that no specification can express.
    pub(super) fn caveat(&self) -> Option<&'static str> {
        match &self.dialect {
            Dialect::Torchvision { head: Some("classifier.classifier."), .. } => Some(
                "this network pads a block's input before its expansion, and its stem not at all; here the \
                 specification's padding is used, so results will differ from PyTorch's, mostly near the border",
            ),
            _ => None,
        }
    }

    /// The meaning of `name`, one of the file's.
    pub(super) fn target(&self, name: &str) -> Target {
        let name = name.strip_prefix(self.prefix).unwrap_or(name);
        if name.ends_with(".num_batches_tracked") {
            return Target::Counter;
        }
        let ours = match &self.dialect {
            Dialect::Torchvision { layers, head } => {
                if name.starts_with("aux_classifier.") {
                    return Target::Auxiliary;
                }
                let layer = layers.iter().find_map(|prefix| self.torchvision_layer(name.strip_prefix(prefix)?, prefix));
                layer.or_else(|| match head {
                    Some(prefix) => self.deeplab_head(name.strip_prefix(prefix)?, prefix),
                    None => name.strip_prefix("classifier.1.").map(|tail| format!("classifier.{tail}")),
                })
            }
            Dialect::Timm { firsts } => timm(name, firsts),
            Dialect::Own => Some(name.to_owned()),
        };
        ours.map_or(Target::Unknown, Target::Tensor)
    }

    /// `0.0.weight`, `4.conv.1.0.weight`, `18.1.bias`: the rest of a name after `features.`.
    fn torchvision_layer(&self, name: &str, prefix: &str) -> Option<String> {
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

    /// `0.convs.1.0.weight`, `0.project.1.bias`, `4.weight`: the rest of a name after the head's prefix.
    fn deeplab_head(&self, name: &str, prefix: &str) -> Option<String> {
        if let Some(rest) = name.strip_prefix("0.convs.") {
            let (number, rest) = rest.split_once('.')?;
            let index: usize = number.parse().ok()?;
            // The pooling branch has no parameters at 0, so its convolution is at 1.
            let is_pool = |i: usize| !self.names.contains(format!("{prefix}0.convs.{i}.0.weight").as_str());
            return match index {
                0 => convolution_or_norm("head.branch", rest, "0.", "1."),
                _ if is_pool(index) => convolution_or_norm("head.pool", rest, "1.", "2."),
                _ => convolution_or_norm(&format!("head.aspp.{}", index - 1), rest, "0.", "1."),
            };
        }
        if let Some(rest) = name.strip_prefix("0.project.") {
            return convolution_or_norm("head.project", rest, "0.", "1.");
        }
        if let Some(tail) = name.strip_prefix("4.") {
            return Some(format!("head.classifier.{tail}"));
        }
        convolution_or_norm("head.refine", name, "1.", "2.")
    }
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
            .or_else(|| convolution_or_norm("last", name, "conv_head.", "bn2."))
            .or_else(|| matches!(name, "classifier.weight" | "classifier.bias").then(|| name.to_owned()));
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
        match Translation::new(names).unwrap().target(name) {
            Target::Tensor(target) => target,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn torchvision() {
        let names = ["features.0.0.weight", "features.2.conv.3.weight", "features.1.conv.2.weight"];
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
        let names =
            ["conv_stem.weight", "blocks.0.0.conv_dw.weight", "blocks.1.0.conv_pw.weight", "blocks.1.1.bn1.bias"];
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
    fn strangers_are_not_recognised() {
        assert!(Translation::new(&["layer1.0.conv1.weight", "fc.weight"]).is_none());
        assert!(Translation::new(&[]).is_none());
    }
}
