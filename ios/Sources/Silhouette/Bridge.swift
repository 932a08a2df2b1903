// Connects this API to the Rust library: passes frames as borrowed memory, and converts errors to SilhouetteError. The only
// file that names the C structures.

import Foundation
internal import CSilhouette
internal import SilhouetteFFI

/// Runs a call into the generated bindings and converts its errors to this API's.
func translatingErrors<R>(_ call: () throws -> R) throws -> R {
    do {
        return try call()
    } catch let error as SilhouetteFFI.SilhouetteError {
        throw SilhouetteError(error)
    } catch let error as SilhouetteError {
        throw error
    } catch let error as CancellationError {
        throw error
    } catch {
        throw SilhouetteError.internal(.init("\(error)", "please report it with the model and the frame's size"))
    }
}

extension SilhouetteError {
    /// From the generated bindings' error.
    init(_ error: SilhouetteFFI.SilhouetteError) {
        switch error {
        case .InvalidFrame(let reason, let advice): self = .invalidFrame(.init(reason, advice))
        case .InvalidModel(let reason, let advice): self = .invalidModel(.init(reason, advice))
        case .Unsupported(let reason, let advice): self = .unsupported(.init(reason, advice))
        case .Closed(let reason, let advice): self = .closed(.init(reason, advice))
        case .Internal(let reason, let advice): self = .internal(.init(reason, advice))
        }
    }

    /// From the C interface's error.
    fileprivate init(kind: Int, _ problem: Problem) {
        switch kind {
        case Int(SILHOUETTE_INVALID_FRAME): self = .invalidFrame(problem)
        case Int(SILHOUETTE_INVALID_MODEL): self = .invalidModel(problem)
        case Int(SILHOUETTE_UNSUPPORTED): self = .unsupported(problem)
        case Int(SILHOUETTE_CLOSED): self = .closed(problem)
        default: self = .internal(problem)
        }
    }
}

