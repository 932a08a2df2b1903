// Video and live stream: smoothing, the latest frame wins, dropped frames are counted, ends.

import Foundation
import XCTest

@testable import Silhouette

final class StreamTests: XCTestCase {
    func testSmoothingRemembersUntilReset() throws {
        let segmenter = try segmenter()
        let video = try VideoSegmenter(segmenter, smoothing: Smoothing(halfLife: 10, longestPause: 100))
        let a = waves(50, 40)
        let b = waves(50, 40, phase: 40)
        let alone = try segmenter.segmentNow(b).mask()
        XCTAssertEqual(try video.segmentNow(a, at: 0).mask(), try segmenter.segmentNow(a).mask())
        let smoothed = try video.segmentNow(b, at: 0.001).mask()
        XCTAssertNotEqual(smoothed, alone)
        video.reset()
        XCTAssertEqual(try video.segmentNow(b, at: 0.002).mask(), alone)
        // Too long a pause restarts smoothing too, and so does a timestamp that runs backwards.
        _ = try video.segmentNow(a, at: 0.003)
        XCTAssertEqual(try video.segmentNow(b, at: 200).mask(), alone)
        _ = try video.segmentNow(a, at: 200.001)
        XCTAssertEqual(try video.segmentNow(b, at: 3).mask(), alone)
    }

    func testLiveResultsKeepTheirFrame() async throws {
        let live = try LiveSegmenter(segmenter(), smoothing: nil)
        let frame = waves(50, 40).rotated(.clockwise90)
        try live.submit(frame, at: 2.5)
        var results = live.results.makeAsyncIterator()
        let next = await results.next()
        let result = try XCTUnwrap(next)
        XCTAssertEqual(result.timestamp, 2.5, accuracy: 1e-9)
        XCTAssertEqual(result.dropped, 0)
        let segmentation = try result.segmentation.get()
        for effect in [Effect.picture, .overlay(), .blur(), .cutout(.classes([1])), .replace(background: waves(4, 4))] {
            XCTAssertEqual(try segmentation.render(effect), try segmentation.render(effect, of: frame))
        }
    }

    func testTheLatestFrameWins() async throws {
        let live = try LiveSegmenter(segmenter(), smoothing: nil)
        let count = 200
        let frames = (0..<5).map { waves(160, 120, phase: $0) }
        var replaced = 0
        for number in 0..<count where try live.submit(frames[number % 5], at: Double(number)) { replaced += 1 }
        XCTAssertGreaterThan(replaced, 0)
        var last = -1.0
        var taken = 0
        for await result in live.results {
            XCTAssertGreaterThan(result.timestamp, last)
            last = result.timestamp
            taken += 1
            if last == Double(count - 1) { break }
        }
        XCTAssertEqual(last, Double(count - 1))
        // Every frame was either accepted or counted as dropped.
        XCTAssertEqual(taken + live.dropped, count)
    }

    func testResultsThatNobodyTakesAreCounted() async throws {
        let live = try LiveSegmenter(segmenter(), smoothing: nil)
        for number in 0..<5 {
            try live.submit(waves(20, 20), at: Double(number))
            // Time for segmentation, so that results are dropped; if it is too short, a frame replaces the waiting one, which counts the
            // same.
            try await Task.sleep(nanoseconds: 100_000_000)
        }
        while live.dropped < 4 { try await Task.sleep(nanoseconds: 5_000_000) }
        var results = live.results.makeAsyncIterator()
        let next = await results.next()
        let result = try XCTUnwrap(next)
        XCTAssertEqual(result.timestamp, 4)
        XCTAssertEqual(result.dropped + 1, 5 - (live.dropped - result.dropped))
    }

    func testClosingAndCancelling() async throws {
        let live = try LiveSegmenter(segmenter())
        try live.submit(waves(20, 20), at: 0)
        live.cancel()
        live.close()
        live.close()
        assertFails("closed", try live.submit(waves(20, 20), at: 1)) { $0.isClosed }
        for await _ in live.results { XCTFail("a result after the end") }

        // When the reader ends, so does the stream.
        let other = try LiveSegmenter(segmenter())
        let reader = Task { for await _ in other.results {} }
        reader.cancel()
        await reader.value
        assertFails("reader cancelled", try other.submit(waves(20, 20), at: 1)) { $0.isClosed }
    }

