//! Frames to segmentations.

use crate::camera::Seen;
use crate::error::{Error, Result};
use crate::model::{Model, Task};
use crate::options::Options;
use crate::runner::Runner;
use crate::segmentation::{Segmentation, View};
use silhouette_engine::engine::Step;
use silhouette_imaging::frame::{Frame, Size};
use silhouette_imaging::input::Placement;
use silhouette_imaging::mask::Resize;
use silhouette_kernels::memory;
use std::sync::Arc;
use std::time::Instant;

/// Segments frames. `Send + Sync` and cheap to clone (clones share everything).
///
/// Calls may come from any number of threads. Each runs in an arena of its own; arenas are created when first needed,
/// up to [`Options::concurrency`]. Further calls wait, and are served in the order in which they came.
///
/// ```
/// use silhouette::{Foreground, Frame, Model, Options, Segmenter};
///
/// let segmenter = Segmenter::new(&Model::people()?, &Options::new().threads(2))?;
/// let pixels = vec![128; 64 * 48 * 3];
/// let frame = Frame::rgb(&pixels, 64, 48)?;
/// let segmentation = segmenter.segment(&frame)?;
/// assert_eq!((segmentation.width(), segmentation.height()), (64, 48));
/// let blurred = segmentation.blur(&frame, &Foreground::All)?;
/// assert_eq!(blurred.rgba.len(), 64 * 48 * 4);
/// # Ok::<(), silhouette::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Segmenter {
    runner: Arc<Runner>,
    model: Model,
    resize: Resize,
}

impl Segmenter {
    /// Creates a segmenter from a model.
    ///
    /// # Errors
    /// [`Error::InvalidModel`] for a classifier's model or one that cannot be compiled; [`Error::Unsupported`] for
    /// options that are not supported here.
    pub fn new(model: &Model, options: &Options) -> Result<Self> {
        let (Task::Segmentation | Task::Alpha, Some(resize)) = (model.task(), model.resize()) else {
            return Err(Error::model(
                format_args!("'{}' is a classifier", model.name()),
                "use a Classifier, or a segmentation model",
            ));
        };
        let runner = Arc::new(Runner::new(model, options, "segmenter")?);
        Ok(Self { runner, model: model.clone(), resize })
    }

    /// Segments a frame.
    ///
    /// # Errors
    /// [`Error::Closed`] after [`close`](Self::close); [`Error::Unsupported`] for a mask that would be too large;
    /// [`Error::Internal`] if the network fails.
    pub fn segment(&self, frame: &Frame<'_>) -> Result<Segmentation> {
        let mut segmentation = Segmentation::default();
        self.segment_into(frame, &mut segmentation)?;
        Ok(segmentation)
    }

    /// Segments a frame into an existing segmentation: nothing is allocated once it and the arena have seen a frame of
    /// this geometry. After an error the contents of `segmentation` are unspecified, but it can be reused.
    ///
    /// # Errors
    /// The same as [`segment`](Self::segment).
    pub fn segment_into(&self, frame: &Frame<'_>, segmentation: &mut Segmentation) -> Result<()> {
        self.segment_with(frame, segmentation, None, |_, _, _| Ok(()))
    }

    /// `change` may modify the logits `[h][w][classes]` (passed with the map's size and the number of classes, and the image's placement
    /// in the input) before the mask is computed; `seen` receives the brightness of the input.
    pub(crate) fn segment_with(
        &self,
        frame: &Frame<'_>,
        segmentation: &mut Segmentation,
        seen: Option<&Seen>,
        change: impl FnOnce(&mut [f32], (Size, usize), Placement) -> Result<()>,
    ) -> Result<()> {
        let task = self.model.task();
        let (grid, timings) = self.runner.run_seen(frame, seen, |logits, grid| {
            // Copied from the arena, so that the next call can use it while this one computes its mask.
            segmentation.logits.clear();
            let values = logits.len() * if task == Task::Alpha { 2 } else { 1 };
            memory::reserve(&mut segmentation.logits, values, "logits")?;
            if task == Task::Alpha {
                segmentation.logits.extend(logits.iter().flat_map(|&logit| two_classes(logit)));
            } else {
                segmentation.logits.extend_from_slice(logits);
            }
            Ok::<_, Error>(grid)
        })?;
        let grid = grid?;
        segmentation.timings = timings;
        let start = Instant::now();
        let region = frame.region();
        segmentation.view = Some(View {
            classes: Arc::clone(self.model.classes()),
            grid: grid.size,
            resize: self.resize,
            placement: grid.placement,
            region,
            refine: self.options().refine.unwrap_or(true),
            task,
            transform: frame.transform(region.width, region.height),
        });
        let classes = self.model.labels().len();
        change(&mut segmentation.logits, (grid.size, classes), grid.placement)?;
        if task == Task::Alpha {
            // Smoothing produces log-probabilities, whose difference matters.
            for pair in segmentation.logits.chunks_exact_mut(2) {
                pair.copy_from_slice(&two_classes(pair[1] - pair[0]));
            }
        }
        segmentation.timings.mask += start.elapsed();
        segmentation.resize(self.options().output)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The options that it was created with.
    pub fn options(&self) -> &Options {
        self.runner.options()
    }

    /// The side of the network's input, the longer one with [`InputShape::Frame`](crate::InputShape::Frame).
    pub fn size(&self) -> usize {
        self.runner.size()
    }

    /// The size of the network's input for a frame.
    pub fn input_size(&self, frame: &Frame<'_>) -> Size {
        self.runner.input_size(frame)
    }

    /// Segments a frame and reports each step of the network: its layers, how it is computed and how long it took.
    ///
    /// # Errors
    /// The same as [`segment`](Self::segment).
    pub fn profile(&self, frame: &Frame<'_>) -> Result<Vec<Step>> {
        self.runner.profile(frame)
    }

    /// A short description of backend, kernels, threads and memory.
    pub fn description(&self) -> &str {
        self.runner.description()
    }

    /// Rejects new and waiting calls with [`Error::Closed`]; running ones end normally. Clones are closed too. Arenas
    /// and the engine's weights are freed with the last running call.
    pub fn close(&self) {
        self.runner.close();
    }
}

/// Converts the logit of an alpha to the logits of background and foreground. The softmax of 0 and a logit is its
/// sigmoid, so masks, confidences, polygons and smoothing need no special case. Both are resized before the softmax:
/// interpolating logits keeps an edge as steep as the network made it, while interpolating sigmoids would let a
/// confident cell pull the border towards itself; and the border of the mask, computed from the same logits, is then
/// exactly where the alpha is one half.
///
/// The background is slightly below 0 (no other logit is affected): a tie is foreground, as one half is.
fn two_classes(logit: f32) -> [f32; 2] {
    [-1e-20, logit]
}
