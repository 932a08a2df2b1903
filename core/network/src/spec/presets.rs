//! The networks of the paper, as specs: the presets of `silhouette info --spec NAME` and `silhouette import --spec
//! NAME`.

use super::{
    Activation, Aspp, Bottleneck, Classifier, Decoder, DeeplabV3, Extractor, FORMAT, Feature, Fit, Head, Input,
    MobilenetV1, MobilenetV2, Padding, Resize, SeparableBlock, Shortcut, Skip, Spec, Task,
};
use crate::error::ModelError;

/// A named spec.
struct Preset {
    name: &'static str,
    about: &'static str,
    make: fn() -> Spec,
}

/// Every preset. To add one, add a line here; `Spec::preset`, the list and the tests follow.
const PRESETS: &[Preset] = &[
    Preset {
        name: "mobilenet_v2",
        about: "ImageNet classifier, width 1.0, 224x224 (paper, table 4)",
        make: || classifier(1.0),
    },
    Preset {
        name: "mobilenet_v2_1.4",
        about: "ImageNet classifier, width 1.4, 224x224 (paper, table 4)",
        make: || classifier(1.4),
    },
    Preset { name: "mobilenet_v2_0.5", about: "ImageNet classifier, width 0.5, 224x224", make: || classifier(0.5) },
    Preset { name: "mobilenet_v2_0.35", about: "ImageNet classifier, width 0.35, 224x224", make: || classifier(0.35) },
    Preset {
        name: "torchvision_mobilenet_v2",
        about: "torchvision's classifier, width 1.0, 224x224: symmetric padding, ImageNet mean and deviation",
        make: || classifier(1.0).pytorch(),
    },
    Preset {
        name: "deeplabv3_mnv2",
        about: "V2*, output stride 16, image pooling, no ASPP, 513x513 (paper, table 7)",
        make: || deeplab(v2(1.0, 16), Aspp::None),
    },
    Preset {
        name: "deeplabv3_mnv2_os8",
        about: "V2*, output stride 8, image pooling, no ASPP, 513x513 (paper, table 7)",
        make: || deeplab(v2(1.0, 8), Aspp::None),
    },
    Preset {
        name: "deeplabv3_mnv2_aspp",
        about: "V2*, output stride 16, ASPP (6, 12, 18), 513x513 (paper, table 7)",
        make: || deeplab(v2(1.0, 16), Aspp::Plain { rates: vec![6, 12, 18] }),
    },
    Preset {
        name: "deeplabv3_mnv2_aspp_os8",
        about: "V2*, output stride 8, ASPP (12, 24, 36), 513x513 (paper, table 7)",
        make: || deeplab(v2(1.0, 8), Aspp::Plain { rates: vec![12, 24, 36] }),
    },
    Preset {
        name: "deeplabv3_mnv2_aspp_separable",
        about: "V2*, output stride 16, ASPP (6, 12, 18) of depthwise-separable convolutions, 513x513",
        make: || deeplab(v2(1.0, 16), Aspp::Separable { rates: vec![6, 12, 18] }),
    },
    Preset {
        name: "deeplabv3_mnv2_last_layer",
        about: "V2 read at its last 1x1 layer (1280 channels), output stride 16, no ASPP, 513x513",
        make: last_layer,
    },
    Preset {
        name: "deeplabv3_mnv2_dm05",
        about: "V2*, width 0.5 with channels as TensorFlow's DeepLab rounds them, output stride 16, 513x513",
        make: || deeplab(v2_tensorflow(0.5, 16), Aspp::None),
    },
    Preset {
        name: "pytorch_deeplabv3_mnv2",
        about: "PyTorch's DeepLabV3 on mobilenet_v2 (torchvision, VainF), output stride 16, rates (6, 12, 18), 513x513",
        make: || deeplab(v2(1.0, 16), Aspp::Plain { rates: vec![6, 12, 18] }).pytorch(),
    },
    Preset {
        name: "pytorch_deeplabv3_mnv2_os8",
        about: "PyTorch's DeepLabV3 on mobilenet_v2 (torchvision, VainF, smp), output stride 8, rates (12, 24, 36), 513x513",
        make: || deeplab(v2(1.0, 8), Aspp::Plain { rates: vec![12, 24, 36] }).pytorch(),
    },
    Preset {
        name: "deeplabv3_mnv1_aspp",
        about: "MobileNetV1, output stride 16, ASPP (6, 12, 18), 513x513 (paper, table 7)",
        make: || deeplab(v1(1.0, 16), Aspp::Plain { rates: vec![6, 12, 18] }),
    },
    Preset {
        name: "deeplabv3_mnv1_aspp_os8",
        about: "MobileNetV1, output stride 8, ASPP (12, 24, 36), 513x513 (paper, table 7)",
        make: || deeplab(v1(1.0, 8), Aspp::Plain { rates: vec![12, 24, 36] }),
    },
    Preset {
        name: "person",
        about: "alpha of all people: V2* at width 0.5 without its last block, decoder to stride 2, 257x257",
        make: person,
    },
    Preset {
        name: "fixture",
        about: "V2* at width 0.35, output stride 16, 65x65: small enough for tests with seeded weights",
        make: fixture,
    },
];

