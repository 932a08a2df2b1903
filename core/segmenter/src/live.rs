//! Live stream: frames as the camera gives them, results as they are ready; what comes faster than it can be segmented
//! is dropped, the latest frame wins.

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
    /// The segmentation, or why there is none; later frames are segmented all the same. To keep it, swap it for another
    /// one ([`std::mem::swap`]): nothing is copied, and the memory of that one serves a later frame.
    pub segmentation: Result<&'a mut Segmentation>,
    /// A copy of the frame that was submitted, for effects. May be swapped for another one likewise.
    pub frame: &'a mut FrameBuffer,
    /// How many frames gave their place to a newer one since the start.
    pub dropped: u64,
    /// What [`LiveSegmenter::cancel`] had returned last when the frame was taken (0: it was not called): a result whose number is smaller than
    /// that of a later call belongs to a frame that the call made stale.
    pub cancelled: u64,
}

/// Segments a stream of frames on a thread of its own. One frame is in work and one waits; a newer frame takes the place
/// of the one that waits. Results go to the listener, on that thread, in the order of the frames.
///
/// Everything may be called from any thread, the listener's included. Dropping it waits for the listener's last call,
/// unless it is dropped by the listener itself.
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
    /// Starts the stream. `smoothing` calms what flickers from frame to frame; `None` segments each frame by itself.
    ///
    /// # Errors
    /// [`Error::Internal`] where the system gives no thread; [`Error::Unsupported`] for a smoothing out of its bounds.
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

    /// Takes a frame: copies its planes (the caller's buffer is free again on return) and leaves it to the worker.
    /// `true` says that it took the place of one that still waited, which is then dropped. Never waits for a result.
    ///
    /// # Errors
    /// [`Error::Closed`] after [`close`](Self::close), or after the listener panicked; [`Error::Unsupported`] where there is no
    /// memory for the copy.
    pub fn submit(&self, frame: &Frame<'_>, timestamp: Duration) -> Result<bool> {
        self.worker.submit(|job| {
            job.frame.copy_from(frame)?;
            job.timestamp = timestamp;
            Ok(())
        })
    }

    /// Forgets the frame that waits; the result of the one in work is not handed out. Waits for a call of the listener that has begun: when this
    /// returns, no frame that was submitted before is handed out any more. Called by the listener itself, it does not wait. Returns how many
    /// times the stream has been cancelled.
    pub fn cancel(&self) -> u64 {
        self.worker.cancel()
    }

    /// As [`cancel`](Self::cancel), without waiting for a call of the listener that has begun. [`LiveResult::cancelled`] tells such a result from
    /// those of later frames.
    pub fn forget(&self) -> u64 {
        self.worker.forget()
    }

    /// How many frames gave their place to a newer one.
    pub fn dropped(&self) -> u64 {
        self.worker.dropped()
    }

    /// Ends the stream. When this returns, the listener is not called any more; called by the listener itself, that call
    /// is the last one. May be called again.
    pub fn close(&self) {
        self.worker.close();
    }
}

impl<L: FnMut(LiveResult<'_>) + Send + 'static> Work<Job> for Stream<L> {
    fn run(&mut self, job: &Job) {
        // A fault in here must not end the camera's stream: it becomes that frame's result.
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
