//! Options for running a model.

use std::path::PathBuf;

/// Options of a [`Segmenter`](crate::Segmenter) or [`Classifier`](crate::Classifier); unset options have defaults.
///
/// ```
/// use silhouette::{Backend, Options, OutputSize};
/// let options = Options::new().threads(2).size(257).backend(Backend::Cpu).output(OutputSize::Model);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub(crate) threads: Option<usize>,
    pub(crate) backend: Backend,
    pub(crate) precision: Precision,
    pub(crate) size: Option<usize>,
    pub(crate) input_shape: Option<InputShape>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) output: OutputSize,
    pub(crate) refine: Option<bool>,
    pub(crate) weight_cache: Option<PathBuf>,
}

impl Options {
    /// All options at their defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Threads per call, 1 to 64. Default: as many as are useful, at most 4.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The backend that runs the network. Default: [`Backend::Auto`].
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// The number format that the network computes in. Default: [`Precision::Auto`].
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Side of the network's input in pixels, the longer one if it is not square, 1 to [`MAX_SIZE`](crate::MAX_SIZE).
    /// Default: the size that the model was trained for. Smaller is faster, larger is finer.
    #[must_use]
    pub fn size(mut self, size: usize) -> Self {
        self.size = Some(size);
        self
    }

    /// Whether the network sees a square or the frame's own shape. Default: [`InputShape::Frame`] for a segmenter,
    /// [`InputShape::Square`] for a classifier.
    #[must_use]
    pub fn input_shape(mut self, shape: InputShape) -> Self {
        self.input_shape = Some(shape);
        self
    }

    /// Number of concurrent calls, each in an arena of its own, 1 to [`MAX_CONCURRENCY`](crate::MAX_CONCURRENCY);
    /// further ones wait in the order in which they came. Arenas are created when first needed; each shape of
    /// [`InputShape::Frame`] counts separately. Default: [`DEFAULT_CONCURRENCY`].
    #[must_use]
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.concurrency = Some(calls);
        self
    }

    /// The size of the masks. Default: [`OutputSize::Frame`].
    #[must_use]
    pub fn output(mut self, output: OutputSize) -> Self {
        self.output = output;
        self
    }

    /// Whether the soft borders of cut-out, blurred and replaced images follow the image's edges (a guided filter on
    /// the frame). The mask and the confidences are not refined. Default: on.
    #[must_use]
    pub fn refine(mut self, refine: bool) -> Self {
        self.refine = Some(refine);
        self
    }

    /// A folder private to the app (inside its cache folder), in which the packed weights are cached: 4 bytes per parameter
    /// (2 in f16), at most four files. Opening the same model file again on the same device is then several times faster, and the
    /// weights are pages of that file, which the system can reclaim and reload, instead of the app's own memory. Models
    /// in memory are not cached. Default: no cache.
    ///
    /// Cache failures are logged and have no other effect. No other user may write to the folder.
    #[must_use]
    pub fn weight_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.weight_cache = Some(folder.into());
        self
    }
}

/// Default number of concurrent calls: more would share the same cores, and each arena costs memory.
pub const DEFAULT_CONCURRENCY: usize = 2;

/// The backend that runs the network. [`Backend::available`] lists the available ones; requesting another one fails with
/// [`Error::Unsupported`](crate::Error::Unsupported).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Backend {
    /// The best one that can run the model: the CPU, or another one if the CPU cannot.
    #[default]
    Auto,
    /// The CPU, with the compiled plan.
    Cpu,
    /// Apple's GPU, with the candle graph, in builds with the feature `metal`.
    #[cfg_attr(feature = "clap", value(help = "Apple's GPU"))]
    Metal,
    /// The candle graph on the CPU, in builds with the feature `graph`: slow, and the reference for the others.
    Graph,
}

/// The number format that the network computes in. Images, logits and alpha are f32 or bytes in every precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Precision {
    /// int8 if the model is quantised and the CPU has a dot product of bytes (ARMv8.2's `asimddp`, AVX-512 VNNI). Otherwise f16
    /// if the CPU supports f16 arithmetic (ARMv8.2's `asimdhp`: most phones since 2018) and the feature extractor's
    /// activations are ReLU6, as in the paper, so that values stay far below f16's limit (65504). Otherwise f32; also if a
    /// weight is beyond f16's range.
    #[default]
    #[cfg_attr(
        feature = "clap",
        value(
            help = "int8 for quantised models, f16 if activations are bounded, if the CPU is fast at them; else f32"
        )
    )]
    Auto,
    /// 32-bit floats.
    #[cfg_attr(feature = "clap", value(help = "32-bit floats"))]
    F32,
    /// 16-bit floats: half the memory, and about half the time if the CPU supports f16 arithmetic. Otherwise values are
    /// widened for every operation, which is slower than f32. Requires the backend [`Backend::Cpu`].
    #[cfg_attr(feature = "clap", value(help = "16-bit floats"))]
    F16,
    /// Eight-bit integers with 32-bit sums, rounded as TensorFlow Lite does: a quarter of the memory, and the fastest if the CPU
    /// has a dot product of bytes. Only for quantised models: imported from a quantised TensorFlow Lite file, or made by
    /// `silhouette quantize`. Requires the backend [`Backend::Cpu`].
    #[cfg_attr(feature = "clap", value(help = "8-bit integers, for quantised models"))]
    Int8,
}

/// The shape of the network's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum InputShape {
    /// A square. An image of another shape leaves part of it grey, and computing that part takes as much time as any other.
    #[cfg_attr(feature = "clap", value(help = "A square, with grey around the image"))]
    Square,
    /// The frame's own shape: the longer side is [`Options::size`], the shorter one the next 16 n + 1. At 16:9 this takes
    /// 0.56 times the square's multiply-accumulates, at 4:3 0.75 times. Masks differ slightly from the square's
    /// (`silhouette eval --input-shape frame` measures how much); at equal cost the longer side may be larger.
    ///
    /// The network is prepared for upright images of 3:4. The first frame of another shape costs as much as opening the
    /// model. The last [`SHAPES`] shapes are kept, each with its own arenas.
    #[cfg_attr(feature = "clap", value(help = "The image's own shape"))]
    #[default]
    Frame,
}

/// Number of shapes of [`InputShape::Frame`] that are kept: a camera's, upright and rotated.
pub const SHAPES: usize = 2;

/// The size of a mask.
///
/// ```
/// use silhouette::{Options, OutputSize};
///
/// let small = Options::new().output(OutputSize::Given { width: 320, height: 240 });
/// # let _ = small;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutputSize {
    /// One label per pixel of the frame's region, upright.
    #[default]
    Frame,
    /// The network's own resolution: the part of its input that the image covers.
    Model,
    /// Any other size.
    Given {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
}
