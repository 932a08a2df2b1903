// The state machine, with the real library under it: permission, lifecycle, losses, photos, choices.

import Foundation
import Silhouette
import XCTest

@testable import CameraModel

// Unchecked: a test case has no state of its own.
@MainActor final class CameraControllerTests: XCTestCase, @unchecked Sendable {
    // MARK: Permission

    func testAskedAndAllowed() async throws {
        let stage = try Stage { $0.source.permission = .notAsked }
        stage.controller.start()
        XCTAssertEqual(stage.state.screen, .askPermission)
        XCTAssertEqual(stage.source.opened, [])
        // The system's question takes the focus, which looks like leaving and coming back.
        async let answered: Void = stage.controller.askPermission()
        async let again: Void = stage.controller.askPermission()
        _ = await (answered, again)
        XCTAssertEqual(stage.source.asked, 1)
        XCTAssertEqual(stage.state.screen, .opening)
        await stage.until("an engine") { stage.state.engine != nil }
        await stage.playUntil(.live)
        XCTAssertEqual(stage.screens, [.askPermission, .opening, .live])
        stage.controller.close()
    }

    func testRefusedForGoodAndAllowedInTheSystemsSettings() async throws {
        let stage = try Stage {
            $0.source.permission = .notAsked
            $0.source.answer = .refused
        }
        stage.controller.start()
        await stage.controller.askPermission()
        XCTAssertEqual(stage.state.screen, .refused)
        XCTAssertEqual(stage.source.opened, [])
        // To the system's settings and back without a change, then with one.
        stage.controller.stop()
        stage.controller.start()
        XCTAssertEqual(stage.state.screen, .refused)
        stage.controller.stop()
        stage.source.permission = .allowed
        await stage.live()
        // And revoked again.
        stage.controller.stop()
        stage.source.permission = .refused
        stage.controller.start()
        XCTAssertEqual(stage.state.screen, .refused)
        XCTAssertFalse(stage.source.isOpen)
        XCTAssertNil(stage.controller.picture)
        stage.controller.close()
    }

    func testRestrictedByAProfile() async throws {
        let stage = try Stage { $0.source.permission = .restricted }
        stage.controller.start()
        XCTAssertEqual(stage.state.screen, .restricted)
        stage.controller.close()
    }

    // MARK: Coming and going

    func testBackgroundAndReturnAHundredTimes() async throws {
        let stage = try Stage()
        await stage.live()
        var before: (threads: Int, bytes: Int)?
        for round in 0..<100 {
            stage.controller.stop()
            XCTAssertFalse(stage.source.isOpen)
            XCTAssertEqual(stage.state.screen, .opening)
            let pictures = stage.pictures
            await stage.source.play(1, every: 0)
            XCTAssertEqual(stage.pictures, pictures, "a picture after the screen was left")
            stage.controller.start()
            XCTAssertTrue(stage.source.isOpen)
            await stage.source.play(2, every: 0.002)
            if round == 20 { before = resources() }
        }
        await stage.playUntil(.live)
        // One engine served them all, and no stream of them is left: each had a thread.
        XCTAssertEqual(stage.workshop.made.with { $0.count }, 1)
        // A stream's thread ends after its current frame: on a busy machine that takes a while.
        let patience = Date(timeIntervalSinceNow: 60)
        while let before, let now = resources(), now.threads - before.threads >= 8, Date() < patience {
            try await Task.sleep(nanoseconds: 20_000_000)
        }
        if let before, let after = resources() {
            XCTAssertLessThan(after.threads - before.threads, 8)
            XCTAssertLessThan(after.bytes - before.bytes, 32 << 20)
        }
        stage.controller.close()
    }

    func testNothingComesAfterTheEnd() async throws {
        let stage = try Stage()
        await stage.live()
        let listener = stage.source.listener
        stage.controller.close()
        let pictures = stage.pictures
        for number in 0..<20 { listener?.frame(nv12(64, 48), at: Double(number)) }
        await stage.settle()
        XCTAssertEqual(stage.pictures, pictures)
        XCTAssertNil(stage.controller.picture)
    }

    func testEverythingGoesWithTheController() async throws {
        weak var gone: CameraController?
        weak var source: PlayedSource?
        do {
            let stage = try Stage()
            await stage.live()
            (gone, source) = (stage.controller, stage.source)
            stage.controller.close()
        }
        for _ in 0..<100 where gone != nil { try? await Task.sleep(nanoseconds: 10_000_000) }
        XCTAssertNil(gone)
        XCTAssertNil(source)
    }

