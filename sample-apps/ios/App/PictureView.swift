// The newest image on the screen, as a layer's content: SwiftUI's own images are meant for static ones.

import Silhouette
import SwiftUI
import UIKit

struct PictureView: UIViewRepresentable {
    let picture: Picture?

    func makeUIView(context: Context) -> UIView {
        let view = UIView()
        view.backgroundColor = .black
        view.layer.contentsGravity = .resizeAspect
        return view
    }

    func updateUIView(_ view: UIView, context: Context) {
        view.layer.contents = picture?.cgImage
    }
}

/// Reports the orientation of the screen's content on the device, which determines how the camera's buffers become
/// upright.
struct OrientationReader: UIViewRepresentable {
    let onChange: @MainActor (UIInterfaceOrientation) -> Void

    func makeUIView(context: Context) -> OrientationView { OrientationView(onChange) }
    func updateUIView(_ view: OrientationView, context: Context) {}

    /// A view without content; UIKit lays it out again whenever the window rotates.
    final class OrientationView: UIView {
        private let onChange: @MainActor (UIInterfaceOrientation) -> Void

        init(_ onChange: @escaping @MainActor (UIInterfaceOrientation) -> Void) {
            self.onChange = onChange
            super.init(frame: .zero)
        }

        @available(*, unavailable)
        required init?(coder: NSCoder) { nil }

        override func layoutSubviews() {
            super.layoutSubviews()
            if let orientation = window?.windowScene?.interfaceOrientation { onChange(orientation) }
        }
    }
}
