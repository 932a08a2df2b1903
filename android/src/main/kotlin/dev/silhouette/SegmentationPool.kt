// Native memory of segmentations, reused for later frames.
package dev.silhouette

import dev.silhouette.ffi.Segmentation as NativeSegmentation

/** A native segmentation and the address that identifies it. */
internal class SegmentationBuffer {
    val ffi: NativeSegmentation = native { NativeSegmentation() }
    val raw: Long = native { ffi.raw() }.toLong()
}

/**
 * The free buffers: returned by closed [Segmentation]s, so that frames after the first allocate nothing. The buffer of a segmentation
 * that is never closed is freed with it, by the garbage collector.
 */
internal class SegmentationPool {
    private val idle = ArrayDeque<SegmentationBuffer>(LIMIT)
    private var isClosed = false

    fun acquire(): SegmentationBuffer = synchronized(idle) { idle.removeLastOrNull() } ?: SegmentationBuffer()

    fun release(buffer: SegmentationBuffer) {
        val isReused = synchronized(idle) { (!isClosed && idle.size < LIMIT).also { if (it) idle.addLast(buffer) } }
        if (!isReused) free(buffer)
    }

    fun close() {
        val buffers =
            synchronized(idle) {
                isClosed = true
                idle.toList().also { idle.clear() }
            }
        buffers.forEach(::free)
    }

    private fun free(buffer: SegmentationBuffer) {
        native { buffer.ffi.discard() }
        buffer.ffi.destroy()
    }

    private companion object {
        /** One that is displayed, one being processed, and those of a few threads. */
        const val LIMIT = 8
    }
}
