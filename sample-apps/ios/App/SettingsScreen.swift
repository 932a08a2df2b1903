// Model, threads, model size and other settings; the running engine, and licences.

import CameraModel
import SwiftUI

struct SettingsScreen: View {
    @ObservedObject var store: CameraStore
    @Environment(\.dismiss) private var dismiss

    var body: some View {
        NavigationView {
            Form {
                Section {
                    Picker(Words.model, selection: setting(\.model)) {
                        ForEach(Settings.modelChoices, id: \.self) { Text(Words.name(of: $0)).tag($0) }
                    }
                    Picker(Words.threads, selection: setting(\.threads)) {
                        ForEach(Settings.threadChoices(cores: ProcessInfo.processInfo.activeProcessorCount), id: \.self) {
                            Text(Words.threads($0)).tag($0)
                        }
                    }
                    Picker(Words.modelSize, selection: setting(\.size)) {
                        ForEach(Settings.sizes, id: \.self) { Text(Words.modelSize($0)).tag($0) }
                    }
                } header: {
                    Text(Words.engine)
                } footer: {
                    Text("\(Words.modelHint) \(Words.threadsHint) \(Words.modelSizeHint)")
                }
                Section {
                    Toggle(Words.smoothing, isOn: setting(\.smooths))
                    Toggle(Words.refining, isOn: setting(\.refines))
                } header: {
                    Text(Words.pictures)
                } footer: {
                    Text("\(Words.smoothingHint) \(Words.refiningHint)")
                }
                Section {
                    line(Words.library, store.state.engine?.library)
                    line(Words.model, store.state.engine.map { "\($0.modelName), \($0.modelLicence)" })
                    line(Words.engine, store.state.engine?.description)
                    line(Words.privacy, Words.privacyText)
                } header: {
                    Text(Words.about)
                }
            }
            .navigationTitle(Words.settings)
            .toolbar { Button(Words.done) { dismiss() } }
        }
    }

    private func line(_ name: String, _ value: String?) -> some View {
        HStack(alignment: .top) {
            Text(name)
            Spacer()
            Text(value ?? Words.unknown).foregroundColor(.secondary).multilineTextAlignment(.trailing)
        }
    }

    private func setting<Value>(_ path: WritableKeyPath<Settings, Value>) -> Binding<Value> {
        Binding(
            get: { store.state.settings[keyPath: path] },
            set: { value in
                var settings = store.state.settings
                settings[keyPath: path] = value
                store.controller.change(settings: settings)
            })
    }
}