    // MARK: The camera

    func testLostAndComingBack() async throws {
        let stage = try Stage()
        await stage.live()
        stage.source.listener?.lost(.inUse)
        XCTAssertEqual(stage.state.screen, .lost(.inUse))
        XCTAssertNil(stage.controller.picture)
        stage.source.listener?.available()
        XCTAssertEqual(stage.state.screen, .opening)
        await stage.playUntil(.live)
        // A fault does not end by itself.
        stage.source.listener?.lost(.fault)
        stage.source.listener?.available()
        XCTAssertEqual(stage.state.screen, .lost(.fault))
        stage.controller.tryAgain()
        await stage.playUntil(.live)
        stage.controller.close()
    }

    func testWhatAnEarlierOpeningSaysDoesNotCount() async throws {
        let stage = try Stage()
        await stage.live()
        let earlier = stage.source.listener
        stage.controller.switchFacing()
        earlier?.lost(.fault)
        XCTAssertEqual(stage.state.screen, .opening)
        earlier?.available()
        XCTAssertEqual(stage.source.opened, [.back, .front])
        stage.controller.stop()
        stage.source.listener?.lost(.inUse)
        XCTAssertEqual(stage.state.screen, .opening)
        stage.controller.close()
    }

    func testSwitchingSidesIsRememberedAndNeedsTwo() async throws {
        let stage = try Stage()
        await stage.live()
        XCTAssertTrue(stage.state.canSwitch)
        stage.controller.switchFacing()
        XCTAssertEqual(stage.memory.remembered.facing, .front)
        await stage.playUntil(.live)
        XCTAssertEqual(stage.source.opened, [.back, .front])

        stage.source.facings = [.front]
        stage.controller.stop()
        stage.controller.start()
        XCTAssertFalse(stage.state.canSwitch)
        stage.controller.switchFacing()
        XCTAssertEqual(stage.state.facing, .front)
        stage.source.facings = []
        stage.controller.stop()
        stage.controller.start()
        XCTAssertEqual(stage.state.screen, .lost(.none))
        stage.controller.close()
    }

    func testFramesThatCannotBeUsedEndInWordsAboutThem() async throws {
        let stage = try Stage()
        await stage.live()
        stage.source.listener?.frame(Frame(Data(), format: .bgra, width: 4, height: 4), at: 100)
        await stage.until("broken") {
            if case .broken(let reason, let advice) = stage.state.screen {
                reason.contains("plane") && !advice.isEmpty
            } else {
                false
            }
        }
        XCTAssertFalse(stage.source.isOpen)
        stage.controller.tryAgain()
        await stage.playUntil(.live)
        stage.controller.close()
    }

    // MARK: Photos

    func testPhotoAndBack() async throws {
        let stage = try Stage()
        await stage.live()
        stage.controller.openPhoto { nv12(90, 60) }
        XCTAssertEqual(stage.state.screen, .photo(ready: false))
        XCTAssertFalse(stage.source.isOpen)
        XCTAssertNil(stage.controller.picture)
        await stage.until("a photo") { stage.state.screen == .photo(ready: true) }
        XCTAssertEqual([stage.controller.picture?.width, stage.controller.picture?.height], [90, 60])
        XCTAssertEqual(stage.controller.stats?.rate, 0)
        // Another look redraws it, without the camera.
        let first = stage.controller.picture
        let pictures = stage.pictures
        stage.controller.choose(.cutout)
        await stage.until("another look") { stage.pictures > pictures && stage.controller.picture != first }
        // It stays when the app leaves and comes back.
        stage.controller.stop()
        stage.controller.start()
        XCTAssertEqual(stage.state.screen, .photo(ready: true))
        XCTAssertNotNil(stage.controller.pictureToShare())
        stage.controller.closePhoto()
        XCTAssertEqual(stage.state.screen, .opening)
        await stage.playUntil(.live)
        stage.controller.close()
    }

