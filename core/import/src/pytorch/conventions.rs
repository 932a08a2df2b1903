//! What is the same in all networks of an implementation, and in none of their files: padding, epsilons, resize.

use silhouette_network::spec::{Head, Padding, Resize, Spec};

use super::config::{Config, HEAD_EPSILON};
use super::names::Implementation;

/// The conventions of an implementation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conventions {
    pub(super) padding: Padding,
    pub(super) epsilon: f64,
    /// In the head, if it differs.
    pub(super) head_epsilon: Option<f64>,
    pub(super) resize: Resize,
    /// Image pooling is last in the concatenation.
    pub(super) pooling_last: bool,
    /// See [`MobilenetV2::dilate_first`](silhouette_network::spec::MobilenetV2::dilate_first).
    pub(super) dilate_first: bool,
    /// Mean and standard deviation of a pixel from 0 to 255 that its public weights were trained with.
    pub(super) pixels: ([f32; 3], [f32; 3]),
}

/// ImageNet's mean and deviation.
const IMAGENET: ([f32; 3], [f32; 3]) = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]);

impl Conventions {
    /// Of an implementation; `None` for our own names, which any network may have, and for Hugging Face's without its
    /// configuration.
    pub(super) fn of(implementation: Implementation, config: Option<&Config>) -> Option<Self> {
        let pytorch = Self {
            padding: Padding::Symmetric,
            epsilon: 1e-5,
            head_epsilon: None,
            resize: Resize::HalfPixel,
            pooling_last: true,
            dilate_first: false,
            pixels: IMAGENET,
        };
        match implementation {
            Implementation::Torchvision | Implementation::TorchvisionDeeplab | Implementation::Timm => Some(pytorch),
            Implementation::Vainf => Some(Self { padding: Padding::BlockInput, ..pytorch }),
            Implementation::Smp => Some(Self { resize: Resize::AlignCorners, dilate_first: true, ..pytorch }),
            Implementation::HuggingFace => config.map(|config| Self {
                padding: config.padding,
                epsilon: config.epsilon,
                head_epsilon: Some(HEAD_EPSILON),
                pooling_last: false,
                pixels: ([127.5; 3], [127.5; 3]),
                ..pytorch
            }),
            Implementation::Own => None,
        }
    }

    /// How a preset differs from them, for messages; empty if it does not.
    pub(super) fn differences(&self, preset: &Spec) -> String {
        let mut differences = Vec::new();
        let mut differs = |is: bool, what: String| differences.extend(is.then_some(what));
        differs(preset.padding != self.padding, format!("{} padding", padding_name(self.padding)));
        let epsilon = (preset.batch_norm_epsilon - self.epsilon).abs() > 1e-12;
        differs(epsilon, format!("batch norm's epsilon {}", self.epsilon));
        if let Head::DeeplabV3(head) = &preset.head {
            differs(head.resize != self.resize, format!("{} resize", resize_name(self.resize)));
            let place = if self.pooling_last { "last" } else { "first" };
            differs(head.image_pooling && head.pooling_last != self.pooling_last, format!("image pooling {place}"));
        }
        differs((preset.input.mean, preset.input.std) != self.pixels, "its own mean and deviation".into());
        differences.join(", ")
    }
}

/// As in specifications.
pub(super) fn padding_name(padding: Padding) -> &'static str {
    match padding {
        Padding::Same => "same",
        Padding::Symmetric => "symmetric",
        Padding::BlockInput => "block_input",
    }
}

fn resize_name(resize: Resize) -> &'static str {
    match resize {
        Resize::AlignCorners => "align_corners",
        Resize::HalfPixel => "half_pixel",
    }
}
