//! The live stream, with a listener in the other language.

use crate::error::{Result, SilhouetteError, guard};
use crate::raw::Raw;
use crate::segmentation::Segmentation;
use crate::segmenter::Segmenter;
use crate::values::Smoothing;
use silhouette::{Frame, LiveResult};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Receives a stream's results, on the stream's own thread, in the order of the frames.
#[uniffi::export(with_foreign)]
pub trait LiveListener: Send + Sync {
    /// A frame was segmented. `timestamp` is the one that it was submitted with, `dropped` the number of frames
    /// replaced by a newer one since the start. The segmentation belongs to the listener as long as it holds it, and
    /// keeps its frame for effects. `cancelled` is the last return value of `forget` before the stream took the frame: if
    /// a later call has returned a larger number, the result is stale.
    fn on_result(&self, timestamp: u64, dropped: u64, cancelled: u64, segmentation: Arc<Segmentation>);

    /// A frame could not be segmented; later ones are still processed.
    fn on_error(&self, timestamp: u64, dropped: u64, cancelled: u64, error: SilhouetteError);
}

/// Segments a camera's stream: one frame is processed, one waits, and a newer one replaces the waiting one.
#[derive(uniffi::Object)]
pub struct LiveSegmenter {
    segmenter: silhouette::Segmenter,
    smoothing: Option<silhouette::Smoothing>,
    stream: OnceLock<silhouette::LiveSegmenter>,
    /// Held while the stream starts, so that concurrent closing and starting do not miss each other.
    shut: Mutex<bool>,
}

#[uniffi::export]
impl LiveSegmenter {
    /// Creates a stream that passes its results to `listener`.
    ///
    /// # Errors
    /// `Internal` if the system cannot create a thread.
    #[uniffi::constructor]
    pub fn new(
        segmenter: &Segmenter,
        smoothing: Option<Smoothing>,
        listener: Arc<dyn LiveListener>,
    ) -> Result<Arc<Self>> {
        let this = Self::idle(segmenter, smoothing);
        let mut pool = ResultPool::default();
        this.start(move |result| {
            let timestamp = nanoseconds(result.timestamp);
            let dropped = result.dropped;
            let cancelled = result.cancelled;
            match pool.take(result) {
                Ok(segmentation) => listener.on_result(timestamp, dropped, cancelled, segmentation),
                Err(error) => listener.on_error(timestamp, dropped, cancelled, error),
            }
        })?;
        Ok(this)
    }

    /// A stream that has no listener yet: JNI sets one.
    #[uniffi::constructor]
    pub fn idle(segmenter: &Segmenter, smoothing: Option<Smoothing>) -> Arc<Self> {
        let smoothing = smoothing.map(Into::into);
        Arc::new(Self { segmenter: segmenter.0.clone(), smoothing, stream: OnceLock::new(), shut: Mutex::new(false) })
    }

    /// Discards the waiting frame and the result of the one being processed. Waits for a running call of the listener:
    /// when this returns, no result of an earlier frame is delivered any more. If the listener itself calls it, it does
    /// not wait.
    pub fn cancel(&self) {
        if let Some(stream) = self.stream.get() {
            stream.cancel();
        }
    }

    /// Like `cancel`, but does not wait. Results whose `cancelled` is smaller than the returned number are stale.
    pub fn forget(&self) -> u64 {
        self.stream.get().map_or(0, silhouette::LiveSegmenter::forget)
    }

    /// Number of frames replaced by a newer one.
    pub fn dropped(&self) -> u64 {
        self.stream.get().map_or(0, silhouette::LiveSegmenter::dropped)
    }

    /// Ends the stream. When this returns, the listener is not called any more; if the listener itself calls it, its
    /// current call is the last one. Can be called repeatedly.
    pub fn shutdown(&self) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = true;
        if let Some(stream) = self.stream.get() {
            stream.close();
        }
    }

    /// Identifies this object in C and JNI, as long as it lives.
    pub fn raw(&self) -> u64 {
        Raw::of(self)
    }
}

impl LiveSegmenter {
    /// Starts the stream's thread.
    pub(crate) fn start(&self, listener: impl FnMut(LiveResult<'_>) + Send + 'static) -> Result<()> {
        guard(|| {
            let shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
            if *shut {
                return Err(SilhouetteError::closed("live segmenter"));
            }
            let stream = silhouette::LiveSegmenter::new(&self.segmenter, self.smoothing, listener)?;
            self.stream
                .set(stream)
                .map_err(|_| SilhouetteError::unsupported("the stream has a listener already", "create another stream"))
        })
    }

    /// Submits a copy of a frame; returns `true` if it replaced a waiting frame.
    ///
    /// # Errors
    /// [`SilhouetteError::Closed`].
    pub fn submit(&self, frame: &Frame<'_>, timestamp: u64) -> Result<bool> {
        let stream = self.stream.get().ok_or_else(|| SilhouetteError::closed("live segmenter"))?;
        guard(|| Ok(stream.submit(frame, Duration::from_nanos(timestamp))?))
    }
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Delivered segmentations, to be reused once the listener has released them.
#[derive(Default)]
struct ResultPool(Vec<Arc<Segmentation>>);

impl ResultPool {
    /// How many are kept: one that is displayed, one being drawn, and a spare one.
    const MOST: usize = 3;

    fn take(&mut self, result: LiveResult<'_>) -> Result<Arc<Segmentation>> {
        let found = result.segmentation?;
        let free = self.0.iter().find(|one| Arc::strong_count(one) == 1).map(Arc::clone);
        let one = free.unwrap_or_else(Segmentation::new);
        if one.swap(found, result.frame).is_err() {
            // Its holder discarded it: it stays discarded.
            self.0.retain(|other| !Arc::ptr_eq(other, &one));
            let fresh = Segmentation::new();
            fresh.swap(found, result.frame)?;
            return Ok(fresh);
        }
        if self.0.len() < Self::MOST && !self.0.iter().any(|other| Arc::ptr_eq(other, &one)) {
            self.0.push(Arc::clone(&one));
        }
        Ok(one)
    }
}

impl Raw for LiveSegmenter {
    const NAME: &'static str = "live segmenter";
}
