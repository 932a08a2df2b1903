//! Records and enums: options in, numbers out. All times are nanoseconds.

use silhouette::OutputSize as CoreOutput;
pub use silhouette::{Backend, InputShape, Precision, Task};
use std::time::Duration;

// The same enums as Rust's, redeclared for uniffi, which generates no Rust types for them.

/// The backend that runs the network.
#[uniffi::remote(Enum)]
#[non_exhaustive]
pub enum Backend {
    /// The best one available.
    Auto,
    /// The CPU.
    Cpu,
    /// Apple's GPU.
    Metal,
}

/// The number format that the network computes in.
#[uniffi::remote(Enum)]
#[non_exhaustive]
pub enum Precision {
    /// int8 for quantised models, f16 if the model's activations are bounded, if the CPU is fast at them; otherwise f32.
    Auto,
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// Eight-bit integers, for quantised models.
    Int8,
}

/// The shape of the network's input.
#[uniffi::remote(Enum)]
#[non_exhaustive]
pub enum InputShape {
    /// A square; an image of another shape leaves part of it grey.
    Square,
    /// The frame's own shape.
    Frame,
}

/// The task of a model.
#[uniffi::remote(Enum)]
#[non_exhaustive]
pub enum Task {
    /// A class for each pixel.
    Segmentation,
    /// How much of each pixel is foreground. There are two classes, background and foreground; the confidence of the foreground
    /// is the alpha.
    Alpha,
    /// Classes of the image as a whole.
    Classification,
}

/// The size of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum OutputSize {
    /// One label per pixel of the frame's region, upright.
    Frame,
    /// The network's own resolution.
    Model,
    /// Any other size.
    Given {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
}

/// Options for running a model; unset options have defaults.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Options {
    /// Threads per call, 1 to 64.
    #[uniffi(default = None)]
    pub threads: Option<u32>,
    /// The backend that runs the network.
    pub backend: Backend,
    /// The number format that the network computes in.
    pub precision: Precision,
    /// Side of the network's input in pixels, the longer one if it is not square.
    #[uniffi(default = None)]
    pub size: Option<u32>,
    /// Whether the network sees a square or the frame's own shape.
    pub input_shape: InputShape,
    /// Number of concurrent calls, each in an arena of its own.
    #[uniffi(default = None)]
    pub concurrency: Option<u32>,
    /// The size of the masks.
    pub output: OutputSize,
    /// Whether the soft borders of effects follow the image's edges.
    #[uniffi(default = true)]
    pub refine: bool,
    /// A folder in which packed weights are cached.
    #[uniffi(default = None)]
    pub weight_cache: Option<String>,
}

/// Temporal smoothing of a video's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Smoothing {
    /// In a static image, the weight of an observation halves in this many nanoseconds. 0: no smoothing.
    #[uniffi(default = 100_000_000)]
    pub half_life: u64,
    /// After a longer pause between frames, in nanoseconds, smoothing restarts.
    #[uniffi(default = 1_000_000_000)]
    pub longest_pause: u64,
}

/// A model's properties.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// Its task.
    pub task: Task,
    /// One label per class; class 0 is the background.
    pub labels: Vec<String>,
    /// A colour for each class, as 0xRRGGBB.
    pub colors: Vec<u32>,
    /// Side of the square input that the weights were trained for, in pixels.
    pub size: u32,
    /// Licence of the weights; empty if it is unknown.
    pub licence: String,
    /// Origin of the weights.
    pub provenance: String,
}

/// Wall time of each stage of a frame, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Timings {
    /// The frame to the network's input.
    pub input: u64,
    /// The network.
    pub network: u64,
    /// The logits to the mask, including smoothing.
    pub mask: u64,
}

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// The transform from mask to buffer coordinates: `x' = xx x + xy y + x0`, `y' = yx x + yy y + y0`; pixels have their
/// edges at integers.
#[derive(Clone, Copy, Debug, PartialEq, uniffi::Record)]
pub struct Transform {
    /// Buffer x per mask x.
    pub xx: f64,
    /// Buffer x per mask y.
    pub xy: f64,
    /// Buffer x of the mask's corner.
    pub x0: f64,
    /// Buffer y per mask x.
    pub yx: f64,
    /// Buffer y per mask y.
    pub yy: f64,
    /// Buffer y of the mask's corner.
    pub y0: f64,
}

