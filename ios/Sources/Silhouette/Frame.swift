// The input frame: planes, their format, and orientation.

import Foundation

/// An image in memory: a camera's buffer or a decoded photo. Creating one copies no pixels.
///
/// The order of operations is fixed: the buffer is rotated clockwise by ``rotation``, then mirrored horizontally, then
/// cropped to the ``region``, which is in pixels of the upright image, because that is the one a user sees and taps.
/// ``Segmentation/transform`` maps from there back to the buffer.
///
/// Sizes and strides are checked when the frame is used; invalid ones throw ``SilhouetteError/invalidFrame(_:)``.
public struct Frame: Sendable {
    /// Columns of the buffer.
    public let width: Int
    /// Rows of the buffer.
    public let height: Int
    /// The clockwise rotation that makes the buffer upright.
    public private(set) var rotation: Rotation = .none
    /// Whether the image is mirrored horizontally after rotation.
    public private(set) var isMirrored = false
    /// The meaning of the alpha of RGBA and BGRA pixels; ``Transparency/ignored`` if there is none.
    public private(set) var transparency: Transparency = .ignored
    /// The region that was set, if any.
    private(set) var crop: Region?
    let pixels: Pixels

    /// The part of the upright image that is used: all of it, unless the frame was cropped.
    public var region: Region { crop ?? Region(x: 0, y: 0, width: uprightSize.width, height: uprightSize.height) }

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

    /// Rotates the upright image clockwise, and its region with it. Calls compose: two quarter turns make a half turn, and
    /// a mirrored image is rotated as it is displayed.
    public func rotated(_ rotation: Rotation) -> Frame {
        var frame = self
        if let region = crop {
            // A region may be anything until the frame is used: the sums may wrap around, and what was outside stays outside.
            let right = uprightSize.width &- region.x &- region.width
            let below = uprightSize.height &- region.y &- region.height
            switch rotation {
            case .none: break
            case .clockwise90: frame.crop = Region(x: below, y: region.x, width: region.height, height: region.width)
            case .half: frame.crop = Region(x: right, y: below, width: region.width, height: region.height)
            case .clockwise270: frame.crop = Region(x: region.y, y: right, width: region.height, height: region.width)
            }
        }
        // Rotating clockwise after mirroring is mirroring after rotating counter-clockwise.
        let degrees = self.rotation.degrees + (isMirrored ? -rotation.degrees : rotation.degrees)
        frame.rotation = Rotation(degrees: degrees) ?? .none
        return frame
    }

    /// Mirrors the upright image horizontally if `isMirrored` is true (front cameras), and its region with it. Calls compose: mirroring
    /// twice changes nothing.
    public func mirrored(_ isMirrored: Bool = true) -> Frame {
        guard isMirrored else { return self }
        var frame = self
        frame.isMirrored.toggle()
        if let region = crop { frame.crop?.x = uprightSize.width &- region.x &- region.width }
        return frame
    }

    /// Rotates and mirrors the upright image by an EXIF orientation.
    public func oriented(_ orientation: ExifOrientation) -> Frame {
        rotated(orientation.rotation).mirrored(orientation.isMirrored)
    }

    /// Sets the part to use, in pixels of the whole upright image (after rotation and mirroring); it replaces an earlier region.
    public func cropped(to region: Region) -> Frame {
        var frame = self
        frame.crop = region
        return frame
    }

    /// Sets the meaning of the alpha of RGBA and BGRA pixels; the other formats have none. If it has one, the network sees the image
    /// over black, and images made from the frame keep the alpha, with hidden pixels black.
    public func transparent(_ transparency: Transparency) -> Frame {
        guard case .planes(.packed(let format), _) = pixels, format == .rgba || format == .bgra else { return self }
        var frame = self
        frame.transparency = transparency
        return frame
    }

    /// Size of the whole upright image.
    public var uprightSize: Size {
        rotation.transposes ? Size(width: height, height: width) : Size(width: width, height: height)
    }

