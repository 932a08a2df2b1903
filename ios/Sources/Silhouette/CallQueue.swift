// Blocking calls for async callers: a limited number run on threads of their own, the others wait without one.

import Foundation

/// Runs blocking work outside Swift's own threads, at most `limit` pieces at once, in order of arrival. A waiting task
/// can be cancelled; a running one ends, and its result is discarded.
final class CallQueue: Sendable {
    private struct State {
        /// Idle workers. (Dispatch queues share threads that the system starts and ends as it likes: blocking calls on the global ones wait for
        /// each other, whatever the limit.)
        var free: [Worker] = []
        var started = 0
        var waiting: [Ticket] = []
    }

    /// One task's place in the queue. Unchecked: it is accessed only while the queue's state is locked.
    private final class Ticket: @unchecked Sendable {
        var turn: CheckedContinuation<Worker, any Error>?
        var isCancelled = false
    }

    private let state: Locked<State>

    private let limit: Int

    init(limit: Int) {
        self.limit = max(limit, 1)
        state = Locked(State())
    }

    /// Waits for a turn and runs `work`.
    ///
    /// - Throws: `CancellationError` if the task was cancelled; the error of `work`.
    func run<R: Sendable>(_ work: @escaping @Sendable () throws -> R) async throws -> R {
        let worker = try await turn()
        defer { leave(worker) }
        try Task.checkCancellation()
        let result = try await withCheckedThrowingContinuation { continuation in
            worker.run {
                continuation.resume(with: Result { try work() })
            }
        }
        try Task.checkCancellation()
        return result
    }

    /// Number of waiting calls.
    var waiting: Int { state.with { $0.waiting.count } }

    private func turn() async throws -> Worker {
        let ticket = Ticket()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (turn: CheckedContinuation<Worker, any Error>) in
                let outcome: Result<Worker, any Error>? = state.with { state in
                    if ticket.isCancelled { return .failure(CancellationError()) }
                    if let worker = state.free.popLast() { return .success(worker) }
                    if state.started < limit {
                        state.started += 1
                        return .success(Worker())
                    }
                    ticket.turn = turn
                    state.waiting.append(ticket)
                    return nil
                }
                if let outcome { turn.resume(with: outcome) }
            }
        } onCancel: {
            let turn = state.with { state -> CheckedContinuation<Worker, any Error>? in
                ticket.isCancelled = true
                guard let place = state.waiting.firstIndex(where: { $0 === ticket }) else { return nil }
                return state.waiting.remove(at: place).turn
            }
            turn?.resume(throwing: CancellationError())
        }
    }

    private func leave(_ worker: Worker) {
        let next = state.with { state -> CheckedContinuation<Worker, any Error>? in
            guard !state.waiting.isEmpty else {
                state.free.append(worker)
                return nil
            }
            return state.waiting.removeFirst().turn
        }
        next?.resume(returning: worker)
    }
}

/// A thread that runs one piece of work after the other, and ends once the last reference to this object is released.
private final class Worker: Sendable {
    /// What the thread references: not the worker, which would then never be released. Unchecked: it is accessed only under
    /// its lock.
    private final class Inbox: @unchecked Sendable {
        private let condition = NSCondition()
        private var work: (@Sendable () -> Void)?
        private var isOver = false

        func put(_ new: @escaping @Sendable () -> Void) {
            condition.lock()
            work = new
            condition.signal()
            condition.unlock()
        }

        func end() {
            condition.lock()
            isOver = true
            condition.signal()
            condition.unlock()
        }

        /// Waits for the next piece of work; `nil` at the end.
        func take() -> (@Sendable () -> Void)? {
            condition.lock()
            defer { condition.unlock() }
            while work == nil && !isOver { condition.wait() }
            defer { work = nil }
            return work
        }
    }

    private let inbox = Inbox()

    init() {
        let inbox = inbox
        let thread = Thread {
            while let work = inbox.take() {
                #if canImport(ObjectiveC)
                    autoreleasepool { work() }
                #else
                    work()
                #endif
            }
        }
        thread.name = "dev.silhouette.call"
        thread.qualityOfService = .userInitiated
        thread.start()
    }

    deinit {
        inbox.end()
    }

    /// Passes the thread its next piece of work; the one before has ended.
    func run(_ work: @escaping @Sendable () -> Void) {
        inbox.put(work)
    }
}

/// A value that one thread at a time accesses. (The standard library's `Mutex` needs iOS 18.)
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
