// Hostile frame geometry: a typed error, every time, and the segmenter stays usable.

import Foundation
import XCTest

@testable import Silhouette

final class HostileTests: XCTestCase {
    private let bytes = Data(count: 4096)

    private func packed(_ count: Int, _ stride: Int, _ width: Int, _ height: Int, _ format: PixelFormat = .rgba) -> Frame {
        Frame(Plane(bytes.prefix(count), rowStride: stride), format: format, width: width, height: height)
    }

    private func plane(_ count: Int, _ rowStride: Int, _ pixelStride: Int = 1) -> Plane {
        Plane(bytes.prefix(count), rowStride: rowStride, pixelStride: pixelStride)
    }

    /// 7x5 with chroma 4x3.
    private func yuv(_ y: Plane, _ u: Plane, _ v: Plane) -> Frame {
        Frame(y: y, u: u, v: v, width: 7, height: 5, color: YUVColor(matrix: .bt709, range: .full))
    }

    private func nv12(_ y: Plane, _ uv: Plane) -> Frame {
        Frame(y: y, uv: uv, width: 7, height: 5, color: YUVColor(matrix: .bt709, range: .full))
    }

    private lazy var refused: [(String, Frame)] = [
        ("no columns", packed(64, 16, 0, 4)), ("no rows", packed(64, 16, 4, 0)),
        ("negative columns", packed(64, 16, -4, 4)), ("negative rows", packed(64, 16, 4, -4)),
        ("columns beyond 32 bits", packed(64, 16, 1 << 40, 4)), ("rows beyond 32 bits", packed(64, 16, 4, 1 << 40)),
        ("largest size", packed(64, 16, .max, .max)), ("too wide", packed(64, 16, 1 << 25, 1)),
        ("one byte short", packed(63, 16, 4, 4)), ("no bytes", packed(0, 16, 4, 4)),
        ("rows that overlap", packed(64, 15, 4, 4)), ("stride of zero", packed(64, 0, 4, 4)),
        ("negative stride", packed(64, -16, 4, 4)), ("largest stride", packed(64, .max, 4, 4)),
        ("rgb short", packed(47, 12, 4, 4, .rgb)), ("bgra short", packed(63, 16, 4, 4, .bgra)),
        ("gray short", packed(15, 4, 4, 4, .gray)),
        ("tight rgba of overflowing width", Frame(bytes, format: .rgba, width: .max, height: 1)),
        ("luma short", yuv(plane(34, 7), plane(12, 4), plane(12, 4))),
        ("U short", yuv(plane(35, 7), plane(11, 4), plane(12, 4))),
        ("V short", yuv(plane(35, 7), plane(12, 4), plane(11, 4))),
        ("V of pixel stride 2 short", yuv(plane(35, 7), plane(23, 8, 2), plane(22, 8, 2))),
        ("pixel stride of zero", yuv(plane(35, 7), plane(12, 4, 0), plane(12, 4))),
        ("negative pixel stride", yuv(plane(35, 7), plane(12, 4, -1), plane(12, 4))),
        ("largest pixel stride", yuv(plane(35, 7), plane(12, 4, .max), plane(12, 4))),
        ("chroma rows that overlap", yuv(plane(35, 7), plane(24, 6, 2), plane(24, 8, 2))),
        ("no chroma", yuv(plane(35, 7), plane(0, 4), plane(0, 4))),
        ("pairs short", nv12(plane(35, 7), plane(23, 8))), ("no pairs", nv12(plane(35, 7), plane(0, 8))),
        ("pairs' rows overlap", nv12(plane(35, 7), plane(24, 7))),
        ("region beyond the right edge", waves(8, 4).cropped(to: Region(x: 5, y: 0, width: 4, height: 4))),
        (
            "region beyond the rotated edge",
            waves(8, 4).rotated(.clockwise90).cropped(to: Region(x: 0, y: 0, width: 5, height: 4))
        ),
        ("empty region", waves(8, 4).cropped(to: Region(x: 0, y: 0, width: 0, height: 0))),
        ("region of no rows", waves(8, 4).cropped(to: Region(x: 0, y: 0, width: 4, height: 0))),
        ("negative region", waves(8, 4).cropped(to: Region(x: -1, y: 0, width: 4, height: 4))),
        ("region of negative width", waves(8, 4).cropped(to: Region(x: 4, y: 0, width: -2, height: 4))),
        ("region beyond all", waves(8, 4).cropped(to: Region(x: .max, y: .max, width: .max, height: .max))),
    ]

    func testWhatDoesNotFitIsRefused() async throws {
        let segmenter = try segmenter()
        let video = try VideoSegmenter(segmenter)
        let live = try LiveSegmenter(segmenter)
        let good = try segmenter.segmentNow(waves(8, 4))
        for (what, frame) in refused {
            assertFails(what, try segmenter.segmentNow(frame)) { $0.isInvalidFrame }
            assertFails(what, try video.segmentNow(frame, at: 1)) { $0.isInvalidFrame }
            assertFails(what, try live.submit(frame, at: 1)) { $0.isInvalidFrame }
            assertFails(what, try good.render(.blur(), of: frame)) { $0.isInvalidFrame }
            assertFails(what, try good.render(.replace(background: frame), of: waves(8, 4))) { $0.isInvalidFrame }
            do {
                _ = try await segmenter.segment(frame)
                XCTFail(what)
            } catch let error as SilhouetteError {
                XCTAssertTrue(error.isInvalidFrame, "\(what): \(error)")
            }
        }
        XCTAssertEqual(try segmenter.segmentNow(waves(8, 4)).mask(), try good.mask())
    }

