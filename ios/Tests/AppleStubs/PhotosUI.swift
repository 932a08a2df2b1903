// Stand-in for PhotosUI, and for the parts of Foundation that only Apple's systems have: declarations only, see
// README.md.

@_exported import UIKit

public protocol NSItemProviderReading: AnyObject {}
extension UIImage: NSItemProviderReading {}
public final class NSItemProvider: NSObject {
    public func loadObject(
        ofClass type: any NSItemProviderReading.Type,
        completionHandler: @escaping @Sendable ((any NSItemProviderReading)?, (any Error)?) -> Void
    ) -> Progress { fatalError() }
}
public struct PHPickerFilter: Sendable {
    public static let images = PHPickerFilter()
}
public struct PHPickerConfiguration {
    public init() {}
    public var filter: PHPickerFilter?
}
public struct PHPickerResult {
    public let itemProvider: NSItemProvider
}
@MainActor public protocol PHPickerViewControllerDelegate: AnyObject {
    func picker(_ picker: PHPickerViewController, didFinishPicking results: [PHPickerResult])
}
@MainActor public final class PHPickerViewController: UIViewController {
    public init(configuration: PHPickerConfiguration) {}
    public weak var delegate: (any PHPickerViewControllerDelegate)?
}
