// The samples of docs/ios.md, verbatim, and tests that they do what the guide describes.

import Foundation
import Silhouette
import XCTest

// sample: blur
func blurred(_ frame: Frame) async throws -> Picture {
    let segmenter = try Segmenter(model: .people())
    defer { segmenter.close() }
    return try await segmenter.segment(frame).blur(of: frame)
}
// end of sample

// sample: picture
func share(of label: String, in frame: Frame) async throws -> Double {
    let segmenter = try Segmenter(model: .voc21())
    defer { segmenter.close() }
    let segmentation = try await segmenter.segment(frame)
    let index = try segmenter.model.classIndex(of: label)
    return segmentation.shares.first { $0.classIndex == index }?.share ?? 0
}
// end of sample

// sample: planes
func frames(rgba: Data, y: Data, uv: Data, width: Int, height: Int, stride: Int) -> [Frame] {
    let luma = Plane(y, rowStride: stride)
    let chroma = Plane(uv, rowStride: stride)
    let color = YUVColor(matrix: .bt709, range: .full)
    let turned = Frame(y: luma, uv: chroma, width: width, height: height, color: color).rotated(.clockwise90)
    return [
        Frame(rgba, format: .rgba, width: width, height: height),
        turned.cropped(to: Region(x: 0, y: 0, width: height / 2, height: width / 2)),
    ]
}
// end of sample

// sample: live
func preview(_ live: LiveSegmenter, show: @Sendable (Picture) async -> Void) async throws {
    for await result in live.results {
        await show(try result.segmentation.get().blur())
    }
}
// end of sample

// sample: model
func open(_ url: URL) throws -> Segmenter {
    try Segmenter(model: Model(contentsOf: url), options: Options(threads: 2, size: 257, output: .model))
}
// end of sample

final class GuideSamples: XCTestCase {
    func testBlur() async throws {
        // A checkerboard, in which no person stands: it becomes soft.
        let width = 200
        let height = 150
        let pixels = (0..<width * height).flatMap { i -> [UInt8] in
            let value: UInt8 = (i % width / 4 + i / width / 4) % 2 == 0 ? 0 : 255
            return [value, value, value, 255]
        }
        let picture = try await blurred(Frame(Data(pixels), format: .rgba, width: width, height: height))
        XCTAssertEqual([picture.width, picture.height], [width, height])
        let changed = zip(picture.rgba, pixels).filter { $0 != $1 }.count
        XCTAssertGreaterThan(changed, pixels.count / 3, "of \(pixels.count) bytes")
    }

    func testPicture() async throws {
        let grey = Frame(Data(repeating: 99, count: 40 * 30 * 4), format: .rgba, width: 40, height: 30)
        let background = try await share(of: "background", in: grey)
        XCTAssertGreaterThan(background, 0.5)
    }

    func testModel() throws {
        XCTAssertEqual(try SilhouetteTests.open(fixtureURL()).size, 257)
    }

    func testPlanes() throws {
        let frames = frames(
            rgba: Data(count: 40 * 30 * 4), y: Data(count: 48 * 30), uv: Data(count: 48 * 15), width: 40, height: 30, stride: 48)
        let segmenter = try Segmenter(model: .voc21(), options: Options(size: 65))
        XCTAssertEqual(try frames.map { try segmenter.segmentNow($0).mask().classes.count }, [1200, 300])
    }

    func testLive() async throws {
        let live = try LiveSegmenter(Segmenter(model: .people(), options: Options(size: 65)))
        try live.submit(Frame(Data(count: 40 * 30 * 4), format: .rgba, width: 40, height: 30), at: 0)
        let (pictures, sink) = AsyncStream.makeStream(of: Picture.self)
        let showing = Task { try await preview(live) { sink.yield($0) } }
        var shown = pictures.makeAsyncIterator()
        let picture = await shown.next()
        XCTAssertEqual([picture?.width, picture?.height], [40, 30])
        live.close()
        try await showing.value
    }
}
