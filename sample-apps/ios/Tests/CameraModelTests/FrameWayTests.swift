// The path of a frame: from the camera's thread to the screen, the latest frame winning, and its orientation on the
// screen.

import Foundation
import Silhouette
import XCTest

@testable import CameraModel

// Unchecked: a test case has no state of its own.
@MainActor final class FrameWayTests: XCTestCase, @unchecked Sendable {
    func testACameraFasterThanTheEngineLosesFramesAndNothingElse() async throws {
        let stage = try Stage()
        await stage.live()
        await stage.source.play(100, size: (320, 240), every: 0)
        // Every frame was shown or is counted as dropped; one that the last result displaced would be counted with the next.
        let played = stage.source.played
        await stage.until("\(played) frames") { played - 1...played ~= (stage.controller.stats?.frames ?? 0) }
        let stats = try XCTUnwrap(stage.controller.stats)
        XCTAssertGreaterThan(stats.dropped, 0)
        XCTAssertGreaterThan(stats.rate, 0)
        XCTAssertGreaterThanOrEqual(stats.frames, stage.pictures)
        XCTAssertGreaterThan(stats.network, 0)
        XCTAssertGreaterThan(stats.total, stats.network)
        let lines = Words.lines(stats, stage.state.engine)
        XCTAssertEqual(lines.count, 4)
        XCTAssertTrue(lines[2].hasPrefix("Dropped \(stats.dropped) of"))
        stage.controller.close()
    }

    func testThePictureIsUprightOnTheScreen() async throws {
        let stage = try Stage()
        await stage.live()
        // Held upright, a buffer of 64x48 shows 48x64.
        XCTAssertEqual([stage.controller.picture?.width, stage.controller.picture?.height], [48, 64])
        stage.controller.close()
    }

    func testTurningThePhoneTurnsThePicture() async throws {
        let stage = try Stage()
        await stage.live()
        for (held, size) in [
            (.landscapeRight, [64, 48]), (.portrait, [48, 64]), (.landscapeLeft, [64, 48]), (.portraitUpsideDown, [48, 64]),
        ] as [(ScreenOrientation, [Int?])] {
            stage.source.held = held
            await stage.source.play(6)
            await stage.until("\(held)") { [stage.controller.picture?.width, stage.controller.picture?.height] == size }
            XCTAssertEqual(stage.state.screen, .live)
        }
        stage.controller.close()
    }

    func testOrientationsOfBothCameras() async {
        // A back camera's buffer is upright with the charging port on the right; rotating the phone by 90 degrees rotates
        // it back.
        XCTAssertEqual(ScreenOrientation.landscapeRight.orientation(of: .back), .up)
        XCTAssertEqual(ScreenOrientation.portrait.orientation(of: .back).rotation, .clockwise90)
        for orientation in ScreenOrientation.allCases {
            let back = orientation.orientation(of: .back)
            let front = orientation.orientation(of: .front)
            XCTAssertFalse(back.isMirrored)
            XCTAssertTrue(front.isMirrored)
            let sideways = orientation == .portrait || orientation == .portraitUpsideDown
            XCTAssertEqual(back.rotation.transposes, sideways)
            XCTAssertEqual(front.rotation.transposes, sideways)
        }
        XCTAssertEqual(Set(ScreenOrientation.allCases.map { $0.orientation(of: .back) }).count, 4)
        XCTAssertEqual(Set(ScreenOrientation.allCases.map { $0.orientation(of: .front) }).count, 4)
    }

    func testBackgroundsDiffer() async throws {
        var seen: Set<Picture> = []
        let segmenter = try segmenter()
        for background in [Background.dusk, .forest, .studio, .grid] {
            let frame = Backgrounds().frame(background, width: 120, height: 200)
            XCTAssertEqual([frame.width, frame.height], [30, 50])
            let picture = try segmenter.segmentNow(frame).render(.picture, of: frame)
            XCTAssertTrue(seen.insert(picture).inserted)
            XCTAssertGreaterThan(Set(picture.rgba).count, 20, "\(background) is flat")
        }
    }

    func testMemoryOfTheApp() async throws {
        let name = "silhouette-camera-tests-\(UUID().uuidString)"
        let defaults = try XCTUnwrap(UserDefaults(suiteName: name))
        defer { defaults.removePersistentDomain(forName: name) }
        let memory = DefaultsMemory(defaults)
        XCTAssertEqual(memory.remembered, Remembered())
        memory.remembered.look = Look(effect: .blur, classes: [15], background: .grid)
        memory.remembered.settings.threads = 2
        memory.remembered.settings.model = .people
        XCTAssertEqual(DefaultsMemory(defaults).remembered, memory.remembered)
        defaults.set(Data("{}".utf8), forKey: "remembered")
        XCTAssertEqual(DefaultsMemory(defaults).remembered, Remembered())
    }

    func testChoicesOfThreads() async {
        XCTAssertEqual(Settings.threadChoices(cores: 1), [nil, 1])
        XCTAssertEqual(Settings.threadChoices(cores: 3), [nil, 1, 2])
        XCTAssertEqual(Settings.threadChoices(cores: 6), [nil, 1, 2, 4])
    }

    private func segmenter() throws -> Segmenter {
        guard ProcessInfo.processInfo.environment["SILHOUETTE_FIXTURE"] != nil else { throw XCTSkip("no fixture") }
        return try Workshop().make(.voc21, Options())
    }
}
