// The masks that Rust, Kotlin and Swift must all compute from the same frames: every format with padded rows, all eight
// orientations, a region, both matrices and ranges. They were made in a square.

import Foundation
import XCTest

@testable import Silhouette

final class GoldenTests: XCTestCase {
    func testMasksAreThoseOfRust() async throws {
        let model = try fixture()
        let cases = try GoldenCase.all()
        XCTAssertGreaterThanOrEqual(cases.count, 18)
        for golden in cases {
            let output = OutputSize.given(width: golden.width, height: golden.height)
            let segmenter = try Segmenter(model: model, options: Options(threads: 1, output: output, inputShape: .square))
            golden.check(try segmenter.segmentNow(golden.frame).mask(), "now")
            golden.check(try await segmenter.segment(golden.frame).mask(), "async")
        }
    }

    func testPlanesInMemoryOfOthersAreReadInPlace() throws {
        final class Owner: Sendable {}
        var owners: [UnsafeMutableRawBufferPointer] = []
        defer { owners.forEach { $0.deallocate() } }
        let cases = try GoldenCase.all { data, rowStride, pixelStride in
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: data.count, alignment: 1)
            data.copyBytes(to: memory)
            owners.append(memory)
            return Plane(
                unsafeBytes: UnsafeRawBufferPointer(memory), rowStride: rowStride, pixelStride: pixelStride, owner: Owner())
        }
        let model = try fixture()
        for golden in cases {
            let output = OutputSize.given(width: golden.width, height: golden.height)
            let segmenter = try Segmenter(model: model, options: Options(threads: 1, output: output, inputShape: .square))
            golden.check(try segmenter.segmentNow(golden.frame).mask(), "in place")
        }
    }

    func testLiveAndVideoMakeTheSameMasks() async throws {
        for golden in try GoldenCase.all() where golden.name.hasPrefix("turn") {
            let segmenter = try segmenter(Options(threads: 1, inputShape: .square))
            let video = try VideoSegmenter(segmenter, smoothing: Smoothing(halfLife: 0))
            golden.check(try await video.segment(golden.frame, at: 1).mask(), "video")
            let live = try LiveSegmenter(segmenter, smoothing: nil)
            try live.submit(golden.frame, at: 1)
            var results = live.results.makeAsyncIterator()
            let result = await results.next()
            golden.check(try XCTUnwrap(result).segmentation.get().mask(), "live")
        }
    }
}
