//! Video: frames with timestamps, segmented in order and temporally smoothed.

use crate::bounds;
use crate::camera::{Camera, Seen};
use crate::error::Result;
use crate::segmentation::Segmentation;
use crate::segmenter::Segmenter;
use crate::smooth::Smoother;
use crate::smooth::Smoothing;
use silhouette_imaging::frame::{Frame, Region, Rotation, Size};
use std::time::Duration;

/// Segments the frames of one video (see [`Smoothing`]); each video needs one of its own.
///
/// ```
/// use silhouette::{Frame, Model, Options, Segmenter, Smoothing, VideoSegmenter};
/// use std::time::Duration;
///
/// let segmenter = Segmenter::new(&Model::people()?, &Options::new())?;
/// let mut video = VideoSegmenter::new(&segmenter, Smoothing::default());
/// let frames = vec![vec![128; 64 * 48 * 3]; 3];
/// for (number, pixels) in frames.iter().enumerate() {
///     let time = Duration::from_secs_f64(number as f64 / 30.0);
///     let segmentation = video.segment(&Frame::rgb(pixels, 64, 48)?, time)?;
///     assert_eq!(segmentation.mask().classes.len(), 64 * 48);
/// }
/// # Ok::<(), silhouette::Error>(())
/// ```
#[derive(Debug)]
pub struct VideoSegmenter {
    segmenter: Segmenter,
    smoothing: Smoothing,
    smoother: Smoother,
    seen: Seen,
    camera: Camera,
    /// Region, size and orientation of the previous frame: if they change, the map's cells have other positions.
    view: Option<(Region, Size, Rotation, bool)>,
}

impl VideoSegmenter {
    /// Starts a new video; it shares the segmenter's arenas.
    pub fn new(segmenter: &Segmenter, smoothing: Smoothing) -> Self {
        Self {
            segmenter: segmenter.clone(),
            smoothing,
            smoother: Smoother::default(),
            seen: Seen::default(),
            camera: Camera::default(),
            view: None,
        }
    }

    /// The segmenter, whose arenas it shares.
    pub fn segmenter(&self) -> &Segmenter {
        &self.segmenter
    }

    /// Segments the next frame. `timestamp` counts from an arbitrary origin; pass frames in the order of their timestamps.
    ///
    /// # Errors
    /// The same as [`Segmenter::segment`]; [`Error::Unsupported`](crate::Error::Unsupported) for a smoothing out of bounds.
    pub fn segment(&mut self, frame: &Frame<'_>, timestamp: Duration) -> Result<Segmentation> {
        let mut segmentation = Segmentation::default();
        self.segment_into(frame, timestamp, &mut segmentation)?;
        Ok(segmentation)
    }

    /// Like [`segment`](Self::segment), but writes to `segmentation`; once that has seen a frame of this size, nothing is
    /// allocated.
    ///
    /// # Errors
    /// The same as [`segment`](Self::segment).
    pub fn segment_into(
        &mut self,
        frame: &Frame<'_>,
        timestamp: Duration,
        segmentation: &mut Segmentation,
    ) -> Result<()> {
        let view = Some((frame.region(), frame.upright_size(), frame.rotation(), frame.is_mirrored()));
        if self.view != view {
            self.reset();
            self.view = view;
        }
        let Self { segmenter, smoothing, smoother, seen, camera, .. } = self;
        bounds::smoothing(smoothing)?;
        if smoothing.half_life.is_zero() {
            return segmenter.segment_into(frame, segmentation);
        }
        seen.prepare(segmenter.input_size(frame))?;
        segmenter.segment_with(frame, segmentation, Some(seen), |logits, shape, placement| {
            let shift = camera.shift(seen, placement.valid)?;
            let (Size { height, width }, _) = shape;
            let cells = |pixels: f64, cells: usize, input: usize| pixels * cells as f64 / input as f64;
            let down = cells(shift.y, height.saturating_sub(1), placement.input.height.saturating_sub(1).max(1));
            let right = cells(shift.x, width.saturating_sub(1), placement.input.width.saturating_sub(1).max(1));
            smoother.follow(shape, down as f32, right as f32)?;
            Ok(smoother.smooth(logits, shape, timestamp, smoothing)?)
        })
    }

    /// Forgets the previous frames: smoothing restarts, as after a cut.
    pub fn reset(&mut self) {
        self.smoother.reset();
        self.camera.reset();
    }
}
