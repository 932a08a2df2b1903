// What is segmented: planes, their format, and how the picture becomes upright.

import Foundation

/// A picture in memory: a camera's buffer or a decoded photo. Making one copies no pixels.
///
/// The order of things is fixed: the buffer is turned clockwise by ``rotation``, then mirrored left to right, then cut to
/// the ``region``, which counts in pixels of the upright picture, because that is the one a user sees and taps on.
/// ``Segmentation/transform`` leads from there back to the buffer.
///
/// Sizes and strides are checked when the frame is used; what does not fit is ``SilhouetteError/invalidFrame(_:)``.
public struct Frame: Sendable {
    /// Columns of the buffer.
    public let width: Int
    /// Rows of the buffer.
    public let height: Int
    /// How far the buffer is to be turned clockwise to be upright.
    public private(set) var rotation: Rotation = .none
    /// Whether left and right change sides after turning.
    public private(set) var isMirrored = false
    /// The part to look at, in pixels of the upright picture; `nil` is all of it.
    public private(set) var region: Region?
    let pixels: Pixels

    /// The samples, or where to get them.
    enum Pixels: Sendable {
        case planes(Layout, [Plane])
        /// Memory that can be looked at only while it is locked.
        case lockable(any LockablePixels)
    }

    /// How the planes make pixels.
    enum Layout: Sendable, Equatable {
        case packed(PixelFormat)
        /// Luma, U and V.
        case yuv(YUVColor)
        /// Luma, and U and V by turns.
        case nv12(YUVColor)
        /// Luma, and V and U by turns.
        case nv21(YUVColor)
    }

    init(width: Int, height: Int, pixels: Pixels) {
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// A packed format: all channels of a pixel side by side, 8 bits each.
    public init(_ pixels: Plane, format: PixelFormat, width: Int, height: Int) {
        self.init(width: width, height: height, pixels: .planes(.packed(format), [pixels]))
    }

    /// A packed format without padding between rows.
    public init(_ pixels: Data, format: PixelFormat, width: Int, height: Int) {
        let stride = width.multipliedReportingOverflow(by: format.bytesPerPixel)
        let plane = Plane(pixels, rowStride: stride.overflow ? Int.max : stride.partialValue)
        self.init(plane, format: format, width: width, height: height)
    }

    /// Three planes of YUV 4:2:0: luma at full size, chroma at half of it in both directions, rounded up. Any pixel
    /// strides are taken, so I420 and Android's YUV_420_888 are both read as they are.
    public init(y: Plane, u: Plane, v: Plane, width: Int, height: Int, color: YUVColor) {
        self.init(width: width, height: height, pixels: .planes(.yuv(color), [y, u, v]))
    }

    /// NV12: luma, and one plane of U and V by turns (iOS's `420YpCbCr8BiPlanar`). Pixel strides are not looked at.
    public init(y: Plane, uv: Plane, width: Int, height: Int, color: YUVColor) {
        self.init(width: width, height: height, pixels: .planes(.nv12(color), [y, uv]))
    }

    /// NV21: luma, and one plane of V and U by turns. Pixel strides are not looked at.
    public init(y: Plane, vu: Plane, width: Int, height: Int, color: YUVColor) {
        self.init(width: width, height: height, pixels: .planes(.nv21(color), [y, vu]))
    }

    /// The frame turned clockwise by a further `rotation`, the whole picture being its region.
    public func rotated(_ rotation: Rotation) -> Frame {
        var frame = self
        // What is mirrored turns the other way.
        frame.rotation = isMirrored ? self.rotation - rotation : self.rotation + rotation
        frame.region = nil
        return frame
    }

    /// The frame with left and right changed, the whole picture being its region. Front cameras show people so.
    public func mirrored() -> Frame {
        var frame = self
        frame.isMirrored.toggle()
        frame.region = nil
        return frame
    }

    /// The frame turned and mirrored as an EXIF orientation says, on top of what it is already.
    public func oriented(_ orientation: ExifOrientation) -> Frame {
        let turned = rotated(orientation.rotation)
        return orientation.isMirrored ? turned.mirrored() : turned
    }

    /// The part of the upright picture to look at; `nil` is all of it.
    public func cropped(to region: Region?) -> Frame {
        var frame = self
        frame.region = region
        return frame
    }

    /// Columns of the whole picture after turning.
    public var uprightWidth: Int { rotation.transposes ? height : width }

    /// Rows of the whole picture after turning.
    public var uprightHeight: Int { rotation.transposes ? width : height }

    /// Columns of the part that is looked at: those of a mask of ``OutputSize/frame``.
    public var outputWidth: Int { region?.width ?? uprightWidth }

    /// Rows of the part that is looked at.
    public var outputHeight: Int { region?.height ?? uprightHeight }

    /// Lends the planes' memory to `body`.
    func withPlanes<R>(_ body: (Layout, [LentPlane]) throws -> R) throws -> R {
        switch pixels {
        case .lockable(let pixels): try pixels.withPlanes(body)
        case .planes(let layout, let planes): try Self.lend(planes[...], []) { try body(layout, $0) }
        }
    }

    private static func lend<R>(
        _ planes: ArraySlice<Plane>, _ lent: [LentPlane], _ body: ([LentPlane]) throws -> R
    ) throws -> R {
        guard let plane = planes.first else { return try body(lent) }
        return try plane.withBytes { bytes in
            let next = LentPlane(bytes: bytes, rowStride: plane.rowStride, pixelStride: plane.pixelStride)
            return try lend(planes.dropFirst(), lent + [next], body)
        }
    }
}

/// A plane's memory while it is lent.
struct LentPlane {
    let bytes: UnsafeRawBufferPointer
    let rowStride: Int
    let pixelStride: Int
}

/// Pixels that must be locked to be looked at, as CoreVideo's.
protocol LockablePixels: Sendable {
    /// Locks, lends the planes to `body`, unlocks.
    func withPlanes<R>(_ body: (Frame.Layout, [LentPlane]) throws -> R) throws -> R
}

/// Formats with all channels of a pixel side by side, 8 bits each.
public enum PixelFormat: Sendable, Hashable, CaseIterable {
    /// Red, green, blue.
    case rgb
    /// Red, green, blue, alpha; alpha is not looked at.
    case rgba
    /// Blue, green, red, alpha; alpha is not looked at.
    case bgra
    /// Red, green, blue, and an alpha that counts: the network sees the picture over black, and pictures that are made of the
    /// frame keep its alpha, hidden pixels being black.
    case rgbaStraight
    /// Blue, green, red, and an alpha that counts.
    case bgraStraight
    /// As ``rgbaStraight``, colours multiplied by alpha already.
    case rgbaPremultiplied
    /// As ``bgraStraight``, colours multiplied by alpha already.
    case bgraPremultiplied
    /// One grey level.
    case gray

