// Passes frames to the library, bypassing JNA: `bindings/src/jni.rs`.
package dev.silhouette

import java.nio.ByteBuffer

/**
 * The native methods. Frames are up to three direct buffers and the longs of [Frame.numbers]; objects are identified by the
 * address from the corresponding uniffi object, which is passed too (`owner`, `target`), so that it is not collected
 * during the call.
 *
 * On a plain JVM the library is the file that the system property `silhouette.library` names; without it, the library is
 * searched for in `java.library.path`.
 */
internal object Native {
    init {
        val path = System.getProperty("silhouette.library")
        if (path == null) {
            System.loadLibrary("silhouette_ffi")
        } else {
            // uniffi's half opens it through JNA.
            System.setProperty("uniffi.component.silhouette_ffi.libraryOverride", path)
            System.load(path)
        }
    }

    /** Loads the library, if it is not loaded yet. */
    fun load() = Unit

    /** Returns the mask's width (upper half) and height (lower half). */
    @JvmStatic
    external fun segment(
        owner: Any,
        segmenter: Long,
        first: ByteBuffer?,
        second: ByteBuffer?,
        third: ByteBuffer?,
        numbers: LongArray,
        target: Any,
        segmentation: Long,
    ): Long

    /** Like [segment]. */
    @JvmStatic
    external fun segmentVideo(
        owner: Any,
        video: Long,
        first: ByteBuffer?,
        second: ByteBuffer?,
        third: ByteBuffer?,
        numbers: LongArray,
        timestamp: Long,
        target: Any,
        segmentation: Long,
    ): Long

    @JvmStatic
    external fun submit(
        owner: Any,
        live: Long,
        first: ByteBuffer?,
        second: ByteBuffer?,
        third: ByteBuffer?,
        numbers: LongArray,
        timestamp: Long,
    ): Boolean

    @JvmStatic
    external fun mask(
        owner: Any,
        segmentation: Long,
        out: ByteBuffer,
        offset: Int,
        length: Int,
        rowStride: Int,
    )

    @JvmStatic
    external fun confidence(
        owner: Any,
        segmentation: Long,
        classes: IntArray,
        out: ByteBuffer,
        offset: Int,
        length: Int,
        rowStride: Int,
    )

    /** [numbers] null: uses the frame that a live result keeps; [backgroundNumbers] null: no background. */
    @JvmStatic
    external fun effect(
        owner: Any,
        segmentation: Long,
        first: ByteBuffer?,
        second: ByteBuffer?,
        third: ByteBuffer?,
        numbers: LongArray?,
        kind: Int,
        allClasses: Boolean,
        classes: IntArray?,
        backgroundFirst: ByteBuffer?,
        backgroundSecond: ByteBuffer?,
        backgroundThird: ByteBuffer?,
        backgroundNumbers: LongArray?,
        strength: Float,
        bgra: Boolean,
        premultiplied: Boolean,
        out: ByteBuffer,
        offset: Int,
        length: Int,
        rowStride: Int,
    )

    /** Starts a stream, whose results are passed to [listener]'s method `deliver`. */
    @JvmStatic
    external fun start(
        live: Long,
        listener: LiveSegmenter,
    )

    /** Moves the argument of `deliver` into a segmentation; returns the same as [segment]. */
    @JvmStatic
    external fun take(
        result: Long,
        target: Any,
        segmentation: Long,
    ): Long
}
