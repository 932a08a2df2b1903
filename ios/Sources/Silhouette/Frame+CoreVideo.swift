// Frames of camera buffers, without a copy.

#if canImport(CoreVideo)
    import CoreVideo
    import Foundation

    extension Frame {
        /// A camera's or a video's buffer: NV12 of either range (`420YpCbCr8BiPlanar…`), `32BGRA`, `32RGBA`, `24RGB` or
        /// `OneComponent8`. Nothing is copied; the buffer is locked only while the frame is used. The frame retains the buffer, so
        /// release frames soon: a camera has few of them. The matrix of YUV is taken from the buffer's attachments, or is BT.709.
        ///
        /// - Throws: ``SilhouetteError/unsupported(_:)`` for another pixel format.
        public init(pixelBuffer: CVPixelBuffer) throws {
            let type = CVPixelBufferGetPixelFormatType(pixelBuffer)
            let layout: Layout
            switch type {
            case kCVPixelFormatType_420YpCbCr8BiPlanarFullRange:
                layout = .nv12(YUVColor(matrix: Self.matrix(of: pixelBuffer), range: .full))
            case kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange:
                layout = .nv12(YUVColor(matrix: Self.matrix(of: pixelBuffer), range: .video))
            case kCVPixelFormatType_32BGRA: layout = .packed(.bgra)
            case kCVPixelFormatType_32RGBA: layout = .packed(.rgba)
            case kCVPixelFormatType_24RGB: layout = .packed(.rgb)
            case kCVPixelFormatType_OneComponent8: layout = .packed(.gray)
            default:
                throw SilhouetteError.unsupported(
                    .init(
                        "a pixel buffer of format \(type)",
                        "configure the camera for kCVPixelFormatType_420YpCbCr8BiPlanarFullRange or kCVPixelFormatType_32BGRA"))
            }
            self.init(
                width: CVPixelBufferGetWidth(pixelBuffer), height: CVPixelBufferGetHeight(pixelBuffer),
                pixels: .lockable(PixelBuffer(buffer: pixelBuffer, layout: layout)))
        }

        private static func matrix(of buffer: CVPixelBuffer) -> YUVMatrix {
            let name = CVBufferCopyAttachment(buffer, kCVImageBufferYCbCrMatrixKey, nil) as? String
            return name == kCVImageBufferYCbCrMatrix_ITU_R_601_4 as String ? .bt601 : .bt709
        }
    }

    extension Segmentation {
        /// Renders an image into a `32BGRA` buffer of ``frameSize``, with colours multiplied
        /// by alpha.
        ///
        /// - Throws: The same as ``render(_:of:into:layout:)``; ``SilhouetteError/unsupported(_:)`` for a buffer of another format or size.
        public func render(_ effect: Effect, of frame: Frame? = nil, into buffer: CVPixelBuffer) throws {
            let width = CVPixelBufferGetWidth(buffer)
            let height = CVPixelBufferGetHeight(buffer)
            guard CVPixelBufferGetPixelFormatType(buffer) == kCVPixelFormatType_32BGRA,
                Size(width: width, height: height) == frameSize
            else {
                throw SilhouetteError.unsupported(
                    .init(
                        "an image of \(frameSize.width)x\(frameSize.height) into a buffer of \(width)x\(height)",
                        "pass a kCVPixelFormatType_32BGRA buffer of the image's size"))
            }
            try locking(buffer, []) {
                let stride = CVPixelBufferGetBytesPerRow(buffer)
                let memory = UnsafeMutableRawBufferPointer(
                    start: CVPixelBufferGetBaseAddress(buffer), count: stride * height)
                try render(
                    effect, of: frame, into: memory,
                    layout: PictureLayout(rowStride: stride, isBGRA: true, isPremultiplied: true))
            }
        }
    }

    /// Unchecked, because CoreVideo's buffers are not marked as Sendable: they are only read, and only while they are
    /// locked, which any number of threads may do at once.
    private struct PixelBuffer: LockablePixels, @unchecked Sendable {
        let buffer: CVPixelBuffer
        let layout: Frame.Layout

        func withPlanes<R>(_ body: (Frame.Layout, [BorrowedPlane]) throws -> R) throws -> R {
            try locking(buffer, .readOnly) {
                if !CVPixelBufferIsPlanar(buffer) {
                    let stride = CVPixelBufferGetBytesPerRow(buffer)
                    let bytes = UnsafeRawBufferPointer(
                        start: CVPixelBufferGetBaseAddress(buffer), count: stride * CVPixelBufferGetHeight(buffer))
                    return try body(layout, [BorrowedPlane(bytes: bytes, rowStride: stride, pixelStride: 1)])
                }
                let planes = (0..<CVPixelBufferGetPlaneCount(buffer)).map { plane in
                    let stride = CVPixelBufferGetBytesPerRowOfPlane(buffer, plane)
                    let bytes = UnsafeRawBufferPointer(
                        start: CVPixelBufferGetBaseAddressOfPlane(buffer, plane),
                        count: stride * CVPixelBufferGetHeightOfPlane(buffer, plane))
                    return BorrowedPlane(bytes: bytes, rowStride: stride, pixelStride: 1)
                }
                return try body(layout, planes)
            }
        }
    }

    private func locking<R>(_ buffer: CVPixelBuffer, _ flags: CVPixelBufferLockFlags, _ body: () throws -> R) throws -> R {
        let status = CVPixelBufferLockBaseAddress(buffer, flags)
        guard status == kCVReturnSuccess else {
            throw SilhouetteError.invalidFrame(.init("the pixel buffer cannot be locked (\(status))"))
        }
        defer { CVPixelBufferUnlockBaseAddress(buffer, flags) }
        return try body()
    }
#endif
