// What the user chooses: how pictures look, which camera, how the engine runs.

import Foundation
import Silhouette

/// What is done with a picture.
public enum EffectChoice: String, Sendable, Codable, CaseIterable {
    case overlay, blur, replace, cutout
}

/// What lies behind the foreground where ``EffectChoice/replace`` is chosen.
public enum Background: String, Sendable, Codable, CaseIterable {
    case dusk, forest, studio, grid
    /// A photo of the user's.
    case photo
}

/// Which way a camera looks.
public enum Facing: String, Sendable, Codable {
    case back, front

    /// The other way.
    public var other: Facing { self == .back ? .front : .back }
}

/// How a picture is to look.
public struct Look: Sendable, Codable, Hashable {
    public var effect: EffectChoice
    /// Classes that the effect keeps; empty: all but the background.
    public var classes: Set<Int>
    public var background: Background

    public init(effect: EffectChoice = .overlay, classes: Set<Int> = [], background: Background = .dusk) {
        self.effect = effect
        self.classes = classes
        self.background = background
    }

    /// The classes as the SDK wants them.
    var foreground: Foreground { classes.isEmpty ? .all : .classes(classes.sorted()) }
}

/// How the engine is to run; what the settings screen changes.
public struct Settings: Sendable, Codable, Hashable {
    /// Threads of the engine; `nil` leaves it to choose.
    public var threads: Int?
    /// Side of the network's input in pixels.
    public var size: Int
    /// Whether the mask is smoothed from frame to frame.
    public var smooths: Bool
    /// Whether the borders of blur, replace and cut-out follow the picture.
    public var refines: Bool

    public init(threads: Int? = nil, size: Int = Settings.defaultSize, smooths: Bool = true, refines: Bool = false) {
        self.threads = threads
        self.size = size
        self.smooths = smooths
        self.refines = refines
    }

    /// What the built-in model was trained at.
    public static let defaultSize = 257

    /// Sizes to choose from. One more than a multiple of 16: the network's map then meets the picture's corners.
    public static let sizes = [129, 193, 257, 385, 513]

    /// Numbers of threads to choose from on a device with so many cores; `nil` is the engine's own choice.
    public static func threadChoices(cores: Int) -> [Int?] { [nil] + [1, 2, 4].filter { $0 == 1 || $0 <= cores } }

    /// The SDK's options. Cameras give 4:3 and 16:9: of a square a quarter and more would be computed for nothing.
    var options: Options { Options(threads: threads, size: size, refinesEdges: refines, inputShape: .frame) }

    /// Whether the engine must be made anew to get from `other` to this. (Smoothing belongs to a stream.)
    func needsEngine(unlike other: Settings?) -> Bool { options != other?.options }
}
