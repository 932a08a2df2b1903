// All texts of the app, in one place: the same words as the Android app's.

import Foundation

/// The app's texts.
public enum Words {
    public static let appName = "Silhouette"

    // Effects
    public static let effect = "Effect"
    public static func name(of effect: EffectChoice) -> String {
        switch effect {
        case .overlay: "Overlay"
        case .blur: "Blur"
        case .replace: "Replace"
        case .cutout: "Cut out"
        }
    }

    // Classes
    public static let classes = "Classes"
    public static let classesHint = "What the effect keeps. Auto keeps people, and in the overlay everything that is found."
    public static let everything = "Everything"
    public static let people = "People"
    public static let done = "Done"
    /// What the effect keeps: people, everything, a number of classes.
    public static func kept(_ count: Int, by model: ModelName?) -> String {
        model == .people ? people : count == 0 ? everything : count == 1 ? "1 class" : "\(count) classes"
    }
    public static func chooseClasses(_ kept: String) -> String { "Choose classes, now: \(kept)" }
    public static func share(_ label: String, _ share: Double) -> String {
        "\(label), \(Int((share * 100).rounded())) percent of the picture"
    }

    // Backgrounds
    public static let background = "Background"
    public static let chooseBackground = "Choose a photo as background"
    public static func name(of background: Background) -> String {
        switch background {
        case .dusk: "Dusk"
        case .forest: "Forest"
        case .studio: "Studio"
        case .grid: "Grid"
        case .photo: "Photo of yours"
        }
    }

    // Buttons over the image
    public static let share = "Share this picture"
    public static let choosePhoto = "Choose a photo"
    public static let backToCamera = "Back to the camera"
    public static let settings = "Settings"
    public static func switchCamera(from facing: Facing) -> String {
        facing == .back ? "Switch to the front camera" : "Switch to the back camera"
    }
    public static func timing(shown: Bool) -> String { shown ? "Hide timing" : "Show timing" }
    /// The image for screen readers.
    public static func picture(of labels: [String]) -> String {
        labels.isEmpty ? "Picture, nothing found yet" : "Picture with \(labels.joined(separator: ", "))"
    }

    // Timing
    /// The lines of the timing panel.
    public static func lines(_ stats: Stats, _ engine: EngineInfo?) -> [String] {
        let rate = stats.rate > 0 ? "\(number(stats.rate, 0)) per second" : "one photo"
        var lines = [
            "\(number(stats.total, 1)) ms, \(rate)",
            "Input \(number(stats.input, 1)) · network \(number(stats.network, 1)) · mask \(number(stats.mask, 1)) · "
                + "effect \(number(stats.effect, 1)) ms",
        ]
        if stats.rate > 0 { lines.append("Dropped \(stats.dropped) of \(stats.frames) frames") }
        if let engine { lines.append("\(size(engine.size)) · \(engine.description)") }
        return lines
    }
    private static func number(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

    // Permission
    public static let askTitle = "Hold up your phone"
    public static let askText =
        "Silhouette finds people, animals and things in what the camera sees. Pictures are worked on right here: none leaves "
        + "this device unless you share it."
    public static let askButton = "Use the camera"
    public static let refusedTitle = "No camera, no live picture"
    public static let refusedText = "The camera is turned off for Silhouette. Allow it in the system's settings, or try a photo."
    public static let refusedButton = "Open system settings"
    public static let restrictedText =
        "Cameras are turned off on this device by a profile or by parental controls. You can still try a photo."
    public static let photoInstead = "Try a photo instead"

    // Camera
    public static let opening = "Opening the camera…"
    public static let lostTitle = "The camera went away"
    public static let tryAgain = "Try again"
    public static func text(of loss: Loss) -> String {
        switch loss {
        case .inUse: "Another app uses the camera. It comes back here by itself when it is free."
        case .sideBySide: "The camera rests while several apps are shown side by side. It comes back when this one is alone."
        case .tooWarm: "The device is too warm for its camera. It comes back here by itself."
        case .disconnected: "The camera was taken away or disconnected."
        case .fault: "The camera stopped with an error. Trying again mostly helps; if not, restart the device."
        case .none: "This device has no camera that can be used. Photos work all the same."
        }
    }

    // Faults
    public static let brokenTitle = "This does not run here"
    public static func text(of notice: Notice) -> String {
        switch notice {
        case .photoUnreadable: "This photo cannot be read."
        case .settingsRefused(let reason): "These settings do not work here: \(reason). The old ones stay."
        case .nothingToShare: "There is no picture to share yet."
        }
    }

    // Settings
    public static let engine = "Engine"
    public static let pictures = "Picture"
    public static let about = "About"
    public static let modelHint =
        "Auto takes people for blur, replace and cut out, and 21 classes for the overlay and for chosen classes."
    public static func name(of model: ModelName?) -> String {
        switch model {
        case nil: automatic
        case .people: people
        case .voc21: "21 classes"
        }
    }
    public static let threads = "Threads"
    public static let threadsHint = "More are faster until the cores run out, and warmer."
    public static let automatic = "Auto"
    public static let modelSize = "Model size"
    public static let modelSizeHint =
        "Longer side of the network's input in pixels. Smaller is faster, larger sees finer. Auto is the model's own."
    public static let smoothing = "Calm edges"
    public static let smoothingHint = "Smooths the mask from frame to frame."
    public static let refining = "Fine edges"
    public static let refiningHint = "Borders of blur, replace and cut out follow the picture. Costs time."
    public static let library = "Library"
    public static let model = "Model"
    public static let privacy = "Privacy"
    public static let privacyText = "This app has no code for the network."
    public static let unknown = "Not known yet"
    public static func size(_ side: Int) -> String { "\(side) × \(side) pixels" }
    public static func modelSize(_ side: Int?) -> String { side.map(size) ?? automatic }
    public static func threads(_ count: Int?) -> String { count.map(String.init) ?? automatic }
}