/// Calls a function of the C interface, which returns the kind of failure.
func calling(_ function: (UnsafeMutablePointer<SilhouetteFailure>) -> Int32) throws {
    var failure = SilhouetteFailure()
    let kind = function(&failure)
    guard kind != Int32(SILHOUETTE_OK) else { return }
    // Both texts end with a zero byte.
    let text = { (bytes: UnsafeRawBufferPointer) in String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
    let reason = withUnsafeBytes(of: &failure.reason, text)
    let advice = withUnsafeBytes(of: &failure.advice, text)
    throw SilhouetteError(kind: Int(kind), .init(reason, advice))
}

/// A number from this API as the library's unsigned one.
func unsigned<N: FixedWidthInteger>(
    _ number: Int, _ what: @autoclosure () -> String, _ error: (SilhouetteError.Problem) -> SilhouetteError
) throws -> N {
    guard let number = N(exactly: number) else { throw error(.init("\(what()) is \(number)")) }
    return number
}

/// A list of classes as the library's.
func classNumbers(_ classes: [Int]) throws -> [UInt32] {
    try classes.map { try unsigned($0, "a class", SilhouetteError.unsupported) }
}

extension Frame {
    /// Passes the frame, as the C interface's structure, to `body`.
    func withNative<R>(_ body: (UnsafePointer<SilhouetteFrame>) throws -> R) throws -> R {
        try withPlanes { layout, planes in
            var frame = SilhouetteFrame()
            let borrowed = try planes.map { plane in
                SilhouettePlane(
                    data: plane.bytes.bindMemory(to: UInt8.self).baseAddress,
                    length: plane.bytes.count,
                    row_stride: try unsigned(plane.rowStride, "a row stride", SilhouetteError.invalidFrame),
                    pixel_stride: try unsigned(plane.pixelStride, "a pixel stride", SilhouetteError.invalidFrame))
            }
            frame.planes.0 = borrowed[0]
            if borrowed.count > 1 { frame.planes.1 = borrowed[1] }
            if borrowed.count > 2 { frame.planes.2 = borrowed[2] }
            frame.format = layout.number(transparency)
            frame.width = try unsigned(width, "the width", SilhouetteError.invalidFrame)
            frame.height = try unsigned(height, "the height", SilhouetteError.invalidFrame)
            if let color = layout.color {
                frame.matrix = UInt32(color.matrix == .bt601 ? SILHOUETTE_BT601 : SILHOUETTE_BT709)
                frame.range = UInt32(color.range == .video ? SILHOUETTE_RANGE_VIDEO : SILHOUETTE_RANGE_FULL)
            }
            frame.rotation = UInt32(rotation.degrees)
            frame.mirror = isMirrored ? 1 : 0
            if let region = crop {
                // A width and height of 0 would mean the whole image.
                guard region.width != 0, region.height != 0 else {
                    throw SilhouetteError.invalidFrame(.init("the region is empty", "use at least one pixel"))
                }
                let number = { (value: Int, what: String) throws -> UInt32 in
                    try unsigned(value, "the region's \(what)", SilhouetteError.invalidFrame)
                }
                frame.region_x = try number(region.x, "x")
                frame.region_y = try number(region.y, "y")
                frame.region_width = try number(region.width, "width")
                frame.region_height = try number(region.height, "height")
            }
            return try withUnsafePointer(to: frame, body)
        }
    }
}

extension Frame.Layout {
    fileprivate func number(_ transparency: Transparency) -> UInt32 {
        switch (self, transparency) {
        case (.packed(.rgb), _): UInt32(SILHOUETTE_RGB8)
        case (.packed(.rgba), .ignored): UInt32(SILHOUETTE_RGBA8)
        case (.packed(.bgra), .ignored): UInt32(SILHOUETTE_BGRA8)
        case (.packed(.rgba), .straight): UInt32(SILHOUETTE_RGBA8_STRAIGHT)
        case (.packed(.bgra), .straight): UInt32(SILHOUETTE_BGRA8_STRAIGHT)
        case (.packed(.rgba), .premultiplied): UInt32(SILHOUETTE_RGBA8_PREMULTIPLIED)
        case (.packed(.bgra), .premultiplied): UInt32(SILHOUETTE_BGRA8_PREMULTIPLIED)
        case (.packed(.gray), _): UInt32(SILHOUETTE_GRAY8)
        case (.yuv, _): UInt32(SILHOUETTE_YUV420)
        case (.nv12, _): UInt32(SILHOUETTE_NV12)
        case (.nv21, _): UInt32(SILHOUETTE_NV21)
        }
    }

    fileprivate var color: YUVColor? {
        switch self {
        case .packed: nil
        case .yuv(let color), .nv12(let color), .nv21(let color): color
        }
    }
}

/// Seconds as the library's nanoseconds.
func nanoseconds(_ seconds: TimeInterval) throws -> UInt64 {
    guard let nanoseconds = UInt64(exactly: (seconds * 1e9).rounded()) else {
        throw SilhouetteError.invalidFrame(
            .init("a timestamp of \(seconds) seconds", "timestamps count from 0 upwards, in seconds"))
    }
    return nanoseconds
}

/// The library's nanoseconds as seconds.
func seconds(_ nanoseconds: UInt64) -> TimeInterval { TimeInterval(nanoseconds) / 1e9 }

/// An object of the library that the C interface identifies by a number.
protocol RawObject: AnyObject {
    func raw() -> UInt64
}

extension SilhouetteFFI.Segmenter: RawObject {}
extension SilhouetteFFI.VideoSegmenter: RawObject {}
extension SilhouetteFFI.LiveSegmenter: RawObject {}
extension SilhouetteFFI.Segmentation: RawObject {}

/// Runs `body` with an object's number, which is valid only as long as the object: it lives until `body` returns.
func withRaw<Object: RawObject, R>(_ object: Object, _ body: (UInt64) throws -> R) rethrows -> R {
    try withExtendedLifetime(object) { try body(object.raw()) }
}