/// One connected component of a class; rings are corners x0, y0, x1, y1, …, the last connected to the first.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Polygon {
    /// The outline, clockwise.
    pub outer: Vec<u32>,
    /// The holes in it, counter-clockwise.
    pub holes: Vec<Vec<u32>>,
}

/// A class's share of a mask.
#[derive(Clone, Copy, Debug, PartialEq, uniffi::Record)]
pub struct ClassShare {
    /// The class.
    pub class_index: u32,
    /// 0 to 1.
    pub share: f64,
}

impl From<Options> for silhouette::Options {
    fn from(options: Options) -> Self {
        let mut converted = Self::new()
            .backend(options.backend)
            .precision(options.precision)
            .output(options.output.into())
            .input_shape(options.input_shape)
            .refine(options.refine);
        if let Some(threads) = options.threads {
            converted = converted.threads(threads as usize);
        }
        if let Some(size) = options.size {
            converted = converted.size(size as usize);
        }
        if let Some(calls) = options.concurrency {
            converted = converted.concurrency(calls as usize);
        }
        if let Some(folder) = options.weight_cache {
            converted = converted.weight_cache(folder);
        }
        converted
    }
}

impl From<OutputSize> for CoreOutput {
    fn from(output: OutputSize) -> Self {
        match output {
            OutputSize::Frame => Self::Frame,
            OutputSize::Model => Self::Model,
            OutputSize::Given { width, height } => Self::Given { width: width as usize, height: height as usize },
        }
    }
}

impl From<Smoothing> for silhouette::Smoothing {
    fn from(smoothing: Smoothing) -> Self {
        let mut converted = Self::with_half_life(Duration::from_nanos(smoothing.half_life));
        converted.longest_pause = Duration::from_nanos(smoothing.longest_pause);
        converted
    }
}

impl From<silhouette::Timings> for Timings {
    fn from(timings: silhouette::Timings) -> Self {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self {
            input: nanoseconds(timings.input),
            network: nanoseconds(timings.network),
            mask: nanoseconds(timings.mask),
        }
    }
}

impl From<silhouette::Size> for Size {
    fn from(size: silhouette::Size) -> Self {
        Self { width: size.width as u32, height: size.height as u32 }
    }
}

impl From<silhouette::Transform> for Transform {
    fn from(t: silhouette::Transform) -> Self {
        Self { xx: t.xx, xy: t.xy, x0: t.x0, yx: t.yx, yy: t.yy, y0: t.y0 }
    }
}

impl From<silhouette::ClassShare> for ClassShare {
    fn from(share: silhouette::ClassShare) -> Self {
        Self { class_index: share.class_index as u32, share: share.share }
    }
}

impl From<silhouette::Polygon> for Polygon {
    fn from(polygon: silhouette::Polygon) -> Self {
        Self {
            outer: polygon.outer.into_flattened(),
            holes: polygon.holes.into_iter().map(Vec::into_flattened).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UniFfiTag;
    use uniffi::FfiConverter;

    /// Enums of the crate `silhouette` may grow; one that lacks a variant here would panic when it is converted.
    #[test]
    fn every_task_can_be_handed_over() {
        for task in Task::ALL {
            let mut bytes = Vec::new();
            <Task as FfiConverter<UniFfiTag>>::write(task, &mut bytes);
            assert_eq!(<Task as FfiConverter<UniFfiTag>>::try_read(&mut bytes.as_slice()).unwrap(), task);
        }
        let alpha = crate::model::Model::from(silhouette::Model::alpha_fixture().unwrap());
        assert_eq!(alpha.info().task, Task::Alpha);
    }
}
