// The sample of docs/ios.md that needs Apple's types, verbatim: `ios/typecheck` compiles it against the stand-ins.

import AVFoundation
import CoreVideo
import Silhouette

enum GuideCamera {
    // sample: camera
    func submit(_ sampleBuffer: CMSampleBuffer, to live: LiveSegmenter) throws {
        guard let pixels = CMSampleBufferGetImageBuffer(sampleBuffer) else { return }
        let time = CMTimeGetSeconds(CMSampleBufferGetPresentationTimeStamp(sampleBuffer))
        // Copies the pixels and returns at once: the buffer can go back to the camera.
        _ = try live.submit(Frame(pixelBuffer: pixels).rotated(.clockwise90), at: time)
    }
    // end of sample
}