    /// Bytes of a pixel.
    public var bytesPerPixel: Int {
        switch self {
        case .rgb: 3
        case .rgba, .bgra, .rgbaStraight, .bgraStraight, .rgbaPremultiplied, .bgraPremultiplied: 4
        case .gray: 1
        }
    }
}

/// How YUV becomes RGB.
public struct YUVColor: Sendable, Hashable {
    /// Which weights of red, green and blue make luma.
    public enum Matrix: Sendable, Hashable {
        /// ITU-R BT.601: what JPEG and Android's cameras give.
        case bt601
        /// ITU-R BT.709: high-definition video and most iOS cameras.
        case bt709
    }

    /// Which levels stand for black and white.
    public enum Range: Sendable, Hashable {
        /// Luma 16 to 235, chroma 16 to 240.
        case video
        /// All of 0 to 255.
        case full
    }

    /// The weights.
    public var matrix: Matrix
    /// The levels.
    public var range: Range

    /// Matrix and range; iOS's cameras give BT.709, and the full range where they are asked for it.
    public init(matrix: Matrix = .bt709, range: Range = .full) {
        self.matrix = matrix
        self.range = range
    }
}

/// Clockwise quarter turns.
public enum Rotation: Int, Sendable, Hashable, CaseIterable {
    /// None.
    case none = 0
    /// A quarter turn clockwise.
    case clockwise90 = 90
    /// Half a turn.
    case half = 180
    /// A quarter turn counter-clockwise.
    case clockwise270 = 270

    /// From clockwise degrees, whole turns aside; `nil` for anything but quarter turns.
    public init?(degrees: Int) {
        self.init(rawValue: (degrees % 360 + 360) % 360)
    }

    /// Clockwise degrees.
    public var degrees: Int { rawValue }

    /// Whether rows become columns.
    public var transposes: Bool { self == .clockwise90 || self == .clockwise270 }

    static func + (a: Rotation, b: Rotation) -> Rotation { Rotation(degrees: a.degrees + b.degrees) ?? .none }
    static func - (a: Rotation, b: Rotation) -> Rotation { Rotation(degrees: a.degrees - b.degrees) ?? .none }
}

/// A rectangle of the upright picture, in pixels.
public struct Region: Sendable, Hashable {
    /// First column.
    public var x: Int
    /// First row.
    public var y: Int
    /// Columns.
    public var width: Int
    /// Rows.
    public var height: Int

    /// Columns `x..<x + width`, rows `y..<y + height`.
    public init(x: Int, y: Int, width: Int, height: Int) {
        self.x = x
        self.y = y
        self.width = width
        self.height = height
    }
}

/// How a photo's pixels are to be turned to be upright: the values of EXIF's tag 274, which ImageIO's
/// `CGImagePropertyOrientation` has too. The cases say where the picture's first row lies in the upright one, and whether
/// it is mirrored.
public enum ExifOrientation: UInt32, Sendable, Hashable, CaseIterable {
    /// As it is.
    case up = 1
    /// Left and right changed.
    case upMirrored = 2
    /// Half a turn.
    case down = 3
    /// Top and bottom changed.
    case downMirrored = 4
    /// Rows are columns.
    case leftMirrored = 5
    /// A quarter turn clockwise makes it upright.
    case right = 6
    /// Rows are columns, from the far corner.
    case rightMirrored = 7
    /// A quarter turn counter-clockwise makes it upright.
    case left = 8

    /// The turn to make, before mirroring.
    public var rotation: Rotation {
        switch self {
        case .up, .upMirrored: .none
        case .down, .downMirrored: .half
        case .right, .leftMirrored: .clockwise90
        case .left, .rightMirrored: .clockwise270
        }
    }

    /// Whether left and right change sides after turning.
    public var isMirrored: Bool {
        switch self {
        case .up, .down, .left, .right: false
        case .upMirrored, .downMirrored, .leftMirrored, .rightMirrored: true
        }
    }
}
