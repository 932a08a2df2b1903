// Stand-in for UIKit: declarations only, see README.md.

@_exported import CoreGraphics

public final class UIColor: NSObject, @unchecked Sendable {
    public static let black = UIColor()
}
public final class UIImage: NSObject, @unchecked Sendable {
    public enum Orientation: Sendable {
        case up, down, left, right, upMirrored, downMirrored, leftMirrored, rightMirrored
    }
    public init(cgImage: CGImage) {}
    public var cgImage: CGImage? { fatalError() }
    public var imageOrientation: Orientation { fatalError() }
    public var size: CGSize { fatalError() }
    public var scale: CGFloat { fatalError() }
    public func preparingThumbnail(of size: CGSize) -> UIImage? { fatalError() }
}

public enum UIInterfaceOrientation: Sendable { case unknown, portrait, portraitUpsideDown, landscapeLeft, landscapeRight }

public struct CALayerContentsGravity: Sendable {
    public static let resizeAspect = CALayerContentsGravity()
}
@MainActor public final class CALayer {
    public var contents: Any?
    public var contentsGravity = CALayerContentsGravity()
}
@MainActor public final class UIWindowScene {
    public var interfaceOrientation: UIInterfaceOrientation { fatalError() }
}
@MainActor public final class UIWindow {
    public var windowScene: UIWindowScene? { fatalError() }
}
@MainActor open class UIView {
    public init(frame: CGRect) {}
    public convenience init() { self.init(frame: .zero) }
    public required init?(coder: NSCoder) { fatalError() }
    open func layoutSubviews() {}
    public var window: UIWindow? { fatalError() }
    public var layer: CALayer { fatalError() }
    public var backgroundColor: UIColor?
}
@MainActor open class UIViewController {
    public init() {}
}
@MainActor public final class UIActivity {}
@MainActor public final class UIActivityViewController: UIViewController {
    public init(activityItems: [Any], applicationActivities: [UIActivity]?) {}
}
@MainActor public final class UIApplication {
    public static let shared = UIApplication()
    public nonisolated static let openSettingsURLString = "app-settings:"
    public func open(_ url: URL) {}
}
