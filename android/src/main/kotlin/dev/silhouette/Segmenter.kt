// Frames to segmentations: images, videos, flows of frames.
package dev.silhouette

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.withContext
import dev.silhouette.ffi.Segmenter as NativeSegmenter
import dev.silhouette.ffi.VideoSegmenter as NativeVideo

/**
 * Segments frames. For any thread, with concurrent calls: each runs in memory of its own, which is allocated when first
 * needed, up to [Options.concurrency]; further calls wait.
 *
 * Creating one compiles the model, which takes milliseconds to tens of them, so do it off the main thread.
 *
 * @property model the model
 * @property options the options
 * @throws SilhouetteException.InvalidModel for a classifier's model, or one that cannot be compiled
 * @throws SilhouetteException.Unsupported for options that are not supported here
 */
public class Segmenter(
    public val model: Model,
    public val options: Options = Options(),
) : AutoCloseable {
    internal val ffi: NativeSegmenter = native { NativeSegmenter(model.ffi, options.lower()) }
    internal val slots = Slots()
    private val raw = native { ffi.raw() }.toLong()
    private val video by lazy { Video() }

    /** Side of the network's input, in pixels. */
    public val inputSize: Int = native { ffi.size() }.toInt()

    /** A short description of backend, kernels, threads and memory. */
    public val description: String get() = native { ffi.description() }

    /**
     * Segments a frame on [Dispatchers.Default]. When this returns or throws, the frame's buffers are free again, even if it
     * was cancelled: a running call ends first, which takes the time of one frame.
     */
    public suspend fun segment(frame: Frame): Segmentation = computing { segmentNow(frame) }

    /**
     * Segments the next frame of a video, with temporal smoothing ([Options.smoothing]), on [Dispatchers.Default]. Frames
     * must come in the order of [timestampNanos]. This segmenter has one video; see [segments] for more.
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

    /** Forgets the video's previous frames, as after a cut. */
    public fun resetVideo() {
        native { video.ffi.reset() }
    }

    /**
     * Segments a video's frames in order, with temporal smoothing by their [Frame.timestampNanos]; each collection is a
     * video of its own. A frame is no longer used once its segmentation is emitted. If frames come faster than they can be
     * segmented, `frames.conflate()` lets the latest one win, if its buffers stay valid that long; for a camera, [live]
     * copies what it keeps.
     *
     * The collector must close the segmentations.
     */
    public fun segments(frames: Flow<Frame>): Flow<Segmentation> =
        flow {
            val video = Video()
            frames.collect { frame -> emit(computing { video.segment(frame, frame.timestampNanos) }) }
        }

    /**
     * Starts a live stream: one frame is processed, one waits, and a newer one replaces the waiting one. Results are passed
     * to [listener] on the stream's own thread. [smoothing] null: each frame independently.
     */
    public fun live(
        smoothing: Smoothing? = options.smoothing,
        listener: LiveListener,
    ): LiveSegmenter = LiveSegmenter.start(this, smoothing, listener)

    /**
     * Rejects new and waiting calls with [SilhouetteException.Closed]; running ones end normally. Frees the memory that
     * no call uses. Can be called repeatedly, from any thread. Segmentations stay valid until they are closed.
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

    /** One video's memory of the previous frames. */
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

/** Computes off the caller's thread; closes a result that a cancelled caller does not receive. */
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
