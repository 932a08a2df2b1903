// Everything that the camera screen shows, except the images themselves.

import Foundation
import Silhouette

/// The contents of the camera screen.
public struct CameraState: Sendable, Equatable {
    public var screen = Screen.nothing
    public var look = Look()
    public var facing = Facing.back
    /// Whether there is a camera on the other side.
    public var canSwitch = false
    public var showsStats = false
    public var picksClasses = false
    public var settings = Settings()
    /// The running engine; `nil` while it is being created.
    public var engine: EngineInfo?
    /// A notice to show once, over whatever is shown.
    public var notice: Notice?
}

/// The screen that is shown.
public enum Screen: Sendable, Equatable {
    /// Before the first start.
    case nothing
    /// Camera permission was not requested yet.
    case askPermission
    /// The user refused the camera. iOS asks only once, so this is permanent: only the system's settings help.
    case refused
    /// The camera is forbidden by a profile or parental controls: the user cannot allow it.
    case restricted
    /// Until the first image.
    case opening
    /// Images are shown.
    case live
    /// The camera was lost; it comes back by itself or on request.
    case lost(Loss)
    /// A still photo instead of the camera; `ready` when it is segmented.
    case photo(ready: Bool)
    /// The engine cannot run; its own words about why and what to do.
    case broken(reason: String, advice: String)

    var isPhoto: Bool {
        if case .photo = self { true } else { false }
    }
}

/// Why there is no camera.
public enum Loss: Sendable, Equatable, CaseIterable {
    /// Another app is using it.
    case inUse
    /// The device shows several apps side by side, which ends the camera on some.
    case sideBySide
    /// The device is too warm.
    case tooWarm
    /// It was disconnected while it ran.
    case disconnected
    /// It failed.
    case fault
    /// The device has none.
    case none

    /// Whether it ends by itself, so that it is right to open the camera again when the system reports it.
    var passes: Bool { self == .inUse || self == .sideBySide || self == .tooWarm || self == .disconnected }
}

/// A notice to show once.
public enum Notice: Sendable, Equatable {
    case photoUnreadable
    /// New settings that do not work here; the old ones stay.
    case settingsRefused(reason: String)
    case nothingToShare
}

/// The running engine.
public struct EngineInfo: Sendable, Equatable {
    /// The classes to choose from: those of ``ModelName/voc21``.
    public let labels: [String]
    public let colors: [ClassColor]
    /// The model that runs.
    public let model: ModelName
    /// Whether chosen classes have an effect: not if the settings keep to people.
    public let choosesClasses: Bool
    public let modelName: String
    public let modelLicence: String
    public let library: String
    /// A short description of backend, kernels, threads and memory.
    public let description: String
    public let size: Int

    init(_ segmenter: Segmenter, _ model: ModelName, classes: Model, choosesClasses: Bool) {
        labels = classes.labels
        colors = classes.colors
        self.model = model
        self.choosesClasses = choosesClasses
        modelName = segmenter.model.name
        modelLicence = segmenter.model.licence
        library = SilhouetteLibrary.version
        description = segmenter.description
        size = segmenter.size
    }
}

/// A class in an image.
public struct Found: Sendable, Equatable {
    public let label: String
    /// Its share of the pixels, 0 to 1.
    public let share: Double
}

/// How the last image was rendered; times in milliseconds.
public struct Stats: Sendable, Equatable {
    public let input: Double
    public let network: Double
    public let mask: Double
    public let effect: Double
    /// Images per second; 0 for a photo.
    public let rate: Double
    public let frames: Int
    public let dropped: Int
    /// Classes of the image except the background, the largest first.
    public let found: [Found]

    /// All stages.
    public var total: Double { input + network + mask + effect }
}
