// The cases of core/segmenter/tests/lifecycle.tsv, which Rust's and Kotlin's tests run too: closing, cancelling, many threads.

import Foundation
import XCTest

@testable import Silhouette

final class LifecycleTests: XCTestCase {
    private typealias Case = @Sendable () async throws -> Void

    func testEveryCaseOfTheTableHolds() async throws {
        let cases: [(String, Case)] = [
            ("close_while_running", closeWhileRunning),
            ("close_while_waiting", closeWhileWaiting),
            ("close_twice", closeTwice),
            ("reader_closes", readerCloses),
            ("close_from_finalizer", closeFromFinalizer),
            ("reader_cancels", readerCancels),
            ("nothing_after_cancel", nothingAfterCancel),
            ("nothing_after_close", nothingAfterClose),
            ("eight_threads", eightThreads),
        ]
        let table = repository.appendingPathComponent("core/segmenter/tests/lifecycle.tsv")
        let lines = try String(contentsOf: table, encoding: .utf8).split(separator: "\n").dropFirst()
        let listed = lines.filter { !$0.contains("swift:") }.map { String($0.prefix { $0 != "\t" }) }
        XCTAssertEqual(listed, cases.map(\.0))
        for (name, run) in cases {
            print(name)
            try await run()
        }
    }
}

/// The mask of a call that ended with a result; `nil`: it was rejected, because its segmenter was closed.
@Sendable private func maskOrClosed(_ segmenter: Segmenter, _ frame: Frame) throws -> Mask? {
    do {
        return try segmenter.segmentNow(frame).mask()
    } catch let error as SilhouetteError where error.isClosed {
        return nil
    }
}

@Sendable private func closeWhileRunning() async throws {
    let frame = waves(40, 30)
    let expected = try segmenter().segmentNow(frame).mask()
    for round in 0..<20 {
        let segmenter = try segmenter()
        let call = Task.detached { try maskOrClosed(segmenter, frame) }
        try await Task.sleep(nanoseconds: 100_000 * UInt64(round))
        segmenter.close()
        if let mask = try await call.value { XCTAssertEqual(mask, expected) }
        XCTAssertNil(try maskOrClosed(segmenter, frame))
    }
}

@Sendable private func closeWhileWaiting() async throws {
    let segmenter = try segmenter(Options(threads: 1, concurrency: 1))
    let started = Locked(0)
    try await withThrowingTaskGroup(of: Void.self) { group in
        // One runs, the others wait; all of them call repeatedly until they are rejected.
        for _ in 0..<6 {
            group.addTask {
                started.with { $0 += 1 }
                do {
                    while true { _ = try await segmenter.segment(waves(40, 30)) }
                } catch let error as SilhouetteError {
                    XCTAssertTrue(error.isClosed, "\(error)")
                }
            }
        }
        group.addTask {
            while started.with({ $0 }) < 6 { await Task.yield() }
            segmenter.close()
        }
        try await group.waitForAll()
    }
}

@Sendable private func closeTwice() async throws {
    let segmenter = try segmenter()
    let live = try LiveSegmenter(segmenter)
    for _ in 0..<2 {
        live.close()
        segmenter.close()
    }
    assertFails("closed", try live.submit(waves(40, 30), at: 0)) { $0.isClosed }
}

@Sendable private func readerCloses() async throws {
    let live = try LiveSegmenter(segmenter(), smoothing: nil)
    try live.submit(waves(40, 30), at: 0)
    var count = 0
    for await _ in live.results {
        count += 1
        // Another result is being computed, or waits to be read, when the stream is closed.
        try live.submit(waves(40, 30), at: Double(count))
        try await Task.sleep(nanoseconds: 5_000_000)
        live.close()
    }
    XCTAssertEqual(count, 1)
}

/// Releases its references on whatever thread drops it.
private final class Holder: Sendable {
    let segmenter: Segmenter
    let live: LiveSegmenter

    init() throws {
        segmenter = try SilhouetteTests.segmenter(Options(threads: 1))
        live = try LiveSegmenter(segmenter, smoothing: nil)
    }

    deinit {
        live.close()
        segmenter.close()
    }
}

