// Blocking calls for async callers: so many at once on threads of their own, the others wait without one.

import Foundation

/// Runs blocking work outside Swift's own threads, at most `limit` pieces at once, in the order in which they came.
/// A task that waits can be cancelled; one that runs ends, and its result is thrown away.
final class CallQueue: Sendable {
    private struct State {
        /// A serial queue has a thread as soon as it has work. The global queues have one for each core: there blocking calls wait for each
        /// other, whatever the limit.
        var free: [DispatchQueue]
        var waiting: [Ticket] = []
    }

    /// One task's place. Unchecked: it is looked at only while the queue's state is locked.
    private final class Ticket: @unchecked Sendable {
        var turn: CheckedContinuation<DispatchQueue, any Error>?
        var isCancelled = false
    }

    private let state: Locked<State>

    init(limit: Int) {
        let queues = (0..<max(limit, 1)).map { DispatchQueue(label: "dev.silhouette.call.\($0)", qos: .userInitiated) }
        state = Locked(State(free: queues))
    }

    /// Waits for a turn and runs `work`.
    ///
    /// - Throws: `CancellationError` where the task was cancelled; what `work` throws.
    func run<R: Sendable>(_ work: @escaping @Sendable () throws -> R) async throws -> R {
        let queue = try await turn()
        defer { leave(queue) }
        try Task.checkCancellation()
        let result = try await withCheckedThrowingContinuation { continuation in
            queue.async {
                continuation.resume(with: Result { try work() })
            }
        }
        try Task.checkCancellation()
        return result
    }

    /// Calls that wait for their turn.
    var waiting: Int { state.with { $0.waiting.count } }

    private func turn() async throws -> DispatchQueue {
        let ticket = Ticket()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (turn: CheckedContinuation<DispatchQueue, any Error>) in
                let outcome: Result<DispatchQueue, any Error>? = state.with { state in
                    if ticket.isCancelled { return .failure(CancellationError()) }
                    if let queue = state.free.popLast() { return .success(queue) }
                    ticket.turn = turn
                    state.waiting.append(ticket)
                    return nil
                }
                if let outcome { turn.resume(with: outcome) }
            }
        } onCancel: {
            let turn = state.with { state -> CheckedContinuation<DispatchQueue, any Error>? in
                ticket.isCancelled = true
                guard let place = state.waiting.firstIndex(where: { $0 === ticket }) else { return nil }
                return state.waiting.remove(at: place).turn
            }
            turn?.resume(throwing: CancellationError())
        }
    }

    private func leave(_ queue: DispatchQueue) {
        let next = state.with { state -> CheckedContinuation<DispatchQueue, any Error>? in
            guard !state.waiting.isEmpty else {
                state.free.append(queue)
                return nil
            }
            return state.waiting.removeFirst().turn
        }
        next?.resume(returning: queue)
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
