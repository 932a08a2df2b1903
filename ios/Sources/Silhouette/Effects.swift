// Images rendered from a frame and its segmentation: overlay, cut-out, blurred and replaced background.

import Foundation
internal import CSilhouette
internal import SilhouetteFFI

/// The classes in the foreground of an effect.
public enum Foreground: Sendable, Hashable {
    /// Every class but the background (class 0).
    case all
    /// These classes.
    case classes([Int])
}

/// The effects of ``Segmentation/render(_:of:)``.
public enum Effect: Sendable {
    /// The frame itself, upright.
    case picture
    /// The foreground's classes blended over the frame, each in its colour; `opacity` is 0 (invisible) to 1 (only the
    /// colour).
    case overlay(Foreground = .all, opacity: Float = Segmentation.overlayOpacity)
    /// Only the foreground, the rest transparent, with a soft edge.
    case cutout(Foreground = .all)
    /// The background blurred. `radius` is the blur's standard deviation as a share of the image's longer side, 0 to 0.5.
    case blur(Foreground = .all, radius: Float = Segmentation.blurRadius)
    /// The foreground in front of another image, which is scaled and cropped to cover the frame.
    case replace(Foreground = .all, background: Frame)
}

/// An upright RGBA image, 8 bits per channel, rows from top to bottom, no padding, straight alpha.
public struct Picture: Sendable, Hashable {
    /// Columns.
    public let width: Int
    /// Rows.
    public let height: Int
    /// Red, green, blue, alpha of each pixel: `width * height * 4` bytes.
    public let rgba: Data

    /// The image as a frame, as a background for instance.
    public var frame: Frame { Frame(rgba, format: .rgba, width: width, height: height).transparent(.straight) }
}

/// The layout of the pixels of an output buffer.
public struct PictureLayout: Sendable, Hashable {
    /// Bytes from one row to the next.
    public var rowStride: Int
    /// Blue, green, red, alpha instead of red, green, blue, alpha.
    public var isBGRA: Bool
    /// Whether the colours are multiplied by alpha, as CoreGraphics and Metal expect them.
    public var isPremultiplied: Bool

    /// A layout of 4 bytes per pixel.
    public init(rowStride: Int, isBGRA: Bool = false, isPremultiplied: Bool = false) {
        self.rowStride = rowStride
        self.isBGRA = isBGRA
        self.isPremultiplied = isPremultiplied
    }
}

extension Segmentation {
    /// Renders an image of ``frameSize``.
    ///
    /// - Parameters:
    ///   - effect: The effect.
    ///   - frame: The frame that was segmented; `nil` for a live stream's result, which keeps it.
    /// - Throws: ``SilhouetteError/invalidFrame(_:)`` if the frame cannot be the one that was segmented;
    ///   ``SilhouetteError/unsupported(_:)`` for a class that the model does not have.
    public func render(_ effect: Effect, of frame: Frame? = nil) throws -> Picture {
        let width = frameSize.width
        let height = frameSize.height
        var rgba = Data(count: width * height * 4)
        try rgba.withUnsafeMutableBytes {
            try render(effect, of: frame, into: $0, layout: PictureLayout(rowStride: width * 4))
        }
        return Picture(width: width, height: height, rgba: rgba)
    }

    /// The frame unchanged, upright. `frame` is the one that was segmented; results of live streams keep theirs (`nil`).
    ///
    /// - Throws: The same as ``render(_:of:)``, like the other effects.
    public func picture(of frame: Frame? = nil) throws -> Picture { try render(.picture, of: frame) }

    /// The frame with each class of the foreground blended over it in its colour; `opacity` 0 to 1.
    public func overlay(
        of frame: Frame? = nil, foreground: Foreground = .all, opacity: Float = overlayOpacity
    ) throws -> Picture { try render(.overlay(foreground, opacity: opacity), of: frame) }

    /// Only the foreground, with a soft edge; the rest transparent.
    public func cutout(of frame: Frame? = nil, foreground: Foreground = .all) throws -> Picture {
        try render(.cutout(foreground), of: frame)
    }

