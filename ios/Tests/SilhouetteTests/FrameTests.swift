// Frames on their own: rotation and mirroring, EXIF's orientations, sizes.

import Foundation
import XCTest

@testable import Silhouette

final class FrameTests: XCTestCase {
    /// A grid in the frame's orientation, computed by rotating it.
    private func upright(_ grid: [[Int]], _ frame: Frame) -> [[Int]] {
        var grid = grid
        for _ in 0..<frame.rotation.degrees / 90 { grid = turned(grid) }
        return frame.isMirrored ? grid.map { $0.reversed() } : grid
    }

    /// 90 degrees clockwise.
    private func turned(_ grid: [[Int]]) -> [[Int]] {
        grid[0].indices.map { x in grid.indices.reversed().map { grid[$0][x] } }
    }

    private let grid = [[1, 2, 3], [4, 5, 6]]
    private let frame = waves(3, 2)

    func testRotationAndMirroringCompose() {
        // (core/segmenter/tests/api.tsv has some of these, with their pixels.)
        for first in Rotation.allCases {
            for second in Rotation.allCases {
                for isMirrored in [false, true] {
                    let frame = self.frame.rotated(first).mirrored(isMirrored)
                    var expected = upright(grid, frame)
                    for _ in 0..<second.degrees / 90 { expected = turned(expected) }
                    let turned = frame.rotated(second)
                    XCTAssertEqual(upright(grid, turned), expected, "\(first) \(isMirrored) \(second)")
                    XCTAssertEqual(turned.uprightSize, Size(width: expected[0].count, height: expected.count))
                    XCTAssertEqual(upright(grid, turned.mirrored()), expected.map { $0.reversed() })
                }
            }
        }
    }

    func testExifOrientations() {
        // EXIF 2.32, tag 274: the position of the stored image's row 0 and column 0 in the upright one.
        let upright: [ExifOrientation: [[Int]]] = [
            .up: [[1, 2, 3], [4, 5, 6]],
            .upMirrored: [[3, 2, 1], [6, 5, 4]],
            .down: [[6, 5, 4], [3, 2, 1]],
            .downMirrored: [[4, 5, 6], [1, 2, 3]],
            .leftMirrored: [[1, 4], [2, 5], [3, 6]],
            .right: [[4, 1], [5, 2], [6, 3]],
            .rightMirrored: [[6, 3], [5, 2], [4, 1]],
            .left: [[3, 6], [2, 5], [1, 4]],
        ]
        for orientation in ExifOrientation.allCases {
            XCTAssertEqual(self.upright(grid, frame.oriented(orientation)), upright[orientation], "\(orientation)")
            XCTAssertEqual(frame.mirrored().oriented(orientation).isMirrored, !orientation.isMirrored)
        }
    }

    func testDegreesAndRegions() {
        XCTAssertEqual(Rotation(degrees: -90), .clockwise270)
        XCTAssertEqual(Rotation(degrees: 450), .clockwise90)
        XCTAssertNil(Rotation(degrees: 45))
        let cropped = frame.rotated(.clockwise90).cropped(to: Region(x: 0, y: 1, width: 2, height: 2))
        XCTAssertEqual(cropped.region.size, Size(width: 2, height: 2))
        XCTAssertEqual(cropped.rotated(.half).region, Region(x: 0, y: 0, width: 2, height: 2))
        XCTAssertEqual(frame.region, Region(x: 0, y: 0, width: 3, height: 2))
        // What was outside stays outside, whatever the numbers are.
        for wrong in [Region(x: .min, y: .max, width: .max, height: .min), Region(x: -1, y: 0, width: 1, height: 1)] {
            for rotation in Rotation.allCases {
                let turned = frame.cropped(to: wrong).rotated(rotation).mirrored()
                assertFails("\(wrong) \(rotation)", try segmenter().segmentNow(turned)) { $0.isInvalidFrame }
            }
        }
    }

    func testPlanesKeepTheirOwner() throws {
        final class Owner: Sendable {}
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 12, alignment: 1)
        defer { memory.deallocate() }
        var owner: Owner? = Owner()
        weak var gone = owner
        var frame: Frame? = Frame(
            Plane(unsafeBytes: UnsafeRawBufferPointer(memory), rowStride: 4, owner: try XCTUnwrap(owner)),
            format: .rgba, width: 1, height: 3)
        owner = nil
        XCTAssertNotNil(gone)
        XCTAssertEqual(try frame?.withPlanes { $1.count }, 1)
        frame = nil
        XCTAssertNil(gone)
    }
}
