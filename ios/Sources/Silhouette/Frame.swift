// The input frame: planes, their format, and orientation.

import Foundation

/// An image in memory: a camera's buffer or a decoded photo. Creating one copies no pixels.
///
/// The order of operations is fixed: the buffer is rotated clockwise by ``rotation``, then mirrored horizontally, then
/// cropped to the ``region``, which is in pixels of the upright image, because that is the one a user sees and taps.
/// ``Segmentation/transform`` maps from there back to the buffer.
///
/// Sizes and strides are checked when the frame is used; invalid ones are ``SilhouetteError/invalidFrame(_:)``.
public struct Frame: Sendable {
    /// Columns of the buffer.
    public let width: Int
    /// Rows of the buffer.
    public let height: Int
    /// The clockwise rotation that makes the buffer upright.
    public private(set) var rotation: Rotation = .none
    /// Whether the image is mirrored horizontally after rotation.
    public private(set) var isMirrored = false
    /// The part to use, in pixels of the upright image; `nil` is all of it.
    public private(set) var region: Region?
    let pixels: Pixels

    /// The samples, or where to get them.
    enum Pixels: Sendable {
        case planes(Layout, [Plane])
        /// Memory that can be accessed only while it is locked.
        case lockable(any LockablePixels)
    }

    /// The layout of pixels in the planes.
    enum Layout: Sendable, Equatable {
        case packed(PixelFormat)
        /// Luma, U and V.
        case yuv(YUVColor)
        /// Luma, and interleaved U and V.
        case nv12(YUVColor)
        /// Luma, and interleaved V and U.
        case nv21(YUVColor)
    }

