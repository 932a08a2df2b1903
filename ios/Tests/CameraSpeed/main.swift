// Milliseconds from a 1280x720 YUV frame to its mask, the median of many: the Swift side of scripts/bench/bindings.
// `CameraSpeed MODEL [FRAMES]`: the same image and options as core/segmenter/examples/camera_speed.rs.

import Foundation
import Silhouette

let width = 1280
let height = 720

/// Everything that an app does for a frame: the frame's own objects, the call, and the mask where the app needs it.
func median(_ segmenter: Segmenter, frames: Int) throws -> Double {
    let luma = Data((0..<width * height).map { UInt8(truncatingIfNeeded: $0 % width / 5 + $0 / width / 3) })
    let chroma = Data((0..<width * height / 2).map { UInt8(truncatingIfNeeded: $0 / 640) })
    let color = YUVColor(matrix: .bt601, range: .full)
    let mask = UnsafeMutableRawBufferPointer.allocate(byteCount: width * height, alignment: 64)
    defer { mask.deallocate() }
    let once = { () throws -> Double in
        let start = DispatchTime.now().uptimeNanoseconds
        let frame = Frame(
            y: Plane(luma, rowStride: width), uv: Plane(chroma, rowStride: width), width: width, height: height,
            color: color)
        try segmenter.segmentNow(frame).mask(into: mask, rowStride: width)
        return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6
    }
    for _ in 0..<frames / 5 { _ = try once() }
    return try (0..<frames).map { _ in try once() }.sorted()[frames / 2]
}

let arguments = CommandLine.arguments
guard arguments.count > 1 else { fatalError("usage: CameraSpeed MODEL [FRAMES]") }
let model = try Model(contentsOf: URL(fileURLWithPath: arguments[1]))
let segmenter = try Segmenter(model: model, options: Options(threads: 1, size: 257))
print(String(format: "%.4f", try median(segmenter, frames: arguments.count > 2 ? Int(arguments[2]) ?? 100 : 100)))