    /// Passes the planes' memory to `body`.
    func withPlanes<R>(_ body: (Layout, [BorrowedPlane]) throws -> R) throws -> R {
        switch pixels {
        case .lockable(let pixels): try pixels.withPlanes(body)
        case .planes(let layout, let planes): try Self.borrow(planes[...], []) { try body(layout, $0) }
        }
    }

    private static func borrow<R>(
        _ planes: ArraySlice<Plane>, _ borrowed: [BorrowedPlane], _ body: ([BorrowedPlane]) throws -> R
    ) throws -> R {
        guard let plane = planes.first else { return try body(borrowed) }
        return try plane.withBytes { bytes in
            let next = BorrowedPlane(bytes: bytes, rowStride: plane.rowStride, pixelStride: plane.pixelStride)
            return try borrow(planes.dropFirst(), borrowed + [next], body)
        }
    }
}

/// A plane's memory while it is borrowed.
struct BorrowedPlane {
    let bytes: UnsafeRawBufferPointer
    let rowStride: Int
    let pixelStride: Int
}

/// Pixels that must be locked for access, such as CoreVideo's.
protocol LockablePixels: Sendable {
    /// Locks, passes the planes to `body`, unlocks.
    func withPlanes<R>(_ body: (Frame.Layout, [BorrowedPlane]) throws -> R) throws -> R
}

/// Formats with interleaved channels, 8 bits each.
public enum PixelFormat: Sendable, Hashable, CaseIterable {
    /// Red, green, blue.
    case rgb
    /// Red, green, blue, alpha; alpha is ignored unless ``Frame/transparent(_:)`` defines it.
    case rgba
    /// Blue, green, red, alpha; alpha is ignored unless ``Frame/transparent(_:)`` defines it.
    case bgra
    /// One grey level.
    case gray

    /// Bytes of a pixel.
    public var bytesPerPixel: Int {
        switch self {
        case .rgb: 3
        case .rgba, .bgra: 4
        case .gray: 1
        }
    }
}

/// The meaning of the alpha of RGBA and BGRA pixels.
public enum Transparency: Sendable, Hashable, CaseIterable {
    /// Ignored: cameras leave arbitrary values in that byte.
    case ignored
    /// Straight alpha, as in a ``Picture``: the pixel's opacity, with unmultiplied colours.
    case straight
    /// Premultiplied alpha, as in CoreGraphics: colours are already multiplied by it.
    case premultiplied
}

/// The weights of red, green and blue in luma.
public enum YUVMatrix: Sendable, Hashable, CaseIterable {
    /// ITU-R BT.601: JPEG and Android's cameras.
    case bt601
    /// ITU-R BT.709: high-definition video and most iOS cameras.
    case bt709
}

/// The levels of black and white.
public enum YUVRange: Sendable, Hashable, CaseIterable {
    /// Luma 16 to 235, chroma 16 to 240.
    case video
    /// All of 0 to 255.
    case full
}

/// The conversion from YUV to RGB.
public struct YUVColor: Sendable, Hashable {
    /// The weights.
    public var matrix: YUVMatrix
    /// The levels.
    public var range: YUVRange

    /// Matrix and range, as the camera or decoder reports them; iOS's cameras use BT.709, and the full range if configured for it.
    public init(matrix: YUVMatrix, range: YUVRange) {
        self.matrix = matrix
        self.range = range
    }
}

/// Clockwise rotation in steps of 90 degrees.
public enum Rotation: Int, Sendable, Hashable, CaseIterable {
    /// No rotation.
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

    /// Its size.
    public var size: Size { Size(width: width, height: height) }

    /// Columns `x..<x + width`, rows `y..<y + height`.
    public init(x: Int, y: Int, width: Int, height: Int) {
        self.x = x
        self.y = y
        self.width = width
        self.height = height
    }
}

/// Columns and rows.
public struct Size: Sendable, Hashable {
    /// Columns.
    public var width: Int
    /// Rows.
    public var height: Int

    /// Columns and rows.
    public init(width: Int, height: Int) {
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
