// Frames to segmentations.
package dev.silhouette

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.withContext
import dev.silhouette.ffi.Segmenter as NativeSegmenter

/**
 * Segments frames. Thread-safe: up to [Options.concurrency] calls run at once, each in memory of its own, which is allocated
 * when first needed; further calls wait. For a video see [VideoSegmenter], for a camera [LiveSegmenter].
 *
 * Creating one compiles the model, which takes up to tens of milliseconds, so do it off the main thread.
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
    internal val pool = SegmentationPool()
    private val raw = native { ffi.raw() }.toLong()

    /** Side of the network's input, in pixels; the longer one if it is not square. */
    public val size: Int = native { ffi.size() }.toInt()

    /** A short description of backend, kernels, threads and memory. */
    public val description: String get() = native { ffi.description() }

    /**
     * Segments a frame on [Dispatchers.Default]. When this returns or throws, the frame's buffers are free again, even if it
     * was cancelled: a running call ends first, which takes the time of one frame.
     */
    public suspend fun segment(frame: Frame): Segmentation = computing { segmentNow(frame) }

    /** Like [segment], but on the calling thread. */
    public fun segmentNow(frame: Frame): Segmentation =
        fill(frame.timestampNanos) { buffer ->
            Native.segment(ffi, raw, frame.first, frame.second, frame.third, frame.numbers, buffer, buffer.raw)
        }

    /**
     * Segments a video's frames in order, with temporal smoothing by their [Frame.timestampNanos]; each collection is a
     * video of its own. A frame is no longer used once its segmentation is emitted. If frames come faster than they can be
     * segmented, `frames.conflate()` lets the latest one win, if its buffers stay valid that long; for a camera, [LiveSegmenter]
     * copies what it keeps.
     *
     * The collector must close the segmentations.
     */
    public fun segments(
        frames: Flow<Frame>,
        smoothing: Smoothing = Smoothing(),
    ): Flow<Segmentation> =
        flow {
            val video = VideoSegmenter(this@Segmenter, smoothing)
            frames.collect { frame -> emit(video.segment(frame)) }
        }

    /**
     * Rejects new and waiting calls with [SilhouetteException.Closed]; running ones end normally. Frees the memory that
     * no call uses. Can be called repeatedly, from any thread. Segmentations stay valid until they are closed.
     */
    override fun close() {
        native { ffi.shutdown() }
        pool.close()
    }

    /** Segments into a free buffer: [call] returns the mask's size. */
    internal inline fun fill(
        timestampNanos: Long,
        call: (SegmentationBuffer) -> Long,
    ): Segmentation {
        val buffer = pool.acquire()
        val size =
            try {
                call(buffer)
            } catch (error: SilhouetteException) {
                pool.release(buffer)
                throw error
            }
        return Segmentation(this, buffer, size, timestampNanos)
    }
}

/** Computes off the caller's thread; closes a result that a cancelled caller does not receive. */
internal suspend fun computing(call: () -> Segmentation): Segmentation {
    var result: Segmentation? = null
    try {
        withContext(Dispatchers.Default) { result = call() }
    } catch (error: Throwable) {
        result?.close()
        throw error
    }
    return checkNotNull(result)
}
