// A model: weights and their meaning.

import Foundation
import SilhouetteModels
internal import SilhouetteFFI

/// A model file, opened and checked: for one or more ``Segmenter``s.
///
/// A file's weights are read when a segmenter is created. Values can be used from any thread.
public final class Model: Sendable {
    /// What a model is for.
    public enum Task: Sendable, Hashable {
        /// A class for each pixel.
        case segmentation
        /// How much of each pixel is foreground. There are two classes, background and foreground; the confidence of the foreground,
        /// which effects use, is the alpha itself.
        case alpha
        /// Classes for the picture as a whole, which this package does not run.
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
    /// What it is for.
    public let task: Task
    /// One label per class, in the order of the classes. Class 0 is the background.
    public let labels: [String]
    /// A colour for each class.
    public let colors: [ClassColor]
    /// Side of the square input that the weights were trained for, in pixels.
    public let inputSize: Int
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
        inputSize = Int(info.size)
        licence = info.licence
        provenance = info.provenance
    }

    /// The model bundled with this package: 21 classes of everyday things, including people and animals.
    ///
    /// - Throws: ``SilhouetteError/invalidModel(_:)`` if the app was built without the package's resources.
    public static func bundled() throws -> Model {
        guard let url = BundledModel.url else {
            throw SilhouetteError.invalidModel(
                .init(
                    "the package's bundle holds no \(BundledModel.fileName)",
                    "let the app copy the package's resources, or open a model file"))
        }
        return try Model(contentsOf: url)
    }

    /// Opens a model file, as `silhouette import` writes it; its weights are read when a segmenter is created. Replace it by
    /// renaming a new file over it: if it was truncated or written to by then, that is an error.
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
    /// - Throws: As ``init(contentsOf:)``.
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
    /// - Throws: ``SilhouetteError/unsupported(_:)`` for a label that the model does not have; it lists the existing ones.
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
