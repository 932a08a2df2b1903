// A segmented frame: its mask, the network's confidence, the transform to the buffer, and timings.

import Foundation
internal import CSilhouette
internal import SilhouetteFFI

/// The result of segmenting one frame. It is upright (after the frame's rotation and mirroring) and covers the frame's
/// region.
///
/// It keeps the network's output, which is small, so that the confidence of any class and a mask of another size can be
/// computed later. It can be used from any thread. Its memory returns to its segmenter when the last reference to it is
/// released, so a stream of frames allocates nothing.
public final class Segmentation: Sendable {
    /// The model that produced it.
    public let model: Model
    /// How long each stage took.
    public let timings: Timings
    /// Upright size of the frame's region, which is also the size of the images from ``render(_:of:)``.
    public let frameSize: Size
    let handle: SilhouetteFFI.Segmentation
    /// Held while the mask's size must not change under a reader.
    private let lock = NSLock()
    private let pool: SegmentationPool?

    /// The filled native segmentation; it returns to `pool`.
    init(_ handle: SilhouetteFFI.Segmentation, of model: Model, pool: SegmentationPool?) {
        let timings = handle.timings()
        let size = handle.frameSize()
        self.handle = handle
        self.model = model
        self.pool = pool
        self.timings = Timings(
            input: seconds(timings.input), network: seconds(timings.network), mask: seconds(timings.mask))
        frameSize = Size(width: Int(size.width), height: Int(size.height))
    }

    deinit {
        pool?.release(handle)
    }

    /// One label per class; class 0 is the background.
    public var labels: [String] { model.labels }

    /// Columns of the mask.
    public var width: Int { Int(handle.size().width) }

    /// Rows of the mask.
    public var height: Int { Int(handle.size().height) }

    /// The most likely class of each pixel: a copy of the mask.
    ///
    /// - Throws: ``SilhouetteError/internal(_:)`` if the library fails.
    public func mask() throws -> Mask {
        try lock.withLock {
            let width = width
            let height = height
            let classes = try bytes(width * height) { out in
                try withRaw(handle) { raw in
                    try calling { silhouette_mask(raw, out, width * height, width, $0) }
                }
            }
            return Mask(width: width, height: height, classes: classes)
        }
    }

    /// Copies the mask into the caller's memory: ``height`` rows of ``width`` bytes, one class each.
    ///
    /// - Parameters:
    ///   - buffer: At least `(height - 1) * rowStride + width` bytes.
    ///   - rowStride: Bytes from one row to the next.
    /// - Throws: ``SilhouetteError/invalidFrame(_:)`` if the buffer is too short or its rows overlap.
    public func mask(into buffer: UnsafeMutableRawBufferPointer, rowStride: Int) throws {
        let stride: Int = try unsigned(rowStride, "the row stride", SilhouetteError.invalidFrame)
        let out = buffer.bindMemory(to: UInt8.self).baseAddress
        try withRaw(handle) { raw in try calling { silhouette_mask(raw, out, buffer.count, stride, $0) } }
    }

    /// The probability that each pixel belongs to one of `classes`, at the mask's size.
    ///
    /// - Throws: ``SilhouetteError/unsupported(_:)`` for a class that the model does not have.
    public func confidence(of classes: [Int]) throws -> Confidence {
        let classes = try classNumbers(classes)
        return try lock.withLock {
            let width = width
            let height = height
            let values = try bytes(width * height) { out in
                try withRaw(handle) { raw in
                    try calling {
                        silhouette_confidence(raw, classes, classes.count, out, width * height, width, $0)
                    }
                }
            }
            return Confidence(width: width, height: height, values: values)
        }
    }

    /// Recomputes the mask at another size, from the same output of the network, for all references to this segmentation.
    ///
    /// - Throws: ``SilhouetteError/unsupported(_:)`` for an empty or too large size.
    public func resize(to output: OutputSize) throws {
        let output = try output.bridged()
        try lock.withLock { try translatingErrors { try handle.resize(output: output) } }
    }

    /// The outlines of a class: polygons with holes along the mask's pixel edges, in the mask's coordinates
    /// (``transform`` maps them to the buffer's).
    ///
    /// - Parameters:
    ///   - classIndex: The class.
    ///   - tolerance: If over 0, in pixels: outlines are simplified as long as they overlap the mask by at least 99 %.
    ///   - leastArea: Pieces of fewer pixels are omitted.
    /// - Throws: ``SilhouetteError/unsupported(_:)`` for a class that the model does not have.
    public func polygons(of classIndex: Int, tolerance: Double = 0, leastArea: Int = 0) throws -> [Polygon] {
        let index: UInt32 = try unsigned(classIndex, "the class", SilhouetteError.unsupported)
        let area: UInt32 = try unsigned(leastArea, "the least area", SilhouetteError.unsupported)
        let polygons = try translatingErrors {
            try handle.polygons(classIndex: index, tolerance: tolerance, leastArea: area)
        }
        return polygons.map { Polygon(outer: corners($0.outer), holes: $0.holes.map(corners)) }
    }

