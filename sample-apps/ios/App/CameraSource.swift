// The phone's cameras as a source of frames.

@preconcurrency import AVFoundation
import CameraModel
import Silhouette
import UIKit

/// The phone's cameras.
@MainActor final class CameraSource: FrameSource {
    private let capture = Capture()
    private var observers: [any NSObjectProtocol] = []
    private var listener: (any FrameListener)?

    init() {
        let center = NotificationCenter.default
        let observe = { (name: Notification.Name, react: @escaping @MainActor (CameraSource, Int?) -> Void) in
            let observer = center.addObserver(forName: name, object: nil, queue: .main) { [weak self] notification in
                let reason = notification.userInfo?[AVCaptureSessionInterruptionReasonKey] as? Int
                MainActor.assumeIsolated { if let self { react(self, reason) } }
            }
            self.observers.append(observer)
        }
        observe(.AVCaptureSessionWasInterrupted) { source, reason in source.interrupted(reason) }
        observe(.AVCaptureSessionInterruptionEnded) { source, _ in source.listener?.available() }
        observe(.AVCaptureSessionRuntimeError) { source, _ in source.listener?.lost(.fault) }
        observe(.AVCaptureDeviceWasDisconnected) { source, _ in
            if !source.capture.isConnected { source.listener?.lost(.disconnected) }
        }
    }

    var permission: Permission {
        switch AVCaptureDevice.authorizationStatus(for: .video) {
        case .authorized: .allowed
        case .notDetermined: .notAsked
        case .restricted: .restricted
        case .denied: .refused
        @unknown default: .refused
        }
    }

    func askPermission() async -> Permission {
        _ = await AVCaptureDevice.requestAccess(for: .video)
        return permission
    }

    var facings: Set<Facing> { Set([Facing.back, .front].filter { Capture.camera($0) != nil }) }

    func open(_ facing: Facing, listener: any FrameListener) {
        self.listener = listener
        capture.open(facing, listener)
    }

    func close() {
        listener = nil
        capture.close()
    }

    /// Sets the orientation of the screen's content from now on.
    func turn(to orientation: UIInterfaceOrientation) {
        switch orientation {
        case .portrait: capture.turn(to: .portrait)
        case .portraitUpsideDown: capture.turn(to: .portraitUpsideDown)
        case .landscapeLeft: capture.turn(to: .landscapeLeft)
        case .landscapeRight: capture.turn(to: .landscapeRight)
        default: break
        }
    }

    private func interrupted(_ number: Int?) {
        switch number.flatMap(AVCaptureSession.InterruptionReason.init(rawValue:)) {
        case .videoDeviceInUseByAnotherClient, .audioDeviceInUseByAnotherClient: listener?.lost(.inUse)
        case .videoDeviceNotAvailableWithMultipleForegroundApps: listener?.lost(.sideBySide)
        case .videoDeviceNotAvailableDueToSystemPressure: listener?.lost(.tooWarm)
        // The scene's phase reports this one.
        case .videoDeviceNotAvailableInBackground: break
        default: listener?.lost(.fault)
        }
    }
}

/// The session. Unchecked: it is used only on `queue`, except for `orientation`, which has a lock.
private final class Capture: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, @unchecked Sendable {
    private let queue = DispatchQueue(label: "dev.silhouette.sample.camera", qos: .userInitiated)
    private let session = AVCaptureSession()
    private let output = AVCaptureVideoDataOutput()
    private var device: AVCaptureDevice?
    private var facing = Facing.back
    private var listener: (any FrameListener)?
    private let lock = NSLock()
    private var orientation = ScreenOrientation.portrait

    static func camera(_ facing: Facing) -> AVCaptureDevice? {
        AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: facing == .back ? .back : .front)
    }

    var isConnected: Bool { queue.sync { device?.isConnected ?? true } }

    func turn(to orientation: ScreenOrientation) { lock.withLock { self.orientation = orientation } }

    func open(_ facing: Facing, _ listener: any FrameListener) {
        queue.async { [self] in
            self.facing = facing
            self.listener = listener
            do {
                try configure(facing)
                if !session.isRunning { session.startRunning() }
            } catch {
                Task { @MainActor in listener.lost(.fault) }
            }
        }
    }

    func close() {
        queue.async { [self] in
            listener = nil
            if session.isRunning { session.stopRunning() }
        }
    }

    private func configure(_ facing: Facing) throws {
        session.beginConfiguration()
        defer { session.commitConfiguration() }
        // The network needs far smaller sizes than this.
        if session.canSetSessionPreset(.hd1280x720) { session.sessionPreset = .hd1280x720 }
        session.inputs.forEach(session.removeInput)
        guard let camera = Self.camera(facing) else { throw CocoaError(.featureUnsupported) }
        let input = try AVCaptureDeviceInput(device: camera)
        guard session.canAddInput(input) else { throw CocoaError(.featureUnsupported) }
        session.addInput(input)
        device = camera
        if session.outputs.isEmpty {
            // The camera's own format: nothing is converted before the SDK reads it.
            output.videoSettings = [
                kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_420YpCbCr8BiPlanarFullRange
            ]
            output.alwaysDiscardsLateVideoFrames = true
            output.setSampleBufferDelegate(self, queue: queue)
            guard session.canAddOutput(output) else { throw CocoaError(.featureUnsupported) }
            session.addOutput(output)
        }
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection
    ) {
        guard let listener, let buffer = CMSampleBufferGetImageBuffer(sampleBuffer),
            let frame = try? Frame(pixelBuffer: buffer)
        else { return }
        let orientation = lock.withLock { self.orientation }.orientation(of: facing)
        let time = CMTimeGetSeconds(CMSampleBufferGetPresentationTimeStamp(sampleBuffer))
        listener.frame(frame.oriented(orientation), at: time)
    }
}
