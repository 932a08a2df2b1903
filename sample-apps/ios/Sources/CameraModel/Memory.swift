// What the app remembers from one start to the next.

import Foundation

/// What is remembered.
public struct Remembered: Sendable, Codable, Hashable {
    public var look = Look()
    public var facing = Facing.back
    public var settings = Settings()
    public var showsStats = false

    public init() {}
}

/// Where it is stored.
@MainActor public protocol Memory: AnyObject {
    var remembered: Remembered { get set }
}

/// In the app's defaults. Values that cannot be read any more, as after an update, count as never chosen.
@MainActor public final class DefaultsMemory: Memory {
    private let defaults: UserDefaults
    private static let key = "remembered"

    public var remembered: Remembered {
        didSet {
            if let data = try? JSONEncoder().encode(remembered) { defaults.set(data, forKey: Self.key) }
        }
    }

    public init(_ defaults: UserDefaults = .standard) {
        self.defaults = defaults
        let data = defaults.data(forKey: Self.key)
        remembered = data.flatMap { try? JSONDecoder().decode(Remembered.self, from: $0) } ?? Remembered()
    }
}