/// The 21 classes of PASCAL VOC, background first.
pub const VOC_LABELS: [&str; 21] = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

impl Spec {
    /// The spec with this name, one of [`Spec::presets`].
    ///
    /// # Errors
    /// [`ModelError::UnknownPreset`], listing the existing names.
    pub fn preset(name: &str) -> Result<Self, ModelError> {
        let found = PRESETS.iter().find(|p| p.name == name).ok_or_else(|| ModelError::UnknownPreset {
            name: name.to_owned(),
            known: PRESETS.iter().map(|p| p.name).collect(),
        })?;
        Ok(Self { name: found.name.to_owned(), ..(found.make)() })
    }

    /// The same network by PyTorch's conventions, as in torchvision, timm and VainF: symmetric padding, batch norm's
    /// epsilon 1e-5, ImageNet's mean and deviation; in DeepLabV3's head, image pooling last, a 3x3 convolution before
    /// the classifier, and a half-pixel resize.
    #[must_use]
    pub fn pytorch(mut self) -> Self {
        self.padding = Padding::Symmetric;
        self.batch_norm_epsilon = 1e-5;
        // 0 to 255.
        (self.input.mean, self.input.std) = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]);
        if let Head::DeeplabV3(head) = &mut self.head {
            (head.pooling_last, head.refine, head.resize) = (true, true, Resize::HalfPixel);
        }
        self
    }

    /// Name and a one-line description of each preset.
    pub fn presets() -> impl ExactSizeIterator<Item = (&'static str, &'static str)> {
        PRESETS.iter().map(|p| (p.name, p.about))
    }
}

impl MobilenetV2 {
    /// The paper's table 2 at this width and output stride, read at the last bottleneck (V2*).
    pub fn paper(width: f64, output_stride: usize) -> Self {
        let rows =
            [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];
        Self {
            width,
            divisor: 8,
            output_stride,
            stem_channels: 32,
            bottlenecks: rows.map(|(t, c, n, s)| Bottleneck { t, c, n, s }).to_vec(),
            feature: Feature::LastBottleneck,
            last_channels: 1280,
            bottleneck_activation: Activation::Linear,
            shortcut: Shortcut::Bottleneck,
            dilate_first: false,
            dropped_blocks: Vec::new(),
        }
    }
}

impl MobilenetV1 {
    /// Table 1 of the MobileNetV1 paper (arXiv 1704.04861) at this width and output stride; the last block has stride
    /// 1, as the map sizes in that table imply (its stride column has a known error).
    pub fn paper(width: f64, output_stride: usize) -> Self {
        let rows = [
            (64, 1),
            (128, 2),
            (128, 1),
            (256, 2),
            (256, 1),
            (512, 2),
            (512, 1),
            (512, 1),
            (512, 1),
            (512, 1),
            (512, 1),
            (1024, 2),
            (1024, 1),
        ];
        Self { width, output_stride, stem_channels: 32, blocks: rows.map(|(c, s)| SeparableBlock { c, s }).to_vec() }
    }
}

impl DeeplabV3 {
    /// DeepLabV3's head as in TensorFlow's models: 256 channels, image pooling first, align-corners resize.
    pub fn paper(classes: usize, aspp: Aspp) -> Self {
        Self {
            classes,
            channels: 256,
            image_pooling: true,
            aspp,
            pooling_last: false,
            refine: false,
            decoder: None,
            resize: Resize::AlignCorners,
        }
    }
}

