//! Segmenters of images and of videos.

use crate::error::{Result, guard};
use crate::model::Model;
use crate::raw::Raw;
use crate::segmentation::Segmentation;
use crate::values::{Options, Smoothing};
use silhouette::Frame;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Segments frames, from any number of threads.
#[derive(Debug, uniffi::Object)]
pub struct Segmenter(pub(crate) silhouette::Segmenter);

#[uniffi::export]
impl Segmenter {
    /// Creates a segmenter from a model.
    ///
    /// # Errors
    /// `InvalidModel` for a classifier's model or one that cannot be compiled; `Unsupported` for options that are not
    /// supported here.
    #[uniffi::constructor]
    pub fn new(model: &Model, options: Options) -> Result<Arc<Self>> {
        guard(|| Ok(Arc::new(Self(silhouette::Segmenter::new(&model.0, &options.into())?))))
    }

    /// Side of the network's input, in pixels.
    pub fn size(&self) -> u32 {
        self.0.size() as u32
    }

    /// A short description of backend, kernels, threads and memory.
    pub fn description(&self) -> String {
        self.0.description().to_owned()
    }

    /// Rejects new and waiting calls; running ones end normally. Frees everything not in use. Can be called repeatedly.
    pub fn shutdown(&self) {
        self.0.close();
    }

    /// Identifies this object in C and JNI, as long as it lives.
    pub fn raw(&self) -> u64 {
        Raw::of(self)
    }
}

impl Segmenter {
    /// Segments `frame` into `out`.
    ///
    /// # Errors
    /// The same as [`silhouette::Segmenter::segment`]; [`Closed`](crate::SilhouetteError::Closed) also if `out` was discarded.
    pub fn segment(&self, frame: &Frame<'_>, out: &Segmentation) -> Result<()> {
        out.fill(|segmentation| Ok(self.0.segment_into(frame, segmentation)?))
    }
}

/// Segments the frames of one video in order, with temporal smoothing.
#[derive(Debug, uniffi::Object)]
pub struct VideoSegmenter(Mutex<silhouette::VideoSegmenter>);

#[uniffi::export]
impl VideoSegmenter {
    /// Starts a new video; it shares the segmenter's arenas.
    #[uniffi::constructor]
    pub fn new(segmenter: &Segmenter, smoothing: Smoothing) -> Arc<Self> {
        Arc::new(Self(Mutex::new(silhouette::VideoSegmenter::new(&segmenter.0, smoothing.into()))))
    }

    /// Forgets the previous frames, as after a cut.
    pub fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).reset();
    }

    /// Identifies this object in C and JNI, as long as it lives.
    pub fn raw(&self) -> u64 {
        Raw::of(self)
    }
}

impl VideoSegmenter {
    /// Segments the next frame into `out`; `timestamp` is in nanoseconds from an arbitrary origin.
    ///
    /// # Errors
    /// The same as [`Segmenter::segment`].
    pub fn segment(&self, frame: &Frame<'_>, timestamp: u64, out: &Segmentation) -> Result<()> {
        // A panic in here may have left the average half written: smoothing restarts.
        let mut video = self.0.lock().unwrap_or_else(|poison| {
            self.0.clear_poison();
            let mut video = poison.into_inner();
            video.reset();
            video
        });
        out.fill(|segmentation| Ok(video.segment_into(frame, Duration::from_nanos(timestamp), segmentation)?))
    }
}

impl Raw for Segmenter {
    const NAME: &'static str = "segmenter";
}

impl Raw for VideoSegmenter {
    const NAME: &'static str = "video segmenter";
}
