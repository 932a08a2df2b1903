// `Consumer PHOTO.ppm`: the classes that the model of 21 classes finds in a photo, with their shares.

import Foundation
import Silhouette

/// A binary PPM file's pixels. Swift on Linux has no image decoder.
func photo(at path: String) throws -> Frame {
    let data = try Data(contentsOf: URL(fileURLWithPath: path))
    // "P6", columns, rows, 255, each on its own line.
    let header = data.prefix(40).split(separator: UInt8(ascii: "\n"), maxSplits: 3)
    let size = header[1].split(separator: UInt8(ascii: " ")).compactMap { Int(String(decoding: $0, as: UTF8.self)) }
    let start = header[0..<3].reduce(3) { $0 + $1.count }
    return Frame(Data(data.dropFirst(start)), format: .rgb, width: size[0], height: size[1])
}

guard let path = CommandLine.arguments.dropFirst().first else { fatalError("usage: Consumer PHOTO.ppm") }
let segmenter = try Segmenter(model: .voc21())
let segmentation = try await segmenter.segment(try photo(at: path))
for found in segmentation.shares {
    print(segmenter.model.labels[found.classIndex], String(format: "%.3f", found.share))
}
