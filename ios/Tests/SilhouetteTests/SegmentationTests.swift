// The contents of a segmentation: mask, confidence, polygons, transform, shares, images.

import Foundation
import XCTest

@testable import Silhouette

final class SegmentationTests: XCTestCase {
    func testMaskConfidenceAndSharesAgree() throws {
        let segmentation = try segmenter().segmentNow(waves(50, 40))
        let mask = try segmentation.mask()
        XCTAssertEqual([mask.width, mask.height, mask.classes.count], [50, 40, 2000])
        XCTAssertEqual(mask[49, 39], Int(mask.classes[1999]))
        var counts = [Int: Int]()
        for value in mask.classes { counts[Int(value), default: 0] += 1 }
        let shares = segmentation.shares
        XCTAssertEqual(shares.map(\.share), shares.map(\.share).sorted(by: >))
        XCTAssertEqual(
            Dictionary(uniqueKeysWithValues: shares.map { ($0.classIndex, $0.share) }),
            counts.mapValues { Double($0) / 2000 })
        // Every class is as likely as all of them together.
        XCTAssertEqual(try segmentation.confidence(of: Array(0..<21)).values, [UInt8](repeating: 255, count: 2000))
        XCTAssertEqual(try segmentation.confidence(of: []).values, [UInt8](repeating: 0, count: 2000))
        let most = try XCTUnwrap(shares.first).classIndex
        let confidence = try segmentation.confidence(of: [most])
        XCTAssertEqual([confidence.width, confidence.height], [50, 40])
        let inside = zip(confidence.values, mask.classes).filter { $1 == most }.map { Int($0.0) }
        let outside = zip(confidence.values, mask.classes).filter { $1 != most }.map { Int($0.0) }
        let mean = { (values: [Int]) in values.isEmpty ? 0 : Double(values.reduce(0, +)) / Double(values.count) }
        XCTAssertGreaterThan(mean(inside), mean(outside))
        XCTAssertGreaterThan(segmentation.timings.network, 0)
        XCTAssertGreaterThan(segmentation.timings.total, segmentation.timings.network)
    }

