// The app's logic: the path from permission through camera and engine to images, as a state machine. It does not depend on views.

import Foundation
import Silhouette

/// The camera screen's state and what changes it.
@MainActor public final class CameraController {
    /// What the screen shows.
    public private(set) var state: CameraState { didSet { if state != oldValue { onChange() } } }
    /// The newest image; `nil` before the first, and when none should be visible.
    public private(set) var picture: Picture?
    /// How it was rendered.
    public private(set) var stats: Stats?
    /// Called when ``state`` changed.
    public var onChange: () -> Void = {}
    /// Called when there is a new ``picture``, or none any more.
    public var onPicture: () -> Void = {}

    private let source: any FrameSource
    private let engine: Engine
    private let memory: any Memory
    private var isVisible = false
    private var isAsking = false
    /// Counts the openings of the camera: callbacks of earlier ones are ignored.
    private var opening = 0

    public init(source: any FrameSource, engine: Engine, memory: any Memory) {
        self.source = source
        self.engine = engine
        self.memory = memory
        let remembered = memory.remembered
        state = CameraState()
        state.look = remembered.look
        state.facing = remembered.facing
        state.showsStats = remembered.showsStats
        state.settings = remembered.settings
        engine.listener = self
        engine.show(remembered.look)
    }

    // MARK: Coming and going

    /// The screen is visible: at the start, and after the app was in the background. The permission is checked again, because
    /// the user may come from the system's settings.
    public func start() {
        isVisible = true
        engine.configure(state.settings)
        // A photo stays until the user leaves it.
        if !state.screen.isPhoto { openCamera() }
    }

    /// The screen is no longer visible: the camera is closed and no image is delivered.
    public func stop() {
        isVisible = false
        leaveCamera()
        guard !state.screen.isPhoto else { return }
        engine.stop()
        if state.screen == .live { state.screen = .opening }
    }

    /// The end.
    public func close() {
        isVisible = false
        leaveCamera()
        engine.listener = nil
        engine.close()
        clear()
    }

    // MARK: Permission

    /// Has the system ask the user, who has read the explanation.
    public func askPermission() async {
        guard !isAsking else { return }
        isAsking = true
        _ = await source.askPermission()
        isAsking = false
        if !state.screen.isPhoto { openCamera() }
    }

    // MARK: The camera

    /// After a loss or a fault.
    public func tryAgain() {
        engine.retry(state.settings)
        openCamera()
    }

    /// Switches to the camera on the other side.
    public func switchFacing() {
        guard state.canSwitch else { return }
        state.facing = state.facing.other
        memory.remembered.facing = state.facing
        openCamera()
    }

    private func openCamera() {
        leaveCamera()
        guard isVisible else { return }
        clear()
        switch source.permission {
        case .notAsked: return show(without: .askPermission)
        case .refused: return show(without: .refused)
        case .restricted: return show(without: .restricted)
        case .allowed: break
        }
        let sides = source.facings
        state.canSwitch = sides.count > 1
        guard let facing = sides.contains(state.facing) ? state.facing : sides.first else {
            return show(without: .lost(.none))
        }
        state.facing = facing
        state.screen = .opening
        engine.startLive()
        source.open(facing, listener: CameraEvents(self, engine.entrance, opening))
    }

    private func leaveCamera() {
        opening += 1
        source.close()
    }

    /// A screen without images.
    private func show(without screen: Screen) {
        engine.stop()
        clear()
        state.screen = screen
    }

    private func clear() {
        guard picture != nil || stats != nil else { return }
        (picture, stats) = (nil, nil)
        onPicture()
    }

    fileprivate func lost(_ loss: Loss, _ opening: Int) {
        if opening == self.opening { show(without: .lost(loss)) }
    }

    fileprivate func available(_ opening: Int) {
        guard opening == self.opening, case .lost(let loss) = state.screen, loss.passes else { return }
        openCamera()
    }

    // MARK: Photos

    /// Shows a photo instead of the camera's images.
    public func openPhoto(_ photo: @escaping Engine.PhotoReader) {
        leaveCamera()
        clear()
        state.screen = .photo(ready: false)
        engine.openPhoto(photo)
    }

    /// From a photo back to the camera.
    public func closePhoto() {
        guard state.screen.isPhoto else { return }
        engine.stop()
        state.screen = .nothing
        openCamera()
    }

    // MARK: Choices

    public func choose(_ effect: EffectChoice) { change { $0.effect = effect } }

    public func choose(_ background: Background) { change { $0.background = background } }

    /// Toggles the class.
    public func toggle(class index: Int) {
        change { look in
            if look.classes.remove(index) == nil { look.classes.insert(index) }
        }
    }

    public func chooseEverything() { change { $0.classes = [] } }

    /// A photo as background.
    public func setOwnBackground(_ photo: @escaping Engine.PhotoReader) async {
        guard let frame = try? await photo() else {
            state.notice = .photoUnreadable
            return
        }
        engine.setOwnBackground(frame)
        choose(.photo)
    }

    public func change(settings: Settings) {
        state.settings = settings
        memory.remembered.settings = settings
        engine.configure(settings)
    }

    public func toggleStats() {
        state.showsStats.toggle()
        memory.remembered.showsStats = state.showsStats
    }

    public func pickClasses(_ open: Bool) { state.picksClasses = open }

    public func dismissNotice() { state.notice = nil }

    /// The image to share, as it is on the screen.
    public func pictureToShare() -> Picture? {
        if picture == nil { state.notice = .nothingToShare }
        return picture
    }

    private func change(_ body: (inout Look) -> Void) {
        body(&state.look)
        memory.remembered.look = state.look
        engine.show(state.look)
    }
}

extension CameraController: EngineListener {
    func ready(_ info: EngineInfo) {
        state.engine = info
        // Classes of another model.
        let known = state.look.classes.filter { info.labels.indices.contains($0) }
        if known != state.look.classes { change { $0.classes = known } }
        if case .broken = state.screen { openCamera() }
    }

    func show(_ picture: Picture, _ stats: Stats) {
        (self.picture, self.stats) = (picture, stats)
        switch state.screen {
        case .opening: state.screen = .live
        case .photo: state.screen = .photo(ready: true)
        default: break
        }
        onPicture()
    }

    func photoUnreadable() {
        state.notice = .photoUnreadable
        closePhoto()
    }

    func settingsRefused(_ error: SilhouetteError, keeping settings: Settings) {
        state.settings = settings
        memory.remembered.settings = settings
        state.notice = .settingsRefused(reason: error.problem.reason)
    }

    func broken(_ error: SilhouetteError) {
        leaveCamera()
        show(without: .broken(reason: error.errorDescription ?? error.reason, advice: error.advice))
    }
}

/// Callbacks of one opening of the camera.
private final class CameraEvents: FrameListener {
    @MainActor private weak var controller: CameraController?
    private let entrance: Entrance
    private let opening: Int

    @MainActor init(_ controller: CameraController, _ entrance: Entrance, _ opening: Int) {
        self.controller = controller
        self.entrance = entrance
        self.opening = opening
    }

    func frame(_ frame: Frame, at timestamp: TimeInterval) {
        do {
            try entrance.submit(frame, at: timestamp)
        } catch {
            Task { @MainActor in controller?.refused(error, opening) }
        }
    }

    func lost(_ loss: Loss) { controller?.lost(loss, opening) }

    func available() { controller?.available(opening) }
}

extension CameraController {
    /// The camera's frames are unusable.
    fileprivate func refused(_ error: any Error, _ opening: Int) {
        guard opening == self.opening, let error = error as? SilhouetteError else { return }
        broken(error)
    }
}
