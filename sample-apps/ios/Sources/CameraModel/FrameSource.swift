// A source of frames: a phone's cameras, or a test's recording.

import Foundation
import Silhouette

/// Whether the camera may be used.
public enum Permission: Sendable, Equatable {
    case notAsked, allowed, refused, restricted
}

/// A source of frames.
@MainActor public protocol FrameSource: AnyObject {
    /// Whether it may be used at the moment.
    var permission: Permission { get }

    /// Has the system ask the user.
    func askPermission() async -> Permission

    /// The sides that have a camera.
    var facings: Set<Facing> { get }

    /// Opens a camera after closing the one that was open.
    func open(_ facing: Facing, listener: any FrameListener)

    /// Closes the camera. Frames under way may still arrive; the listener recognises them as late.
    func close()
}

/// Receives frames.
public protocol FrameListener: AnyObject, Sendable {
    /// A frame, on the source's own thread. `frame` is upright on the screen after its own rotation and mirroring.
    func frame(_ frame: Frame, at timestamp: TimeInterval)

    /// The camera is gone.
    @MainActor func lost(_ loss: Loss)

    /// After ``lost(_:)``: opening again may work now.
    @MainActor func available()
}

/// The orientation of the screen's content on the device.
public enum ScreenOrientation: Sendable, CaseIterable {
    case portrait, portraitUpsideDown
    /// The charging port is on the right.
    case landscapeRight
    /// The charging port is on the left.
    case landscapeLeft

    /// How a camera's buffer becomes upright on the screen. Sensors are mounted lengthwise, so a buffer is upright when the
    /// phone is in landscape; a front camera's image is mirrored, as people are used to seeing themselves.
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
