// The camera screen: the image, the choices, and a placeholder if there is no image.

import CameraModel
import Silhouette
import SwiftUI

struct CameraScreen: View {
    @ObservedObject var store: CameraStore
    @ObservedObject var shown: CameraStore.Shown
    @State private var sheet: Sheet?

    /// Overlays of the screen.
    enum Sheet: String, Identifiable {
        case settings, classes, photo, background, share
        var id: String { rawValue }
    }

    private var state: CameraState { store.state }
    private var controller: CameraController { store.controller }

    var body: some View {
        ZStack {
            Color.black.ignoresSafeArea()
            content
            VStack {
                topBar
                if state.showsStats, let stats = shown.stats { StatsPanel(lines: Words.lines(stats, state.engine)) }
                Spacer()
                if showsChoices { ChoicesBar(state: state, controller: controller) { sheet = $0 } }
            }
            .padding()
        }
        .background(OrientationReader { store.camera.turn(to: $0) })
        .sheet(item: $sheet) { sheet in cover(sheet) }
        .alert(Words.appName, isPresented: noticeIsShown, presenting: state.notice) { _ in
            Button(Words.done) { controller.dismissNotice() }
        } message: { notice in
            Text(Words.text(of: notice))
        }
        .preferredColorScheme(.dark)
    }

    private var noticeIsShown: Binding<Bool> {
        Binding(get: { state.notice != nil }, set: { if !$0 { controller.dismissNotice() } })
    }

    private var showsChoices: Bool {
        switch state.screen {
        case .opening, .live, .photo: true
        default: false
        }
    }

    @ViewBuilder private var content: some View {
        switch state.screen {
        case .nothing: EmptyView()
        case .opening: ProgressView(Words.opening)
        case .photo(ready: false): ProgressView()
        case .live, .photo(ready: true):
            PictureView(picture: shown.picture)
                .ignoresSafeArea()
                .accessibilityElement()
                .accessibilityLabel(Text(Words.picture(of: found)))
        case .askPermission:
            message(Words.askTitle, Words.askText, Words.askButton) { Task { await controller.askPermission() } }
        case .refused: message(Words.refusedTitle, Words.refusedText, Words.refusedButton) { openSystemSettings() }
        case .restricted: message(Words.refusedTitle, Words.restrictedText)
        case .lost(.none): message(Words.lostTitle, Words.text(of: Loss.none))
        case .lost(let loss): message(Words.lostTitle, Words.text(of: loss), Words.tryAgain) { controller.tryAgain() }
        case .broken(let reason, let advice):
            message(Words.brokenTitle, "\(reason)\n\n\(advice)", Words.tryAgain) { controller.tryAgain() }
        }
    }

    private var found: [String] { (shown.stats?.found ?? []).prefix(3).map(\.label) }

    private func message(
        _ title: String, _ text: String, _ button: String? = nil, _ action: @escaping @MainActor () -> Void = {}
    ) -> some View {
        VStack(spacing: 16) {
            Text(title).font(.title2)
            Text(text).multilineTextAlignment(.center)
            if let button { Button(button, action: action).buttonStyle(.borderedProminent) }
            Button(Words.photoInstead) { sheet = .photo }.buttonStyle(.bordered)
        }
        .padding()
    }

    private var topBar: some View {
        HStack(spacing: 20) {
            if case .photo = state.screen {
                icon("chevron.backward", Words.backToCamera) { controller.closePhoto() }
            }
            Spacer()
            icon(state.showsStats ? "speedometer" : "gauge", Words.timing(shown: state.showsStats)) {
                controller.toggleStats()
            }
            icon("gearshape", Words.settings) { sheet = .settings }
        }
    }

    @ViewBuilder private func cover(_ sheet: Sheet) -> some View {
        switch sheet {
        case .settings: SettingsScreen(store: store)
        case .classes: ClassPicker(store: store)
        case .photo:
            PhotoPicker { reader in
                self.sheet = nil
                if let reader { controller.openPhoto(reader) }
            }
        case .background:
            PhotoPicker { reader in
                self.sheet = nil
                if let reader { Task { await controller.setOwnBackground(reader) } }
            }
        case .share:
            if let image = shown.picture?.uiImage { ShareSheet(image: image) }
        }
    }

    private func openSystemSettings() {
        if let url = URL(string: UIApplication.openSettingsURLString) { UIApplication.shared.open(url) }
    }
}

/// A round button over the image.
@MainActor func icon(_ name: String, _ label: String, _ action: @escaping @MainActor () -> Void) -> some View {
    Button(action: action) {
        Image(systemName: name).font(.title2).frame(width: 44, height: 44)
    }
    .accessibilityLabel(Text(label))
}

/// Effects, classes, background, and actions on the image.
struct ChoicesBar: View {
    let state: CameraState
    let controller: CameraController
    let open: (CameraScreen.Sheet) -> Void

    var body: some View {
        VStack(spacing: 12) {
            if state.look.effect == .replace { backgrounds }
            Picker(Words.effect, selection: Binding(get: { state.look.effect }, set: { controller.choose($0) })) {
                ForEach(EffectChoice.allCases, id: \.self) { Text(Words.name(of: $0)).tag($0) }
            }
            .pickerStyle(.segmented)
            HStack(spacing: 20) {
                icon("photo.on.rectangle", Words.choosePhoto) { open(.photo) }
                Button(kept) { open(.classes) }
                    .disabled(state.engine?.choosesClasses != true)
                    .accessibilityLabel(Text(Words.chooseClasses(kept)))
                Spacer()
                icon("square.and.arrow.up", Words.share) { if controller.pictureToShare() != nil { open(.share) } }
                if state.canSwitch {
                    icon("arrow.triangle.2.circlepath.camera", Words.switchCamera(from: state.facing)) {
                        controller.switchFacing()
                    }
                }
            }
        }
        .padding()
        .background(.ultraThinMaterial)
        .cornerRadius(16)
    }

    private var kept: String { Words.kept(state.look.classes.count, by: state.engine?.model) }

    private var backgrounds: some View {
        HStack {
            Picker(Words.background, selection: Binding(get: { state.look.background }, set: { controller.choose($0) })) {
                ForEach(Background.allCases, id: \.self) { Text(Words.name(of: $0)).tag($0) }
            }
            .pickerStyle(.menu)
            Spacer()
            icon("photo.badge.plus", Words.chooseBackground) { open(.background) }
        }
    }
}

/// Frame time, dropped frames and the backend.
struct StatsPanel: View {
    let lines: [String]

    var body: some View {
        VStack(alignment: .leading, spacing: 4) {
            ForEach(lines, id: \.self) { Text($0).font(.caption.monospacedDigit()) }
        }
        .padding()
        .background(.ultraThinMaterial)
        .cornerRadius(12)
    }
}
