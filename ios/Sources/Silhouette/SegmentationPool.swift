// The library's segmentations that are free to be filled again, so that a stream of frames allocates nothing.

import Foundation
internal import SilhouetteFFI

/// A few of the library's segmentations, kept for the next frames.
final class SegmentationPool: Sendable {
    /// Those that are free; `nil` once the segmenter was closed.
    private let free = Locked<[SilhouetteFFI.Segmentation]?>([])

    /// More than a camera's pipeline holds at once; each keeps the memory of one mask.
    private static let limit = 4

    /// Lets `body` fill a segmentation, which it gets as the C interface's handle.
    func fill(of model: Model, _ body: (UInt64) throws -> Void) throws -> Segmentation {
        let target = free.with { $0?.popLast() } ?? SilhouetteFFI.Segmentation()
        do {
            try withRaw(target, body)
        } catch {
            give(target)
            throw error
        }
        return Segmentation(target, of: model, pool: self)
    }

    /// Takes one back.
    func give(_ segmentation: SilhouetteFFI.Segmentation) {
        free.with { free in
            if let count = free?.count, count < Self.limit { free?.append(segmentation) }
        }
    }

    /// Frees what is kept, and keeps nothing more.
    func close() {
        free.with { $0 = nil }
    }
}
