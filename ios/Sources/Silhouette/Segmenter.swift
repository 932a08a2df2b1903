// Frames to segmentations.

import Foundation
internal import CSilhouette
internal import SilhouetteFFI

/// Segments images: finds the pixels of a person, a dog, a car.
///
/// ```swift
/// let segmenter = try Segmenter(model: .voc21())
/// let segmentation = try await segmenter.segment(Frame(pixelBuffer: buffer).rotated(.clockwise90))
/// let person = try segmenter.model.classIndex(of: "person")
/// let alpha = try segmentation.confidence(of: [person])
/// ```
///
/// Calls may come from any number of threads and tasks; up to ``Options/concurrency`` run at once, each in memory of its
/// own, and the others wait. After the first frame the engine allocates nothing. For a camera's stream see
/// ``LiveSegmenter``, for a video's frames ``VideoSegmenter``.
public final class Segmenter: Sendable, CustomStringConvertible {
    /// The model.
    public let model: Model
    /// Its options.
    public let options: Options
    /// The side of the network's input, in pixels; the longer one if it is not square.
    public let size: Int
    /// A short description of backend, kernels, threads and memory.
    public let description: String
    let handle: SilhouetteFFI.Segmenter
    let pool = SegmentationPool()
    private let calls: CallQueue

    /// Creates a segmenter from a model. This packs the weights for the kernels, which takes some milliseconds: do it
    /// once per app, not per frame.
    ///
    /// - Throws: ``SilhouetteError/invalidModel(_:)`` for a model that does not segment or cannot be compiled;
    ///   ``SilhouetteError/unsupported(_:)`` for options that are not supported here.
    public init(model: Model, options: Options = Options()) throws {
        self.model = model
        self.options = options
        let settings = try options.bridged()
        handle = try translatingErrors { try SilhouetteFFI.Segmenter(model: model.handle, options: settings) }
        size = Int(handle.size())
        description = handle.description()
        calls = CallQueue(limit: options.concurrency ?? Self.defaultConcurrency)
    }

    /// Default number of concurrent calls.
    static let defaultConcurrency = 2

    /// Segments a frame, on a thread of its own.
    ///
    /// - Throws: ``SilhouetteError/invalidFrame(_:)`` for a frame whose sizes and strides do not match its planes;
    ///   ``SilhouetteError/closed(_:)`` after ``close()``; ``SilhouetteError/unsupported(_:)`` for a mask that would be too
    ///   large; `CancellationError` if the task was cancelled.
    public func segment(_ frame: Frame) async throws -> Segmentation {
        try await calls.run { [self] in try segmentNow(frame) }
    }

    /// Segments a frame on the calling thread, which blocks: for a camera's own queue. Asynchronous code uses
    /// ``segment(_:)``.
    ///
    /// - Throws: The same as ``segment(_:)``, except for cancellation.
    public func segmentNow(_ frame: Frame) throws -> Segmentation {
        try pool.fill(of: model) { target in
            try frame.withNative { frame in
                try withRaw(handle) { raw in try calling { silhouette_segment(raw, frame, target, $0) } }
            }
        }
    }

    /// Rejects new and waiting calls with ``SilhouetteError/closed(_:)``; running ones end normally. Its memory is freed.
    /// Existing segmentations stay valid. Called implicitly when the last reference is released.
    public func close() {
        handle.shutdown()
        pool.close()
    }
}

extension Options {
    /// As the generated bindings' record.
    func bridged() throws -> SilhouetteFFI.Options {
        let count = { (number: Int?, what: String) in
            try number.map { try unsigned($0, what, SilhouetteError.unsupported) as UInt32 }
        }
        return SilhouetteFFI.Options(
            threads: try count(threads, "the number of threads"),
            backend: backend.bridged, precision: precision.bridged,
            size: try count(size, "the input's size"), inputShape: inputShape.bridged,
            concurrency: try count(concurrency, "the concurrency"),
            output: try output.bridged(), refine: refine,
            weightCache: weightCache?.path)
    }
}

extension Precision {
    fileprivate var bridged: SilhouetteFFI.Precision {
        switch self {
        case .auto: .auto
        case .f32: .f32
        case .f16: .f16
        case .int8: .int8
        }
    }
}

extension InputShape {
    fileprivate var bridged: SilhouetteFFI.InputShape {
        switch self {
        case .square: .square
        case .frame: .frame
        }
    }
}

extension Backend {
    fileprivate var bridged: SilhouetteFFI.Backend {
        switch self {
        case .auto: .auto
        case .cpu: .cpu
        case .metal: .metal
        }
    }
}

extension OutputSize {
    /// As the generated bindings' enumeration.
    func bridged() throws -> SilhouetteFFI.OutputSize {
        switch self {
        case .frame: .frame
        case .model: .model
        case .given(let width, let height):
            .given(
                width: try unsigned(width, "the mask's width", SilhouetteError.unsupported),
                height: try unsigned(height, "the mask's height", SilhouetteError.unsupported))
        }
    }
}

/// This library.
public enum SilhouetteLibrary {
    /// Its version.
    public static var version: String { SilhouetteFFI.version() }
}
