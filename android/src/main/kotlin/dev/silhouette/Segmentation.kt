// A segmented frame: its mask, the network's confidence, polygons, the transform to the buffer.
package dev.silhouette

import java.nio.ByteBuffer
import kotlin.time.Duration
import kotlin.time.Duration.Companion.nanoseconds

/**
 * The result of segmenting a frame. It is upright (after the frame's rotation and mirroring) and covers the frame's region.
 *
 * It keeps the network's small output, so that the mask can be recomputed at another size and the confidence of any class
 * can be computed later. Close it after use (`use { }`), so that its memory is reused for the next frame. One that is never
 * closed is freed some time after the garbage collector has found it. Thread-safe.
 */
public class Segmentation internal constructor(
    private val segmenter: Segmenter,
    buffer: SegmentationBuffer,
    size: Long,
    /** The timestamp of the frame, in nanoseconds. */
    public val timestampNanos: Long,
) : AutoCloseable {
    private var buffer: SegmentationBuffer? = buffer
    private var size: Long = size

    /** Columns of the mask. */
    public val width: Int get() = (synchronized(this) { size } ushr 32).toInt()

    /** Rows of the mask. */
    public val height: Int get() = synchronized(this) { size }.toInt()

    /** Upright size of the frame's region, which is also the size of the images that effects produce. */
    public val frameSize: Size
        get() = open { buffer -> native { buffer.ffi.frameSize() }.let { Size(it.width.toInt(), it.height.toInt()) } }

    /** One label per class; class 0 is the background. */
    public val labels: List<String> get() = segmenter.model.labels

    /** The model that produced it. */
    public val model: Model get() = segmenter.model

    /** How long each stage took. */
    public val timings: Timings
        get() =
            open { buffer ->
                native { buffer.ffi.timings() }.let {
                    Timings(it.input.toLong().nanoseconds, it.network.toLong().nanoseconds, it.mask.toLong().nanoseconds)
                }
            }

    /** The transform from the mask's coordinates to those of the frame's buffer, before rotation, mirroring and region. */
    public val transform: Transform
        get() =
            open { buffer ->
                native { checkNotNull(buffer.ffi.transform()) }.let { Transform(it.xx, it.xy, it.x0, it.yx, it.yy, it.y0) }
            }

    /** The most likely class of each pixel, one byte each, rows from top to bottom, in a new direct buffer. */
    public fun mask(): ByteBuffer = open { ByteBuffer.allocateDirect(width * height).also { mask(it) } }

    /**
     * Like [mask], but writes to a direct buffer, starting at its position, with [rowStride] bytes from row to row. Position and
     * limit do not change.
     */
    public fun mask(
        into: ByteBuffer,
        rowStride: Int = width,
    ): Unit =
        open { buffer ->
            into.writable()
            Native.mask(buffer, buffer.raw, into, into.position(), into.remaining(), rowStride)
        }

    /**
     * The confidence that each pixel belongs to one of [classes] (softmax), 0 to 255, at the mask's size, in a new
     * direct buffer. Throws [SilhouetteException.Unsupported] for a class that the model does not have.
     */
    public fun confidence(vararg classes: Int): ByteBuffer =
        open { ByteBuffer.allocateDirect(width * height).also { confidence(it, classes) } }

    /** Like [confidence], but writes to a direct buffer, as [mask] does. */
    public fun confidence(
        into: ByteBuffer,
        classes: IntArray,
        rowStride: Int = width,
    ): Unit =
        open { buffer ->
            into.writable()
            Native.confidence(buffer, buffer.raw, classes, into, into.position(), into.remaining(), rowStride)
        }

    /** Recomputes the mask at another size, from the same output of the network. */
    public fun resize(output: OutputSize): Unit =
        open { buffer ->
            native { buffer.ffi.resize(output.lower()) }
            val now = native { buffer.ffi.size() }
            size = (now.width.toLong() shl 32) or now.height.toLong()
        }

    /**
     * The outlines of a class, along the pixels' edges in the mask's coordinates. With a [tolerance] over 0 (in pixels) they
     * are simplified as long as they overlap the mask by at least 99 %; pieces below [leastArea] pixels are omitted.
     */
    public fun polygons(
        classIndex: Int,
        tolerance: Double = 0.0,
        leastArea: Int = 0,
    ): List<Polygon> =
        open { buffer ->
            native { buffer.ffi.polygons(classIndex.unsigned("a class"), tolerance, leastArea.unsigned("an area")) }.map {
                Polygon(it.outer.corners(), it.holes.map { hole -> hole.corners() })
            }
        }

    /** Each class's share of the mask's pixels, the largest first; classes without pixels are omitted. */
    public fun shares(): List<ClassShare> =
        open { buffer -> native { buffer.ffi.shares() }.map { ClassShare(it.classIndex.toInt(), it.share) } }

    /**
     * The frame with an effect. [frame] is the one that was segmented; results of live streams keep theirs (null). [into] is an image of
     * [frameSize] to reuse. Throws [SilhouetteException.InvalidFrame] if the frame cannot be the one that was segmented,
     * Throws [SilhouetteException.Unsupported] for a class that the model does not have, an opacity or a radius out of bounds.
     */
    public fun render(
        effect: Effect,
        frame: Frame? = null,
        foreground: Foreground = Foreground.All,
        into: Picture? = null,
    ): Picture =
        open {
            val size = frameSize
            val picture = into ?: Picture(size.width, size.height)
            if (picture.width != size.width || picture.height != size.height) {
                throw SilhouetteException.InvalidFrame(
                    "an image of ${picture.width}x${picture.height} for a frame of ${size.width}x${size.height}",
                    "pass one of the frame's upright size",
                )
            }
            render(effect, frame, foreground, picture.rgba, 4 * picture.width, isBgra = false, isPremultiplied = false)
            picture
        }

    /** The frame unchanged, upright. [frame] is the one that was segmented; results of live streams keep theirs (null). */
    public fun picture(
        frame: Frame? = null,
        into: Picture? = null,
    ): Picture = render(Effect.Picture, frame, Foreground.All, into)

    /** The frame with each class of the foreground blended over it in its colour; [opacity] 0 to 1. */
    public fun overlay(
        frame: Frame? = null,
        foreground: Foreground = Foreground.All,
        opacity: Float = OVERLAY_OPACITY,
        into: Picture? = null,
    ): Picture = render(Effect.Overlay(opacity), frame, foreground, into)

    /** Only the foreground, with a soft edge; the rest transparent. */
    public fun cutout(
        frame: Frame? = null,
        foreground: Foreground = Foreground.All,
        into: Picture? = null,
    ): Picture = render(Effect.Cutout, frame, foreground, into)

    /** The frame with its background blurred; [radius] is the blur's standard deviation as a share of the longer side, 0 to 0.5. */
    public fun blur(
        frame: Frame? = null,
        foreground: Foreground = Foreground.All,
        radius: Float = BLUR_RADIUS,
        into: Picture? = null,
    ): Picture = render(Effect.Blur(radius), frame, foreground, into)

    /** The foreground in front of another image, which is scaled and cropped to cover the frame. */
    public fun replace(
        background: Frame,
        frame: Frame? = null,
        foreground: Foreground = Foreground.All,
        into: Picture? = null,
    ): Picture = render(Effect.Replace(background), frame, foreground, into)

    /** Releases the memory; later use throws [SilhouetteException.Closed]. Can be called repeatedly, from any thread. */
    override fun close() {
        val held = synchronized(this) { buffer.also { buffer = null } } ?: return
        segmenter.pool.release(held)
    }

    /** Writes the frame with an effect to [out], starting at its position. */
    internal fun render(
        effect: Effect,
        frame: Frame?,
        foreground: Foreground,
        out: ByteBuffer,
        rowStride: Int,
        isBgra: Boolean,
        isPremultiplied: Boolean,
    ): Unit =
        open { buffer ->
            out.writable()
            val background = (effect as? Effect.Replace)?.background
            Native.effect(
                buffer,
                buffer.raw,
                frame?.first,
                frame?.second,
                frame?.third,
                frame?.numbers,
                effect.kind,
                foreground is Foreground.All,
                (foreground as? Foreground.Classes)?.indices,
                background?.first,
                background?.second,
                background?.third,
                background?.numbers,
                effect.strength(),
                isBgra,
                isPremultiplied,
                out,
                out.position(),
                out.remaining(),
                rowStride,
            )
        }

    /** Runs [work]; closing waits for it. */
    internal inline fun <T> open(work: (SegmentationBuffer) -> T): T =
        synchronized(this) {
            work(buffer ?: throw SilhouetteException.Closed("the segmentation was closed", "use it before it is closed"))
        }

    private fun List<UInt>.corners(): IntArray = IntArray(size) { this[it].toInt() }

    public companion object {
        /** Opacity of the colours of [overlay]. */
        public const val OVERLAY_OPACITY: Float = 0.55f

        /** Standard deviation of [blur] as a share of the image's longer side. */
        public const val BLUR_RADIUS: Float = 0.015f
    }
}

