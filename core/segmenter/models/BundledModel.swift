// The weights of this folder as a resource of the Swift package: SwiftPM takes resources only from a target's own folder,
// and the weights shall be in the repository once.

import Foundation

/// The model that the Swift package carries.
public enum BundledModel {
    /// Its file's name.
    public static let fileName = "silhouette-voc21.safetensors"

    /// Where it lies; `nil` where the app was built without the package's resources.
    public static var url: URL? { Bundle.module.url(forResource: fileName, withExtension: nil) }
}
