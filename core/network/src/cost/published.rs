//! The paper's published numbers, for comparison with our counts: parameters, multiply-adds and mIOU (tables 4 and 7),
//! the largest maps (table 3); and a count of ResNet-101, which the paper compares with and this library does not run.

use serde::Serialize;

use super::{Macs, SCALES};

/// A row of the paper's tables 4 and 7.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PaperRow {
    /// The preset of this network.
    pub preset: &'static str,
    /// The paper's name for it.
    pub name: &'static str,
    /// Counted over six scales with mirror images.
    pub six_scales_and_flips: bool,
    /// Parameters, in millions.
    pub parameters_m: f64,
    /// Multiply-adds, in millions.
    pub macs_m: f64,
    /// mIOU on VOC 2012 val, in percent; segmentation networks only.
    pub miou: Option<f64>,
    /// Our count, where it differs from the paper's by more than 1 %.
    pub exception: Option<&'static str>,
}

const fn row(preset: &'static str, name: &'static str, mf: bool, parameters_m: f64, macs_m: f64) -> PaperRow {
    PaperRow { preset, name, six_scales_and_flips: mf, parameters_m, macs_m, miou: None, exception: None }
}

const fn deeplab(preset: &'static str, name: &'static str, mf: bool, m: f64, macs_m: f64, miou: f64) -> PaperRow {
    PaperRow { miou: Some(miou), ..row(preset, name, mf, m, macs_m) }
}

/// The paper's figures for the networks of our presets.
pub const PAPER: &[PaperRow] = &[
    PaperRow {
        exception: Some("parameters: Table 2 gives 3.50 M with batch norm, 3.47 M without, and not the 3.4 M printed"),
        ..row("mobilenet_v2", "MobileNetV2 1.0, 224", false, 3.4, 300.0)
    },
    PaperRow {
        exception: Some("parameters: Table 2 gives 6.11 M with batch norm, 6.06 M without, and not the 6.9 M printed"),
        ..row("mobilenet_v2_1.4", "MobileNetV2 1.4, 224", false, 6.9, 585.0)
    },
    deeplab("deeplabv3_mnv1_aspp", "MNet V1, OS 16, ASPP", false, 11.15, 14_250.0, 75.29),
    PaperRow {
        exception: Some(
            "multiply-adds: 990.7 B counted as in the other rows, 800.7 B executed, and not the 941.9 B printed",
        ),
        ..deeplab("deeplabv3_mnv1_aspp_os8", "MNet V1, OS 8, ASPP, MF", true, 11.15, 941_900.0, 78.56)
    },
    deeplab("deeplabv3_mnv2_aspp", "MNet V2*, OS 16, ASPP", false, 4.52, 5_800.0, 75.70),
    deeplab("deeplabv3_mnv2_aspp_os8", "MNet V2*, OS 8, ASPP, MF", true, 4.52, 387_000.0, 78.42),
    deeplab("deeplabv3_mnv2", "MNet V2*, OS 16", false, 2.11, 2_750.0, 75.32),
    deeplab("deeplabv3_mnv2_os8", "MNet V2*, OS 8, MF", true, 2.11, 152_600.0, 77.33),
];

/// A row of the paper's table 3: channels and KB (of 1000 bytes, 16-bit values) of the largest map that must be
/// materialised at a resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryRow {
    /// Rows and columns of the map.
    pub side: usize,
    /// `MobileNetV1`.
    pub v1: (u32, u32),
    /// `MobileNetV2`.
    pub v2: (u32, u32),
    /// `ShuffleNet` (2x, g = 3).
    pub shufflenet: (u32, u32),
}

/// The paper's table 3, from the largest maps down.
pub const MEMORY: &[MemoryRow] = &[
    MemoryRow { side: 112, v1: (64, 1600), v2: (16, 400), shufflenet: (32, 800) },
    MemoryRow { side: 56, v1: (128, 800), v2: (32, 200), shufflenet: (48, 300) },
    MemoryRow { side: 28, v1: (256, 400), v2: (64, 100), shufflenet: (400, 600) },
    MemoryRow { side: 14, v1: (512, 200), v2: (160, 62), shufflenet: (800, 310) },
    MemoryRow { side: 7, v1: (1024, 199), v2: (320, 32), shufflenet: (1600, 156) },
    MemoryRow { side: 1, v1: (1024, 2), v2: (1280, 2), shufflenet: (1600, 3) },
];

