//! Segmenters of pictures and of videos.

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
    /// Makes a segmenter of a model.
    ///
    /// # Errors
    /// `InvalidModel` for a classifier's model or one that cannot be compiled; `Unsupported` for options that are not
    /// possible here.
    #[uniffi::constructor]
    pub fn new(model: &Model, options: Options) -> Result<Arc<Self>> {
        guard(|| Ok(Arc::new(Self(silhouette::Segmenter::new(&model.0, &options.into())?))))
    }

    /// Side of the network's input that it runs at, in pixels.
    pub fn size(&self) -> u32 {
        self.0.size() as u32
    }

    /// Backend, kernels, threads and memory in a few words.
    pub fn description(&self) -> String {
        self.0.describe()
    }

    /// Refuses further calls and those that wait; running ones end normally. Frees what no call uses. May be called again.
    pub fn shutdown(&self) {
        self.0.close();
    }

    /// Names this object on the C and JNI ways, as long as it lives.
    pub fn raw(&self) -> u64 {
        Raw::of(self)
    }
}

impl Segmenter {
    /// Segments `frame` into `out`.
    ///
    /// # Errors
    /// As [`silhouette::Segmenter::segment`]; [`Closed`](crate::SilhouetteError::Closed) also where `out` was discarded.
    pub fn segment(&self, frame: &Frame<'_>, out: &Segmentation) -> Result<()> {
        out.fill(|segmentation| Ok(self.0.segment_into(frame, segmentation)?))
    }
}

/// Segments the frames of one video, smoothed over time; frames come one after the other.
#[derive(Debug, uniffi::Object)]
pub struct VideoSegmenter(Mutex<silhouette::VideoSegmenter>);

#[uniffi::export]
impl VideoSegmenter {
    /// For a new video; the segmenter's arenas are shared with it.
    #[uniffi::constructor]
    pub fn new(segmenter: &Segmenter, smoothing: Smoothing) -> Arc<Self> {
        Arc::new(Self(Mutex::new(silhouette::VideoSegmenter::new(&segmenter.0, smoothing.into()))))
    }

    /// Forgets the frames before, as after a cut.
    pub fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).reset();
    }

    /// Names this object on the C and JNI ways, as long as it lives.
    pub fn raw(&self) -> u64 {
        Raw::of(self)
    }
}

impl VideoSegmenter {
    /// Segments the next frame into `out`; `timestamp` counts nanoseconds from any moment.
    ///
    /// # Errors
    /// As [`Segmenter::segment`].
    pub fn segment(&self, frame: &Frame<'_>, timestamp: u64, out: &Segmentation) -> Result<()> {
        // A panic in here may have left the average half written: the video starts afresh.
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
