// A model: weights and what they mean.

import Foundation
import SilhouetteModels
internal import SilhouetteFFI

/// A model file, opened and checked: for one or more ``Segmenter``s.
///
/// Weights of a file are read when a segmenter is made. Values may be used from any thread.
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
    /// Side of the square input that the weights were made for, in pixels.
    public let inputSize: Int
    /// Licence of the weights; empty where it is not stated.
    public let licence: String
    /// Where the weights come from.
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

    /// The model that this package carries: 21 classes of everyday things, people and animals among them.
    ///
    /// - Throws: ``SilhouetteError/invalidModel(_:)`` where the app was built without the package's resources.
    public static func bundled() throws -> Model {
        guard let url = BundledModel.url else {
            throw SilhouetteError.invalidModel(
                .init(
                    "the package's bundle holds no \(BundledModel.fileName)",
                    "let the app copy the package's resources, or open a model file"))
        }
        return try Model(contentsOf: url)
    }

    /// Opens a model file, as `silhouette import` writes it; its weights are read when a segmenter is made. Replace it by renaming
    /// a new file over it: one that was cut or written to by then is an error.
    ///
    /// - Throws: ``SilhouetteError/invalidModel(_:)`` where it cannot be read, is cut off or damaged, or holds no network
    ///   that is known.
    public convenience init(contentsOf url: URL) throws {
        guard url.isFileURL else {
            throw SilhouetteError.invalidModel(.init("\(url) is no file", "download the model first"))
        }
        self.init(try translatingErrors { try SilhouetteFFI.Model.open(path: url.path) })
    }

    /// A model file's content; it is copied.
    ///
    /// - Throws: As ``init(contentsOf:)``.
    public convenience init(data: Data) throws {
        self.init(try translatingErrors { try SilhouetteFFI.Model.fromBytes(bytes: data) })
    }

    /// The same weights in a network of another output stride (8, 16 or 32): a smaller one gives a finer map for more work.
    ///
    /// - Throws: ``SilhouetteError/unsupported(_:)`` for another number.
    public func withOutputStride(_ stride: Int) throws -> Model {
        let stride: UInt32 = try unsigned(stride, "the output stride", SilhouetteError.unsupported)
        return Model(try translatingErrors { try handle.withOutputStride(outputStride: stride) })
    }

    /// The class of a label; upper and lower case are the same.
    ///
    /// - Throws: ``SilhouetteError/unsupported(_:)`` for a label that the model does not have; it lists those that there are.
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
