// Calls from many threads and tasks, closing while they run, cancelling, memory over many frames.

import Foundation
import XCTest

@testable import Silhouette

final class ConcurrencyTests: XCTestCase {
    func testEightThreads() throws {
        let segmenter = try segmenter(Options(threads: 1, concurrency: 3))
        let frames = (0..<4).map { waves(40, 30, phase: $0) }
        let expected = try frames.map { try segmenter.segmentNow($0).mask() }
        let failures = Locked<[String]>([])
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            for round in 0..<10 {
                let index = (thread + round) % 4
                do {
                    let mask = try segmenter.segmentNow(frames[index]).mask()
                    if mask != expected[index] { failures.with { $0.append("thread \(thread), round \(round)") } }
                } catch {
                    failures.with { $0.append("\(error)") }
                }
            }
        }
        XCTAssertEqual(failures.with { $0 }, [])
    }

    func testManyTasks() async throws {
        let segmenter = try segmenter(Options(threads: 1, concurrency: 2))
        let frames = (0..<4).map { waves(40, 30, phase: $0) }
        let expected = try frames.map { try segmenter.segmentNow($0).mask() }
        try await withThrowingTaskGroup(of: (Int, Mask).self) { group in
            for task in 0..<200 {
                group.addTask { (task % 4, try await segmenter.segment(frames[task % 4]).mask()) }
            }
            for try await (index, mask) in group { XCTAssertEqual(mask, expected[index]) }
        }
    }

    func testOneSegmentationUsedByManyThreads() throws {
        let frame = waves(40, 30)
        let segmentation = try segmenter().segmentNow(frame)
        let mask = try segmentation.mask()
        let failures = Locked(0)
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            for _ in 0..<20 {
                do {
                    switch thread % 4 {
                    case 0:
                        let other = try segmentation.mask()
                        if other.classes.count != other.width * other.height { failures.with { $0 += 1 } }
                    case 1: _ = try segmentation.confidence(of: [1])
                    case 2: try segmentation.resize(to: .given(width: 10 + thread, height: 20))
                    default: _ = try segmentation.render(.blur(), of: frame)
                    }
                } catch {
                    failures.with { $0 += 1 }
                }
            }
        }
        XCTAssertEqual(failures.with { $0 }, 0)
        try segmentation.resize(to: .frame)
        XCTAssertEqual(try segmentation.mask(), mask)
    }

    func testClosingWhileCallsRun() async throws {
        for round in 0..<10 {
            let segmenter = try segmenter(Options(threads: 1, concurrency: 1))
            let kept = try segmenter.segmentNow(waves(40, 30))
            let outcomes = await withTaskGroup(of: Bool.self) { group in
                for task in 0..<8 {
                    group.addTask {
                        do {
                            let segmentation = try await segmenter.segment(waves(40, 30, phase: task))
                            return try segmentation.mask().classes.count == 1200
                        } catch let error as SilhouetteError {
                            return error.isClosed
                        } catch {
                            return false
                        }
                    }
                }
                group.addTask {
                    if round % 2 == 0 { await Task.yield() }
                    segmenter.close()
                    segmenter.close()
                    return true
                }
                return await group.reduce(into: [Bool]()) { $0.append($1) }
            }
            XCTAssertEqual(outcomes, [Bool](repeating: true, count: 9))
            assertFails("after close", try segmenter.segmentNow(waves(8, 8))) { $0.isClosed }
            let video = try VideoSegmenter(segmenter)
            assertFails("video after close", try video.segmentNow(waves(8, 8), at: 0)) { $0.isClosed }
            // Earlier results stay.
            XCTAssertEqual(try kept.mask().classes.count, 1200)
        }
    }

    func testWaitingTasksAreCancelledAtOnce() async throws {
        let calls = CallQueue(limit: 1)
        let started = DispatchSemaphore(value: 0)
        let release = DispatchSemaphore(value: 0)
        let running = Task {
            try await calls.run {
                started.signal()
                release.wait()
                return 1
            }
        }
        await onThread { started.wait() }
        let ran = Locked(false)
        let waiting = Task { try await calls.run { ran.with { $0 = true } } }
        let behind = Task { try await calls.run { 2 } }
        waiting.cancel()
        do {
            try await waiting.value
            XCTFail("a cancelled task ran")
        } catch {
            XCTAssertTrue(error is CancellationError)
        }
        XCTAssertFalse(ran.with { $0 })
        // A running one ends, and its result is discarded.
        running.cancel()
        release.signal()
        do {
            _ = try await running.value
            XCTFail("a cancelled task returned a result")
        } catch {
            XCTAssertTrue(error is CancellationError)
        }
        let value = try await behind.value
        XCTAssertEqual(value, 2)
        let early = Task {
            while !Task.isCancelled { await Task.yield() }
            return try await calls.run { 3 }
        }
        early.cancel()
        do {
            _ = try await early.value
            XCTFail("a task that was cancelled before ran")
        } catch {
            XCTAssertTrue(error is CancellationError)
        }
    }

    func testAtMostTheLimitRunsAtOnce() async throws {
        let calls = CallQueue(limit: 2)
        let count = Locked((now: 0, most: 0, begun: 0))
        let second = DispatchSemaphore(value: 0)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<40 {
                group.addTask {
                    try await calls.run {
                        let begun = count.with {
                            $0 = ($0.now + 1, max($0.most, $0.now + 1), $0.begun + 1)
                            return $0.begun
                        }
                        defer { count.with { $0.now -= 1 } }
                        // The first call ends once the second has begun, so that two run at once on any machine.
                        if begun == 2 { second.signal() }
                        return begun != 1 || second.wait(timeout: .now() + 60) == .success
                    }
                }
            }
            for try await met in group { XCTAssertTrue(met, "a second call began beside the first") }
        }
        XCTAssertEqual(count.with { $0.most }, 2)
    }

    func testTurnsAreInTheOrderOfTheCalls() async throws {
        let calls = CallQueue(limit: 1)
        let started = DispatchSemaphore(value: 0)
        let release = DispatchSemaphore(value: 0)
        let first = Task {
            try await calls.run {
                started.signal()
                release.wait()
            }
        }
        await onThread { started.wait() }
        let order = Locked<[Int]>([])
        var later: [Task<Void, any Error>] = []
        for number in 0..<20 {
            later.append(Task { try await calls.run { order.with { $0.append(number) } } })
            while calls.waiting <= number { await Task.yield() }
        }
        release.signal()
        try await first.value
        for task in later { try await task.value }
        XCTAssertEqual(order.with { $0 }, Array(0..<20))
    }

    func testMemoryStaysFlat() throws {
        guard residentBytes() != nil else { throw XCTSkip("this system does not report a process's memory") }
        let long = ProcessInfo.processInfo.environment["SILHOUETTE_LONG"] != nil
        let segmenter = try segmenter()
        let video = try VideoSegmenter(segmenter)
        let frames = (0..<3).map { waves(160, 120, phase: $0) }
        let run = { (count: Int) in
            for number in 0..<count {
                let segmentation = try segmenter.segmentNow(frames[number % 3])
                _ = try segmentation.confidence(of: [1, 2])
                _ = try video.segmentNow(frames[number % 3], at: Double(number) / 30)
                if number % 50 == 0 { _ = try segmentation.render(.blur(), of: frames[number % 3]) }
            }
        }
        try run(200)
        let before = try XCTUnwrap(residentBytes())
        try run(long ? 10_000 : 1000)
        let grown = try XCTUnwrap(residentBytes()) - before
        // A frame's mask alone is 19 kB: keeping one in ten would be 2 MB, and 19 MB in the long run.
        XCTAssertLessThan(grown, 2 << 20, "grew by \(grown) bytes")
    }

    func testSegmentersAndStreamsGo() throws {
        weak var goneSegmenter: Segmenter?
        weak var goneLive: LiveSegmenter?
        do {
            let segmenter = try segmenter()
            let live = try LiveSegmenter(segmenter)
            try live.submit(waves(8, 8), at: 0)
            goneSegmenter = segmenter
            goneLive = live
        }
        XCTAssertNil(goneLive)
        XCTAssertNil(goneSegmenter)
    }

    /// Waits on a thread of its own.
    private func onThread(_ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                body()
                continuation.resume()
            }
        }
    }

    private func segmenter(_ options: Options = Options(threads: 1)) throws -> Segmenter {
        try SilhouetteTests.segmenter(options)
    }
}
