// Native memory of segmentations, reused for later frames.
package dev.silhouette

import dev.silhouette.ffi.Segmentation as NativeSegmentation

/** A native segmentation and the address that identifies it. */
internal class Slot {
    val ffi: NativeSegmentation = native { NativeSegmentation() }
    val raw: Long = native { ffi.raw() }.toLong()
}

/** The free ones: returned by closed [Segmentation]s, so that frames after the first allocate nothing. */
internal class Slots {
    private val idle = ArrayDeque<Slot>(MOST)
    private var isClosed = false

    /** Taken and not returned: in use, or forgotten. */
    private var lent = 0

    fun take(): Slot {
        val isForgetful: Boolean
        val slot: Slot?
        synchronized(idle) {
            lent++
            isForgetful = lent % FORGOTTEN == 0
            slot = idle.removeLastOrNull()
        }
        // The collector does not see the native memory behind forgotten segmentations, and would let it grow.
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
        /** One on show, one being processed, and those of a few threads. */
        const val MOST = 8

        /** No one needs this many open segmentations at once. */
        const val FORGOTTEN = 50
    }
}
