// The library's errors, in five kinds that a caller can act on.

import Foundation

/// Every error of Silhouette. A cancelled task throws Swift's `CancellationError` instead.
public enum SilhouetteError: Error, Sendable, Hashable {
    /// The frame cannot be read: sizes, strides, region, pixel format.
    case invalidFrame(Problem)
    /// The model cannot be used: missing, truncated, damaged, of an unknown network, or for another task.
    case invalidModel(Problem)
    /// The request is well-formed, but not supported here: backend, size, class.
    case unsupported(Problem)
    /// The object was closed; calls that were still waiting end with this too.
    case closed(Problem)
    /// A fault of this library or of the underlying system.
    case `internal`(Problem)

    /// The reason of an error, and what to do about it.
    public struct Problem: Sendable, Hashable {
        /// What was wrong, and where.
        public let reason: String
        /// What the caller can do; may be empty.
        public let advice: String

        /// A problem detected in the app's own language, in the same words.
        public init(reason: String, advice: String = "") {
            self.init(reason, advice)
        }

        init(_ reason: String, _ advice: String = "") {
            self.reason = reason
            self.advice = advice
        }
    }

    /// The reason, and what to do about it.
    public var problem: Problem {
        switch self {
        case .invalidFrame(let problem), .invalidModel(let problem), .unsupported(let problem), .closed(let problem),
            .internal(let problem):
            problem
        }
    }
}

extension SilhouetteError {
    /// What was wrong, and where.
    public var reason: String { problem.reason }

    /// What the caller can do; may be empty.
    public var advice: String { problem.advice }
}

extension SilhouetteError: LocalizedError, CustomStringConvertible {
    /// The kind, the reason and the advice, as in "invalid frame: plane Y has 10 bytes, its size and strides need 16; pass planes, strides
    /// and sizes as the camera or decoder reports them".
    public var description: String { advice.isEmpty ? summary : "\(summary); \(advice)" }

    /// The kind and the reason.
    public var errorDescription: String? { summary }

    private var summary: String {
        switch self {
        case .invalidFrame(let problem): "invalid frame: \(problem.reason)"
        case .invalidModel(let problem): "invalid model: \(problem.reason)"
        case .unsupported(let problem): "unsupported: \(problem.reason)"
        case .closed(let problem): "closed: \(problem.reason)"
        case .internal(let problem): "internal: \(problem.reason)"
        }
    }

    /// What the caller can do.
    public var recoverySuggestion: String? { problem.advice.isEmpty ? nil : problem.advice }
}