    /// Each class's share of the mask's pixels, the largest first; classes without pixels are omitted.
    public var shares: [ClassShare] {
        handle.shares().map { ClassShare(classIndex: Int($0.classIndex), share: $0.share) }
    }

    /// The transform from the mask's coordinates to the frame's buffer, before rotation, mirroring and region.
    public var transform: Transform {
        guard let t = handle.transform() else { return .identity }
        return Transform(xx: t.xx, xy: t.xy, x0: t.x0, yx: t.yx, yy: t.yy, y0: t.y0)
    }

    /// An array of `count` bytes written by `fill`.
    private func bytes(_ count: Int, _ fill: (UnsafeMutablePointer<UInt8>?) throws -> Void) rethrows -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            try fill(buffer.baseAddress)
            filled = count
        }
    }
}

/// x0, y0, x1, y1, … as points.
private func corners(_ numbers: [UInt32]) -> [Polygon.Corner] {
    stride(from: 0, to: numbers.count - 1, by: 2).map { Polygon.Corner(x: Int(numbers[$0]), y: Int(numbers[$0 + 1])) }
}

/// One class per pixel, rows from top to bottom, no padding.
public struct Mask: Sendable, Hashable {
    /// Columns.
    public let width: Int
    /// Rows.
    public let height: Int
    /// `width * height` classes.
    public let classes: [UInt8]

    /// The class of a pixel.
    public subscript(x: Int, y: Int) -> Int {
        precondition((0..<width).contains(x) && (0..<height).contains(y), "(\(x), \(y)) in a mask of \(width)x\(height)")
        return Int(classes[y * width + x])
    }
}

/// How much each pixel belongs to the chosen classes: 0 (not at all) to 255 (fully).
public struct Confidence: Sendable, Hashable {
    /// Columns.
    public let width: Int
    /// Rows.
    public let height: Int
    /// `width * height` values, rows from top to bottom.
    public let values: [UInt8]
}

extension Mask: CustomStringConvertible {
    /// Only its size; the pixels would fill pages.
    public var description: String { "Mask \(width)x\(height)" }
}

extension Confidence: CustomStringConvertible {
    /// Only its size; the pixels would fill pages.
    public var description: String { "Confidence \(width)x\(height)" }
}

/// Wall time of each stage of a frame, in seconds.
public struct Timings: Sendable, Hashable {
    /// The frame to the network's input: crop, rotate, resize, colour, normalisation.
    public let input: TimeInterval
    /// The network.
    public let network: TimeInterval
    /// The network's output to the mask, and smoothing.
    public let mask: TimeInterval
    /// All stages.
    public var total: TimeInterval { input + network + mask }
}

/// A class's share of a mask's pixels.
public struct ClassShare: Sendable, Hashable {
    /// The class.
    public let classIndex: Int
    /// 0 to 1.
    public let share: Double
}

/// One connected component of a class.
public struct Polygon: Sendable, Hashable {
    /// A corner between pixels: (0, 0) is the outer corner of the mask's first pixel.
    public struct Corner: Sendable, Hashable {
        /// Columns to the left of it.
        public let x: Int
        /// Rows above it.
        public let y: Int
    }

    /// The outline, clockwise as seen on a screen; the last corner is connected to the first.
    public let outer: [Corner]
    /// The holes in it, counter-clockwise.
    public let holes: [[Corner]]
}

/// An affine map from the mask's to the buffer's coordinates, in pixels with edges at integers: `x' = xx x + xy y + x0`, `y'
/// = yx x + yy y + y0`.
public struct Transform: Sendable, Hashable {
    /// Buffer x per mask x.
    public let xx: Double
    /// Buffer x per mask y.
    public let xy: Double
    /// Buffer x of the mask's corner.
    public let x0: Double
    /// Buffer y per mask x.
    public let yx: Double
    /// Buffer y per mask y.
    public let yy: Double
    /// Buffer y of the mask's corner.
    public let y0: Double

    static let identity = Transform(xx: 1, xy: 0, x0: 0, yx: 0, yy: 1, y0: 0)

    /// The position of a mask point in the buffer.
    public func map(x: Double, y: Double) -> (x: Double, y: Double) {
        (xx * x + xy * y + x0, yx * x + yy * y + y0)
    }

    /// The inverse: from the buffer to the mask.
    public var inverse: Transform {
        let determinant = xx * yy - xy * yx
        let a = yy / determinant
        let b = -xy / determinant
        let c = -yx / determinant
        let d = xx / determinant
        return Transform(xx: a, xy: b, x0: -(a * x0 + b * y0), yx: c, yy: d, y0: -(c * x0 + d * y0))
    }
}
