// Video: frames with timestamps, segmented in order and temporally smoothed.
package dev.silhouette

import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import dev.silhouette.ffi.Smoothing as NativeSmoothing
import dev.silhouette.ffi.VideoSegmenter as NativeVideo

/**
 * Segments the frames of one video; each video needs one of its own. Unlike [LiveSegmenter] it drops nothing: every frame is
 * segmented, in the order of the calls. Thread-safe. It need not be closed: its memory is freed with it.
 *
 * @property segmenter the segmenter, whose memory it shares
 * @throws SilhouetteException.Unsupported for negative times ([segment] rejects times of over a day)
 */
public class VideoSegmenter(
    public val segmenter: Segmenter,
    smoothing: Smoothing = Smoothing(),
) {
    private val ffi: NativeVideo = smoothing.lower().let { native { NativeVideo(segmenter.ffi, it) } }
    private val raw = native { ffi.raw() }.toLong()

    /**
     * Segments the next frame on a background thread. Frames must come in the order of [timestampNanos]. When this returns or throws,
     * the frame's buffers are free again, as for [Segmenter.segment].
     */
    public suspend fun segment(
        frame: Frame,
        timestampNanos: Long = frame.timestampNanos,
    ): Segmentation = computing { segmentNow(frame, timestampNanos) }

    /** Like [segment], but on the calling thread. */
    public fun segmentNow(
        frame: Frame,
        timestampNanos: Long = frame.timestampNanos,
    ): Segmentation =
        segmenter.fill(timestampNanos) { buffer ->
            Native.segmentVideo(ffi, raw, frame.first, frame.second, frame.third, frame.numbers, timestampNanos, buffer, buffer.raw)
        }

    /** Forgets the previous frames: smoothing restarts, as after a cut. */
    public fun reset() {
        native { ffi.reset() }
    }
}

/**
 * How a video's frames are smoothed: stable where the image is static, immediate where it moves.
 *
 * @property halfLife in a static image, the weight of an observation halves in this time; zero: no smoothing
 * @property longestPause after a longer pause between frames smoothing restarts
 */
public data class Smoothing(
    public val halfLife: Duration = 100.milliseconds,
    public val longestPause: Duration = 1.seconds,
) {
    internal fun lower(): NativeSmoothing {
        if (halfLife.isNegative() || longestPause.isNegative()) {
            throw SilhouetteException.Unsupported("a half-life of $halfLife, a pause of $longestPause", "pass times of zero or more")
        }
        return NativeSmoothing(halfLife.inWholeNanoseconds.toULong(), longestPause.inWholeNanoseconds.toULong())
    }
}
