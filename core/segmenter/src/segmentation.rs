//! A segmented frame: its mask, the network's confidence, the transform to the buffer, and timings.

use crate::bounds;
use crate::error::{Error, Result};
use crate::model::{Classes, Task};
use crate::options::OutputSize;
use silhouette_imaging::frame::{Frame, Region, Size, Transform};
use silhouette_imaging::input::Placement;
use silhouette_imaging::mask::{Confidence, Logits, Mask, MaskSpec, Resize, Upsampler};
use silhouette_imaging::palette::Palette;
use silhouette_imaging::polygons::{Polygon, outlines};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// The result of segmenting one frame. It is upright (after the frame's rotation and mirroring) and covers the frame's
/// region.
///
/// It keeps the network's logits, which are small, so that the mask can be recomputed at another size and the
/// confidence of any class can be computed later. If it is reused for the next frame, no memory is allocated.
///
/// ```
/// use silhouette::{Frame, Model, Options, Segmentation, Segmenter};
///
/// let segmenter = Segmenter::new(&Model::voc21()?, &Options::new())?;
/// let mut segmentation = Segmentation::default();
/// for shade in [0, 128, 255] {
///     let pixels = vec![shade; 64 * 48 * 3];
///     segmenter.segment_into(&Frame::rgb(&pixels, 64, 48)?, &mut segmentation)?;
///     let background = segmentation.confidence(&[0])?;
///     let largest = segmentation.shares()[0];
///     println!("{} on {:.0} %", segmentation.labels()[largest.class_index], 100.0 * largest.share);
///     assert_eq!(background.values.len(), 64 * 48);
/// }
/// # Ok::<(), silhouette::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Segmentation {
    pub(crate) mask: Mask,
    /// `[height][width][classes]`.
    pub(crate) logits: Vec<f32>,
    pub(crate) view: Option<View>,
    pub(crate) timings: Timings,
    upsampler: Upsampler,
}

/// How a frame's logits and masks are placed over it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) classes: Arc<Classes>,
    /// The size of the logits' map.
    pub(crate) grid: Size,
    pub(crate) resize: Resize,
    pub(crate) placement: Placement,
    pub(crate) region: Region,
    pub(crate) transform: Transform,
    /// Whether the alpha of effects follows the image's edges.
    pub(crate) refine: bool,
    /// The meaning of the logits.
    pub(crate) task: Task,
}

/// A class's share of a mask's pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassShare {
    /// The class.
    pub class_index: usize,
    /// 0 to 1.
    pub share: f64,
}

/// Wall time of each stage of a frame, not summed over threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Crop, rotate, resize, colour, normalisation: the frame to the network's input. If the engine pulls its input row
    /// by row from several threads, this is their sum divided by their number.
    pub input: Duration,
    /// The network, up to its low-resolution logits.
    pub network: Duration,
    /// The logits to the mask (and smoothing, for video).
    pub mask: Duration,
}

impl Timings {
    /// All stages.
    pub fn total(&self) -> Duration {
        self.input + self.network + self.mask
    }
}

impl Segmentation {
    /// Columns of the mask.
    pub fn width(&self) -> usize {
        self.mask.width
    }

    /// Rows of the mask.
    pub fn height(&self) -> usize {
        self.mask.height
    }

    /// The most likely class of each pixel, one byte each, rows from top to bottom. Ties go to the lower class.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// One label per class; class 0 is the background.
    pub fn labels(&self) -> &[String] {
        self.view.as_ref().map_or(&[], |view| &view.classes.labels)
    }

    /// A colour for each class.
    pub fn palette(&self) -> &Palette {
        static VOC: LazyLock<Palette> = LazyLock::new(Palette::voc);
        self.view.as_ref().map_or_else(|| &*VOC, |view| &view.classes.palette)
    }