    func testPhotoWithoutCameraAndUnreadablePhoto() async throws {
        let stage = try Stage { $0.source.permission = .refused }
        stage.controller.start()
        stage.controller.openPhoto { nv12(30, 20) }
        await stage.until("a photo") { stage.state.screen == .photo(ready: true) }
        for reader in [
            { throw CocoaError(.fileReadCorruptFile) }, { Frame(Data(count: 3), format: .rgb, width: 9, height: 9) },
        ] as [Engine.PhotoReader] {
            stage.controller.openPhoto(reader)
            await stage.until("words") { stage.state.notice == .photoUnreadable }
            XCTAssertEqual(stage.state.screen, .refused)
            stage.controller.dismissNotice()
            XCTAssertNil(stage.state.notice)
        }
        XCTAssertNil(stage.controller.pictureToShare())
        XCTAssertEqual(stage.state.notice, .nothingToShare)
        stage.controller.close()
    }

    func testThePhotoThatWasOpenedLastIsShown() async throws {
        let stage = try Stage()
        stage.controller.start()
        stage.controller.openPhoto {
            try? await Task.sleep(nanoseconds: 100_000_000)
            return nv12(30, 20)
        }
        stage.controller.openPhoto { nv12(44, 22) }
        await stage.until("a photo") { stage.state.screen == .photo(ready: true) }
        try await Task.sleep(nanoseconds: 200_000_000)
        XCTAssertEqual(stage.controller.picture?.width, 44)
        stage.controller.close()
    }

    // MARK: Choices

    func testChoicesAreRememberedAndChangeThePicture() async throws {
        let stage = try Stage()
        await stage.live()
        // Large enough for a blur of 1.5 % to be visible.
        let frame = nv12(240, 160)
        stage.controller.openPhoto { frame }
        await stage.until("a photo") { stage.state.screen == .photo(ready: true) }
        // The SDK's own image of the same photo is what each look must produce, and not the previous one.
        let segmentation = try stage.workshop.make(.voc21, stage.state.settings.options).segmentNow(frame)
        var before: Picture?
        let look = { @MainActor (what: String, effect: Effect, change: @MainActor () -> Void) async throws in
            let expected = try segmentation.render(effect, of: frame)
            XCTAssertNotEqual(expected, before, "\(what) changes nothing")
            change()
            await stage.until(what) { stage.controller.picture == expected }
            before = expected
        }
        // The fixture predicts no background anywhere: to distinguish classes, use one that it predicts and one that it
        // does not.
        let labels = try XCTUnwrap(stage.state.engine?.labels)
        let found = Set(try XCTUnwrap(stage.controller.stats?.found).map(\.label))
        let seen = try XCTUnwrap(labels.indices.first { found.contains(labels[$0]) })
        let unseen = try XCTUnwrap(labels.indices.first { $0 > 0 && !found.contains(labels[$0]) })
        try await look("overlay of everything", .overlay(.all)) {}
        try await look("overlay of what is not there", .overlay(.classes([unseen]))) { stage.controller.toggle(class: unseen) }
        try await look("blur", .blur(.classes([unseen]))) { stage.controller.choose(.blur) }
        try await look("cut-out", .cutout(.classes([unseen]))) { stage.controller.choose(.cutout) }
        try await look("cut-out of a class", .cutout(.classes([seen, unseen].sorted()))) { stage.controller.toggle(class: seen) }
        stage.controller.toggle(class: seen)
        for background in [Background.dusk, .forest, .studio, .grid] {
            let behind = Backgrounds().frame(background, width: 240, height: 160)
            try await look("\(background)", .replace(.classes([unseen]), background: behind)) {
                stage.controller.choose(background)
                stage.controller.choose(.replace)
            }
        }
        await stage.controller.setOwnBackground { nv12(20, 20, phase: 9) }
        XCTAssertEqual(stage.state.look.background, .photo)
        stage.controller.toggle(class: seen)
        stage.controller.toggle(class: unseen)
        stage.controller.toggleStats()
        XCTAssertEqual(stage.memory.remembered.look, Look(effect: .replace, classes: [seen], background: .photo))
        XCTAssertTrue(stage.memory.remembered.showsStats)
        stage.controller.chooseEverything()
        XCTAssertEqual(stage.state.look.classes, [])
        await stage.controller.setOwnBackground { throw CocoaError(.fileReadCorruptFile) }
        XCTAssertEqual(stage.state.notice, .photoUnreadable)
        stage.controller.close()
    }

