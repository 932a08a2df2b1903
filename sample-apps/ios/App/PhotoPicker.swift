// A photo from the user's library. The system's picker runs outside the app, so no permission is needed.

import CameraModel
import PhotosUI
import Silhouette
import SwiftUI
import UIKit

struct PhotoPicker: UIViewControllerRepresentable {
    /// Called once with how to read the photo, or `nil` if none was chosen.
    let onPicked: @MainActor (Engine.PhotoReader?) -> Void

    func makeUIViewController(context: Context) -> PHPickerViewController {
        var configuration = PHPickerConfiguration()
        configuration.filter = .images
        let picker = PHPickerViewController(configuration: configuration)
        picker.delegate = context.coordinator
        return picker
    }

    func updateUIViewController(_ picker: PHPickerViewController, context: Context) {}

    func makeCoordinator() -> Coordinator { Coordinator(onPicked) }

    @MainActor final class Coordinator: NSObject, PHPickerViewControllerDelegate {
        private let onPicked: @MainActor (Engine.PhotoReader?) -> Void

        init(_ onPicked: @escaping @MainActor (Engine.PhotoReader?) -> Void) {
            self.onPicked = onPicked
        }

        func picker(_ picker: PHPickerViewController, didFinishPicking results: [PHPickerResult]) {
            onPicked(results.first.map { Self.reader(of: Item(provider: $0.itemProvider)) })
        }

        private static func reader(of item: Item) -> Engine.PhotoReader {
            { try await item.frame() }
        }
    }

    /// The picked item. Unchecked: item providers can be used from any thread, but are not marked as such.
    private struct Item: @unchecked Sendable {
        let provider: NSItemProvider

        func frame() async throws -> Frame {
            try await withCheckedThrowingContinuation { continuation in
                _ = provider.loadObject(ofClass: UIImage.self) { image, error in
                    if let image = image as? UIImage {
                        continuation.resume(with: Result { try Frame(image: Self.small(image)) })
                    } else {
                        continuation.resume(throwing: error ?? CocoaError(.fileReadCorruptFile))
                    }
                }
            }
        }

        /// At most 2048 pixels per side: a photo of 48 megapixels would take a gigabyte on its way to the screen.
        private static func small(_ image: UIImage) -> UIImage {
            let side = max(image.size.width * image.scale, image.size.height * image.scale)
            guard side > 2048 else { return image }
            let scale = 2048 / side
            let size = CGSize(
                width: image.size.width * image.scale * scale, height: image.size.height * image.scale * scale)
            return image.preparingThumbnail(of: size) ?? image
        }
    }
}

/// The system's sheet for sharing.
struct ShareSheet: UIViewControllerRepresentable {
    let image: UIImage

    func makeUIViewController(context: Context) -> UIActivityViewController {
        UIActivityViewController(activityItems: [image], applicationActivities: nil)
    }

    func updateUIViewController(_ controller: UIActivityViewController, context: Context) {}
}
