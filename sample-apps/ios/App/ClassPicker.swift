// Selects the classes that an effect keeps.

import CameraModel
import Silhouette
import SwiftUI

struct ClassPicker: View {
    @ObservedObject var store: CameraStore
    @Environment(\.dismiss) private var dismiss

    var body: some View {
        NavigationView {
            List {
                Section {
                    row(Words.automatic, nil, isChosen: store.state.look.classes.isEmpty) {
                        store.controller.chooseEverything()
                    }
                } footer: {
                    Text(Words.classesHint)
                }
                if let engine = store.state.engine {
                    // Class 0 is the background.
                    ForEach(Array(engine.labels.indices.dropFirst()), id: \.self) { index in
                        row(engine.labels[index], engine.colors[index], isChosen: store.state.look.classes.contains(index)) {
                            store.controller.toggle(class: index)
                        }
                    }
                }
            }
            .navigationTitle(Words.classes)
            .toolbar { Button(Words.done) { dismiss() } }
        }
    }

    private func row(
        _ label: String, _ color: ClassColor?, isChosen: Bool, _ action: @escaping @MainActor () -> Void
    ) -> some View {
        Button(action: action) {
            HStack {
                if let color { Circle().fill(Color(color)).frame(width: 16, height: 16) }
                Text(label)
                Spacer()
                if isChosen { Image(systemName: "checkmark") }
            }
        }
        .accessibilityAddTraits(isChosen ? .isSelected : [])
    }
}

extension Color {
    /// A class's colour.
    init(_ color: ClassColor) {
        self.init(red: Double(color.red) / 255, green: Double(color.green) / 255, blue: Double(color.blue) / 255)
    }
}
