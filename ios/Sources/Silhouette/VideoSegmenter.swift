// Video: frames with timestamps, segmented in order and temporally smoothed.

import Foundation
internal import CSilhouette
internal import SilhouetteFFI

/// How a video's frames are smoothed: stable where the image is static, immediate where it moves.
public struct Smoothing: Sendable, Hashable {
    /// In a static image, the weight of an observation halves in this many seconds. 0: no smoothing.
    public var halfLife: TimeInterval
    /// After a longer pause between two frames, in seconds, smoothing restarts.
    public var longestPause: TimeInterval

    /// Half-life and longest pause, in seconds.
    public init(halfLife: TimeInterval = 0.1, longestPause: TimeInterval = 1) {
        self.halfLife = halfLife
        self.longestPause = longestPause
    }

    func bridged() throws -> SilhouetteFFI.Smoothing {
        let time = { (seconds: TimeInterval, what: String) throws -> UInt64 in
            guard let time = UInt64(exactly: (seconds * 1e9).rounded()) else {
                throw SilhouetteError.unsupported(.init("\(what) of \(seconds) seconds", "pass seconds of zero or more"))
            }
            return time
        }
        return SilhouetteFFI.Smoothing(
            halfLife: try time(halfLife, "a half-life"), longestPause: try time(longestPause, "a pause"))
    }
}

/// Segments the frames of one video; each video needs one of its own.
///
/// Unlike ``LiveSegmenter`` it drops nothing: every frame is segmented, in the order of the calls.
public final class VideoSegmenter: Sendable {
    /// The segmenter, whose memory it shares.
    public let segmenter: Segmenter
    private let handle: SilhouetteFFI.VideoSegmenter
    private let calls = CallQueue(limit: 1)

    /// Starts a new video.
    ///
    /// - Throws: ``SilhouetteError/unsupported(_:)`` for a smoothing of negative seconds.
    public init(_ segmenter: Segmenter, smoothing: Smoothing = Smoothing()) throws {
        self.segmenter = segmenter
        handle = SilhouetteFFI.VideoSegmenter(segmenter: segmenter.handle, smoothing: try smoothing.bridged())
    }

    /// Segments the next frame, on a thread of its own.
    ///
    /// - Parameters:
    ///   - frame: The frame.
    ///   - timestamp: When it was taken, in seconds from an arbitrary origin; frames must come in this order.
    /// - Throws: The same as ``Segmenter/segment(_:)``.
    public func segment(_ frame: Frame, at timestamp: TimeInterval) async throws -> Segmentation {
        try await calls.run { [self] in try segmentNow(frame, at: timestamp) }
    }

    /// Segments the next frame on the calling thread, which blocks.
    ///
    /// - Throws: The same as ``Segmenter/segmentNow(_:)``.
    public func segmentNow(_ frame: Frame, at timestamp: TimeInterval) throws -> Segmentation {
        let timestamp = try nanoseconds(timestamp)
        return try segmenter.pool.fill(of: segmenter.model) { target in
            try frame.withNative { frame in
                try withRaw(handle) { raw in
                    try calling { silhouette_segment_video(raw, frame, timestamp, target, $0) }
                }
            }
        }
    }

    /// Forgets the previous frames: smoothing restarts, as after a cut.
    public func reset() {
        handle.reset()
    }
}

/// A frame and its timestamp.
public struct TimedFrame: Sendable {
    /// The frame.
    public let frame: Frame
    /// When it was taken, in seconds from an arbitrary origin.
    public let timestamp: TimeInterval

    /// A frame and when it was taken, in seconds from an arbitrary origin.
    public init(_ frame: Frame, at timestamp: TimeInterval) {
        self.frame = frame
        self.timestamp = timestamp
    }
}

extension Segmenter {
    /// Segments a video's frames in order, with temporal smoothing. Nothing is dropped: the next frame is requested when the previous one is
    /// segmented. Each iteration is a video of its own; it throws what `frames` throws, and as ``VideoSegmenter/segment(_:at:)``. For a camera
    /// see ``LiveSegmenter``.
    public func segments<Frames: AsyncSequence>(
        of frames: Frames, smoothing: Smoothing = Smoothing()
    ) -> Segmentations<Frames> where Frames.Element == TimedFrame {
        Segmentations(segmenter: self, frames: frames, smoothing: smoothing)
    }
}

/// The segmentations of a sequence of frames: see ``Segmenter/segments(of:smoothing:)``.
public struct Segmentations<Frames: AsyncSequence>: AsyncSequence where Frames.Element == TimedFrame {
    /// A segmented frame.
    public typealias Element = Segmentation
    let segmenter: Segmenter
    let frames: Frames
    let smoothing: Smoothing

    /// Starts a video.
    public func makeAsyncIterator() -> Iterator {
        Iterator(segmenter: segmenter, frames: frames.makeAsyncIterator(), smoothing: smoothing)
    }

    /// Segments one frame after the other.
    public struct Iterator: AsyncIteratorProtocol {
        let segmenter: Segmenter
        var frames: Frames.AsyncIterator
        let smoothing: Smoothing
        private var video: VideoSegmenter?

        init(segmenter: Segmenter, frames: Frames.AsyncIterator, smoothing: Smoothing) {
            self.segmenter = segmenter
            self.frames = frames
            self.smoothing = smoothing
        }

        /// The next segmentation; `nil` after the last frame.
        public mutating func next() async throws -> Segmentation? {
            guard let timed = try await frames.next() else { return nil }
            let video = try video ?? VideoSegmenter(segmenter, smoothing: smoothing)
            self.video = video
            return try await video.segment(timed.frame, at: timed.timestamp)
        }
    }
}
