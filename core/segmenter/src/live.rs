//! Live stream: frames in at the camera's rate, results out as they are ready; if frames arrive too
//! fast, a newer one replaces the one that waits.

use crate::bounds;
use crate::error::{Error, Result};
use crate::latest::{Latest, SoFar, Work};
use crate::segmentation::Segmentation;
use crate::segmenter::Segmenter;
use crate::smooth::Smoothing;
use crate::video::VideoSegmenter;
use silhouette_imaging::frame::Frame;
use silhouette_imaging::owned::FrameBuffer;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// A result of a [`LiveSegmenter`].
#[derive(Debug)]
#[non_exhaustive]
pub struct LiveResult<'a> {
    /// The timestamp that the frame was submitted with.
    pub timestamp: Duration,
    /// The segmentation, or the error if the frame could not be segmented; later frames are still segmented. To keep it,
    /// swap it with another one ([`std::mem::swap`]): nothing is copied, and the other one's memory is used for a later
    /// frame.
    pub segmentation: Result<&'a mut Segmentation>,
    /// A copy of the submitted frame, for effects. It can be swapped too.
    pub frame: &'a mut FrameBuffer,
    /// Number of frames replaced by a newer one since the start.
    pub dropped: u64,
    /// The last return value of [`LiveSegmenter::cancel`] before the stream took the frame, or 0 if it had not been
    /// called. If a later call has returned a larger number, this result is stale.
    pub cancelled: u64,
}

/// Segments a stream of frames on a thread of its own. One frame is processed and one waits; a newer frame replaces the
/// waiting one. Results are passed to the listener, on that thread, in the order of the frames.
///
/// All methods can be called from any thread, including the listener's. Dropping it waits for the listener's last call,
/// unless the listener itself drops it.
///
/// ```
/// use silhouette::{Frame, LiveSegmenter, Model, Options, Segmenter, Smoothing};
/// use std::time::Duration;
///
/// let segmenter = Segmenter::new(&Model::people()?, &Options::new())?;
/// let live = LiveSegmenter::new(&segmenter, Some(Smoothing::default()), |result| match result.segmentation {
///     Ok(segmentation) => println!("{} x {}", segmentation.width(), segmentation.height()),
///     Err(error) => eprintln!("{error}"),
/// })?;
/// let pixels = vec![128; 64 * 48 * 3];
/// live.submit(&Frame::rgb(&pixels, 64, 48)?, Duration::ZERO)?;
/// live.close(); // Once it returns, the listener is not called any more.
/// # Ok::<(), silhouette::Error>(())
/// ```
pub struct LiveSegmenter {
    worker: Latest<Job>,
}

#[derive(Default)]
struct Job {
    frame: FrameBuffer,
    timestamp: Duration,
}

struct Stream<L> {
    video: VideoSegmenter,
    segmentation: Segmentation,
    outcome: Result<()>,
    listener: L,
}

impl LiveSegmenter {
    /// Starts the stream. `smoothing` reduces flicker between frames; `None` segments each frame independently.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system cannot create a thread; [`Error::Unsupported`] for a smoothing out of bounds.
    pub fn new(
        segmenter: &Segmenter,
        smoothing: Option<Smoothing>,
        listener: impl FnMut(LiveResult<'_>) + Send + 'static,
    ) -> Result<Self> {
        if let Some(smoothing) = &smoothing {
            bounds::smoothing(smoothing)?;
        }
        let stream = Stream {
            video: VideoSegmenter::new(segmenter, smoothing.unwrap_or(Smoothing::with_half_life(Duration::ZERO))),
            segmentation: Segmentation::default(),
            outcome: Ok(()),
            listener,
        };
        Ok(Self { worker: Latest::start("silhouette-live", stream)? })
    }

    /// Submits a frame: copies its planes (the caller's buffer is free again on return) and passes them to the worker.
    /// Returns `true` if it replaced a waiting frame, which is then dropped. Never waits for a result.
    ///
    /// # Errors
    /// [`Error::Closed`] after [`close`](Self::close), or after the listener panicked; [`Error::Unsupported`] if there
    /// is no memory for the copy.
    pub fn submit(&self, frame: &Frame<'_>, timestamp: Duration) -> Result<bool> {
        self.worker.submit(|job| {
            job.frame.copy_from(frame)?;
            job.timestamp = timestamp;
            Ok(())
        })
    }

    /// Discards the waiting frame and the result of the one being processed. Waits for a running call of the listener:
    /// when this returns, no result of an earlier frame is delivered any more. If the listener itself calls it, it does
    /// not wait. Returns how many times the stream has been cancelled.
    pub fn cancel(&self) -> u64 {
        self.worker.cancel()
    }

    /// Like [`cancel`](Self::cancel), but does not wait for a running call of the listener. [`LiveResult::cancelled`]
    /// shows whether a result is from before this call.
    pub fn forget(&self) -> u64 {
        self.worker.forget()
    }

    /// Number of frames replaced by a newer one.
    pub fn dropped(&self) -> u64 {
        self.worker.dropped()
    }

    /// Ends the stream. When this returns, the listener is not called any more; if the listener itself calls it, its
    /// current call is the last one. Can be called repeatedly.
    pub fn close(&self) {
        self.worker.close();
    }
}

impl<L: FnMut(LiveResult<'_>) + Send + 'static> Work<Job> for Stream<L> {
    fn run(&mut self, job: &Job) {
        // A panic here must not end the camera's stream: it becomes that frame's result.
        let run = || match job.frame.frame() {
            Some(frame) => self.video.segment_into(&frame, job.timestamp, &mut self.segmentation),
            None => Err(Error::internal("a frame's copy is empty")),
        };
        self.outcome = std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
            self.video.reset();
            self.segmentation = Segmentation::default();
            Err(Error::internal("segmenting a frame panicked"))
        });
    }

    fn deliver(&mut self, job: &mut Job, so_far: SoFar) {
        let segmentation = self.outcome.clone().map(|()| &mut self.segmentation);
        (self.listener)(LiveResult {
            timestamp: job.timestamp,
            segmentation,
            frame: &mut job.frame,
            dropped: so_far.dropped,
            cancelled: so_far.cancelled,
        });
    }
}