/** The effects of [Segmentation.render]. */
public sealed class Effect(
    /** `SilhouetteEffect.kind`. */
    internal val kind: Int,
) {
    /** The frame unchanged, upright. */
    public data object Picture : Effect(0)

    /**
     * The foreground's classes blended over the frame, each in its colour.
     *
     * @property opacity 0 (invisible) to 1 (only the colour)
     */
    public data class Overlay(
        public val opacity: Float = Segmentation.OVERLAY_OPACITY,
    ) : Effect(1)

    /** Only the foreground, with a soft edge; the rest transparent. */
    public data object Cutout : Effect(2)

    /**
     * The background blurred.
     *
     * @property radius the blur's standard deviation as a share of the image's longer side, 0 to 0.5
     */
    public data class Blur(
        public val radius: Float = Segmentation.BLUR_RADIUS,
    ) : Effect(3)

    /**
     * The foreground in front of another image.
     *
     * @property background that image, which is scaled and cropped to cover the frame
     */
    public class Replace(
        public val background: Frame,
    ) : Effect(4)

    /** `SilhouetteEffect.strength`, where a negative number and NaN mean the default. */
    internal fun strength(): Float {
        val (value, what) =
            when (this) {
                is Overlay -> opacity to "an opacity"
                is Blur -> radius to "a radius"
                else -> return 0f
            }
        if (!(value >= 0f)) throw SilhouetteException.Unsupported("$what of $value", "pass 0 or more")
        return value
    }
}

