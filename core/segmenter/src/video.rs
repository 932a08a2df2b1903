//! Video: frames with timestamps, segmented in order and temporally smoothed.

use crate::bounds;
use crate::error::Result;
use crate::segmentation::Segmentation;
use crate::segmenter::Segmenter;
use crate::smooth::Smoother;
use crate::smooth::Smoothing;
use silhouette_imaging::frame::{Frame, Region, Rotation, Size};
use std::time::Duration;

/// Segments the frames of one video (see [`Smoothing`]); each video needs one of its own.
#[derive(Debug)]
pub struct VideoSegmenter {
    segmenter: Segmenter,
    smoothing: Smoothing,
    smoother: Smoother,
    /// Region, size and orientation of the previous frame: if they change, the map's cells have other positions.
    view: Option<(Region, Size, Rotation, bool)>,
}

impl VideoSegmenter {
    /// For a new video; it shares the segmenter's arenas.
    pub fn new(segmenter: &Segmenter, smoothing: Smoothing) -> Self {
        Self { segmenter: segmenter.clone(), smoothing, smoother: Smoother::default(), view: None }
    }

    /// Segments the next frame. `timestamp` has an arbitrary origin; frames must come in its order.
    ///
    /// # Errors
    /// As [`Segmenter::segment`]; [`Error::Unsupported`](crate::Error::Unsupported) for a smoothing out of bounds.
    pub fn segment(&mut self, frame: &Frame<'_>, timestamp: Duration) -> Result<Segmentation> {
        let mut segmentation = Segmentation::default();
        self.segment_into(frame, timestamp, &mut segmentation)?;
        Ok(segmentation)
    }

    /// The same without allocation once `segmentation` has seen a frame of this size.
    ///
    /// # Errors
    /// As [`segment`](Self::segment).
    pub fn segment_into(
        &mut self,
        frame: &Frame<'_>,
        timestamp: Duration,
        segmentation: &mut Segmentation,
    ) -> Result<()> {
        let view = Some((frame.region(), frame.upright_size(), frame.rotation(), frame.mirror()));
        if self.view != view {
            self.reset();
            self.view = view;
        }
        let Self { segmenter, smoothing, smoother, .. } = self;
        bounds::smoothing(smoothing)?;
        segmenter.segment_with(frame, segmentation, |logits, shape| {
            Ok(smoother.smooth(logits, shape, timestamp, smoothing)?)
        })
    }

    /// Forgets the previous frames: smoothing restarts, as after a cut.
    pub fn reset(&mut self) {
        self.smoother.reset();
    }
}
