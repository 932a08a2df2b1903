//! The result of segmenting a frame, in memory that later results reuse.

use crate::error::{Result, SilhouetteError, guard};
use crate::raw::Raw;
use crate::values::{ClassShare, OutputSize, Polygon, Size, Timings, Transform};
use silhouette::{Confidence, Effect, Foreground, Frame, FrameBuffer, Picture};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The result of segmenting a frame: mask, confidences, polygons, effects. Empty until a frame is segmented into it.
#[derive(Debug, Default, uniffi::Object)]
pub struct Segmentation(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    segmentation: silhouette::Segmentation,
    /// The frame, if the segmentation came from a live stream.
    frame: FrameBuffer,
    has_frame: bool,
    /// Scratch of [`Segmentation::copy_confidence`].
    confidence: Confidence,
    discarded: bool,
}

#[uniffi::export]
impl Segmentation {
    /// Creates an empty one.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Columns and rows of the mask.
    pub fn size(&self) -> Size {
        self.read(|Content { segmentation, .. }| Size {
            width: segmentation.width() as u32,
            height: segmentation.height() as u32,
        })
    }

    /// Columns and rows of the frame's region, upright: the size of the images that effects produce.
    pub fn frame_size(&self) -> Size {
        self.read(|content| content.segmentation.frame_size().into())
    }

    /// How long each stage took.
    pub fn timings(&self) -> Timings {
        self.read(|content| content.segmentation.timings().into())
    }

    /// The transform from the mask's coordinates to the buffer's; absent before the first frame.
    pub fn transform(&self) -> Option<Transform> {
        self.read(|content| content.segmentation.transform().map(Into::into))
    }

    /// Recomputes the mask at another size, from the same logits.
    ///
    /// # Errors
    /// `Unsupported` for a size of 0 or of more than 2^28 pixels; `InvalidFrame` before the first frame; `Closed`.
    pub fn resize(&self, output: OutputSize) -> Result<()> {
        self.change(|content| Ok(content.segmentation.resize(output.into())?))
    }

    /// The outlines of a class. With a `tolerance` over 0 (in pixels) they are simplified as long as they overlap the
    /// mask by at least 99 %; pieces below `least_area` pixels are omitted.
    ///
    /// # Errors
    /// `Unsupported` for a class that the model does not have; `Closed`.
    pub fn polygons(&self, class_index: u32, tolerance: f64, least_area: u32) -> Result<Vec<Polygon>> {
        self.change(|content| {
            let polygons = content.segmentation.polygons(class_index as usize, tolerance, least_area as usize)?;
            Ok(polygons.into_iter().map(Into::into).collect())
        })
    }

    /// Each class's share of the mask's pixels, the largest first; classes without pixels are omitted.
    pub fn shares(&self) -> Vec<ClassShare> {
        self.read(|content| content.segmentation.shares().into_iter().map(Into::into).collect())
    }

    /// Frees the memory; everything that needs a result fails from now on. Can be called repeatedly.
    pub fn discard(&self) {
        *self.lock() = Content { discarded: true, ..Content::default() };
    }

    /// Identifies this object in C and JNI, as long as it lives.
    pub fn raw(&self) -> u64 {
        Raw::of(self)
    }
}

impl Segmentation {
    /// Has `work` write a frame's result.
    pub(crate) fn fill(&self, work: impl FnOnce(&mut silhouette::Segmentation) -> Result<()>) -> Result<()> {
        self.change(|content| {
            content.has_frame = false;
            work(&mut content.segmentation)
        })
    }

    /// Moves a live stream's result and its frame into this object; the stream reuses the previous contents.
    pub(crate) fn swap(&self, segmentation: &mut silhouette::Segmentation, frame: &mut FrameBuffer) -> Result<()> {
        self.change(|content| {
            std::mem::swap(&mut content.segmentation, segmentation);
            std::mem::swap(&mut content.frame, frame);
            content.has_frame = true;
            Ok(())
        })
    }

    /// Copies the mask, one byte per pixel.
    ///
    /// # Errors
    /// [`SilhouetteError::InvalidFrame`] if `out` is too short; [`SilhouetteError::Closed`].
    pub fn copy_mask(&self, out: &mut [u8], row_stride: usize) -> Result<()> {
        self.change(|content| Ok(content.segmentation.mask().copy_into(out, row_stride)?))
    }

    /// Copies the confidence that each pixel belongs to one of `classes`, 0 to 255, at the mask's size.
    ///
    /// # Errors
    /// The same as [`copy_mask`](Self::copy_mask); [`SilhouetteError::Unsupported`] for a class that the model does not have.
    pub fn copy_confidence(&self, classes: &[usize], out: &mut [u8], row_stride: usize) -> Result<()> {
        self.change(|content| {
            content.segmentation.confidence_into(classes, &mut content.confidence)?;
            Ok(content.confidence.copy_into(out, row_stride)?)
        })
    }

    /// The frame with an effect; if no frame is passed, the one that a live result keeps.
    ///
    /// # Errors
    /// The same as [`silhouette::Segmentation::render`]; [`SilhouetteError::InvalidFrame`] if there is no frame.
    pub fn render(&self, frame: Option<&Frame<'_>>, effect: Effect<'_>, foreground: &Foreground) -> Result<Picture> {
        self.change(|content| {
            let kept = if content.has_frame { content.frame.frame() } else { None };
            let frame = frame.or(kept.as_ref()).ok_or_else(|| {
                SilhouetteError::frame("the segmentation keeps no frame", "pass the frame that was segmented")
            })?;
            Ok(content.segmentation.render(frame, effect, foreground)?)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // Half written by a panic, it is like any result before the next frame: its sizes match its vectors'.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, work: impl FnOnce(&Content) -> T) -> T {
        work(&self.lock())
    }

    fn change<T>(&self, work: impl FnOnce(&mut Content) -> Result<T>) -> Result<T> {
        guard(|| {
            let mut content = self.lock();
            if content.discarded {
                return Err(SilhouetteError::closed("segmentation"));
            }
            work(&mut content)
        })
    }
}

impl Raw for Segmentation {
    const NAME: &'static str = "segmentation";
}
