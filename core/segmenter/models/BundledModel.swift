// The weights of this folder as a resource of the Swift package: SwiftPM takes resources only from a target's own folder,
// and the weights should be in the repository only once.

import Foundation

/// The model bundled with the Swift package.
public enum BundledModel {
    /// Its file's name.
    public static let fileName = "silhouette-voc21.safetensors"

    /// Its location; `nil` if the app was built without the package's resources.
    public static var url: URL? { Bundle.module.url(forResource: fileName, withExtension: nil) }
}
