package dev.silhouette.sample.engine

import android.graphics.Bitmap

/**
 * Pictures on their way from the engine's thread to the screen, in a few bitmaps that are used again and again. The newest
 * picture wins; one that the screen may still be drawing is never written to.
 */
class PictureBuffers {
    private val free = ArrayDeque<Bitmap>()

    /** Made, not yet taken by the screen. */
    private var next: Bitmap? = null

    /** On the screen. */
    private var shown: Bitmap? = null

    /** The one before it: the display's thread may not be done with it. */
    private var before: Bitmap? = null
    private var open = true

    /** How many pictures came out so far. */
    @Volatile
    var count = 0L
        private set

    /** Called on the maker's thread after each picture. */
    @Volatile
    var onPicture: (() -> Unit)? = null

    /** A bitmap of this size to draw into, to be given to [publish]. */
    fun obtain(
        width: Int,
        height: Int,
    ): Bitmap =
        synchronized(this) { free.removeFirstOrNull() }?.takeIf { it.width == width && it.height == height }
            ?: Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)

    /** Hands a picture on; false where pictures are not wanted any more. */
    fun publish(bitmap: Bitmap): Boolean {
        synchronized(this) {
            if (!open) return false
            next?.let(::recycle)
            next = bitmap
            count++
        }
        onPicture?.invoke()
        return true
    }

    /** The picture to draw now; main thread. */
    fun take(): Bitmap? =
        synchronized(this) {
            next?.let {
                before?.let(::recycle)
                before = shown
                shown = it
                next = null
            }
            shown
        }

    /** The newest picture, for sharing. */
    fun copy(): Bitmap? = synchronized(this) { (next ?: shown)?.copy(Bitmap.Config.ARGB_8888, false) }

    /** Whether pictures are taken; the last one stays where it is. */
    fun setOpen(open: Boolean) = synchronized(this) { this.open = open }

    /** Forgets every picture. */
    fun clear() =
        synchronized(this) {
            free.clear()
            next = null
            shown = null
            before = null
        }

    private fun recycle(bitmap: Bitmap) {
        if (free.size < 2) free.addLast(bitmap)
    }
}
