// Live stream: frames as the camera gives them, results as they are ready; the latest frame wins.
package dev.silhouette

import dev.silhouette.ffi.LiveSegmenter as NativeLive

/**
 * Segments a camera's stream on a thread of its own: one frame in work, one that waits; a newer frame takes the place of the
 * one that waits. Made by [Segmenter.live]. For any thread, the listener's included.
 *
 * It must be closed: the stream holds its listener until then.
 */
public class LiveSegmenter private constructor(
    private val segmenter: Segmenter,
    smoothing: Smoothing?,
    private val listener: LiveListener,
) : AutoCloseable {
    private val ffi: NativeLive = native { NativeLive.idle(segmenter.ffi, smoothing?.lower()) }
    private val raw = native { ffi.raw() }.toLong()

    /** How many frames gave their place to a newer one. */
    public val dropped: Long get() = native { ffi.dropped() }.toLong()

    /**
     * Takes a frame: copies its planes (the camera's buffer is free again on return) and leaves it to the stream's thread.
     * True: it took the place of one that still waited, which is then dropped. Never waits for a result.
     */
    public fun submit(
        frame: Frame,
        timestampNanos: Long = frame.timestampNanos,
    ): Boolean = Native.submit(ffi, raw, frame.first, frame.second, frame.third, frame.numbers, timestampNanos)

    /**
     * Forgets the frame that waits; the result of the one in work is not handed out. Waits for a call of the listener that has
     * begun: when this returns, no frame that was submitted before is handed out any more. Called by the listener itself, it
     * does not wait.
     */
    public fun cancel() {
        native { ffi.cancel() }
    }

    /**
     * Ends the stream. When this returns, the listener is not called any more; called by the listener itself, that call is
     * the last one. May be called again.
     */
    override fun close() {
        native { ffi.shutdown() }
    }

    /** Called by the library, by this name, on the stream's thread; [result] is the library's own name for the result. */
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
                    val slot = segmenter.slots.take()
                    val size = Native.take(result, slot, slot.raw)
                    LiveResult(timestampNanos, dropped, Segmentation(segmenter, slot, size, timestampNanos), null)
                } else {
                    LiveResult(timestampNanos, dropped, null, SilhouetteException.of(kind, reason.orEmpty(), advice.orEmpty()))
                },
            )
        } catch (error: Throwable) {
            // As for any thread of Java's: on Android this ends the app and says why. What the handler itself throws, the
            // machine ignores.
            val thread = Thread.currentThread()
            try {
                thread.uncaughtExceptionHandler?.uncaughtException(thread, error)
            } catch (_: Throwable) {
            }
        }
    }

    internal companion object {
        fun start(
            segmenter: Segmenter,
            smoothing: Smoothing?,
            listener: LiveListener,
        ): LiveSegmenter = LiveSegmenter(segmenter, smoothing, listener).also { Native.start(it.raw, it) }
    }
}

/** Takes the results of a [LiveSegmenter], on its thread, in the order of the frames. */
public fun interface LiveListener {
    /** A frame was segmented, or could not be. */
    public fun onResult(result: LiveResult)
}

/** A result of a [LiveSegmenter]. */
public class LiveResult internal constructor(
    /** The timestamp that the frame was submitted with. */
    public val timestampNanos: Long,
    /** How many frames gave their place to a newer one since the start. */
    public val dropped: Long,
    /** The segmentation, which is the listener's to close, also later and on another thread; it keeps its frame for effects. */
    public val segmentation: Segmentation?,
    /** Why there is none; later frames are tried all the same. */
    public val error: SilhouetteException?,
) {
    /** The segmentation; throws [error] where there is none. */
    public fun get(): Segmentation = segmentation ?: throw checkNotNull(error)
}