/// A row of table 7 for ResNet-101.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ResnetRow {
    /// Output stride.
    pub output_stride: usize,
    /// Counted over six scales with mirror images.
    pub six_scales_and_flips: bool,
    /// Parameters, in millions.
    pub parameters_m: f64,
    /// Multiply-adds, in millions.
    pub macs_m: f64,
    /// mIOU on VOC 2012 val, in percent.
    pub miou: f64,
}

/// Table 7's rows for ResNet-101 with `DeepLabV3`: for comparison only; this library does not run it.
pub const RESNET: [ResnetRow; 2] = [
    ResnetRow { output_stride: 16, six_scales_and_flips: false, parameters_m: 58.16, macs_m: 81_000.0, miou: 80.49 },
    ResnetRow { output_stride: 8, six_scales_and_flips: true, parameters_m: 58.16, macs_m: 4_870_600.0, miou: 82.70 },
];

/// The cost of ResNet-101 (`TensorFlow`'s: three 3x3 layers as stem, strides in a stage's last unit) with `DeepLabV3`'s
/// head and ASPP; cost only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resnet {
    /// Including batch norm's gamma and beta.
    pub parameters: u64,
    /// Multiply-adds; the paper's count pads the map of every atrous convolution to a multiple of its rate.
    pub macs: Macs,
}

impl Resnet {
    /// For a square input of `size`, at output stride 16 or (for any other value) 8, and 21 classes.
    pub fn count(size: usize, output_stride: usize) -> Self {
        let mut sum = Self::default();
        let mut conv = |side: u64, kernel: u64, rate: u64, c_in: u64, c_out: u64| {
            let filters = kernel * kernel * c_in * c_out;
            let padded = if kernel > 1 { side.next_multiple_of(rate) } else { side };
            sum.parameters += filters + 2 * c_out;
            sum.macs.executed += side * side * filters;
            sum.macs.paper += padded * padded * filters;
        };
        let mut side = (size as u64).div_ceil(2);
        for (c_in, c_out) in [(3, 64), (64, 64), (64, 128)] {
            conv(side, 3, 1, c_in, c_out);
        }
        side = side.div_ceil(2);
        let mut channels = 128;
        let mut running = 4;
        let mut rate = 1;
        for (units, narrow, stride) in [(3, 64, 2), (4, 128, 2), (23, 256, 2), (3, 512, 1)] {
            for unit in 0..units {
                let before = side;
                let own = rate;
                if unit == units - 1 && stride == 2 {
                    if running >= output_stride {
                        rate *= 2;
                    } else {
                        running *= 2;
                        side = side.div_ceil(2);
                    }
                }
                // The last stage's units multiply their rate by 1, 2, 4 ('multi-grid').
                let grid = if narrow == 512 { 1 << unit } else { 1 };
                conv(before, 1, 1, channels, narrow);
                conv(side, 3, own * grid, narrow, narrow);
                conv(side, 1, 1, narrow, 4 * narrow);
                if unit == 0 {
                    conv(before, 1, 1, channels, 4 * narrow);
                }
                channels = 4 * narrow;
            }
        }
        conv(1, 1, 1, channels, 256);
        conv(side, 1, 1, channels, 256);
        for step in [6, 12, 18] {
            conv(side, 3, if output_stride == 16 { step } else { 2 * step }, channels, 256);
        }
        conv(side, 1, 1, 5 * 256, 256);
        conv(side, 1, 1, 256, 21);
        // The classifier has a bias and no batch norm.
        sum.parameters -= 21;
        sum
    }

    /// Over six scales of 513 with mirror images, as [`super::six_scales_and_flips`].
    pub fn six_scales_and_flips(output_stride: usize) -> Self {
        let mut sum = Self::default();
        for scale in SCALES {
            let one = Self::count((512.0 * scale) as usize + 1, output_stride);
            sum.parameters = one.parameters;
            sum.macs.executed += 2 * one.macs.executed;
            sum.macs.paper += 2 * one.macs.paper;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resnet_101_costs_what_the_paper_says() {
        for row in RESNET {
            let count = if row.six_scales_and_flips {
                Resnet::six_scales_and_flips(row.output_stride)
            } else {
                Resnet::count(513, row.output_stride)
            };
            assert!((count.parameters as f64 / 1e6 / row.parameters_m - 1.0).abs() < 1e-3, "{count:?}");
            assert!((count.macs.paper as f64 / 1e6 / row.macs_m - 1.0).abs() < 5e-3, "{count:?}");
            assert!(count.macs.executed < count.macs.paper);
        }
    }
}