    func testClassesOfAnotherModelAreForgotten() async throws {
        let stage = try Stage { $0.memory.remembered.look.classes = [2, 99] }
        await stage.live()
        XCTAssertEqual(stage.state.look.classes, [2])
        XCTAssertEqual(stage.memory.remembered.look.classes, [2])
        stage.controller.close()
    }

    func testEffectsAreAboutPeopleAndTheOverlayAboutClasses() async throws {
        let stage = try Stage()
        await stage.live()
        XCTAssertEqual(stage.state.engine?.model, .voc21)
        let frame = nv12(120, 90)
        stage.controller.openPhoto { frame }
        await stage.until("a photo") { stage.state.screen == .photo(ready: true) }
        stage.controller.choose(.cutout)
        await stage.runs(.people)
        // The photo is segmented again, and everything that the people model finds is kept.
        let people = try stage.workshop.make(.people, stage.state.settings.options).segmentNow(frame).render(.cutout(), of: frame)
        await stage.until("people cut out") { stage.controller.picture == people }
        XCTAssertTrue(stage.controller.stats?.found.allSatisfy { $0.label == "foreground" } == true)
        // The classes to choose from stay.
        XCTAssertEqual(stage.state.engine?.labels.count, 21)
        XCTAssertEqual(Words.kept(0, by: stage.state.engine?.model), "People")
        stage.controller.toggle(class: 3)
        await stage.runs(.voc21)
        let class3 = try stage.workshop.make(.voc21, stage.state.settings.options).segmentNow(frame)
            .render(.cutout(.classes([3])), of: frame)
        await stage.until("a class cut out") { stage.controller.picture == class3 }
        stage.controller.close()
    }

    func testTheSettingsChooseTheModel() async throws {
        let stage = try Stage()
        await stage.live()
        XCTAssertEqual(stage.state.engine?.choosesClasses, true)
        var settings = stage.state.settings
        settings.model = .people
        stage.controller.change(settings: settings)
        await stage.runs(.people)
        XCTAssertEqual(stage.state.engine?.choosesClasses, false)
        XCTAssertEqual(stage.memory.remembered.settings.model, .people)
        await stage.playUntil(.live)
        // Automatic needs no other model for a blur, and allows classes again.
        stage.controller.choose(.blur)
        let made = stage.workshop.made.with { $0.count }
        settings.model = nil
        stage.controller.change(settings: settings)
        XCTAssertEqual(stage.state.engine?.choosesClasses, true)
        settings.model = .voc21
        stage.controller.change(settings: settings)
        await stage.runs(.voc21)
        XCTAssertEqual(stage.workshop.made.with { $0.count }, made + 1)
        stage.controller.close()
    }

    func testWhichModelALookGets() async {
        let settings = Settings()
        for effect in EffectChoice.allCases {
            let suits: ModelName = effect == .overlay ? .voc21 : .people
            XCTAssertEqual(settings.model(for: Look(effect: effect), person: 15), suits)
            XCTAssertEqual(settings.model(for: Look(effect: effect, classes: [15]), person: 15), suits)
            XCTAssertEqual(settings.model(for: Look(effect: effect, classes: [8]), person: 15), .voc21)
            XCTAssertEqual(settings.model(for: Look(effect: effect, classes: [8, 15]), person: 15), .voc21)
            XCTAssertEqual(settings.model(for: Look(effect: effect, classes: [15]), person: nil), .voc21)
            XCTAssertEqual(Settings(model: .people).model(for: Look(effect: effect, classes: [8]), person: 15), .people)
        }
    }

    func testOneModelGoesOnWhileTheOtherOpensAndIsClosedThen() async throws {
        let stage = try Stage()
        await stage.live()
        stage.workshop.isHeld.with { $0 = true }
        stage.controller.choose(.blur)
        let pictures = stage.pictures
        await stage.source.play(20)
        await stage.until("pictures meanwhile") { stage.pictures > pictures }
        XCTAssertEqual(stage.state.engine?.model, .voc21)
        stage.workshop.isHeld.with { $0 = false }
        await stage.runs(.people)
        let segmenters = stage.workshop.segmenters.with { $0 }
        XCTAssertEqual(segmenters.count, 2)
        XCTAssertThrowsError(try segmenters[0].segmentNow(nv12(20, 20)), "closed") { error in
            if case SilhouetteError.closed = error { return }
            XCTFail("\(error)")
        }
        XCTAssertNoThrow(try segmenters[1].segmentNow(nv12(20, 20)))
        await stage.playUntil(.live)
        stage.controller.close()
    }