    func testWeightsThatWereKeptGiveTheSameMask() throws {
        let cache = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: cache) }
        let expected = try segmenter().segmentNow(waves(50, 40)).mask()
        for _ in 0..<2 {
            let again = try segmenter(Options(threads: 1, weightCache: cache))
            XCTAssertEqual(try again.segmentNow(waves(50, 40)).mask(), expected)
            let files = try FileManager.default.contentsOfDirectory(atPath: cache.path)
            XCTAssertEqual(files.filter { $0.hasSuffix(".packed") }.count, 1, "\(files)")
        }
    }

    func testTheFramesShapeIsTheDefaultAndASquareMakesAnotherMaskOfTheSameSize() throws {
        XCTAssertEqual(Options().inputShape, .frame)
        let own = try segmenter().segmentNow(waves(80, 40)).mask()
        let asked = try segmenter(Options(threads: 1, inputShape: .frame)).segmentNow(waves(80, 40)).mask()
        let square = try segmenter(Options(threads: 1, inputShape: .square)).segmentNow(waves(80, 40)).mask()
        XCTAssertEqual(own, asked)
        XCTAssertEqual([square.width, square.height], [80, 40])
        XCTAssertNotEqual(own, square, "the square has grey beside the frame")
    }

    func testEdgesAreRefinedByDefault() throws {
        let frame = waves(80, 60)
        let cut = { (options: Options) in
            try SilhouetteTests.segmenter(options).segmentNow(frame).render(.cutout(.classes([1, 2, 3, 4, 5, 6, 7])), of: frame)
        }
        let plain = try cut(Options(threads: 1, refine: false))
        XCTAssertEqual(try cut(Options(threads: 1)), try cut(Options(threads: 1, refine: true)))
        XCTAssertNotEqual(try cut(Options(threads: 1)), plain)
    }

    func testMaskGoesIntoPaddedMemory() throws {
        let segmentation = try segmenter().segmentNow(waves(9, 5))
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 * 16 + 9, alignment: 1)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0xEE)
        try segmentation.mask(into: memory, rowStride: 16)
        let mask = try segmentation.mask()
        for (index, byte) in memory.enumerated() {
            XCTAssertEqual(byte, index % 16 < 9 ? UInt8(mask[index % 16, index / 16]) : 0xEE, "byte \(index)")
        }
    }

    func testResizing() throws {
        let segmenter = try segmenter(Options(threads: 1, output: .model))
        let segmentation = try segmenter.segmentNow(waves(50, 40))
        let small = try segmentation.mask()
        try segmentation.resize(to: .frame)
        XCTAssertEqual([segmentation.width, segmentation.height], [50, 40])
        XCTAssertEqual(try segmentation.mask(), try self.segmenter().segmentNow(waves(50, 40)).mask())
        try segmentation.resize(to: .given(width: 7, height: 90))
        XCTAssertEqual(try segmentation.mask().classes.count, 630)
        try segmentation.resize(to: .model)
        XCTAssertEqual(try segmentation.mask(), small)
    }

    func testTransformLeadsToTheBuffer() throws {
        let region = Region(x: 4, y: 6, width: 20, height: 30)
        let frame = waves(50, 40).rotated(.clockwise90).mirrored().cropped(to: region)
        let segmentation = try segmenter().segmentNow(frame)
        XCTAssertEqual([segmentation.width, segmentation.height], [20, 30])
        // The upright image is 40x50; when rotated clockwise, its column c was row 39 - c of the buffer, and when mirrored it
        // is row c.
        let corner = segmentation.transform.map(x: 0, y: 0)
        XCTAssertEqual(corner.x, 6, accuracy: 1e-9)
        XCTAssertEqual(corner.y, 4, accuracy: 1e-9)
        let far = segmentation.transform.map(x: 20, y: 30)
        XCTAssertEqual(far.x, 36, accuracy: 1e-9)
        XCTAssertEqual(far.y, 24, accuracy: 1e-9)
        let back = segmentation.transform.inverse.map(x: far.x, y: far.y)
        XCTAssertEqual(back.x, 20, accuracy: 1e-9)
        XCTAssertEqual(back.y, 30, accuracy: 1e-9)
    }

    func testPolygonsFilledAgainAreTheMask() throws {
        let segmentation = try segmenter().segmentNow(waves(50, 40))
        let mask = try segmentation.mask()
        for share in segmentation.shares {
            let polygons = try segmentation.polygons(of: share.classIndex)
            for y in 0..<40 {
                for x in 0..<50 {
                    let inside = polygons.contains { contains($0, Double(x) + 0.5, Double(y) + 0.5) }
                    XCTAssertEqual(inside, mask[x, y] == share.classIndex, "(\(x), \(y)) of class \(share.classIndex)")
                }
            }
            let largest = try segmentation.polygons(of: share.classIndex, tolerance: 2, leastArea: 2001)
            XCTAssertTrue(largest.isEmpty)
        }
    }

    /// The even-odd rule over outline and holes.
    private func contains(_ polygon: Polygon, _ x: Double, _ y: Double) -> Bool {
        ([polygon.outer] + polygon.holes).reduce(false) { inside, ring in
            var crossings = inside
            for (a, b) in zip(ring, ring.dropFirst() + ring.prefix(1)) where (Double(a.y) > y) != (Double(b.y) > y) {
                let at = Double(a.x) + (y - Double(a.y)) / Double(b.y - a.y) * Double(b.x - a.x)
                if x < at { crossings.toggle() }
            }
            return crossings
        }
    }

    func testPictures() throws {
        let frame = waves(50, 40).rotated(.clockwise270)
        let segmentation = try segmenter().segmentNow(frame)
        XCTAssertEqual(segmentation.frameSize, Size(width: 40, height: 50))
        let plain = try segmentation.render(.picture, of: frame)
        XCTAssertEqual([plain.width, plain.height, plain.rgba.count], [40, 50, 8000])
        // When rotated counter-clockwise, the buffer's last column is the image's first row.
        XCTAssertEqual(Array(plain.rgba.prefix(3)), pixel(waves(50, 40), 49, 0))
        XCTAssertEqual(try segmentation.render(.overlay(opacity: 0), of: frame), plain)
        XCTAssertEqual(try segmentation.render(.replace(.classes([]), background: plain.frame), of: frame), plain)
        let all = Foreground.classes(Array(0..<21))
        XCTAssertEqual(try segmentation.render(.cutout(all), of: frame), plain)
        XCTAssertEqual(try segmentation.render(.blur(all), of: frame), plain)
        let empty = try segmentation.render(.cutout(.classes([])), of: frame)
        XCTAssertTrue(stride(from: 3, to: 8000, by: 4).allSatisfy { empty.rgba[$0] == 0 })
        XCTAssertNotEqual(try segmentation.render(.blur(.classes([]), radius: 0.1), of: frame), plain)

        // Full opacity shows the class's colour wherever it is not the background.
        let overlay = try segmentation.render(.overlay(opacity: 1), of: frame)
        let mask = try segmentation.mask()
        for y in 0..<50 {
            for x in 0..<40 {
                let color = segmentation.model.colors[mask[x, y]]
                let expected = mask[x, y] == 0 ? pixel(plain.frame, x, y) : [color.red, color.green, color.blue]
                let at = (y * 40 + x) * 4
                XCTAssertEqual(Array(overlay.rgba[at..<at + 3]), expected, "(\(x), \(y))")
            }
        }
    }

    func testAnAlphaThatCountsStays() throws {
        let hidden: [UInt8] = [9, 8, 7, 0]
        let half: [UInt8] = [200, 100, 50, 128]
        let whole: [UInt8] = [10, 20, 30, 255]
        let bytes = Data((0..<48).flatMap { [hidden, half, whole][$0 % 3] })
        let expected = Data((0..<48).flatMap { [[0, 0, 0, 0], half, whole][$0 % 3] })
        let frame = Frame(bytes, format: .rgba, width: 8, height: 6).transparent(.straight)
        let segmentation = try segmenter().segmentNow(frame)
        let picture = try segmentation.render(.picture, of: frame)
        XCTAssertEqual(picture.rgba, expected)
        XCTAssertEqual(try segmentation.render(.picture, of: picture.frame).rgba, expected)
        let ignored = Frame(bytes, format: .rgba, width: 8, height: 6)
        XCTAssertEqual(try segmentation.render(.picture, of: ignored).rgba[3], 255)
    }

    func testPicturesInBuffersOfOtherLayouts() throws {
        let frame = waves(9, 5)
        let segmentation = try segmenter().segmentNow(frame)
        let most = try XCTUnwrap(segmentation.shares.first).classIndex
        let picture = try segmentation.render(.cutout(.classes([most])), of: frame)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 * 48 + 36, alignment: 1)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0xEE)
        let layout = PictureLayout(rowStride: 48, isBGRA: true, isPremultiplied: true)
        try segmentation.render(.cutout(.classes([most])), of: frame, into: memory, layout: layout)
        for y in 0..<5 {
            for x in 0..<9 {
                let from = (y * 9 + x) * 4
                let to = y * 48 + x * 4
                let alpha = Int(picture.rgba[from + 3])
                XCTAssertEqual(Int(memory[to + 3]), alpha)
                for channel in 0..<3 {
                    let exact = Double(Int(picture.rgba[from + channel]) * alpha) / 255
                    XCTAssertEqual(Double(memory[to + 2 - channel]), exact, accuracy: 1, "(\(x), \(y)) \(channel)")
                }
            }
            if y < 4 { XCTAssertEqual(memory[y * 48 + 36], 0xEE) }
        }
    }

    private func pixel(_ frame: Frame, _ x: Int, _ y: Int) -> [UInt8] {
        (try? frame.withPlanes { _, planes in
            (0..<3).map { planes[0].bytes[y * planes[0].rowStride + x * 4 + $0] }
        }) ?? []
    }

    private func segmenter(_ options: Options = Options(threads: 1)) throws -> Segmenter {
        try SilhouetteTests.segmenter(options)
    }
}
