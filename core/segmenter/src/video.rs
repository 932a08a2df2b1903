//! Video: frames with timestamps, segmented one after the other and smoothed over time.

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
    /// Region, size and orientation of the frame before: the map's cells mean other places once they change.
    view: Option<(Region, Size, Rotation, bool)>,
}

impl VideoSegmenter {
    /// For a new video; the segmenter's arenas are shared with it.
    pub fn new(segmenter: &Segmenter, smoothing: Smoothing) -> Self {
        Self { segmenter: segmenter.clone(), smoothing, smoother: Smoother::default(), view: None }
    }

    /// Segments the next frame. `timestamp` counts from any moment; frames must come in its order.
    ///
    /// # Errors
    /// As [`Segmenter::segment`]; [`Error::Unsupported`](crate::Error::Unsupported) for a smoothing out of its bounds.
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

    /// Forgets the frames before: the next one starts afresh, as after a cut.
    pub fn reset(&mut self) {
        self.smoother.reset();
    }
}
