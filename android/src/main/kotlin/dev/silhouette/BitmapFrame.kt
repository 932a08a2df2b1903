// Android's bitmaps as input and output.
package dev.silhouette

import android.graphics.Bitmap
import android.graphics.Color
import java.nio.Buffer
import java.nio.ByteBuffer

/**
 * A copy of the bitmap as a frame. `ARGB_8888` is copied unchanged (where it is transparent, the network sees black, and images made from the frame stay transparent);
 * other configurations are converted. The pixels of a hardware bitmap cannot be read, so it throws [SilhouetteException.Unsupported].
 */
public fun Bitmap.toFrame(
    rotationDegrees: Int = 0,
    mirrored: Boolean = false,
): Frame {
    if (isRecycled) throw SilhouetteException.InvalidFrame("the bitmap was recycled", "pass one that is in use")
    config.mustBeReadable()
    if (config != Bitmap.Config.ARGB_8888) {
        val converted =
            copy(Bitmap.Config.ARGB_8888, false)
                ?: throw SilhouetteException.Unsupported("a bitmap of $config", "pass one of ARGB_8888")
        return converted.toFrame(rotationDegrees, mirrored).also { converted.recycle() }
    }
    val pixels = ByteBuffer.allocateDirect(rowBytes * height)
    copyPixelsToBuffer(pixels)
    pixels.rewound()
    val transparency =
        when {
            !hasAlpha() -> Transparency.IGNORED
            isPremultiplied -> Transparency.PREMULTIPLIED
            else -> Transparency.STRAIGHT
        }
    val frame =
        if (PixelOrder.isBgra) {
            Frame.bgra(width, height, pixels, rowBytes)
        } else {
            Frame.rgba(width, height, pixels, rowBytes)
        }
    return frame.transparent(transparency).upright(rotationDegrees, mirrored, 0)
}

/** The mask in its classes' colours, the background transparent; `ARGB_8888`, or into such a bitmap of the mask's size. */
public fun Segmentation.maskBitmap(into: Bitmap? = null): Bitmap {
    val bitmap = into ?: Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
    bitmap.mustBe(width, height, Bitmap.Config.ARGB_8888)
    val colors = IntArray(256) { if (it == 0) Color.TRANSPARENT else model.colors.getOrElse(it) { Color.BLACK } }
    val classes = mask()
    val row = IntArray(width)
    for (y in 0 until height) {
        for (x in 0 until width) row[x] = colors[classes.get(y * width + x).toInt() and 0xFF]
        bitmap.setPixels(row, 0, width, 0, y, width, 1)
    }
    return bitmap
}

/** The confidence that each pixel belongs to one of [classes], as an `ALPHA_8` bitmap of the mask's size: a mask for drawing. */
public fun Segmentation.confidenceBitmap(vararg classes: Int): Bitmap {
    val bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ALPHA_8)
    val pixels = ByteBuffer.allocateDirect(bitmap.rowBytes * height)
    confidence(pixels, classes, bitmap.rowBytes)
    bitmap.copyPixelsFromBuffer(pixels.rewound())
    return bitmap
}

/** Like [Segmentation.overlay], but into a bitmap: `ARGB_8888`, mutable, of the frame's upright size. */
public fun Segmentation.overlay(
    into: Bitmap,
    frame: Frame? = null,
    foreground: Foreground = Foreground.All,
    opacity: Float = Segmentation.OVERLAY_OPACITY,
): Unit = render(Effect.Overlay(opacity), into, frame, foreground)

/** Like [Segmentation.cutout], but into a bitmap: `ARGB_8888`, mutable, of the frame's upright size. */
public fun Segmentation.cutout(
    into: Bitmap,
    frame: Frame? = null,
    foreground: Foreground = Foreground.All,
): Unit = render(Effect.Cutout, into, frame, foreground)

/** Like [Segmentation.blur], but into a bitmap: `ARGB_8888`, mutable, of the frame's upright size. */
public fun Segmentation.blur(
    into: Bitmap,
    frame: Frame? = null,
    foreground: Foreground = Foreground.All,
    radius: Float = Segmentation.BLUR_RADIUS,
): Unit = render(Effect.Blur(radius), into, frame, foreground)