    /// How long each stage took.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// Each class's share of the mask's pixels, the largest first; classes without pixels are omitted.
    pub fn shares(&self) -> Vec<ClassShare> {
        let pixels = self.mask.classes.len().max(1) as f64;
        let counts = self.mask.histogram();
        let mut shares: Vec<ClassShare> = (0..counts.len())
            .filter(|&class| counts[class] > 0)
            .map(|class| ClassShare { class_index: class, share: counts[class] as f64 / pixels })
            .collect();
        shares.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.class_index.cmp(&b.class_index)));
        shares
    }

    /// The transform from the mask's coordinates to the frame's buffer, before rotation, mirroring and region.
    pub fn transform(&self) -> Option<Transform> {
        let view = self.view.as_ref()?;
        // The view's transform is for a mask with the region's own size.
        let x = view.region.width as f64 / self.mask.width.max(1) as f64;
        let y = view.region.height as f64 / self.mask.height.max(1) as f64;
        let t = view.transform;
        Some(Transform { xx: t.xx * x, xy: t.xy * y, x0: t.x0, yx: t.yx * x, yy: t.yy * y, y0: t.y0 })
    }

    /// The upright size of the frame's region, which is also the size of the images that effects produce; 0 by 0 before the
    /// first frame.
    pub fn frame_size(&self) -> Size {
        self.view.as_ref().map_or(Size::default(), |view| view.region.size())
    }

    /// The network's raw output, `[height][width][classes]` f32, the map's size and the number of classes. For a model with an
    /// alpha ([`Task::Alpha`]): 0 (to 20 digits) and the logit whose sigmoid is the alpha.
    pub fn logits(&self) -> (&[f32], (Size, usize)) {
        let size = self.view.as_ref().map_or(Size::default(), |view| view.grid);
        (&self.logits, (size, self.labels().len()))
    }

    /// Recomputes the mask at another size, from the same logits.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a size of 0 or over [`MAX_PIXELS`](crate::MAX_PIXELS); [`Error::InvalidFrame`] before the first frame.
    pub fn resize(&mut self, output: OutputSize) -> Result<()> {
        let start = Instant::now();
        let view = self.view.as_ref().ok_or_else(empty)?;
        let spec = view.mask_spec(output)?;
        let logits = view.logits(&self.logits);
        self.upsampler.categories(&logits, &spec, &mut self.mask)?;
        self.timings.mask += start.elapsed();
        Ok(())
    }

    /// The probability (softmax) that a pixel belongs to one of `classes`, 0 to 255, at the mask's size; for a model
    /// with an alpha, the alpha.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a class that the model does not have; [`Error::InvalidFrame`] before the first frame.
    pub fn confidence(&self, classes: &[usize]) -> Result<Confidence> {
        let mut confidence = Confidence::default();
        let view = self.view.as_ref().ok_or_else(empty)?;
        view.confidence(&self.logits, &self.mask, classes, &mut Upsampler::new(), &mut confidence)?;
        Ok(confidence)
    }

    /// Like [`confidence`](Self::confidence), but writes to existing memory.
    ///
    /// # Errors
    /// The same as [`confidence`](Self::confidence).
    pub fn confidence_into(&mut self, classes: &[usize], confidence: &mut Confidence) -> Result<()> {
        let view = self.view.as_ref().ok_or_else(empty)?;
        view.confidence(&self.logits, &self.mask, classes, &mut self.upsampler, confidence)
    }

    /// Whether the network outputs an alpha, whose edges are as soft as the image's.
    pub(crate) fn is_alpha(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.task == Task::Alpha)
    }

    /// The confidence of `classes` at the network's own size, and whether to refine it.
    pub(crate) fn coarse(&self, classes: &[usize]) -> Result<(Confidence, bool)> {
        let view = self.view.as_ref().ok_or_else(empty)?;
        let mut confidence = Confidence::default();
        let Size { height, width } = view.placement.valid;
        let size = Mask { width, height, classes: Vec::new() };
        view.confidence(&self.logits, &size, classes, &mut Upsampler::new(), &mut confidence)?;
        Ok((confidence, view.refine))
    }

    /// Pixels of the network's input per cell of its map.
    pub(crate) fn stride(&self) -> usize {
        self.view.as_ref().map_or(1, |view| {
            let covered = view.placement.valid.width.max(view.placement.valid.height);
            let cells = view.grid.width.max(view.grid.height);
            (covered.saturating_sub(1) + cells / 2) / cells.saturating_sub(1).max(1)
        })
    }

    /// Sets whether the alpha of effects follows the image's edges.
    pub(crate) fn refine(&mut self, refine: bool) {
        if let Some(view) = &mut self.view {
            view.refine = refine;
        }
    }

    /// The outlines of a class in the mask, as polygons with holes along the pixels' edges, in the mask's coordinates
    /// ([`transform`](Self::transform) maps them to the buffer's). With a `tolerance` over 0 (in pixels) they are
    /// simplified, as long as they overlap the mask by at least 99 %; pieces below `least_area` pixels are omitted.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a class that the model does not have, and for a tolerance that is not a number from 0
    /// to [`MAX_TOLERANCE`](crate::MAX_TOLERANCE).
    pub fn polygons(&self, class: usize, tolerance: f64, least_area: usize) -> Result<Vec<Polygon>> {
        bounds::tolerance(tolerance)?;
        let class = self.known(class)? as u8;
        Ok(outlines(&self.mask, class, tolerance, least_area)?)
    }

    /// The class, if the model has it; then it fits in a mask's byte.
    pub(crate) fn known(&self, class: usize) -> Result<usize> {
        let count = self.labels().len();
        if class < count {
            return Ok(class);
        }
        Err(Error::unsupported(
            format_args!("there is no class {class} in a model with {count} classes"),
            "classes are numbered from 0",
        ))
    }

    /// Checks that `frame` can be the one that was segmented.
    pub(crate) fn check_frame(&self, frame: &Frame<'_>) -> Result<()> {
        let region = self.view.as_ref().ok_or_else(empty)?.region;
        let other = frame.region();
        if region.size() == other.size() {
            return Ok(());
        }
        Err(Error::frame(
            format_args!(
                "the frame is {}x{}, but the segmented one was {}x{}",
                other.width, other.height, region.width, region.height
            ),
            "use the frame that was segmented",
        ))
    }
}