    func testWhatJustFitsIsTaken() throws {
        let segmenter = try segmenter()
        for (what, frame) in [
            ("no byte past the last pixel", packed(64, 16, 4, 4)), ("padding but in the last row", packed(76, 20, 4, 4)),
            ("one row, whose stride is never used", packed(16, 0, 4, 1)), ("one pixel", packed(1, 0, 1, 1, .gray)),
            ("short last chroma row", yuv(plane(35, 7), plane(23, 8, 2), plane(23, 8, 2))),
            ("short last pairs", nv12(plane(35, 7), plane(24, 8))),
        ] {
            XCTAssertNoThrow(try segmenter.segmentNow(frame), what)
        }
    }

    func testTimestampsAndBuffersOut() throws {
        let segmenter = try segmenter()
        let video = try VideoSegmenter(segmenter)
        let live = try LiveSegmenter(segmenter)
        for timestamp in [-1, .nan, .infinity, -.infinity, 1e300, .leastNonzeroMagnitude * -1e308] as [TimeInterval] {
            guard !(timestamp <= 0 && timestamp > -1e-10) else { continue }
            assertFails("\(timestamp)", try video.segmentNow(waves(8, 4), at: timestamp)) { $0.isInvalidFrame }
            assertFails("\(timestamp)", try live.submit(waves(8, 4), at: timestamp)) { $0.isInvalidFrame }
            assertFails("\(timestamp)", try VideoSegmenter(segmenter, smoothing: Smoothing(halfLife: timestamp))) {
                $0.isUnsupported
            }
        }
        let segmentation = try segmenter.segmentNow(waves(8, 4))
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
        defer { memory.deallocate() }
        for (count, stride) in [(31, 8), (0, 8), (4096, 7), (4096, -8), (4096, .max)] {
            let buffer = UnsafeMutableRawBufferPointer(rebasing: memory[0..<count])
            assertFails("mask \(count) \(stride)", try segmentation.mask(into: buffer, rowStride: stride)) {
                $0.isInvalidFrame
            }
        }
        for (count, stride) in [(127, 32), (0, 32), (4096, 31), (4096, -32), (4096, .max)] {
            let buffer = UnsafeMutableRawBufferPointer(rebasing: memory[0..<count])
            let layout = PictureLayout(rowStride: stride)
            assertFails(
                "picture \(count) \(stride)", try segmentation.render(.cutout(), of: waves(8, 4), into: buffer, layout: layout)
            ) { $0.isInvalidFrame }
        }
    }

    func testOptionsAndClasses() throws {
        let model = try fixture()
        for options in [
            Options(threads: 0), Options(threads: -1), Options(threads: 65), Options(threads: .max), Options(size: 0),
            Options(size: -5), Options(size: 5000), Options(size: .max), Options(concurrency: 0), Options(concurrency: -1),
        ] {
            assertFails("\(options)", try Segmenter(model: model, options: options)) { $0.isUnsupported }
        }
        for options in [
            Options(threads: Int(Int32.max)), Options(size: Int(Int32.max)), Options(concurrency: Int(Int32.max)),
            Options(concurrency: Int(UInt32.max)), Options(output: .given(width: 1 << 20, height: 1 << 20)),
        ] {
            assertFails("\(options)", try Segmenter(model: model, options: options)) { $0.isUnsupported }
        }
        for smoothing in [Smoothing(halfLife: 1e9), Smoothing(longestPause: 1e9)] {
            assertFails("\(smoothing)", try VideoSegmenter(segmenter(), smoothing: smoothing).segmentNow(waves(8, 4), at: 1)) {
                $0.isUnsupported
            }
        }
        let segmentation = try self.segmenter().segmentNow(waves(8, 4))
        for size in [OutputSize.given(width: 0, height: 4), .given(width: -1, height: 4), .given(width: .max, height: 1)] {
            assertFails("\(size)", try segmentation.resize(to: size)) { $0.isUnsupported }
        }
        for index in [21, 256, -1, .max] {
            assertFails("class \(index)", try segmentation.confidence(of: [index])) { $0.isUnsupported }
            assertFails("class \(index)", try segmentation.polygons(of: index)) { $0.isUnsupported }
            assertFails("class \(index)", try segmentation.render(.cutout(.classes([index])), of: waves(8, 4))) {
                $0.isUnsupported
            }
        }
        for strength in [-0.1, 1.1, .nan, .infinity] as [Float] {
            assertFails("opacity", try segmentation.render(.overlay(opacity: strength), of: waves(8, 4))) { $0.isUnsupported }
            assertFails("radius", try segmentation.render(.blur(radius: strength), of: waves(8, 4))) { $0.isUnsupported }
        }
        assertFails("another frame", try segmentation.render(.blur(), of: waves(9, 4))) { $0.isInvalidFrame }
        assertFails("no frame", try segmentation.render(.blur())) { $0.isInvalidFrame }
    }

    private func segmenter() throws -> Segmenter { try SilhouetteTests.segmenter() }
}
