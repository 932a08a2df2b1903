// Blocking calls for async callers: so many at once on threads of their own, the others wait without one.

import Foundation

/// Runs blocking work outside Swift's own threads, at most `limit` pieces at once, in the order in which they came.
/// A task that waits can be cancelled; one that runs ends, and its result is thrown away.
final class CallQueue: Sendable {
    private struct State {
        var free: Int
        var waiting: [Ticket] = []
    }

    /// One task's place. Unchecked: it is looked at only while the queue's state is locked.
    private final class Ticket: @unchecked Sendable {
        var turn: CheckedContinuation<Void, any Error>?
        var isCancelled = false
    }

    private let state: Locked<State>

    init(limit: Int) {
        state = Locked(State(free: max(limit, 1)))
    }

    /// Waits for a turn and runs `work`.
    ///
    /// - Throws: `CancellationError` where the task was cancelled; what `work` throws.
    func run<R: Sendable>(_ work: @escaping @Sendable () throws -> R) async throws -> R {
        try await turn()
        defer { leave() }
        try Task.checkCancellation()
        let result = try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global(qos: .userInitiated).async {
                continuation.resume(with: Result { try work() })
            }
        }
        try Task.checkCancellation()
        return result
    }

    private func turn() async throws {
        let ticket = Ticket()
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (turn: CheckedContinuation<Void, any Error>) in
                let outcome: Result<Void, any Error>? = state.with { state in
                    if ticket.isCancelled { return .failure(CancellationError()) }
                    if state.free > 0 {
                        state.free -= 1
                        return .success(())
                    }
                    ticket.turn = turn
                    state.waiting.append(ticket)
                    return nil
                }
                if let outcome { turn.resume(with: outcome) }
            }
        } onCancel: {
            let turn = state.with { state -> CheckedContinuation<Void, any Error>? in
                ticket.isCancelled = true
                guard let place = state.waiting.firstIndex(where: { $0 === ticket }) else { return nil }
                return state.waiting.remove(at: place).turn
            }
            turn?.resume(throwing: CancellationError())
        }
    }

    private func leave() {
        let next = state.with { state -> CheckedContinuation<Void, any Error>? in
            guard !state.waiting.isEmpty else {
                state.free += 1
                return nil
            }
            return state.waiting.removeFirst().turn
        }
        next?.resume()
    }
}

/// A value that one thread at a time looks at. (The standard library's `Mutex` needs iOS 18.)
final class Locked<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    init(_ value: Value) {
        self.value = value
    }

    func with<R>(_ body: (inout Value) throws -> R) rethrows -> R {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}