@Sendable private func closeFromFinalizer() async throws {
    for _ in 0..<20 {
        var holder: Holder? = try Holder()
        try holder?.live.submit(waves(40, 30), at: 0)
        let segmenter = try XCTUnwrap(holder).segmenter
        let call = Task.detached { try maskOrClosed(segmenter, waves(40, 30)) }
        let last = Locked(holder)
        holder = nil
        Thread.detachNewThread { last.with { $0 = nil } }
        if let mask = try await call.value { XCTAssertEqual(mask.classes.count, 1200) }
    }
}

@Sendable private func readerCancels() async throws {
    let live = try LiveSegmenter(segmenter(), smoothing: nil)
    try live.submit(waves(40, 30), at: 0)
    var times: [Double] = []
    for await result in live.results {
        times.append(result.timestamp)
        if times.count == 2 { break }
        // This one's result waits to be read when the stream is cancelled.
        try live.submit(waves(40, 30), at: 1)
        try await Task.sleep(nanoseconds: 50_000_000)
        live.cancel()
        try live.submit(waves(40, 30), at: 2)
    }
    XCTAssertEqual(times, [0, 2])
}

@Sendable private func nothingAfterCancel() async throws {
    let segmenter = try segmenter()
    for round in 0..<100 {
        let live = try LiveSegmenter(segmenter, smoothing: nil)
        let end = Date(timeIntervalSinceNow: 0.00005 * Double(round % 40))
        repeat { try live.submit(waves(40, 30), at: 0) } while Date() < end
        live.cancel()
        try live.submit(waves(40, 30), at: 1)
        var results = live.results.makeAsyncIterator()
        let first = await results.next()
        XCTAssertEqual(first?.timestamp, 1, "round \(round)")
        live.close()
    }
}

@Sendable private func nothingAfterClose() async throws {
    let segmenter = try segmenter()
    for round in 0..<100 {
        let live = try LiveSegmenter(segmenter, smoothing: nil)
        let end = Date(timeIntervalSinceNow: 0.00005 * Double(round % 40))
        repeat { try live.submit(waves(40, 30), at: 0) } while Date() < end
        live.close()
        for await _ in live.results { XCTFail("a result after the end, round \(round)") }
    }
}

/// A second; a minute if SILHOUETTE_LONG is set.
@Sendable private func eightThreads() async throws {
    let frames = (0..<4).map { waves(40, 30, phase: $0) }
    let masks = try frames.map { try segmenter().segmentNow($0).mask() }
    let seconds = ProcessInfo.processInfo.environment["SILHOUETTE_LONG"] == nil ? 1.0 : 60
    let until = Date(timeIntervalSinceNow: seconds)
    let threads = (0..<8).map { number in
        onThread {
            var random = Numbers(state: UInt64(number) + 1)
            while Date() < until {
                let segmenter = try segmenter(Options(threads: 1, concurrency: 2))
                let live = try LiveSegmenter(segmenter, smoothing: nil)
                let pause = Double(random.next() % 3000) / 1e6
                let closer = onThread {
                    Thread.sleep(forTimeInterval: pause)
                    segmenter.close()
                }
                for time in 0..<(random.next() % 30) {
                    let which = Int(random.next() % 4)
                    switch random.next() % 4 {
                    case 0: _ = try live.submit(frames[which], at: Double(time))
                    case 1: live.cancel()
                    default:
                        if let mask = try maskOrClosed(segmenter, frames[which]) { XCTAssertEqual(mask, masks[which]) }
                    }
                }
                live.close()
                XCTAssertNil(closer())
            }
        }
    }
    for wait in threads { XCTAssertNil(wait()) }
}

/// A linear congruential generator: a different sequence on each thread, the same in each run.
private struct Numbers {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 33
    }
}

/// Runs work on a thread of its own; the returned closure waits for its end, and throws its error if there was one.
@Sendable private func onThread(_ work: @escaping @Sendable () throws -> Void) -> () -> (any Error)? {
    let done = DispatchSemaphore(value: 0)
    let failure = Locked<(any Error)?>(nil)
    Thread.detachNewThread {
        do { try work() } catch { failure.with { $0 = error } }
        done.signal()
    }
    return {
        done.wait()
        return failure.with { $0 }
    }
}
