// The app: one screen, and its lifecycle.

import CameraModel
import SwiftUI

@main
struct SilhouetteCameraApp: App {
    @StateObject private var store = CameraStore()
    @Environment(\.scenePhase) private var phase

    var body: some Scene {
        WindowGroup {
            CameraScreen(store: store, shown: store.shown)
                // The first phase may be set before anything can change.
                .onAppear { if phase == .active { store.controller.start() } }
                .onChange(of: phase) { phase in
                    switch phase {
                    case .active: store.controller.start()
                    case .background: store.controller.stop()
                    // A call or the app switcher: the camera continues until the system takes it.
                    default: break
                    }
                }
        }
    }
}