    /// The frame with its background blurred; `radius` is the blur's standard deviation as a share of the longer side, 0 to 0.5.
    public func blur(
        of frame: Frame? = nil, foreground: Foreground = .all, radius: Float = blurRadius
    ) throws -> Picture { try render(.blur(foreground, radius: radius), of: frame) }

    /// The foreground in front of another image, which is scaled and cropped to cover the frame.
    public func replace(background: Frame, of frame: Frame? = nil, foreground: Foreground = .all) throws -> Picture {
        try render(.replace(foreground, background: background), of: frame)
    }

    /// Opacity of the colours of ``overlay(of:foreground:opacity:)``.
    public static let overlayOpacity: Float = 0.55

    /// Standard deviation of ``blur(of:foreground:radius:)`` as a share of the image's longer side.
    public static let blurRadius: Float = 0.015

    /// Renders an image into the caller's memory.
    ///
    /// - Parameters:
    ///   - effect: The effect.
    ///   - frame: As for ``render(_:of:)``.
    ///   - buffer: At least `(frameSize.height - 1) * rowStride + frameSize.width * 4` bytes.
    ///   - layout: The layout of its pixels.
    /// - Throws: The same as ``render(_:of:)``, and ``SilhouetteError/invalidFrame(_:)`` if the buffer is too short.
    public func render(
        _ effect: Effect, of frame: Frame? = nil, into buffer: UnsafeMutableRawBufferPointer, layout: PictureLayout
    ) throws {
        let stride: Int = try unsigned(layout.rowStride, "the row stride", SilhouetteError.invalidFrame)
        let out = buffer.bindMemory(to: UInt8.self).baseAddress
        try effect.withNative { effect in
            effect.bgra = layout.isBGRA ? 1 : 0
            effect.premultiplied = layout.isPremultiplied ? 1 : 0
            try withRaw(handle) { raw in
                if let frame {
                    try frame.withNative { frame in
                        try calling { silhouette_effect(raw, frame, &effect, out, buffer.count, stride, $0) }
                    }
                } else {
                    try calling { silhouette_effect(raw, nil, &effect, out, buffer.count, stride, $0) }
                }
            }
        }
    }
}

extension Effect {
    /// Passes the effect, as the C interface's structure, to `body`.
    fileprivate func withNative(_ body: (inout SilhouetteEffect) throws -> Void) throws {
        var effect = SilhouetteEffect()
        effect.strength = -1
        var foreground = Foreground.all
        var background: Frame?
        switch self {
        case .picture:
            effect.kind = UInt32(SILHOUETTE_PICTURE)
        case .overlay(let classes, let opacity):
            effect.kind = UInt32(SILHOUETTE_OVERLAY)
            effect.strength = try strength(opacity, "opacity")
            foreground = classes
        case .cutout(let classes):
            effect.kind = UInt32(SILHOUETTE_CUTOUT)
            foreground = classes
        case .blur(let classes, let radius):
            effect.kind = UInt32(SILHOUETTE_BLUR)
            effect.strength = try strength(radius, "radius")
            foreground = classes
        case .replace(let classes, let behind):
            effect.kind = UInt32(SILHOUETTE_REPLACE)
            (foreground, background) = (classes, behind)
        }
        var numbers: [UInt32] = []
        switch foreground {
        case .all: effect.all_classes = 1
        case .classes(let classes): numbers = try classNumbers(classes)
        }
        try numbers.withUnsafeBufferPointer { numbers in
            effect.classes = numbers.baseAddress
            effect.class_count = numbers.count
            guard let background else { return try body(&effect) }
            try background.withNative { background in
                effect.background = background
                try body(&effect)
            }
        }
    }

    /// Rejects negative numbers, which the library would take for the default.
    private func strength(_ value: Float, _ what: String) throws -> Float {
        guard (0...1).contains(value) else {
            throw SilhouetteError.unsupported(.init("\(what) is \(value)", "pass 0 to 1"))
        }
        return value
    }
}
