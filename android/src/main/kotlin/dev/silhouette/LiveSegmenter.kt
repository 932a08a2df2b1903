// Live stream: frames in at the camera's rate, results out as they are ready; a newer frame replaces the one that waits.
package dev.silhouette

import dev.silhouette.ffi.LiveSegmenter as NativeLive

/**
 * Segments a camera's stream on a thread of its own: one frame is processed, one waits, and a newer frame replaces the
 * waiting one. Results are passed to the listener on that thread. Every method may be called from any thread, including the listener's.
 *
 * It must be closed: the stream holds its listener until then.
 *
 * @param smoothing reduces flicker between frames; null segments each frame independently
 * @throws SilhouetteException.Unsupported for a smoothing out of bounds
 * @throws SilhouetteException.Internal if the system cannot create a thread
 */
public class LiveSegmenter(
    private val segmenter: Segmenter,
    smoothing: Smoothing? = Smoothing(),
    private val listener: LiveListener,
) : AutoCloseable {
    private val ffi: NativeLive = smoothing?.lower().let { native { NativeLive.idle(segmenter.ffi, it) } }
    private val raw = native { ffi.raw() }.toLong()

    init {
        // Last: from here on the stream's thread may call [deliver].
        Native.start(raw, this)
    }

    /** Number of frames replaced by a newer one. */
    public val dropped: Long get() = native { ffi.dropped() }.toLong()

    /**
     * Submits a frame: copies its planes (the camera's buffer is free again on return) and passes them to the stream's
     * thread. Returns true if it replaced a waiting frame, which is then dropped. Never waits for a result.
     */
    public fun submit(
        frame: Frame,
        timestampNanos: Long = frame.timestampNanos,
    ): Boolean = Native.submit(ffi, raw, frame.first, frame.second, frame.third, frame.numbers, timestampNanos)

    /**
     * Discards the waiting frame and the result of the one being processed. Waits for a running call of the listener: when
     * this returns, no result of an earlier frame is delivered any more. If the listener itself calls it, it does not wait.
     */
    public fun cancel() {
        native { ffi.cancel() }
    }

    /**
     * Ends the stream. When this returns, the listener is not called any more; if the listener itself calls it, its
     * current call is the last one. Can be called repeatedly.
     */
    override fun close() {
        native { ffi.shutdown() }
    }

    /** Called by the library, by this name, on the stream's thread; [result] is the library's own handle of the result. */
    @Suppress("unused", "LongParameterList", "TooGenericExceptionCaught")
    private fun deliver(
        result: Long,
        timestampNanos: Long,
        dropped: Long,
        kind: Int,
        reason: String?,
        advice: String?,
    ) {
        try {
            listener.onResult(
                if (kind == 0) {
                    val segmentation = segmenter.fill(timestampNanos) { Native.take(result, it, it.raw) }
                    LiveResult(timestampNanos, dropped, segmentation, null)
                } else {
                    LiveResult(timestampNanos, dropped, null, SilhouetteException.of(kind, reason.orEmpty(), advice.orEmpty()))
                },
            )
        } catch (error: Throwable) {
            // As on any Java thread: on Android this ends the app and reports why. The virtual machine ignores what
            // the handler itself throws.
            val thread = Thread.currentThread()
            try {
                thread.uncaughtExceptionHandler?.uncaughtException(thread, error)
            } catch (_: Throwable) {
            }
        }
    }
}

/** Receives the results of a [LiveSegmenter], on its thread, in the order of the frames. */
public fun interface LiveListener {
    /** A frame was segmented, or could not be. */
    public fun onResult(result: LiveResult)
}

/** A result of a [LiveSegmenter]. */
public class LiveResult internal constructor(
    /** The timestamp that the frame was submitted with. */
    public val timestampNanos: Long,
    /** Number of frames replaced by a newer one since the start. */
    public val dropped: Long,
    /** The segmentation, which the listener must close, possibly later and on another thread; it keeps its frame for effects. */
    public val segmentation: Segmentation?,
    /** Why there is no segmentation, or null; later frames are still processed. */
    public val error: SilhouetteException?,
) {
    /** The segmentation; throws [error] if there is none. */
    public fun get(): Segmentation = segmentation ?: throw checkNotNull(error)
}