    func testBackToTheModelThatRunsBeforeTheOtherIsOpen() async throws {
        let stage = try Stage()
        await stage.live()
        stage.workshop.isHeld.with { $0 = true }
        stage.controller.choose(.blur)
        stage.controller.choose(.overlay)
        stage.workshop.isHeld.with { $0 = false }
        await stage.until("the other model, closed at once") {
            let segmenters = stage.workshop.segmenters.with { $0 }
            return segmenters.count == 2 && (try? segmenters[1].segmentNow(nv12(20, 20))) == nil
        }
        XCTAssertEqual(stage.state.engine?.model, .voc21)
        let pictures = stage.pictures
        await stage.source.play(20)
        await stage.until("pictures") { stage.pictures > pictures }
        XCTAssertEqual(stage.workshop.made.with { $0.count }, 2)
        stage.controller.close()
    }

    func testAModelThatTheAppLacksIsToldAndMayBeTriedAgain() async throws {
        let stage = try Stage()
        await stage.live()
        stage.workshop.error.with { $0 = .invalidModel(.init(reason: "no people", advice: "add them")) }
        stage.controller.choose(.blur)
        await stage.until("broken") { stage.state.screen == .broken(reason: "invalid model: no people", advice: "add them") }
        XCTAssertFalse(stage.source.isOpen)
        stage.workshop.error.with { $0 = nil }
        stage.controller.tryAgain()
        await stage.runs(.people)
        await stage.playUntil(.live)
        stage.controller.close()
    }

    func testSettingsMakeTheEngineAnewWhereTheyMust() async throws {
        let stage = try Stage()
        await stage.live()
        var settings = stage.state.settings
        settings.smooths = false
        stage.controller.change(settings: settings)
        await stage.playUntil(.live)
        XCTAssertEqual(stage.workshop.made.with { $0.count }, 1)
        settings.threads = 1
        settings.size = 129
        stage.controller.change(settings: settings)
        await stage.until("another engine") { stage.state.engine?.size == 129 }
        let options = Options(threads: 1, size: 129, refine: true, inputShape: .frame)
        let expected = Workshop.Made(model: .voc21, options: options)
        XCTAssertEqual(stage.workshop.made.with { $0.last }, expected)
        let pictures = stage.pictures
        await stage.source.play(20)
        await stage.until("pictures of the new engine") { stage.pictures > pictures }
        XCTAssertEqual(stage.memory.remembered.settings, settings)
        stage.controller.close()
    }

    func testSettingsThatDoNotWorkAreTakenBack() async throws {
        let stage = try Stage()
        await stage.live()
        let before = stage.state.settings
        var settings = before
        settings.threads = 1000
        stage.controller.change(settings: settings)
        await stage.until("words") {
            if case .settingsRefused(let reason) = stage.state.notice { reason.contains("1000") } else { false }
        }
        XCTAssertEqual(stage.state.settings, before)
        XCTAssertEqual(stage.memory.remembered.settings, before)
        let pictures = stage.pictures
        await stage.source.play(20)
        await stage.until("pictures of the old engine") { stage.pictures > pictures }
        stage.controller.close()
    }

    func testWithoutAnEngineThereAreWordsAndAnotherTry() async throws {
        let stage = try Stage {
            let problem = SilhouetteError.Problem(reason: "no weights", advice: "add them")
            $0.workshop.error.with { $0 = .invalidModel(problem) }
        }
        stage.controller.start()
        await stage.until("broken") { stage.state.screen == .broken(reason: "invalid model: no weights", advice: "add them") }
        XCTAssertFalse(stage.source.isOpen)
        stage.workshop.error.with { $0 = nil }
        stage.controller.tryAgain()
        await stage.until("an engine") { stage.state.engine != nil }
        await stage.playUntil(.live)
        stage.controller.close()
    }

    /// Threads and resident memory of this process; `nil` where they are not known.
    private func resources() -> (threads: Int, bytes: Int)? {
        guard let threads = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task"),
            let sizes = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " "),
            sizes.count > 1, let pages = Int(sizes[1])
        else { return nil }
        return (threads.count, pages * 4096)
    }
}
