// Options for running a model.

import Foundation

/// Options of a ``Segmenter``; unset options have defaults.
public struct Options: Sendable, Hashable {
    /// Threads per call, 1 to 64. `nil`: as many as are useful, at most 4.
    public var threads: Int?
    /// Side of the network's input in pixels, the longer one if it is not square. `nil`: the size that the model was trained for. Smaller is faster, larger
    /// is finer.
    public var size: Int?
    /// The backend that runs the network.
    public var backend: Backend
    /// Number of concurrent calls, each in memory of its own; further ones wait. `nil`: 2.
    public var concurrency: Int?
    /// The size of the masks.
    public var output: OutputSize
    /// Whether the soft borders of cut-out, blurred and replaced images follow the image's edges. The mask and the
    /// confidences are not refined. Default: `true`.
    public var refine: Bool
    /// A folder private to the app, in its caches folder, in which the packed weights are cached (4 bytes per parameter, 2
    /// in f16, at most four files): opening the same model file again is then several times faster, and its weights are pages of
    /// that file instead of the app's own memory. Models in memory are not cached. `nil`: no cache.
    public var weightCache: URL?
    /// Whether the network sees a square or the frame's own shape. Default: the frame's.
    public var inputShape: InputShape
    /// The number format that the network computes in. Default: ``Precision/auto``.
    public var precision: Precision

    /// Options; omitted ones have defaults.
    public init(
        threads: Int? = nil, size: Int? = nil, backend: Backend = .auto, concurrency: Int? = nil,
        output: OutputSize = .frame, refine: Bool = true, weightCache: URL? = nil,
        inputShape: InputShape = .frame, precision: Precision = .auto
    ) {
        self.threads = threads
        self.size = size
        self.backend = backend
        self.concurrency = concurrency
        self.output = output
        self.refine = refine
        self.weightCache = weightCache
        self.inputShape = inputShape
        self.precision = precision
    }
}

/// The backend that runs the network.
public enum Backend: Sendable, Hashable, CaseIterable {
    /// The best one available.
    case auto
    /// The CPU.
    case cpu
    /// Apple's GPU; ``SilhouetteError/unsupported(_:)`` if there is none, or if the library was built without it.
    case metal
}

/// The number format that the network computes in. Images, confidences and alpha have the same types in every precision.
public enum Precision: Sendable, Hashable, CaseIterable {
    /// ``int8`` for quantised models if the CPU has a dot product of bytes; otherwise f16 if the CPU supports f16 arithmetic (A11 and newer) and the activations of the model's feature extractor are bounded by ReLU6; otherwise f32.
    case auto
    /// 32-bit floats.
    case f32
    /// 16-bit floats: half the memory, and about half the time if the CPU supports f16 arithmetic; otherwise slower than ``f32``.
    case f16
    /// Eight-bit integers, for quantised models only: a quarter of the memory, and the fastest if the CPU has a dot product of bytes.
    case int8
}

/// The shape of the network's input.
public enum InputShape: Sendable, Hashable, CaseIterable {
    /// A square, as models are trained. An image of another shape leaves part of it grey, and computing that part takes as
    /// much time as any other.
    case square
    /// The frame's own shape: the longer side is ``Options/size``, the shorter one the next 16 n + 1. At 16:9 this takes
    /// 0.56 times the square's multiply-accumulates, at 4:3 0.75 times. The network is prepared for upright images of 3:4.
    /// The first frame of a shape other than the last two costs as much as opening the model.
    case frame
}

/// The size of a mask.
public enum OutputSize: Sendable, Hashable {
    /// One class per pixel of the frame's region, upright.
    case frame
    /// The network's own resolution.
    case model
    /// Any other size.
    case given(width: Int, height: Int)
}
