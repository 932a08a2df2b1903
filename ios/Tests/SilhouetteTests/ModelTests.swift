// Models: those that come with the package, files, bytes, rejected input.

import Foundation
import XCTest

@testable import Silhouette

final class ModelTests: XCTestCase {
    func testVOC21() throws {
        let model = try Model.voc21()
        XCTAssertEqual(model.task, .segmentation)
        XCTAssertEqual(model.labels.count, 21)
        XCTAssertEqual(model.labels.first, "background")
        XCTAssertEqual(try model.classIndex(of: " Person "), 15)
        XCTAssertEqual(model.colors[15], ClassColor(packed: 0xC08080))
        XCTAssertEqual(model.size, 321)
        XCTAssertFalse(model.licence.isEmpty)
        XCTAssertFalse(model.provenance.isEmpty)
        assertFails("unknown label", try model.classIndex(of: "unicorn")) { error in
            error.isUnsupported && error.problem.advice.contains("person")
        }
        let segmenter = try Segmenter(model: model, options: Options(threads: 1, size: 129))
        XCTAssertEqual(segmenter.size, 129)
        XCTAssertFalse(segmenter.description.isEmpty)
        XCTAssertEqual(try segmenter.segmentNow(waves(40, 30)).mask().classes.count, 1200)
    }

    func testPeople() throws {
        let model = try Model.people()
        XCTAssertEqual(model.task, .alpha)
        XCTAssertEqual(model.labels, ["background", "person"])
        XCTAssertEqual(model.size, 257)
        XCTAssertFalse(model.licence.isEmpty)
        XCTAssertFalse(model.provenance.isEmpty)
        let segmentation = try Segmenter(model: model, options: Options(threads: 1, size: 129)).segmentNow(waves(40, 30))
        XCTAssertEqual(try segmentation.confidence(of: [1]).values.count, 1200)
    }

    func testAModelThatWasLeftOutSaysWhatToAdd() {
        assertFails("left out", try Model.packaged("silhouette-cats.safetensors", with: "SilhouetteCats")) { error in
            error.isInvalidModel && error.reason.contains("silhouette-cats.safetensors")
                && error.advice.contains("product SilhouetteCats")
        }
        // A bundle without the file, as a build that drops resources leaves it.
        assertFails("no file", try Model.packaged("silhouette-cats.safetensors", with: "SilhouettePeople")) { error in
            error.isInvalidModel && error.advice.contains("product SilhouettePeople")
        }
    }

    func testAnAlphaIsAForegroundsConfidence() throws {
        XCTAssertEqual(try fixture().task, .segmentation)
        let model = try alphaFixture()
        XCTAssertEqual(model.task, .alpha)
        XCTAssertEqual(model.labels, ["background", "foreground"])
        let segmentation = try Segmenter(model: model, options: Options(threads: 1)).segmentNow(waves(60, 50))
        let alpha = try segmentation.confidence(of: [1]).values
        XCTAssertEqual(try segmentation.mask().classes, alpha.map { $0 >= 128 ? 1 : 0 })
        XCTAssertGreaterThan(Set(alpha).count, 20, "it is soft")
    }

    func testFileAndBytesAreTheSame() throws {
        let url = try fixtureURL()
        let file = try Segmenter(model: Model(contentsOf: url), options: Options(threads: 1))
        let bytes = try Segmenter(model: Model(data: Data(contentsOf: url)), options: Options(threads: 1))
        let frame = waves(60, 50)
        XCTAssertEqual(try file.segmentNow(frame).mask(), try bytes.segmentNow(frame).mask())
        let finer = try Segmenter(model: file.model.withOutputStride(8), options: Options(threads: 1, output: .model))
        let given = try Segmenter(model: file.model, options: Options(threads: 1, output: .model))
        XCTAssertGreaterThanOrEqual(try finer.segmentNow(frame).width, try given.segmentNow(frame).width)
    }

    func testWhatIsNoModelIsRefused() throws {
        let good = try Data(contentsOf: fixtureURL())
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var huge = good
        huge.replaceSubrange(0..<8, with: [255, 255, 255, 255, 255, 255, 255, 127])
        for (what, data) in [
            ("empty", Data()), ("short", good.prefix(7)), ("header only", good.prefix(5000)), ("cut off", good.dropLast(1)),
            ("a header longer than the file", huge), ("zeros", Data(count: 10000)), ("text", Data("not a model".utf8)),
        ] {
            assertFails(what, try Model(data: Data(data))) { $0.isInvalidModel }
            let url = folder.appendingPathComponent("model.safetensors")
            try data.write(to: url)
            assertFails(what, try Model(contentsOf: url)) { $0.isInvalidModel }
        }
        assertFails("missing", try Model(contentsOf: folder.appendingPathComponent("none"))) { $0.isInvalidModel }
        assertFails("a folder", try Model(contentsOf: folder)) { $0.isInvalidModel }
        let remote = try XCTUnwrap(URL(string: "https://example.com/model.safetensors"))
        assertFails("remote", try Model(contentsOf: remote)) { $0.isInvalidModel }
        assertFails("stride", try fixture().withOutputStride(7)) { $0.isUnsupported }
        assertFails("stride", try fixture().withOutputStride(-8)) { $0.isUnsupported }
    }

    func testMetalIsUnsupportedHereAndSaysSo() throws {
        #if os(Linux)
            assertFails("metal", try segmenter(Options(backend: .metal))) { $0.isUnsupported }
        #endif
    }

    func testErrorsSayWhatAndWhatToDo() throws {
        let error = SilhouetteError.closed(.init(reason: "the segmenter was closed", advice: "create a new one"))
        XCTAssertEqual("\(error)", "closed: the segmenter was closed; create a new one")
        XCTAssertEqual(error.errorDescription, "closed: the segmenter was closed")
        XCTAssertEqual(error.recoverySuggestion, "create a new one")
        XCTAssertNil(SilhouetteError.internal(.init("x")).recoverySuggestion)
    }

    func testVersion() {
        XCTAssertEqual(SilhouetteLibrary.version.split(separator: ".").count, 3)
    }
}
