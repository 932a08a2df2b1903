// Photos as input, images as output: CGImage and UIImage.

#if canImport(CoreGraphics)
    import CoreGraphics
    import Foundation

    extension Frame {
        /// A decoded photo, with its pixels as in memory; apply a `UIImage`'s or a file's orientation with
        /// ``oriented(_:)``. The pixels are drawn once into the frame's own memory, as sRGB; where the image is
        /// transparent, the network sees black, and images made from the frame stay transparent.
        ///
        /// - Throws: ``SilhouetteError/invalidFrame(_:)`` for an empty image; ``SilhouetteError/internal(_:)`` if there is no
        ///   memory for it.
        public init(image: CGImage) throws {
            let width = image.width
            let height = image.height
            guard width > 0, height > 0 else { throw SilhouetteError.invalidFrame(.init("the image is empty")) }
            var rgba = Data(count: width * height * 4)
            let drawn = rgba.withUnsafeMutableBytes { bytes in
                guard
                    let context = CGContext(
                        data: bytes.baseAddress, width: width, height: height, bitsPerComponent: 8, bytesPerRow: width * 4,
                        space: CGColorSpace(name: CGColorSpace.sRGB) ?? CGColorSpaceCreateDeviceRGB(),
                        bitmapInfo: CGImageAlphaInfo.premultipliedLast.rawValue)
                else { return false }
                context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
                return true
            }
            guard drawn else { throw SilhouetteError.internal(.init("no memory for an image of \(width)x\(height)")) }
            self = Frame(rgba, format: .rgba, width: width, height: height).transparent(.premultiplied)
        }
    }

    extension Picture {
        /// The image for CoreGraphics, sRGB; `nil` if there is not enough memory for it.
        public var cgImage: CGImage? {
            guard let provider = CGDataProvider(data: rgba as CFData) else { return nil }
            return CGImage(
                width: width, height: height, bitsPerComponent: 8, bitsPerPixel: 32, bytesPerRow: width * 4,
                space: CGColorSpace(name: CGColorSpace.sRGB) ?? CGColorSpaceCreateDeviceRGB(),
                bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.last.rawValue), provider: provider, decode: nil,
                shouldInterpolate: true, intent: .defaultIntent)
        }
    }

    extension Confidence {
        /// A grey image, white where the value is 255: a layer's or a `CGContext`'s mask; `nil` if there is not enough memory for it.
        public var cgImage: CGImage? {
            guard let provider = CGDataProvider(data: Data(values) as CFData) else { return nil }
            return CGImage(
                width: width, height: height, bitsPerComponent: 8, bitsPerPixel: 8, bytesPerRow: width,
                space: CGColorSpaceCreateDeviceGray(), bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.none.rawValue),
                provider: provider, decode: nil, shouldInterpolate: true, intent: .defaultIntent)
        }
    }

    extension Transform {
        /// The map in CoreGraphics' notation.
        public var cgAffineTransform: CGAffineTransform {
            CGAffineTransform(a: xx, b: yx, c: xy, d: yy, tx: x0, ty: y0)
        }
    }

    extension Polygon {
        /// The outline and its holes, in the mask's coordinates; fill it by the even-odd rule.
        public var cgPath: CGPath {
            let path = CGMutablePath()
            for ring in [outer] + holes {
                path.addLines(between: ring.map { CGPoint(x: $0.x, y: $0.y) })
                path.closeSubpath()
            }
            return path
        }
    }

    extension ClassColor {
        /// The colour for CoreGraphics.
        public var cgColor: CGColor {
            CGColor(srgbRed: CGFloat(red) / 255, green: CGFloat(green) / 255, blue: CGFloat(blue) / 255, alpha: 1)
        }
    }
#endif

#if canImport(UIKit)
    import UIKit

    extension Frame {
        /// A photo with its orientation.
        ///
        /// - Throws: The same as ``init(image:)-(CGImage)``; ``SilhouetteError/invalidFrame(_:)`` for an image without a bitmap.
        public init(image: UIImage) throws {
            guard let bitmap = image.cgImage else {
                throw SilhouetteError.invalidFrame(.init("the image has no bitmap", "render it to one first"))
            }
            self = try Frame(image: bitmap).oriented(ExifOrientation(image.imageOrientation))
        }
    }

    extension Picture {
        /// The image for UIKit; `nil` if there is not enough memory for it.
        public var uiImage: UIImage? { cgImage.map { UIImage(cgImage: $0) } }
    }

    extension ExifOrientation {
        /// UIKit's orientation, with other numbers and the same meaning.
        public init(_ orientation: UIImage.Orientation) {
            switch orientation {
            case .up: self = .up
            case .upMirrored: self = .upMirrored
            case .down: self = .down
            case .downMirrored: self = .downMirrored
            case .left: self = .left
            case .leftMirrored: self = .leftMirrored
            case .right: self = .right
            case .rightMirrored: self = .rightMirrored
            @unknown default: self = .up
            }
        }
    }
#endif
