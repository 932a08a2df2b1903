// Stand-in for CoreGraphics: declarations only, see README.md.

@_exported import Foundation

public typealias CFData = Data
public typealias CFString = String

public final class CGColorSpace: Sendable {
    public static let sRGB: CFString = "sRGB"
    public init?(name: CFString) {}
}
public func CGColorSpaceCreateDeviceRGB() -> CGColorSpace { fatalError() }
public func CGColorSpaceCreateDeviceGray() -> CGColorSpace { fatalError() }

public enum CGImageAlphaInfo: UInt32, Sendable { case none, premultipliedLast, premultipliedFirst, last, first }
public struct CGBitmapInfo: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
}
public enum CGColorRenderingIntent: Sendable { case defaultIntent }

public final class CGDataProvider {
    public init?(data: CFData) {}
}
public final class CGImage: Sendable {
    public init?(
        width: Int, height: Int, bitsPerComponent: Int, bitsPerPixel: Int, bytesPerRow: Int, space: CGColorSpace,
        bitmapInfo: CGBitmapInfo, provider: CGDataProvider, decode: UnsafePointer<CGFloat>?, shouldInterpolate: Bool,
        intent: CGColorRenderingIntent
    ) {}
    public var width: Int { fatalError() }
    public var height: Int { fatalError() }
}
public final class CGContext {
    public init?(
        data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int,
        space: CGColorSpace, bitmapInfo: UInt32
    ) {}
    public func draw(_ image: CGImage, in rect: CGRect) {}
}
public struct CGAffineTransform: Sendable {
    public init(a: CGFloat, b: CGFloat, c: CGFloat, d: CGFloat, tx: CGFloat, ty: CGFloat) {}
}
public class CGPath {}
public final class CGMutablePath: CGPath {
    public override init() {}
    public func addLines(between points: [CGPoint]) {}
    public func closeSubpath() {}
}
public final class CGColor: Sendable {
    public init(srgbRed: CGFloat, green: CGFloat, blue: CGFloat, alpha: CGFloat) {}
}
