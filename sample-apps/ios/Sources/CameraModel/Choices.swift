// The user's choices: how images look, which camera, how the engine runs.

import Foundation
import Silhouette

/// The effect on an image.
public enum EffectChoice: String, Sendable, Codable, CaseIterable {
    case overlay, blur, replace, cutout
}

/// The background for ``EffectChoice/replace``.
public enum Background: String, Sendable, Codable, CaseIterable {
    case dusk, forest, studio, grid
    /// A photo of the user's.
    case photo
}

/// The side of a camera.
public enum Facing: String, Sendable, Codable {
    case back, front

    /// The other side.
    public var other: Facing { self == .back ? .front : .back }
}

/// How an image looks.
public struct Look: Sendable, Codable, Hashable {
    public var effect: EffectChoice
    /// Classes that the effect keeps; empty: all except the background.
    public var classes: Set<Int>
    public var background: Background

    public init(effect: EffectChoice = .overlay, classes: Set<Int> = [], background: Background = .dusk) {
        self.effect = effect
        self.classes = classes
        self.background = background
    }

    /// The classes as the SDK's type.
    var foreground: Foreground { classes.isEmpty ? .all : .classes(classes.sorted()) }
}

/// How the engine runs, as set on the settings screen.
public struct Settings: Sendable, Codable, Hashable {
    /// Threads of the engine; `nil`: its default.
    public var threads: Int?
    /// Side of the network's input in pixels.
    public var size: Int
    /// Whether the mask is temporally smoothed.
    public var smooths: Bool
    /// Whether the borders of blur, replace and cut-out follow the image.
    public var refines: Bool

    public init(threads: Int? = nil, size: Int = Settings.defaultSize, smooths: Bool = true, refines: Bool = false) {
        self.threads = threads
        self.size = size
        self.smooths = smooths
        self.refines = refines
    }

    /// The size that the built-in model was trained at.
    public static let defaultSize = 257

    /// Selectable sizes. One more than a multiple of 16: the network's map then meets the image's corners.
    public static let sizes = [129, 193, 257, 385, 513]

    /// Selectable numbers of threads on a device with this many cores; `nil` is the engine's default.
    public static func threadChoices(cores: Int) -> [Int?] { [nil] + [1, 2, 4].filter { $0 == 1 || $0 <= cores } }

    /// The SDK's options. Cameras produce 4:3 and 16:9: with a square, a quarter and more would be computed for
    /// nothing.
    var options: Options { Options(threads: threads, size: size, refinesEdges: refines, inputShape: .frame) }

    /// Whether the engine must be recreated to change from `other` to this. (Smoothing belongs to a stream.)
    func needsEngine(unlike other: Settings?) -> Bool { options != other?.options }
}
