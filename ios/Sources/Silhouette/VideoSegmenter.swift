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
        SilhouetteFFI.Smoothing(halfLife: try nanoseconds(halfLife), longestPause: try nanoseconds(longestPause))
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

    /// For a new video.
    ///
    /// - Throws: ``SilhouetteError/invalidFrame(_:)`` for a smoothing of negative seconds.
    public init(_ segmenter: Segmenter, smoothing: Smoothing = Smoothing()) throws {
        self.segmenter = segmenter
        handle = SilhouetteFFI.VideoSegmenter(segmenter: segmenter.handle, smoothing: try smoothing.bridged())
    }

    /// Segments the next frame, on a thread of its own.
    ///
    /// - Parameters:
    ///   - frame: The frame.
    ///   - timestamp: When it was taken, in seconds from an arbitrary origin; frames must come in this order.
    /// - Throws: As ``Segmenter/segment(_:)``.
    public func segment(_ frame: Frame, at timestamp: TimeInterval) async throws -> Segmentation {
        try await calls.run { [self] in try segmentNow(frame, at: timestamp) }
    }

    /// Segments the next frame on the calling thread, which blocks.
    ///
    /// - Throws: As ``Segmenter/segmentNow(_:)``.
    public func segmentNow(_ frame: Frame, at timestamp: TimeInterval) throws -> Segmentation {
        let timestamp = try nanoseconds(timestamp)
        return try segmenter.pool.fill(of: segmenter.model) { target in
            try frame.lend { frame in
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
