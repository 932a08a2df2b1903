// The model as SwiftUI observes it.

import CameraModel
import Foundation
import Silhouette
import SwiftUI

/// The screen's state. Images come thirty times a second, so they are separate and redraw only the views that show
/// them.
@MainActor final class CameraStore: ObservableObject {
    /// The newest image and how it was rendered.
    @MainActor final class Shown: ObservableObject {
        @Published fileprivate(set) var picture: Picture?
        @Published fileprivate(set) var stats: Stats?
    }

    @Published private(set) var state: CameraState
    let shown = Shown()
    let controller: CameraController
    let camera: CameraSource

    init() {
        let camera = CameraSource()
        let controller = CameraController(source: camera, engine: Engine(), memory: DefaultsMemory())
        self.camera = camera
        self.controller = controller
        state = controller.state
        controller.onChange = { [weak self] in
            guard let self else { return }
            state = self.controller.state
        }
        controller.onPicture = { [weak self] in
            guard let self else { return }
            shown.picture = self.controller.picture
            shown.stats = self.controller.stats
        }
    }
}