    init(width: Int, height: Int, pixels: Pixels) {
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// A packed format: the channels of a pixel are interleaved, 8 bits each.
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
    /// strides are accepted, so I420 and Android's YUV_420_888 can both be passed unchanged.
    public init(y: Plane, u: Plane, v: Plane, width: Int, height: Int, color: YUVColor) {
        self.init(width: width, height: height, pixels: .planes(.yuv(color), [y, u, v]))
    }

    /// NV12: luma, and one plane of interleaved U and V (iOS's `420YpCbCr8BiPlanar`). Pixel strides are ignored.
    public init(y: Plane, uv: Plane, width: Int, height: Int, color: YUVColor) {
        self.init(width: width, height: height, pixels: .planes(.nv12(color), [y, uv]))
    }

    /// NV21: luma, and one plane of interleaved V and U. Pixel strides are ignored.
    public init(y: Plane, vu: Plane, width: Int, height: Int, color: YUVColor) {
        self.init(width: width, height: height, pixels: .planes(.nv21(color), [y, vu]))
    }

    /// Sets the clockwise rotation that makes the buffer upright, and resets the region to the whole image.
    public func rotated(_ rotation: Rotation) -> Frame {
        var frame = self
        frame.rotation = rotation
        frame.region = nil
        return frame
    }

    /// Sets whether the image is mirrored horizontally after rotation, for front cameras, and resets the region to the whole image.
    public func mirrored(_ isMirrored: Bool = true) -> Frame {
        var frame = self
        frame.isMirrored = isMirrored
        frame.region = nil
        return frame
    }

    /// Sets rotation and mirroring by an EXIF orientation, and resets the region to the whole image.
    public func oriented(_ orientation: ExifOrientation) -> Frame {
        rotated(orientation.rotation).mirrored(orientation.isMirrored)
    }

    /// The frame with a region in the upright image; `nil` is all of it.
    public func cropped(to region: Region?) -> Frame {
        var frame = self
        frame.region = region
        return frame
    }

    /// Columns of the whole image after rotation.
    public var uprightWidth: Int { rotation.transposes ? height : width }

    /// Rows of the whole image after rotation.
    public var uprightHeight: Int { rotation.transposes ? width : height }

    /// Columns of the region: those of a mask of ``OutputSize/frame``.
    public var outputWidth: Int { region?.width ?? uprightWidth }

    /// Rows of the region.
    public var outputHeight: Int { region?.height ?? uprightHeight }

    /// Passes the planes' memory to `body`.
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

/// A plane's memory while it is borrowed.
struct LentPlane {
    let bytes: UnsafeRawBufferPointer
    let rowStride: Int
    let pixelStride: Int
}

/// Pixels that must be locked for access, such as CoreVideo's.
protocol LockablePixels: Sendable {
    /// Locks, passes the planes to `body`, unlocks.
    func withPlanes<R>(_ body: (Frame.Layout, [LentPlane]) throws -> R) throws -> R
}

/// Formats with interleaved channels, 8 bits each.
public enum PixelFormat: Sendable, Hashable, CaseIterable {
    /// Red, green, blue.
    case rgb
    /// Red, green, blue, alpha; alpha is ignored.
    case rgba
    /// Blue, green, red, alpha; alpha is ignored.
    case bgra
    /// Red, green, blue, straight alpha: the network sees the image over black, and images made from the frame keep its
    /// alpha, with hidden pixels black.
    case rgbaStraight
    /// Blue, green, red, straight alpha.
    case bgraStraight
    /// As ``rgbaStraight``, with colours already multiplied by alpha.
    case rgbaPremultiplied
    /// As ``bgraStraight``, with colours already multiplied by alpha.
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

/// The conversion from YUV to RGB.
public struct YUVColor: Sendable, Hashable {
    /// The weights of red, green and blue in luma.
    public enum Matrix: Sendable, Hashable {
        /// ITU-R BT.601: JPEG and Android's cameras.
        case bt601
        /// ITU-R BT.709: high-definition video and most iOS cameras.
        case bt709
    }

    /// The levels of black and white.
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

    /// Matrix and range; iOS's cameras use BT.709, and the full range if configured for it.
    public init(matrix: Matrix = .bt709, range: Range = .full) {
        self.matrix = matrix
        self.range = range
    }
}

/// Clockwise rotation in steps of 90 degrees.
public enum Rotation: Int, Sendable, Hashable, CaseIterable {
    /// None.
    case none = 0
    /// 90 degrees clockwise.
    case clockwise90 = 90
    /// 180 degrees.
    case half = 180
    /// 90 degrees counter-clockwise.
    case clockwise270 = 270

    /// From clockwise degrees, modulo 360; `nil` for anything but multiples of 90.
    public init?(degrees: Int) {
        self.init(rawValue: (degrees % 360 + 360) % 360)
    }

    /// Clockwise degrees.
    public var degrees: Int { rawValue }

    /// Whether rows and columns are swapped.
    public var transposes: Bool { self == .clockwise90 || self == .clockwise270 }
}

/// A rectangle of the upright image, in pixels.
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

/// The orientation that makes a photo upright: the values of EXIF's tag 274, as in ImageIO's
/// `CGImagePropertyOrientation`. The cases name the position of the image's first row in the upright one, and whether it
/// is mirrored.
public enum ExifOrientation: UInt32, Sendable, Hashable, CaseIterable {
    /// Unchanged.
    case up = 1
    /// Mirrored horizontally.
    case upMirrored = 2
    /// Rotated by 180 degrees.
    case down = 3
    /// Mirrored vertically.
    case downMirrored = 4
    /// Rows and columns swapped.
    case leftMirrored = 5
    /// Upright after rotation by 90 degrees clockwise.
    case right = 6
    /// Rows and columns swapped along the other diagonal.
    case rightMirrored = 7
    /// Upright after rotation by 90 degrees counter-clockwise.
    case left = 8

    /// The rotation before mirroring.
    public var rotation: Rotation {
        switch self {
        case .up, .upMirrored: .none
        case .down, .downMirrored: .half
        case .right, .leftMirrored: .clockwise90
        case .left, .rightMirrored: .clockwise270
        }
    }

    /// Whether the image is mirrored horizontally after rotation.
    public var isMirrored: Bool {
        switch self {
        case .up, .down, .left, .right: false
        case .upMirrored, .downMirrored, .leftMirrored, .rightMirrored: true
        }
    }
}