fn v2(width: f64, output_stride: usize) -> Extractor {
    Extractor::MobilenetV2(MobilenetV2::paper(width, output_stride))
}

fn v2_tensorflow(width: f64, output_stride: usize) -> Extractor {
    Extractor::MobilenetV2(MobilenetV2 { divisor: 1, ..MobilenetV2::paper(width, output_stride) })
}

fn v1(width: f64, output_stride: usize) -> Extractor {
    Extractor::MobilenetV1(MobilenetV1::paper(width, output_stride))
}

/// TensorFlow's conventions around an extractor and a head.
fn tensorflow(extractor: Extractor, head: Head, size: usize, labels: Vec<String>, fit: Fit) -> Spec {
    Spec {
        format: FORMAT,
        name: String::new(),
        extractor,
        head,
        padding: Padding::Same,
        batch_norm_epsilon: 1e-3,
        head_batch_norm_epsilon: None,
        input: Input { size, mean: [127.5; 3], std: [127.5; 3], fit },
        labels,
        colors: Vec::new(),
        licence: String::new(),
        task: None,
        provenance: String::new(),
    }
}

fn classifier(width: f64) -> Spec {
    let extractor = MobilenetV2 { feature: Feature::LastLayer, ..MobilenetV2::paper(width, 32) };
    let labels = (0..1000).map(|i| format!("class {i}")).collect();
    let head = Head::Classifier(Classifier { classes: 1000 });
    tensorflow(Extractor::MobilenetV2(extractor), head, 224, labels, Fit::Stretch)
}

fn deeplab(extractor: Extractor, aspp: Aspp) -> Spec {
    let labels = VOC_LABELS.map(String::from).to_vec();
    let head = Head::DeeplabV3(DeeplabV3::paper(labels.len(), aspp));
    tensorflow(extractor, head, 513, labels, Fit::Letterbox { fill: 127 })
}

fn last_layer() -> Spec {
    let extractor = MobilenetV2 { feature: Feature::LastLayer, ..MobilenetV2::paper(1.0, 16) };
    deeplab(Extractor::MobilenetV2(extractor), Aspp::None)
}

/// Without the block of 320 channels: it costs a fifth of the whole network, and the decoder takes over its role.
fn person() -> Spec {
    let mut extractor = MobilenetV2 { divisor: 1, ..MobilenetV2::paper(0.5, 16) };
    extractor.bottlenecks.pop();
    let skip = |stride, channels, out| Skip { stride, channels, out };
    let decoder = Decoder { skips: vec![skip(8, 16, None), skip(4, 12, Some(24)), skip(2, 8, Some(16))], channels: 32 };
    let head = DeeplabV3 { channels: 64, decoder: Some(decoder), ..DeeplabV3::paper(1, Aspp::None) };
    let labels = ["background", "person"].map(String::from).to_vec();
    let extractor = Extractor::MobilenetV2(extractor);
    let head = Head::DeeplabV3(head);
    let spec = tensorflow(extractor, head, 257, labels, Fit::Letterbox { fill: 127 });
    Spec { task: Some(Task::Alpha), ..spec }
}

fn fixture() -> Spec {
    let spec = deeplab(v2(0.35, 16), Aspp::None);
    Spec { input: Input { size: 65, ..spec.input }, ..spec }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_carries_its_name() {
        for (name, about) in Spec::presets() {
            let spec = Spec::preset(name).unwrap();
            spec.validate().unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(spec.name, name);
            assert!(!about.is_empty());
            assert_eq!(Spec::from_json(&spec.to_json()).unwrap(), spec);
        }
    }

    /// A model trained under a preset's name is that preset.
    #[test]
    fn the_network_that_is_trained() {
        let trained = Spec::from_json(include_str!("../../../../scripts/train/specs/person.json")).unwrap();
        let Spec { name, licence, provenance, .. } = trained.clone();
        let ours = Spec::preset("person").unwrap();
        assert_eq!(Spec { name, licence, provenance, ..ours }, trained);
    }

    #[test]
    fn an_unknown_preset_lists_the_known_ones() {
        let text = Spec::preset("resnet").unwrap_err().to_string();
        assert!(text.contains("deeplabv3_mnv2_aspp"), "{text}");
    }
}