fn empty() -> Error {
    Error::frame("the segmentation is empty", "segment a frame into it first")
}

impl View {
    fn logits<'a>(&self, values: &'a [f32]) -> Logits<'a> {
        Logits { values, size: self.grid, classes: self.classes.labels.len() }
    }

    /// The confidence of `classes` at the size of `mask`.
    fn confidence(
        &self,
        logits: &[f32],
        mask: &Mask,
        classes: &[usize],
        upsampler: &mut Upsampler,
        confidence: &mut Confidence,
    ) -> Result<()> {
        let count = self.classes.labels.len();
        let mut chosen = [false; 256];
        for &class in classes {
            if class >= count {
                return Err(Error::unsupported(
                    format_args!("there is no class {class} in a model with {count} classes"),
                    "classes are numbered from 0",
                ));
            }
            chosen[class] = true;
        }
        let spec = self.mask_spec(OutputSize::Given { width: mask.width, height: mask.height })?;
        Ok(upsampler.confidence(&self.logits(logits), &chosen[..count], &spec, confidence)?)
    }

    fn mask_spec(&self, output: OutputSize) -> Result<MaskSpec> {
        let size = match output {
            OutputSize::Frame => self.region.size(),
            OutputSize::Model => self.placement.valid,
            OutputSize::Given { width, height } => Size { height, width },
        };
        bounds::mask(size)?;
        Ok(MaskSpec { resize: self.resize, placement: self.placement, size })
    }
}