/** The library bypasses Java's checks when it writes: a read-only buffer must be rejected here. */
private fun ByteBuffer.writable() {
    if (isReadOnly) throw SilhouetteException.InvalidFrame("the buffer is read-only", "pass one that may be written to")
}

/**
 * Wall time of each stage of a frame.
 *
 * @property input the frame to the network's input
 * @property network the network
 * @property mask the network's output to the mask, including smoothing
 */
public data class Timings(
    public val input: Duration,
    public val network: Duration,
    public val mask: Duration,
) {
    /** All stages. */
    public val total: Duration get() = input + network + mask
}

/** An affine map from mask to buffer coordinates; pixels have their edges at integers. */
public data class Transform(
    /** Buffer x per mask x. */
    public val xx: Double,
    /** Buffer x per mask y. */
    public val xy: Double,
    /** Buffer x of the mask's corner. */
    public val x0: Double,
    /** Buffer y per mask x. */
    public val yx: Double,
    /** Buffer y per mask y. */
    public val yy: Double,
    /** Buffer y of the mask's corner. */
    public val y0: Double,
) {
    /** The position of a mask point in the buffer: x and y. */
    public fun map(
        x: Double,
        y: Double,
    ): Pair<Double, Double> = Pair(xx * x + xy * y + x0, yx * x + yy * y + y0)

    /** The inverse: from the buffer to the mask. */
    public val inverse: Transform
        get() {
            val determinant = xx * yy - xy * yx
            val a = yy / determinant
            val b = -xy / determinant
            val c = -yx / determinant
            val d = xx / determinant
            return Transform(a, b, -(a * x0 + b * y0), c, d, -(c * x0 + d * y0))
        }
}

/** One connected component of a class. Rings are corners x0, y0, x1, y1, …, the last connected to the first. */
public class Polygon internal constructor(
    /** The outline, clockwise as seen on a screen. */
    public val outer: IntArray,
    /** The holes in it, counter-clockwise. */
    public val holes: List<IntArray>,
)

/**
 * A class's share of a mask.
 *
 * @property classIndex the class
 * @property share 0 to 1
 */
public data class ClassShare(
    public val classIndex: Int,
    public val share: Double,
)

/** The classes in the foreground of an effect. */
public sealed class Foreground {
    /** Every class but the background (class 0). */
    public data object All : Foreground()

    /** These classes. */
    public class Classes(
        vararg classes: Int,
    ) : Foreground() {
        internal val indices: IntArray = classes.copyOf()
    }
}

/**
 * An upright image: red, green, blue, alpha, 8 bits each, straight alpha, rows from top to bottom without gaps.
 *
 * @property width columns
 * @property height rows
 */
public class Picture(
    public val width: Int,
    public val height: Int,
) {
    /** `4 * width * height` bytes, direct. */
    public val rgba: ByteBuffer = ByteBuffer.allocateDirect(bytes(width, height))

    /** The image as a frame, without a copy. */
    public fun toFrame(): Frame = Frame.rgba(width, height, rgba).transparent(Transparency.STRAIGHT)

    private companion object {
        fun bytes(
            width: Int,
            height: Int,
        ): Int {
            val bytes = 4L * width * height
            if (width < 1 || height < 1 || bytes > Int.MAX_VALUE) {
                throw SilhouetteException.Unsupported("an image of ${width}x$height pixels", "1 pixel to 2 GiB are supported")
            }
            return bytes.toInt()
        }
    }
}