/** Like [Segmentation.replace], but into a bitmap: `ARGB_8888`, mutable, of the frame's upright size. */
public fun Segmentation.replace(
    into: Bitmap,
    background: Frame,
    frame: Frame? = null,
    foreground: Foreground = Foreground.All,
): Unit = render(Effect.Replace(background), into, frame, foreground)

/** Like [Segmentation.picture], but into a bitmap: `ARGB_8888`, mutable, of the frame's upright size. */
public fun Segmentation.picture(
    into: Bitmap,
    frame: Frame? = null,
): Unit = render(Effect.Picture, into, frame)

/** A new bitmap of the image. */
public fun Picture.toBitmap(): Bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888).also { copyTo(it) }

/** Copies the image into a bitmap: `ARGB_8888`, mutable, of the same size. */
public fun Picture.copyTo(bitmap: Bitmap) {
    bitmap.mustBe(width, height, Bitmap.Config.ARGB_8888)
    val colors = IntArray(width)
    for (y in 0 until height) {
        for (x in 0 until width) {
            val at = 4 * (y * width + x)
            val channel = { c: Int -> rgba.get(at + c).toInt() and 0xFF }
            colors[x] = Color.argb(channel(3), channel(0), channel(1), channel(2))
        }
        bitmap.setPixels(colors, 0, width, 0, y, width, 1)
    }
}

/** Like [Segmentation.render], but into a bitmap: `ARGB_8888`, mutable, of the frame's upright size. */
public fun Segmentation.render(
    effect: Effect,
    into: Bitmap,
    frame: Frame? = null,
    foreground: Foreground = Foreground.All,
): Unit =
    open {
        into.mustBe(frameSize.width, frameSize.height, Bitmap.Config.ARGB_8888)
        Scratch.use(into.rowBytes * into.height) { pixels ->
            render(effect, frame, foreground, pixels, into.rowBytes, PixelOrder.isBgra, isPremultiplied = true)
            into.copyPixelsFromBuffer(pixels.rewound())
        }
    }

/** Rejects hardware bitmaps, whose configuration is compared by name because Android 7 does not have it. */
internal fun Bitmap.Config?.mustBeReadable() {
    if (this?.name == "HARDWARE") {
        throw SilhouetteException.Unsupported("a hardware bitmap", "pass copy(Bitmap.Config.ARGB_8888, false)")
    }
}

private fun Bitmap.mustBe(
    width: Int,
    height: Int,
    config: Bitmap.Config,
) {
    if (isRecycled || !isMutable || this.config != config || this.width != width || this.height != height) {
        throw SilhouetteException.Unsupported(
            "a bitmap of ${this.width}x${this.height}, ${this.config}${if (isMutable) "" else ", immutable"}${if (isRecycled) ", recycled" else ""}",
            "pass a mutable one of ${width}x$height, $config",
        )
    }
}

/** The buffer between library and bitmaps, used by one call at a time, and reused. */
private object Scratch {
    private var buffer: ByteBuffer = ByteBuffer.allocateDirect(0)

    @Synchronized
    fun use(
        bytes: Int,
        work: (ByteBuffer) -> Unit,
    ) {
        if (buffer.capacity() < bytes) buffer = ByteBuffer.allocateDirect(bytes)
        (buffer as Buffer).clear()
        (buffer as Buffer).limit(bytes)
        work(buffer)
    }
}

/** The order of a bitmap's bytes: R, G, B, A on phones, B, G, R, A in some desktop builds of Android. */
private object PixelOrder {
    val isBgra: Boolean by lazy {
        val bitmap = Bitmap.createBitmap(1, 1, Bitmap.Config.ARGB_8888)
        bitmap.setPixel(0, 0, Color.RED)
        val pixel = ByteBuffer.allocate(4)
        bitmap.copyPixelsToBuffer(pixel)
        bitmap.recycle()
        pixel.get(0).toInt() == 0
    }
}

/** Since Java 9 `ByteBuffer` has these methods with its own return type; old versions of Android have only `Buffer`'s. */
private fun ByteBuffer.rewound(): ByteBuffer = apply { (this as Buffer).rewind() }
