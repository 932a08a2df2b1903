// Where frames come from: a phone's cameras, or whatever a test plays.

import Foundation
import Silhouette

/// Whether the camera may be used.
public enum Permission: Sendable, Equatable {
    case notAsked, allowed, refused, restricted
}

/// A source of frames.
@MainActor public protocol FrameSource: AnyObject {
    /// Whether it may be used, as of now.
    var permission: Permission { get }

    /// Has the system ask the user.
    func askPermission() async -> Permission

    /// The sides that have a camera.
    var facings: Set<Facing> { get }

    /// Opens a camera after closing the one that was open.
    func open(_ facing: Facing, listener: any FrameListener)

    /// Gives the camera back. Frames that were under way may still arrive, the listener knows them for late ones.
    func close()
}

/// Who is told of frames.
public protocol FrameListener: AnyObject, Sendable {
    /// A frame, on the source's own thread. `frame` is upright on the screen once it is turned and mirrored as it says.
    func frame(_ frame: Frame, at timestamp: TimeInterval)

    /// The camera is gone.
    @MainActor func lost(_ loss: Loss)

    /// After ``lost(_:)``: opening again may work now.
    @MainActor func available()
}

/// How the screen's content lies on the device.
public enum ScreenOrientation: Sendable, CaseIterable {
    case portrait, portraitUpsideDown
    /// The charging port is on the right.
    case landscapeRight
    /// The charging port is on the left.
    case landscapeLeft

    /// How a camera's buffer becomes upright on the screen. Sensors are built in lengthwise, so that a buffer is upright when
    /// the phone lies on its side; a front camera's picture is mirrored, as people know themselves.
    public func orientation(of facing: Facing) -> ExifOrientation {
        switch (self, facing) {
        case (.portrait, .back): .right
        case (.portraitUpsideDown, .back): .left
        case (.landscapeRight, .back): .up
        case (.landscapeLeft, .back): .down
        case (.portrait, .front): .leftMirrored
        case (.portraitUpsideDown, .front): .rightMirrored
        case (.landscapeRight, .front): .downMirrored
        case (.landscapeLeft, .front): .upMirrored
        }
    }
}
