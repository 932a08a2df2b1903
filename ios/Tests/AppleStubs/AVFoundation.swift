// Stand-in for AVFoundation and the part of CoreMedia that comes with it: declarations only, see README.md.

@_exported import CoreVideo

public struct CMTime: Sendable {}
public class CMSampleBuffer {}
public func CMSampleBufferGetImageBuffer(_ buffer: CMSampleBuffer) -> CVImageBuffer? { fatalError() }
public func CMSampleBufferGetPresentationTimeStamp(_ buffer: CMSampleBuffer) -> CMTime { fatalError() }
public func CMTimeGetSeconds(_ time: CMTime) -> Double { fatalError() }

public struct AVMediaType: Sendable {
    public static let video = AVMediaType()
}
public enum AVAuthorizationStatus: Sendable { case notDetermined, restricted, denied, authorized }

public final class AVCaptureDevice {
    public enum Position: Sendable { case unspecified, back, front }
    public struct DeviceType: Sendable {
        public static let builtInWideAngleCamera = DeviceType()
    }
    public static func authorizationStatus(for type: AVMediaType) -> AVAuthorizationStatus { fatalError() }
    public static func requestAccess(for type: AVMediaType) async -> Bool { fatalError() }
    public static func `default`(_ type: DeviceType, for media: AVMediaType?, position: Position) -> AVCaptureDevice? {
        fatalError()
    }
    public var isConnected: Bool { fatalError() }
}
public class AVCaptureInput {}
public final class AVCaptureDeviceInput: AVCaptureInput {
    public init(device: AVCaptureDevice) throws {}
}
public class AVCaptureOutput {}
public final class AVCaptureConnection {}
public protocol AVCaptureVideoDataOutputSampleBufferDelegate: NSObjectProtocol {
    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection)
}
public final class AVCaptureVideoDataOutput: AVCaptureOutput {
    public override init() {}
    public var videoSettings: [String: Any]!
    public var alwaysDiscardsLateVideoFrames = true
    public func setSampleBufferDelegate(
        _ delegate: (any AVCaptureVideoDataOutputSampleBufferDelegate)?, queue: DispatchQueue?
    ) {}
}
public let AVCaptureSessionInterruptionReasonKey = "AVCaptureSessionInterruptionReasonKey"
public final class AVCaptureSession {
    public struct Preset: Sendable {
        public static let hd1280x720 = Preset()
    }
    public enum InterruptionReason: Int, Sendable {
        case videoDeviceNotAvailableInBackground = 1
        case audioDeviceInUseByAnotherClient, videoDeviceInUseByAnotherClient
        case videoDeviceNotAvailableWithMultipleForegroundApps, videoDeviceNotAvailableDueToSystemPressure
    }
    public init() {}
    public var inputs: [AVCaptureInput] { fatalError() }
    public var outputs: [AVCaptureOutput] { fatalError() }
    public var isRunning: Bool { fatalError() }
    public var sessionPreset = Preset()
    public func beginConfiguration() {}
    public func commitConfiguration() {}
    public func canSetSessionPreset(_ preset: Preset) -> Bool { fatalError() }
    public func canAddInput(_ input: AVCaptureInput) -> Bool { fatalError() }
    public func addInput(_ input: AVCaptureInput) {}
    public func removeInput(_ input: AVCaptureInput) {}
    public func canAddOutput(_ output: AVCaptureOutput) -> Bool { fatalError() }
    public func addOutput(_ output: AVCaptureOutput) {}
    public func startRunning() {}
    public func stopRunning() {}
}
extension Notification.Name {
    public static let AVCaptureSessionWasInterrupted = Notification.Name("AVCaptureSessionWasInterrupted")
    public static let AVCaptureSessionInterruptionEnded = Notification.Name("AVCaptureSessionInterruptionEnded")
    public static let AVCaptureSessionRuntimeError = Notification.Name("AVCaptureSessionRuntimeError")
    public static let AVCaptureDeviceWasDisconnected = Notification.Name("AVCaptureDeviceWasDisconnected")
}
