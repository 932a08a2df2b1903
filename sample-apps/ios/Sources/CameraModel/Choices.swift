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

/// The models that come with the SDK.
public enum ModelName: String, Sendable, Codable {
    /// An alpha of all people.
    case people
    /// 21 classes.
    case voc21
}

/// How an image looks.
public struct Look: Sendable, Codable, Hashable {
    public var effect: EffectChoice
    /// Classes of ``ModelName/voc21`` that the effect keeps; empty: all that the model finds.
    public var classes: Set<Int>
    public var background: Background

    public init(effect: EffectChoice = .overlay, classes: Set<Int> = [], background: Background = .dusk) {
        self.effect = effect
        self.classes = classes
        self.background = background
    }

    /// The classes as the SDK's type, for the image of a model with this task. (An alpha is about people alone.)
    func foreground(_ task: Model.Task) -> Foreground {
        classes.isEmpty || task == .alpha ? .all : .classes(classes.sorted())
    }
}

/// How the engine runs, as set on the settings screen.
public struct Settings: Sendable, Codable, Hashable {
    /// Threads of the engine; `nil`: its default.
    public var threads: Int?
    /// Longer side of the network's input in pixels; `nil`: the model's own.
    public var size: Int?
    /// Whether the mask is temporally smoothed.
    public var smooths: Bool
    /// Whether the borders of blur, replace and cut-out follow the image.
    public var refines: Bool
    /// `nil`: the one that suits the look.
    public var model: ModelName?

    public init(
        threads: Int? = nil, size: Int? = nil, smooths: Bool = true, refines: Bool = true,
        model: ModelName? = nil
    ) {
        self.threads = threads
        self.size = size
        self.smooths = smooths
        self.refines = refines
        self.model = model
    }

    /// Selectable sizes. One more than a multiple of 16: the network's map then meets the image's corners.
    public static let sizes: [Int?] = [nil, 129, 193, 257, 385, 513]

    /// Selectable models.
    public static let modelChoices: [ModelName?] = [nil, .people, .voc21]

    /// Selectable numbers of threads on a device with this many cores; `nil` is the engine's default.
    public static func threadChoices(cores: Int) -> [Int?] { [nil] + [1, 2, 4].filter { $0 == 1 || $0 <= cores } }

    /// The SDK's options.
    var options: Options { Options(threads: threads, size: size, refine: refines) }

    /// The model for a look: the overlay needs the classes, the other effects are about people unless other classes are
    /// chosen. `person` is the class of people in ``ModelName/voc21``, if it is known.
    func model(for look: Look, person: Int?) -> ModelName {
        if let model { return model }
        let others = look.classes.filter { $0 != person }
        return look.effect == .overlay || !others.isEmpty ? .voc21 : .people
    }
}
