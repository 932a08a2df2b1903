// Live stream: frames in at the camera's rate, results out as they are ready; if frames arrive too fast, a newer one
// replaces the one that waits.

import Foundation
internal import CSilhouette
internal import SilhouetteFFI

/// A result of a live stream.
public struct LiveResult: Sendable {
    /// The timestamp that the frame was submitted with, in seconds.
    public let timestamp: TimeInterval
    /// The segmentation, which keeps its frame (``Segmentation/render(_:of:)`` needs no other), or the error if the frame could not be
    /// segmented; later frames are still segmented.
    public let segmentation: Result<Segmentation, SilhouetteError>
    /// Number of frames replaced by a newer one since the start, and of results that were not read in time.
    public let dropped: Int
}

/// Segments a camera's stream on a thread of its own. One frame is processed and one waits; a newer frame replaces the
/// waiting one.
///
/// ```swift
/// let live = try LiveSegmenter(segmenter)
/// Task { for await result in live.results { show(result) } }
/// // For each of the camera's frames, on its queue:
/// try live.submit(Frame(pixelBuffer: buffer), at: time)
/// ```
///
/// It ends with ``close()``, when the last reference to it is released, and when the task that reads ``results`` is
/// cancelled.
public final class LiveSegmenter: Sendable {
    /// The results in the order of the frames, for one reader. A reader slower than the stream receives the latest one.
    public let results: AsyncStream<LiveResult>
    private let sink: AsyncStream<Numbered>.Continuation
    private let stream: Stream
    /// Results with a smaller number are stale: the stream was cancelled after their frames were taken.
    private let current = Locked<UInt64>(0)

    /// Starts the stream. `smoothing` reduces flicker between frames; `nil` segments each frame independently.
    ///
    /// - Throws: ``SilhouetteError/internal(_:)`` if the system cannot create a thread.
    public init(_ segmenter: Segmenter, smoothing: Smoothing? = Smoothing()) throws {
        let (numbered, sink) = AsyncStream.makeStream(of: Numbered.self, bufferingPolicy: .bufferingNewest(1))
        let stream = try Stream(segmenter, smoothing) { result, cancelled in
            if case .dropped = sink.yield(Numbered(result: result, cancelled: cancelled)) { return false }
            return true
        }
        // Not through this object, which would then never be released.
        sink.onTermination = { _ in stream.end() }
        self.sink = sink
        self.stream = stream
        // A result may wait for its reader while the stream is cancelled: whether it is stale is decided when it is read.
        let current = current
        results = AsyncStream {
            var waiting = numbered.makeAsyncIterator()
            while let next = await waiting.next() {
                if next.cancelled >= current.with({ $0 }) { return next.result }
            }
            return nil
        }
    }

    deinit {
        close()
    }

    /// Submits a frame: copies its planes (the camera's buffer is free again on return) and never waits for a result.
    ///
    /// - Returns: Whether it replaced a waiting frame, which is then dropped.
    /// - Throws: ``SilhouetteError/invalidFrame(_:)``; ``SilhouetteError/closed(_:)`` after the end.
    @discardableResult
    public func submit(_ frame: Frame, at timestamp: TimeInterval) throws -> Bool {
        try stream.submit(frame, at: timestamp)
    }

    /// Discards the waiting frame, the result of the one being processed and an unread result: once this returns, ``results`` delivers
    /// no result of an earlier frame. Never waits.
    public func cancel() {
        let number = stream.forget()
        current.with { $0 = max($0, number) }
    }

    /// Number of frames replaced by a newer one, and of results that were not read in time.
    public var dropped: Int { stream.dropped }

    /// Ends the stream and ``results``, without waiting for the frame being processed: its result and an unread one are discarded. Can be
    /// called repeatedly.
    public func close() {
        current.with { $0 = .max }
        sink.finish()
        stream.end()
    }
}

/// A result, and how often the stream had been cancelled when its frame was taken.
private struct Numbered: Sendable {
    let result: LiveResult
    let cancelled: UInt64
}

/// A live stream of the library that passes its results to a closure.
private final class Stream: Sendable {
    private let handle: SilhouetteFFI.LiveSegmenter
    private let listener: Listener
    private let ended = Locked(false)
    /// Where streams are ended, one after the other: a single thread waits for them, however many there are.
    private static let ends = DispatchQueue(label: "dev.silhouette.end", qos: .userInitiated)

    /// `deliver` receives each result and how often the stream had been cancelled when its frame was taken; it returns whether the result
    /// was accepted without dropping another one.
    init(
        _ segmenter: Segmenter, _ smoothing: Smoothing?, deliver: @escaping @Sendable (LiveResult, UInt64) -> Bool
    ) throws {
        let smoothing = try smoothing?.bridged()
        let listener = Listener(segmenter.model, deliver)
        handle = try translatingErrors {
            try SilhouetteFFI.LiveSegmenter(segmenter: segmenter.handle, smoothing: smoothing, listener: listener)
        }
        self.listener = listener
    }

    func submit(_ frame: Frame, at timestamp: TimeInterval) throws -> Bool {
        if ended.with({ $0 }) { throw SilhouetteError.closed(.init("the live segmenter was closed", "create a new one")) }
        let timestamp = try nanoseconds(timestamp)
        var replaced = false
        try frame.withNative { frame in
            try withRaw(handle) { raw in try calling { silhouette_submit(raw, frame, timestamp, &replaced, $0) } }
        }
        return replaced
    }

    /// Discards the waiting frame and the one being processed; results with a smaller number than the returned one are stale. (The library's
    /// `cancel` waits for a result that is being delivered, which may need a lock that the caller holds: see `end`.)
    func forget() -> UInt64 { handle.forget() }

    /// Accepts no more frames. The library's stream is ended elsewhere, because that waits until its thread has delivered a
    /// result, and cancelling a task holds a lock of that task that delivering a result to it needs.
    func end() {
        let first = ended.with { ended in
            defer { ended = true }
            return !ended
        }
        if first { Self.ends.async { [handle] in handle.shutdown() } }
    }

    var dropped: Int { Int(clamping: handle.dropped()) + listener.missed.with { $0 } }
}

/// Called by the library on the stream's thread.
private final class Listener: SilhouetteFFI.LiveListener, Sendable {
    let missed = Locked(0)
    private let model: Model
    private let deliver: @Sendable (LiveResult, UInt64) -> Bool

    init(_ model: Model, _ deliver: @escaping @Sendable (LiveResult, UInt64) -> Bool) {
        self.model = model
        self.deliver = deliver
    }

    func onResult(
        timestamp: UInt64, dropped: UInt64, cancelled: UInt64, segmentation: SilhouetteFFI.Segmentation
    ) {
        hand(timestamp, dropped, cancelled, .success(Segmentation(segmentation, of: model, pool: nil)))
    }

    func onError(timestamp: UInt64, dropped: UInt64, cancelled: UInt64, error: SilhouetteFFI.SilhouetteError) {
        hand(timestamp, dropped, cancelled, .failure(SilhouetteError(error)))
    }

    private func hand(
        _ timestamp: UInt64, _ dropped: UInt64, _ cancelled: UInt64,
        _ segmentation: Result<Segmentation, SilhouetteError>
    ) {
        let result = LiveResult(
            timestamp: seconds(timestamp), segmentation: segmentation,
            dropped: Int(clamping: dropped) + missed.with { $0 })
        if !deliver(result, cancelled) { missed.with { $0 += 1 } }
    }
}
