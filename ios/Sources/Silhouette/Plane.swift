// A plane of a frame: borrowed bytes and their layout.

import Foundation

/// The bytes of one plane of a frame and their layout. Nothing is copied: the bytes are read while a frame is segmented.
///
/// A plane of `rows` by `columns` samples needs `(rows - 1) * rowStride + (columns - 1) * pixelStride` bytes plus one
/// sample; the last row needs no padding.
public struct Plane: Sendable {
    /// Bytes from one row to the next.
    public let rowStride: Int
    /// Bytes from one sample to the next in a row. Packed formats ignore it.
    public let pixelStride: Int
    private let storage: Storage

    private enum Storage: Sendable {
        case data(Data)
        case memory(Memory)
    }

    /// A plane in a `Data`.
    ///
    /// - Parameters:
    ///   - data: The bytes, starting with the first sample.
    ///   - rowStride: Bytes from one row to the next.
    ///   - pixelStride: Bytes from one sample to the next in a row.
    public init(_ data: Data, rowStride: Int, pixelStride: Int = 1) {
        self.storage = .data(data)
        self.rowStride = rowStride
        self.pixelStride = pixelStride
    }

    /// A plane in memory that `owner` keeps alive, such as a mapped camera buffer.
    ///
    /// - Parameters:
    ///   - bytes: The bytes, starting with the first sample. They must stay readable and unchanged as long as `owner`
    ///     lives.
    ///   - rowStride: Bytes from one row to the next.
    ///   - pixelStride: Bytes from one sample to the next in a row.
    ///   - owner: The owner of the memory; the plane retains it.
    public init(
        unsafeBytes bytes: UnsafeRawBufferPointer, rowStride: Int, pixelStride: Int = 1, owner: any AnyObject & Sendable
    ) {
        self.storage = .memory(Memory(bytes: bytes, owner: owner))
        self.rowStride = rowStride
        self.pixelStride = pixelStride
    }

    /// Passes the bytes to `body`.
    func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        switch storage {
        case .data(let data): try data.withUnsafeBytes(body)
        case .memory(let memory): try withExtendedLifetime(memory.owner) { try body(memory.bytes) }
        }
    }
}

/// Memory with its owner. Unchecked, because a pointer carries no information about threads: the creator of the plane
/// promises that the bytes do not change while the owner lives.
private struct Memory: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    let owner: any AnyObject & Sendable
}
