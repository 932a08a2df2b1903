// A model: weights and their meaning.

import Foundation
internal import SilhouetteFFI

/// A model file, opened and checked: for one or more ``Segmenter``s.
///
/// A file's weights are read when a segmenter is created. Values can be used from any thread.
public final class Model: Sendable {
    /// The task of a model.
    public enum Task: Sendable, Hashable {
        /// A class for each pixel.
        case segmentation
        /// How much of each pixel is foreground. There are two classes, background and foreground; the confidence of the foreground,
        /// which effects use, is the alpha itself.
        case alpha
        /// Classes of the image as a whole, which this package does not run.
        case classification

        init(_ task: SilhouetteFFI.Task) {
            switch task {
            case .segmentation: self = .segmentation
            case .alpha: self = .alpha
            case .classification: self = .classification
            }
        }
    }

    /// Its name.
    public let name: String
    /// Its task.
    public let task: Task
    /// One label per class, in the order of the classes. Class 0 is the background.
    public let labels: [String]
    /// A colour for each class.
    public let colors: [ClassColor]
    /// Side of the square input that the weights were trained for, in pixels.
    public let size: Int
    /// Licence of the weights; empty if it is unknown.
    public let licence: String
    /// Origin of the weights.
    public let provenance: String
    let handle: SilhouetteFFI.Model

    private init(_ handle: SilhouetteFFI.Model) {
        let info = handle.info()
        self.handle = handle
        name = info.name
        task = Task(info.task)
        labels = info.labels
        colors = info.colors.map(ClassColor.init(packed:))
        size = Int(info.size)
        licence = info.licence
        provenance = info.provenance
    }

    /// People, as one alpha: how much of each pixel belongs to a person. For blurred and replaced backgrounds and cut-outs.
    ///
    /// - Throws: ``SilhouetteError/invalidModel(_:)`` if the app was built without this model: it comes with the package's products
    ///   `Silhouette` and `SilhouettePeople`.
    public static func people() throws -> Model {
        try packaged("silhouette-person.safetensors", with: "SilhouettePeople")
    }

    /// The 21 classes of PASCAL VOC: background, people, animals, vehicles, furniture.
    ///
    /// - Throws: ``SilhouetteError/invalidModel(_:)`` if the app was built without this model: it comes with the package's products
    ///   `Silhouette` and `SilhouetteVOC21`.
    public static func voc21() throws -> Model {
        try packaged("silhouette-voc21.safetensors", with: "SilhouetteVOC21")
    }

    /// A model that comes with a product of this package, which is also the name of the target with its weights.
    static func packaged(_ file: String, with product: String) throws -> Model {
        // SwiftPM puts the bundles of a package's targets next to each other, as PACKAGE_TARGET.bundle (on Linux .resources).
        let own = Bundle.module.bundleURL
        let name = own.lastPathComponent.replacingOccurrences(of: "_Silhouette.", with: "_\(product).")
        let bundle = Bundle(url: own.deletingLastPathComponent().appendingPathComponent(name))
        guard let url = bundle?.url(forResource: file, withExtension: nil) else {
            throw SilhouetteError.invalidModel(
                .init(
                    "the app has no \(file)",
                    "add the package's product \(product) to the app's target (or Silhouette, which has every model), or open "
                        + "a model file"))
        }
        return try Model(contentsOf: url)
    }

    /// Opens a model file, as `silhouette import` writes it; its weights are read when a segmenter is created. To replace it,
    /// rename a new file over it: if it is truncated or written to instead, creating a segmenter fails.
    ///
    /// - Throws: ``SilhouetteError/invalidModel(_:)`` if it cannot be read, is truncated or damaged, or contains an
    ///   unknown network.
    public convenience init(contentsOf url: URL) throws {
        guard url.isFileURL else {
            throw SilhouetteError.invalidModel(.init("\(url) is not a file URL", "download the model first"))
        }
        self.init(try translatingErrors { try SilhouetteFFI.Model.open(path: url.path) })
    }

    /// Reads a model file from memory; it is copied.
    ///
    /// - Throws: The same as ``init(contentsOf:)``.
    public convenience init(data: Data) throws {
        self.init(try translatingErrors { try SilhouetteFFI.Model.fromBytes(bytes: data) })
    }

    /// The same weights in a network with another output stride (8, 16 or 32): a smaller one produces a finer map at a
    /// higher cost.
    ///
    /// - Throws: ``SilhouetteError/unsupported(_:)`` for any other number.
    public func withOutputStride(_ stride: Int) throws -> Model {
        let stride: UInt32 = try unsigned(stride, "the output stride", SilhouetteError.unsupported)
        return Model(try translatingErrors { try handle.withOutputStride(outputStride: stride) })
    }

    /// The class with a label, ignoring case.
    ///
    /// - Throws: ``SilhouetteError/unsupported(_:)`` for a label that the model does not have; the error lists the labels that exist.
    public func classIndex(of label: String) throws -> Int {
        Int(try translatingErrors { try handle.classOf(label: label) })
    }
}

/// A class's colour in overlays, sRGB.
public struct ClassColor: Sendable, Hashable {
    /// Red, 0 to 255.
    public let red: UInt8
    /// Green, 0 to 255.
    public let green: UInt8
    /// Blue, 0 to 255.
    public let blue: UInt8

    /// From 0xRRGGBB.
    init(packed: UInt32) {
        red = UInt8(packed >> 16 & 0xFF)
        green = UInt8(packed >> 8 & 0xFF)
        blue = UInt8(packed & 0xFF)
    }
}
