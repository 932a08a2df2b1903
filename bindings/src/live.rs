//! The live stream, with a listener on the other side.

use crate::error::{Result, SilhouetteError, guard};
use crate::raw::Raw;
use crate::segmentation::Segmentation;
use crate::segmenter::Segmenter;
use crate::values::Smoothing;
use silhouette::{Frame, LiveResult};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Takes a stream's results, on the stream's own thread, in the order of the frames.
#[uniffi::export(with_foreign)]
pub trait LiveListener: Send + Sync {
    /// A frame was segmented. `timestamp` is the one that it was submitted with, `dropped` the number of frames that gave
    /// their place to a newer one since the start. The segmentation is the listener's as long as it holds it, and keeps
    /// its frame for effects. `cancelled` is what `forget` had returned last when the frame was taken: a result whose number is
    /// smaller than that of a later call is stale.
    fn on_result(&self, timestamp: u64, dropped: u64, cancelled: u64, segmentation: Arc<Segmentation>);

    /// A frame could not be segmented; later ones are tried all the same.
    fn on_error(&self, timestamp: u64, dropped: u64, cancelled: u64, error: SilhouetteError);
}

/// Segments a camera's stream: one frame in work, one waiting, a newer one takes the place of that.
#[derive(uniffi::Object)]
pub struct LiveSegmenter {
    segmenter: silhouette::Segmenter,
    smoothing: Option<silhouette::Smoothing>,
    stream: OnceLock<silhouette::LiveSegmenter>,
    /// Held while the stream starts, so that closing and starting at once do not pass each other.
    shut: Mutex<bool>,
}

#[uniffi::export]
impl LiveSegmenter {
    /// A stream that hands its results to `listener`.
    ///
    /// # Errors
    /// `Internal` where the system gives no thread.
    #[uniffi::constructor]
    pub fn new(
        segmenter: &Segmenter,
        smoothing: Option<Smoothing>,
        listener: Arc<dyn LiveListener>,
    ) -> Result<Arc<Self>> {
        let this = Self::idle(segmenter, smoothing);
        let mut lent = Lent::default();
        this.start(move |result| {
            let timestamp = nanoseconds(result.timestamp);
            let dropped = result.dropped;
            let cancelled = result.cancelled;
            match lent.take(result) {
                Ok(segmentation) => listener.on_result(timestamp, dropped, cancelled, segmentation),
                Err(error) => listener.on_error(timestamp, dropped, cancelled, error),
            }
        })?;
        Ok(this)
    }

    /// A stream without a listener as yet: JNI brings one.
    #[uniffi::constructor]
    pub fn idle(segmenter: &Segmenter, smoothing: Option<Smoothing>) -> Arc<Self> {
        let smoothing = smoothing.map(Into::into);
        Arc::new(Self { segmenter: segmenter.0.clone(), smoothing, stream: OnceLock::new(), shut: Mutex::new(false) })
    }

    /// Forgets the frame that waits; the result of the one in work is not handed out. Waits for a call of the listener that has
    /// begun: when this returns, no frame that was submitted before is handed out any more. Called by the listener itself, it does
    /// not wait.
    pub fn cancel(&self) {
        if let Some(stream) = self.stream.get() {
            stream.cancel();
        }
    }

    /// As `cancel`, without waiting: returns a number, and results whose `cancelled` is smaller are stale.
    pub fn forget(&self) -> u64 {
        self.stream.get().map_or(0, silhouette::LiveSegmenter::forget)
    }

    /// How many frames gave their place to a newer one.
    pub fn dropped(&self) -> u64 {
        self.stream.get().map_or(0, silhouette::LiveSegmenter::dropped)
    }

    /// Ends the stream. When this returns, the listener is not called any more; called by the listener itself, that call
    /// is the last one. May be called again.
    pub fn shutdown(&self) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = true;
        if let Some(stream) = self.stream.get() {
            stream.close();
        }
    }

    /// Names this object on the C and JNI ways, as long as it lives.
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
                .map_err(|_| SilhouetteError::unsupported("the stream has a listener already", "make another stream"))
        })
    }

    /// Takes a copy of a frame; `true` says that it took the place of one that still waited.
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

/// Segmentations that went out, to be used again once the listener has let go of them.
#[derive(Default)]
struct Lent(Vec<Arc<Segmentation>>);

impl Lent {
    /// How many are remembered: one on show, one being drawn, and one to spare.
    const MOST: usize = 3;

    fn take(&mut self, result: LiveResult<'_>) -> Result<Arc<Segmentation>> {
        let found = result.segmentation?;
        let free = self.0.iter().find(|one| Arc::strong_count(one) == 1).map(Arc::clone);
        let one = free.unwrap_or_else(Segmentation::new);
        if one.swap(found, result.frame).is_err() {
            // Its holder discarded it: it stays so.
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
