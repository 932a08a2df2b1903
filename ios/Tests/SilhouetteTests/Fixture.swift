// Shared code of the tests: the seeded fixture model, which `scripts/test swift` creates, and the golden cases of the Rust
// tests.

import Foundation
import XCTest

@testable import Silhouette

/// The folder of the repository.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

/// The fixture's file: a complete small network with fixed random weights; 65x65, 21 classes.
func fixtureURL() throws -> URL {
    guard let path = ProcessInfo.processInfo.environment["SILHOUETTE_FIXTURE"] else {
        throw XCTSkip("SILHOUETTE_FIXTURE names no model; scripts/test swift creates one")
    }
    return URL(fileURLWithPath: path)
}

func fixture() throws -> Model { try Model(contentsOf: fixtureURL()) }

/// The same network with one logit: a model that gives an alpha.
func alphaFixture() throws -> Model {
    try Model(contentsOf: fixtureURL().deletingLastPathComponent().appendingPathComponent("alpha.safetensors"))
}

/// A segmenter of the fixture.
func segmenter(_ options: Options = Options(threads: 1)) throws -> Segmenter {
    try Segmenter(model: fixture(), options: options)
}

/// Waves of grey and colour, a different image for each `phase`.
func waves(_ width: Int, _ height: Int, phase: Int = 0) -> Frame {
    var rgba = Data(count: width * height * 4)
    for y in 0..<height {
        for x in 0..<width {
            let pixel = (y * width + x) * 4
            for channel in 0..<3 { rgba[pixel + channel] = UInt8(truncatingIfNeeded: (x + 3 * phase) * (channel + 3) ^ y * 5) }
            rgba[pixel + 3] = 255
        }
    }
    return Frame(rgba, format: .rgba, width: width, height: height)
}

/// A case of `core/segmenter/tests/golden/cases.tsv`, which the Rust tests write and describe.
struct GoldenCase {
    let name: String
    let frame: Frame
    let width: Int
    let height: Int
    let mask: [UInt8]

    private static let folder = repository.appendingPathComponent("core/segmenter/tests/golden")
    private static let columns =
        "name\tformat\twidth\theight\tplanes\tfile\tmatrix\trange\trotation\tmirror\tregion\toutput\tmask"

    /// All cases. `plane` makes a plane of bytes and strides.
    static func all(_ plane: (Data, Int, Int) -> Plane = { Plane($0, rowStride: $1, pixelStride: $2) }) throws -> [Self] {
        let table = try String(contentsOf: folder.appendingPathComponent("cases.tsv"), encoding: .utf8)
        let lines = table.split(separator: "\n")
        XCTAssertEqual(lines.first.map(String.init), columns)
        return try lines.dropFirst().map { line in
            let cells = line.split(separator: "\t").map(String.init)
            let file = try Data(contentsOf: folder.appendingPathComponent(cells[5]))
            let planes = cells[4].split(separator: ",").map { cell in
                let n = numbers(cell)
                return plane(file.subdata(in: n[0]..<n[0] + n[1]), n[2], n[3])
            }
            let color = YUVColor(matrix: cells[6] == "709" ? .bt709 : .bt601, range: cells[7] == "video" ? .video : .full)
            let width = try XCTUnwrap(Int(cells[2]))
            let height = try XCTUnwrap(Int(cells[3]))
            var frame: Frame
            switch cells[1] {
            case "rgb": frame = Frame(planes[0], format: .rgb, width: width, height: height)
            case "rgba": frame = Frame(planes[0], format: .rgba, width: width, height: height)
            case "bgra": frame = Frame(planes[0], format: .bgra, width: width, height: height)
            case "gray": frame = Frame(planes[0], format: .gray, width: width, height: height)
            case "yuv420":
                frame = Frame(y: planes[0], u: planes[1], v: planes[2], width: width, height: height, color: color)
            case "nv12": frame = Frame(y: planes[0], uv: planes[1], width: width, height: height, color: color)
            case "nv21": frame = Frame(y: planes[0], vu: planes[1], width: width, height: height, color: color)
            default: throw XCTSkip("format \(cells[1])")
            }
            frame = frame.rotated(try XCTUnwrap(Int(cells[8]).flatMap(Rotation.init(degrees:))))
            if cells[9] == "1" { frame = frame.mirrored() }
            if cells[10] != "-" {
                let n = numbers(Substring(cells[10]))
                frame = frame.cropped(to: Region(x: n[0], y: n[1], width: n[2], height: n[3]))
            }
            let output = numbers(Substring(cells[11]))
            let mask = try Data(contentsOf: folder.appendingPathComponent(cells[12]))
            return GoldenCase(name: cells[0], frame: frame, width: output[0], height: output[1], mask: [UInt8](mask))
        }
    }

    private static func numbers(_ text: Substring) -> [Int] { text.split(separator: ":").compactMap { Int($0) } }

    /// Instruction sets round differently, which may decide a tie: one pixel in a thousand may differ.
    func check(_ mask: Mask, _ how: String, file: StaticString = #filePath, line: UInt = #line) {
        XCTAssertEqual([mask.width, mask.height], [width, height], "\(name) \(how)", file: file, line: line)
        guard mask.classes.count == self.mask.count else {
            return XCTFail("\(name) \(how): \(mask.classes.count) pixels", file: file, line: line)
        }
        let wrong = zip(mask.classes, self.mask).filter { $0 != $1 }.count
        XCTAssertLessThanOrEqual(wrong * 1000, self.mask.count, "\(name) \(how)", file: file, line: line)
    }
}

/// Checks that `body` throws an error that `expected` accepts.
func assertFails<T>(
    _ what: String, _ body: @autoclosure () throws -> T, file: StaticString = #filePath, line: UInt = #line,
    _ expected: (SilhouetteError) -> Bool
) {
    XCTAssertThrowsError(try body(), what, file: file, line: line) { error in
        guard let error = error as? SilhouetteError else {
            return XCTFail("\(what): \(error)", file: file, line: line)
        }
        XCTAssertTrue(expected(error), "\(what): \(error)", file: file, line: line)
        XCTAssertFalse(error.problem.reason.isEmpty, what, file: file, line: line)
    }
}

extension SilhouetteError {
    var isInvalidFrame: Bool { if case .invalidFrame = self { true } else { false } }
    var isInvalidModel: Bool { if case .invalidModel = self { true } else { false } }
    var isUnsupported: Bool { if case .unsupported = self { true } else { false } }
    var isClosed: Bool { if case .closed = self { true } else { false } }
}

/// Resident memory of this process in bytes; `nil` if unknown.
func residentBytes() -> Int? {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return nil }
    return text.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 4096 }
}
