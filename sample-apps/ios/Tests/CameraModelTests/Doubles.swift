// The tests' doubles: a camera that plays generated frames, a memory, the fixture model; and a screen that records what
// it showed.

import Foundation
import Silhouette
import XCTest

@testable import CameraModel

/// A camera controlled by the tests.
@MainActor final class PlayedSource: FrameSource {
    var permission = Permission.allowed
    /// The user's answer when the system asks.
    var answer = Permission.allowed
    var facings: Set<Facing> = [.back, .front]
    /// The phone's orientation.
    var held = ScreenOrientation.portrait
    private(set) var asked = 0
    private(set) var opened: [Facing] = []
    private(set) var isOpen = false
    /// Number of delivered frames.
    private(set) var played = 0
    private(set) var listener: (any FrameListener)?

    func askPermission() async -> Permission {
        asked += 1
        await Task.yield()
        permission = answer
        return answer
    }

    func open(_ facing: Facing, listener: any FrameListener) {
        opened.append(facing)
        isOpen = true
        self.listener = listener
    }

    func close() { isOpen = false }

    /// Plays frames on a thread of its own, as a camera does, to the current listener. They are generated in advance: generating one
    /// takes longer than segmenting it.
    func play(_ count: Int, size: (Int, Int) = (64, 48), every seconds: TimeInterval = 0.004) async {
        guard let listener else { return }
        played += count
        let orientation = held.orientation(of: opened.last ?? .back)
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            Thread.detachNewThread {
                let frames = (0..<min(count, 8)).map { nv12(size.0, size.1, phase: $0).oriented(orientation) }
                for number in 0..<count {
                    listener.frame(frames[number % frames.count], at: Double(number) / 30)
                    if seconds > 0 { Thread.sleep(forTimeInterval: seconds) }
                }
                done.resume()
            }
        }
    }
}

/// A generated NV12 frame with padded rows, like those of iOS's cameras.
func nv12(_ width: Int, _ height: Int, phase: Int = 0) -> Frame {
    let stride = (width + 63) / 64 * 64
    var luma = Data(repeating: 0xEE, count: stride * height)
    var chroma = Data(repeating: 0xEE, count: stride * ((height + 1) / 2))
    for y in 0..<height {
        for x in 0..<width { luma[y * stride + x] = UInt8(truncatingIfNeeded: (x + 5 * phase) * 3 ^ y * 7) }
    }
    for y in 0..<(height + 1) / 2 {
        for x in 0..<width { chroma[y * stride + x] = UInt8(truncatingIfNeeded: 128 + (x + phase) % 17 * (y % 5)) }
    }
    return Frame(
        y: Plane(luma, rowStride: stride), uv: Plane(chroma, rowStride: stride), width: width, height: height,
        color: YUVColor(matrix: .bt709, range: .full))
}

@MainActor final class PlayedMemory: Memory {
    var remembered = Remembered()
}

/// The created segmenters, and the outcome of creating them. The fixtures stand for the SDK's models: one of 21 classes, one with an
/// alpha.
final class Workshop: Sendable {
    struct Made: Equatable {
        let model: ModelName
        let options: Options
    }

    let made = Guarded<[Made]>([])
    let segmenters = Guarded<[Segmenter]>([])
    let error = Guarded<SilhouetteError?>(nil)
    /// Whether opening a model waits.
    let isHeld = Guarded(false)

    func make(_ name: ModelName, _ options: Options) throws -> Segmenter {
        while isHeld.with({ $0 }) { Thread.sleep(forTimeInterval: 0.005) }
        if let error = error.with({ $0 }) { throw error }
        made.with { $0.append(Made(model: name, options: options)) }
        let segmenter = try Segmenter(model: model(name), options: options)
        segmenters.with { $0.append(segmenter) }
        return segmenter
    }

    func model(_ name: ModelName) throws -> Model {
        guard let path = ProcessInfo.processInfo.environment["SILHOUETTE_FIXTURE"] else {
            throw XCTSkip("SILHOUETTE_FIXTURE names no model; scripts/test swift creates one")
        }
        let url = URL(fileURLWithPath: path)
        switch name {
        case .voc21: return try Model(contentsOf: url)
        case .people: return try Model(contentsOf: url.deletingLastPathComponent().appendingPathComponent("alpha.safetensors"))
        }
    }

    /// For an engine.
    var models: Engine.Models {
        Engine.Models(segmenter: { try self.make($0, $1) }, classes: { try self.model(.voc21) })
    }
}

/// A controller with everything that belongs to it.
@MainActor final class Stage {
    let source = PlayedSource()
    let memory = PlayedMemory()
    let workshop = Workshop()
    private(set) var controller: CameraController
    /// The screens in the order in which they were shown.
    private(set) var screens: [Screen] = []
    private(set) var pictures = 0

    init(_ prepare: (Stage.Parts) -> Void = { _ in }) throws {
        if ProcessInfo.processInfo.environment["SILHOUETTE_FIXTURE"] == nil {
            throw XCTSkip("SILHOUETTE_FIXTURE names no model; scripts/test swift creates one")
        }
        prepare(Parts(source: source, memory: memory, workshop: workshop))
        controller = CameraController(source: source, engine: Engine(models: workshop.models), memory: memory)
        controller.onChange = { [weak self] in
            guard let self else { return }
            let screen = controller.state.screen
            if screens.last != screen { screens.append(screen) }
        }
        controller.onPicture = { [weak self] in
            if self?.controller.picture != nil { self?.pictures += 1 }
        }
    }

    struct Parts {
        let source: PlayedSource
        let memory: PlayedMemory
        let workshop: Workshop
    }

    var state: CameraState { controller.state }

    /// Waits until something holds; fails after ten seconds.
    func until(
        _ what: String, file: StaticString = #filePath, line: UInt = #line, _ holds: () -> Bool
    ) async {
        for _ in 0..<2000 {
            if holds() { return }
            try? await Task.sleep(nanoseconds: 5_000_000)
        }
        XCTFail("never: \(what); the screen is \(state.screen)", file: file, line: line)
    }

    /// Starts and plays until images come.
    func live() async {
        controller.start()
        await until("an engine") { state.engine != nil }
        await playUntil(.live)
    }

    func playUntil(_ screen: Screen) async {
        for _ in 0..<50 where state.screen != screen {
            await source.play(4)
        }
        XCTAssertEqual(state.screen, screen)
    }

    /// Waits until a model runs.
    func runs(_ model: ModelName) async { await until("the model \(model)") { state.engine?.model == model } }

    /// Lets everything that is under way arrive.
    func settle() async { try? await Task.sleep(nanoseconds: 60_000_000) }
}