    /// A task's cancellation calls back into the stream while holding the task's own lock, and at the same time the stream
    /// delivers a result to that task.
    func testReadersAreCancelledWhileResultsCome() async throws {
        let segmenter = try segmenter()
        let frames = (0..<3).map { waves(20, 20, phase: $0) }
        let done = expectation(description: "no reader's cancellation waits for a result that waits for it")
        Thread.detachNewThread {
            for round in 0..<300 {
                guard let live = try? LiveSegmenter(segmenter, smoothing: nil) else { return }
                let reader = Task.detached(priority: .userInitiated) { for await _ in live.results {} }
                // Frames without a pause, so that a result is being delivered at almost any moment.
                let until = Date(timeIntervalSinceNow: 0.0005 * Double(round % 8 + 1))
                var number = 0
                while Date() < until {
                    _ = try? live.submit(frames[number % 3], at: Double(number))
                    number += 1
                }
                reader.cancel()
            }
            done.fulfill()
        }
        await fulfillment(of: [done], timeout: 60)
    }

    func testClosingFromManyThreadsWhileFramesCome() async throws {
        for _ in 0..<20 {
            let live = try LiveSegmenter(segmenter())
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    for number in 0..<50 {
                        do { try live.submit(waves(30, 20), at: Double(number)) } catch { return }
                    }
                }
                group.addTask { for await _ in live.results {} }
                for _ in 0..<3 {
                    group.addTask {
                        try? await Task.sleep(nanoseconds: 2_000_000)
                        live.close()
                    }
                }
            }
            assertFails("closed", try live.submit(waves(30, 20), at: 99)) { $0.isClosed }
        }
    }

    func testASequenceOfFramesIsASequenceOfSegmentations() async throws {
        let segmenter = try segmenter()
        let frames = (0..<10).map { waves(60, 50, phase: $0) }
        let stream = AsyncStream<TimedFrame> { sink in
            for (number, frame) in frames.enumerated() { sink.yield(TimedFrame(frame, at: Double(number))) }
            sink.finish()
        }
        var masks: [Mask] = []
        for try await segmentation in segmenter.segments(of: stream, smoothing: Smoothing(halfLife: 0)) {
            masks.append(try segmentation.mask())
        }
        XCTAssertEqual(masks, try frames.map { try segmenter.segmentNow($0).mask() })
        let none = AsyncStream<TimedFrame> { $0.finish() }
        for try await _ in segmenter.segments(of: none) { XCTFail("a result of no frame") }
    }

    func testASequencesErrorsArePassedOn() async throws {
        let frames = AsyncThrowingStream<TimedFrame, any Error> { sink in
            sink.yield(TimedFrame(waves(20, 20), at: 0))
            sink.finish(throwing: CocoaError(.fileNoSuchFile))
        }
        do {
            let segmenter = try segmenter()
            for try await _ in segmenter.segments(of: frames) {}
            XCTFail("the error was lost")
        } catch {
            XCTAssertEqual((error as? CocoaError)?.code, .fileNoSuchFile)
        }
        let bad = AsyncStream<TimedFrame> { sink in
            sink.yield(TimedFrame(Frame(Data(), format: .rgba, width: 4, height: 4), at: 0))
            sink.finish()
        }
        do {
            let segmenter = try segmenter()
            for try await _ in segmenter.segments(of: bad) {}
            XCTFail("a bad frame was accepted")
        } catch let error as SilhouetteError {
            XCTAssertTrue(error.isInvalidFrame)
        }
    }

    func testTheSegmentersEndEndsItsStreamsFramesOnly() async throws {
        let segmenter = try segmenter()
        let live = try LiveSegmenter(segmenter, smoothing: nil)
        segmenter.close()
        try live.submit(waves(20, 20), at: 0)
        var results = live.results.makeAsyncIterator()
        let next = await results.next()
        guard case .failure(let error) = try XCTUnwrap(next).segmentation else { return XCTFail("a result after close") }
        XCTAssertTrue(error.isClosed)
    }

    private func segmenter() throws -> Segmenter { try SilhouetteTests.segmenter() }
}
