// Native memory of segmentations, used again for later frames.
package dev.silhouette

import dev.silhouette.ffi.Segmentation as NativeSegmentation

/** A native segmentation and the address that names it. */
internal class Slot {
    val ffi: NativeSegmentation = native { NativeSegmentation() }
    val raw: Long = native { ffi.raw() }.toLong()
}

/** Those that wait for a frame: what a closed [Segmentation] gives back, so that a frame after the first allocates nothing. */
internal class Slots {
    private val idle = ArrayDeque<Slot>(MOST)
    private var isClosed = false

    /** Taken and not given back: in use, or forgotten. */
    private var lent = 0

    fun take(): Slot {
        val isForgetful: Boolean
        val slot: Slot?
        synchronized(idle) {
            lent++
            isForgetful = lent % FORGOTTEN == 0
            slot = idle.removeLastOrNull()
        }
        // The collector does not see the native memory behind a forgotten segmentation, and would let it grow.
        if (isForgetful) System.gc()
        return slot ?: Slot()
    }

    fun give(slot: Slot) {
        val isKept =
            synchronized(idle) {
                lent--
                (!isClosed && idle.size < MOST).also { if (it) idle.addLast(slot) }
            }
        if (!isKept) free(slot)
    }

    fun close() {
        val slots =
            synchronized(idle) {
                isClosed = true
                idle.toList().also { idle.clear() }
            }
        slots.forEach(::free)
    }

    private fun free(slot: Slot) {
        native { slot.ffi.discard() }
        slot.ffi.destroy()
    }

    private companion object {
        /** One on show, one in work, and those of a few threads. */
        const val MOST = 8

        /** Nobody has use for so many open segmentations at once. */
        const val FORGOTTEN = 50
    }
}
