// Frames to segmentations: pictures, videos, flows of frames.
package dev.silhouette

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.withContext
import dev.silhouette.ffi.Segmenter as NativeSegmenter
import dev.silhouette.ffi.VideoSegmenter as NativeVideo

/**
 * Segments frames. For any thread, and many at once: each call runs in memory of its own, which is made when first needed,
 * up to [Options.concurrency]; further calls wait for their turn.
 *
 * To make one compiles the model: milliseconds to tens of them, so not on the main thread.
 *
 * @property model the model
 * @property options the options
 * @throws SilhouetteException.InvalidModel for a classifier's model, or one that cannot be compiled
 * @throws SilhouetteException.Unsupported for options that are not possible here
 */
public class Segmenter(
    public val model: Model,
    public val options: Options = Options(),
) : AutoCloseable {
    internal val ffi: NativeSegmenter = native { NativeSegmenter(model.ffi, options.lower()) }
    internal val slots = Slots()
    private val raw = native { ffi.raw() }.toLong()
    private val video by lazy { Video() }

    /** Side of the network's input that it runs at, in pixels. */
    public val inputSize: Int = native { ffi.size() }.toInt()

    /** Backend, kernels, threads and memory in a few words. */
    public val description: String get() = native { ffi.description() }

    /**
     * Segments a frame on [Dispatchers.Default]. When this returns or throws, the frame's buffers are free again, also where
     * it was cancelled: a call that runs ends first, which takes the time of one frame.
     */
    public suspend fun segment(frame: Frame): Segmentation = computing { segmentNow(frame) }

    /**
     * Segments the next frame of a video, smoothed over time ([Options.smoothing]), on [Dispatchers.Default]. Frames come in
     * the order of [timestampNanos], one after the other. This segmenter has one video; see [segments] for more.
     */
    public suspend fun segmentVideo(
        frame: Frame,
        timestampNanos: Long = frame.timestampNanos,
    ): Segmentation = computing { segmentVideoNow(frame, timestampNanos) }

    /** As [segment], on the calling thread. */
    public fun segmentNow(frame: Frame): Segmentation =
        fill(frame.timestampNanos) { slot ->
            Native.segment(ffi, raw, frame.first, frame.second, frame.third, frame.numbers, slot, slot.raw)
        }

    /** As [segmentVideo], on the calling thread. */
    public fun segmentVideoNow(
        frame: Frame,
        timestampNanos: Long = frame.timestampNanos,
    ): Segmentation = video.segment(frame, timestampNanos)

    /** Forgets the video's frames before, as after a cut. */
    public fun resetVideo() {
        native { video.ffi.reset() }
    }

    /**
     * Segments a video's frames one after the other, smoothed over time by their [Frame.timestampNanos]; each collection is
     * a video of its own. A frame is done with when its segmentation is emitted. Where frames come faster than they can be
     * segmented, `frames.conflate()` lets the latest one win, if its buffers stay valid that long; for a camera, [live]
     * copies what it keeps.
     *
     * Segmentations are the collector's to close.
     */
    public fun segments(frames: Flow<Frame>): Flow<Segmentation> =
        flow {
            val video = Video()
            frames.collect { frame -> emit(computing { video.segment(frame, frame.timestampNanos) }) }
        }

    /**
     * Starts a live stream: one frame in work, one that waits, a newer one takes its place. Results go to [listener] on the
     * stream's own thread. [smoothing] null: each frame by itself.
     */
    public fun live(
        smoothing: Smoothing? = options.smoothing,
        listener: LiveListener,
    ): LiveSegmenter = LiveSegmenter.start(this, smoothing, listener)

    /**
     * Refuses calls from now on, and those that wait, with [SilhouetteException.Closed]; running ones end normally. Frees
     * the memory that no call uses. May be called again, from any thread. Segmentations stay valid until they are closed.
     */
    override fun close() {
        native { ffi.shutdown() }
        slots.close()
    }

    /** Segments into a free slot: [call] returns the mask's size. */
    private inline fun fill(
        timestampNanos: Long,
        call: (Slot) -> Long,
    ): Segmentation {
        val slot = slots.take()
        val size =
            try {
                call(slot)
            } catch (error: SilhouetteException) {
                slots.give(slot)
                throw error
            }
        return Segmentation(this, slot, size, timestampNanos)
    }

    /** One video's memory of the frames before. */
    private inner class Video {
        val ffi: NativeVideo = native { NativeVideo(this@Segmenter.ffi, options.smoothing.lower()) }
        private val raw = native { ffi.raw() }.toLong()

        fun segment(
            frame: Frame,
            timestampNanos: Long,
        ): Segmentation =
            fill(timestampNanos) { slot ->
                Native.segmentVideo(
                    ffi,
                    raw,
                    frame.first,
                    frame.second,
                    frame.third,
                    frame.numbers,
                    timestampNanos,
                    slot,
                    slot.raw,
                )
            }
    }
}

/** Computes off the caller's thread; a result that a cancelled caller does not get is closed. */
private suspend fun computing(call: () -> Segmentation): Segmentation {
    var result: Segmentation? = null
    try {
        withContext(Dispatchers.Default) { result = call() }
    } catch (error: Throwable) {
        result?.close()
        throw error
    }
    return checkNotNull(result)
}
