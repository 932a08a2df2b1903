//! How a model is to be run.

use std::path::PathBuf;

/// Options of a [`Segmenter`](crate::Segmenter) or [`Classifier`](crate::Classifier); what is not set is chosen.
///
/// ```
/// use silhouette::{Backend, Options, OutputSize};
/// let options = Options::new().threads(2).size(257).backend(Backend::Cpu).output(OutputSize::Model);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub(crate) threads: Option<usize>,
    pub(crate) backend: Backend,
    pub(crate) size: Option<usize>,
    pub(crate) input_shape: InputShape,
    pub(crate) concurrency: Option<usize>,
    pub(crate) output: OutputSize,
    pub(crate) refine: bool,
    pub(crate) weight_cache: Option<PathBuf>,
}

impl Options {
    /// Everything left to be chosen.
    pub fn new() -> Self {
        Self::default()
    }

    /// Threads of one call, 1 to 64. Default: as many as pay, at most 4.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Where to compute. Default: [`Backend::Auto`].
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Side of the network's input in pixels, the longer one where it is not square, 1 to [`MAX_SIZE`](crate::MAX_SIZE). Default: what the
    /// model was made for. Smaller is faster, larger is finer.
    #[must_use]
    pub fn size(mut self, size: usize) -> Self {
        self.size = Some(size);
        self
    }

    /// Whether the network sees a square or the frame's own shape. Default: [`InputShape::Square`].
    #[must_use]
    pub fn input_shape(mut self, shape: InputShape) -> Self {
        self.input_shape = shape;
        self
    }

    /// How many calls run at once, each in an arena of its own; further ones wait for their turn in the order in which
    /// they came, 1 to [`MAX_CONCURRENCY`](crate::MAX_CONCURRENCY). Arenas are made when first needed; each shape of
    /// [`InputShape::Frame`] counts by itself. Default: [`DEFAULT_CONCURRENCY`].
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

    /// Whether the soft borders of cut-out, blurred and replaced pictures follow the picture's edges (a guided filter on
    /// the frame). The mask and the confidences stay the network's. Default: off.
    #[must_use]
    pub fn refine(mut self, refine: bool) -> Self {
        self.refine = refine;
        self
    }

    /// A folder of the app's own (its cache folder) in which the weights are kept as the kernels read them: 4 bytes a
    /// parameter, at most four files. Opening the same model file again on the same device is then several times faster, and the weights are
    /// pages of that file, which the system may take back and fetch again, instead of memory of the app's own. Models in memory are not kept.
    /// Default: nothing is kept.
    ///
    /// What hinders keeping them is logged and hinders nothing else. Nobody else may write to the folder.
    #[must_use]
    pub fn weight_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.weight_cache = Some(folder.into());
        self
    }
}

/// How many calls run at once unless told otherwise: more would share the same cores, and each arena costs memory.
pub const DEFAULT_CONCURRENCY: usize = 2;

/// Where to compute. [`Backend::available`] tells which there are; asking for another one is
/// [`Error::Unsupported`](crate::Error::Unsupported).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Backend {
    /// The best that can run the model: the CPU, and what else is there where the CPU cannot.
    #[default]
    Auto,
    /// The CPU, by the compiled plan.
    Cpu,
    /// Apple's GPU, by the candle graph, in builds with the feature `metal`.
    #[cfg_attr(feature = "clap", value(help = "Apple's GPU"))]
    Metal,
    /// The candle graph on the CPU, in builds with the feature `graph`: slow, and the reference for the others.
    Graph,
}

/// The shape of the network's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum InputShape {
    /// A square, as models are trained: a picture of another shape leaves a part of it grey, and that part costs as much
    /// as any other.
    #[cfg_attr(feature = "clap", value(help = "A square; the rest beside the picture is grey"))]
    #[default]
    Square,
    /// The frame's own shape: [`Options::size`] for its longer side, the next 16 n + 1 for its shorter one. Of 16:9 that is 0.56 of
    /// the square's multiply-adds, of 4:3 0.75. Masks differ a little from the square's (`silhouette eval --input-shape frame` says
    /// how much); at equal cost the longer side may be larger.
    ///
    /// The network is made ready for upright pictures of 3:4; another shape costs as much as opening it, at its first frame. The last
    /// [`SHAPES`] shapes are kept, each with arenas of its own.
    #[cfg_attr(feature = "clap", value(help = "The picture's own"))]
    Frame,
}

/// How many shapes of [`InputShape::Frame`] are kept ready: a camera's, upright and turned.
pub const SHAPES: usize = 2;

/// The size of a mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutputSize {
    /// One label per pixel of the frame's region, upright.
    #[default]
    Frame,
    /// The network's own resolution: the part of its input that the picture covers.
    Model,
    /// Any other.
    Given {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
}
