// Frames on their own: composed rotation and mirroring, EXIF's orientations, sizes.

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

    func testRotationAndMirroringAreSet() {
        // As in Rust and Kotlin: the last call counts, in any order.
        for first in Rotation.allCases {
            for second in Rotation.allCases {
                for mirrored in [false, true] {
                    let frame = self.frame.rotated(first).mirrored(!mirrored).mirrored(mirrored).rotated(second)
                    XCTAssertEqual(frame.rotation, second)
                    XCTAssertEqual(frame.isMirrored, mirrored)
                    let expected = upright(grid, frame)
                    XCTAssertEqual(frame.uprightWidth, expected[0].count)
                    XCTAssertEqual(frame.uprightHeight, expected.count)
                }
            }
        }
        XCTAssertTrue(frame.mirrored().mirrored().isMirrored)
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
        }
    }

    func testDegreesAndRegions() {
        XCTAssertEqual(Rotation(degrees: -90), .clockwise270)
        XCTAssertEqual(Rotation(degrees: 450), .clockwise90)
        XCTAssertNil(Rotation(degrees: 45))
        let cropped = frame.rotated(.clockwise90).cropped(to: Region(x: 0, y: 1, width: 2, height: 2))
        XCTAssertEqual([cropped.outputWidth, cropped.outputHeight], [2, 2])
        XCTAssertNil(cropped.rotated(.half).region)
        XCTAssertNil(cropped.mirrored().region)
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
