package dev.silhouette.sample.engine

import android.graphics.Bitmap

/**
 * Passes images from the engine's thread to the screen, in a few reused bitmaps. The newest image wins; one that the
 * screen may still be drawing is never written to.
 */
class PictureBuffers {
    private val free = ArrayDeque<Bitmap>()

    /** Rendered, but not yet taken by the screen. */
    private var next: Bitmap? = null

    /** On the screen. */
    private var shown: Bitmap? = null

    /** The previous one on the screen: the display's thread may still be using it. */
    private var before: Bitmap? = null
    private var open = true

    /** Number of images so far. */
    @Volatile
    var count = 0L
        private set

    /** Called on the rendering thread after each image. */
    @Volatile
    var onPicture: (() -> Unit)? = null

    /** A bitmap of this size to draw into, to be passed to [publish]. */
    fun obtain(
        width: Int,
        height: Int,
    ): Bitmap =
        synchronized(this) { free.removeFirstOrNull() }?.takeIf { it.width == width && it.height == height }
            ?: Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)

    /** Publishes an image; false if images are no longer accepted. */
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

    /** The image to draw now; main thread. */
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

    /** The newest image, for sharing. */
    fun copy(): Bitmap? = synchronized(this) { (next ?: shown)?.copy(Bitmap.Config.ARGB_8888, false) }

    /** Whether images are accepted; the last one stays where it is. */
    fun setOpen(open: Boolean) = synchronized(this) { this.open = open }

    /** Forgets every image. */
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
