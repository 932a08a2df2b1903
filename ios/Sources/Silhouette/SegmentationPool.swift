// The library's reusable segmentations, so that a stream of frames allocates nothing.

import Foundation
internal import SilhouetteFFI

/// A few of the library's segmentations, reused for the next frames.
final class SegmentationPool: Sendable {
    /// The free ones; `nil` once the segmenter was closed.
    private let free = Locked<[SilhouetteFFI.Segmentation]?>([])

    /// More than a camera's pipeline holds at once; each keeps the memory of one mask.
    private static let limit = 4

    /// Has `body` fill a segmentation, which it receives as the C interface's handle.
    func fill(of model: Model, _ body: (UInt64) throws -> Void) throws -> Segmentation {
        let target = free.with { $0?.popLast() } ?? SilhouetteFFI.Segmentation()
        do {
            try withRaw(target, body)
        } catch {
            release(target)
            throw error
        }
        return Segmentation(target, of: model, pool: self)
    }

    /// Returns one to the pool.
    func release(_ segmentation: SilhouetteFFI.Segmentation) {
        free.with { free in
            if let count = free?.count, count < Self.limit { free?.append(segmentation) }
        }
    }

    /// Frees the pooled segmentations; later ones are not pooled.
    func close() {
        free.with { $0 = nil }
    }
}
