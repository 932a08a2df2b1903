// The input frame: borrowed planes of a camera or a file, never copied.
package dev.silhouette

import java.nio.ByteBuffer

/**
 * A borrowed image in memory: direct buffers, format, strides, and orientation. The buffer is rotated clockwise by [rotation], then
 * mirrored horizontally if it [isMirrored], then cropped to the [region], which is in pixels of the upright image.
 *
 * Creating one copies nothing. Sizes and strides are checked when it is used; invalid ones throw [SilhouetteException.InvalidFrame]. Buffers must be direct, as cameras' are, and must not change while a call uses them.
 * Immutable and thread-safe.
 */
public class Frame private constructor(
    internal val first: ByteBuffer,
    internal val second: ByteBuffer?,
    internal val third: ByteBuffer?,
    /** The layout documented at `FRAME` in `bindings/src/jni.rs`. */
    internal val numbers: LongArray,
    /** When the frame was taken, in nanoseconds from an arbitrary origin; for [VideoSegmenter] and live streams. */
    public val timestampNanos: Long,
) {
    /** Columns of the buffer. */
    public val width: Int get() = numbers[WIDTH].toInt()

    /** Rows of the buffer. */
    public val height: Int get() = numbers[HEIGHT].toInt()

    /** Clockwise degrees that make the buffer upright. */
    public val rotation: Int get() = numbers[ROTATION].toInt()

    /** Whether the image is mirrored horizontally after rotation. */
    public val isMirrored: Boolean get() = numbers[MIRROR] != 0L

    /** The part of the upright image that is used: all of it, unless the frame was [cropped]. */
    public val region: Region
        get() =
            if (numbers[REGION + 2] == 0L && numbers[REGION + 3] == 0L) {
                Region(0, 0, uprightSize.width, uprightSize.height)
            } else {
                Region(
                    numbers[REGION].toInt(),
                    numbers[REGION + 1].toInt(),
                    numbers[REGION + 2].toInt(),
                    numbers[REGION + 3].toInt(),
                )
            }

    /** Size of the whole upright image. */
    public val uprightSize: Size
        get() = if (rotation == 90 || rotation == 270) Size(height, width) else Size(width, height)

    /** The meaning of its alpha; [Transparency.IGNORED] if it has none. */
    public val transparency: Transparency
        get() =
            when (numbers[0].toInt()) {
                RGBA_STRAIGHT, BGRA_STRAIGHT -> Transparency.STRAIGHT
                RGBA_PREMULTIPLIED, BGRA_PREMULTIPLIED -> Transparency.PREMULTIPLIED
                else -> Transparency.IGNORED
            }

    /**
     * Rotates the upright image clockwise, and its region with it, by any multiple of 90 degrees; other angles throw
     * [SilhouetteException.InvalidFrame]. Calls compose: 90 degrees twice are 180, and a mirrored image is rotated as it is displayed.
     */
    public fun rotated(degrees: Int): Frame {
        val turn = Math.floorMod(degrees, 360)
        if (turn % 90 != 0) {
            throw SilhouetteException.InvalidFrame("rotation is $degrees degrees", "pass a multiple of 90")
        }
        return changed {
            val (width, height) = uprightSize
            val x = it[REGION]
            val y = it[REGION + 1]
            val columns = it[REGION + 2]
            val rows = it[REGION + 3]
            // Without a region (all zeros) there is nothing to rotate.
            if (columns != 0L || rows != 0L) {
                when (turn) {
                    90 -> it.setRegion(height - y - rows, x, rows, columns)
                    180 -> it.setRegion(width - x - columns, height - y - rows, columns, rows)
                    270 -> it.setRegion(y, width - x - columns, rows, columns)
                }
            }
            // Rotating clockwise after mirroring is mirroring after rotating counter-clockwise.
            it[ROTATION] = Math.floorMod(if (isMirrored) rotation - turn else rotation + turn, 360).toLong()
        }
    }

    /**
     * Mirrors the upright image horizontally if [mirrored] is true (front cameras), and its region with it. Calls compose: mirroring
     * twice changes nothing.
     */
    public fun mirrored(mirrored: Boolean = true): Frame =
        if (mirrored) {
            changed {
                val columns = it[REGION + 2]
                if (columns != 0L || it[REGION + 3] != 0L) it[REGION] = uprightSize.width - it[REGION] - columns
                it[MIRROR] = 1 - it[MIRROR]
            }
        } else {
            this
        }

    /**
     * Sets the meaning of the alpha of RGBA and BGRA pixels; the other formats have none. If it has one, the network sees the image over
     * black, and images made from the frame keep the alpha, with hidden pixels black.
     */
    public fun transparent(transparency: Transparency): Frame =
        changed {
            it[0] =
                when (it[0].toInt()) {
                    RGBA, RGBA_STRAIGHT, RGBA_PREMULTIPLIED -> transparency.choose(RGBA, RGBA_STRAIGHT, RGBA_PREMULTIPLIED)
                    BGRA, BGRA_STRAIGHT, BGRA_PREMULTIPLIED -> transparency.choose(BGRA, BGRA_STRAIGHT, BGRA_PREMULTIPLIED)
                    else -> it[0].toInt()
                }.toLong()
        }

    /**
     * Sets the part to use, in pixels of the whole upright image (after rotation and mirroring); it replaces an earlier region.
     * Throws [SilhouetteException.InvalidFrame] for a region without pixels.
     */
    public fun cropped(region: Region): Frame {
        // In the numbers, a width and height of 0 mean the whole image.
        if (region.width == 0 || region.height == 0) {
            throw SilhouetteException.InvalidFrame("the region is empty", "use at least one pixel")
        }
        return changed { it.setRegion(region.x.toLong(), region.y.toLong(), region.width.toLong(), region.height.toLong()) }
    }

    private fun LongArray.setRegion(
        x: Long,
        y: Long,
        width: Long,
        height: Long,
    ) {
        this[REGION] = x
        this[REGION + 1] = y
        this[REGION + 2] = width
        this[REGION + 3] = height
    }

    /** Sets when the frame was taken. */
    public fun at(timestampNanos: Long): Frame = Frame(first, second, third, numbers, timestampNanos)

    /** Sets everything at once, without copying the numbers: for a new frame that nothing else references. */
    internal fun upright(
        degrees: Int,
        mirrored: Boolean,
        timestampNanos: Long,
    ): Frame {
        numbers[ROTATION] = degrees.toLong()
        numbers[MIRROR] = if (mirrored) 1 else 0
        return Frame(first, second, third, numbers, timestampNanos)
    }

    private inline fun changed(change: (LongArray) -> Unit): Frame =
        Frame(first, second, third, numbers.copyOf().also(change), timestampNanos)

    public companion object {
        private const val WIDTH = 1
        private const val HEIGHT = 2
        private const val ROTATION = 5
        private const val MIRROR = 6
        private const val REGION = 7
        private const val PLANES = 11

        private const val RGB = 0
        private const val RGBA = 1
        private const val BGRA = 2
        private const val GRAY = 3
        private const val YUV420 = 4
        private const val NV12 = 5
        private const val NV21 = 6
        private const val RGBA_STRAIGHT = 7
        private const val BGRA_STRAIGHT = 8
        private const val RGBA_PREMULTIPLIED = 9
        private const val BGRA_PREMULTIPLIED = 10

        /**
         * Three planes as in Android's `YUV_420_888` (any row and pixel strides), or I420: luma of [width] by [height],
         * chroma of half of that, rounded up. The last row of a plane needs no padding.
         */
        public fun yuv420(
            width: Int,
            height: Int,
            y: Plane,
            u: Plane,
            v: Plane,
            color: YuvColor = YuvColor.CAMERA,
        ): Frame = of(YUV420, width, height, y, u, v, color)

        /** Luma, and one plane of interleaved U and V. */
        public fun nv12(
            width: Int,
            height: Int,
            y: Plane,
            uv: Plane,
            color: YuvColor = YuvColor.CAMERA,
        ): Frame = of(NV12, width, height, y, uv, null, color)

        /** Luma, and one plane of interleaved V and U. */
        public fun nv21(
            width: Int,
            height: Int,
            y: Plane,
            vu: Plane,
            color: YuvColor = YuvColor.CAMERA,
        ): Frame = of(NV21, width, height, y, vu, null, color)

        /** Red, green, blue, alpha, which is ignored unless [transparent] defines it. [rowStride] is bytes from row to row. */
        public fun rgba(
            width: Int,
            height: Int,
            pixels: ByteBuffer,
            rowStride: Int = 4 * width,
        ): Frame = of(RGBA, width, height, Plane(pixels, rowStride, 4))

        /** Blue, green, red, alpha, which is ignored unless [transparent] defines it. */
        public fun bgra(
            width: Int,
            height: Int,
            pixels: ByteBuffer,
            rowStride: Int = 4 * width,
        ): Frame = of(BGRA, width, height, Plane(pixels, rowStride, 4))

        private fun Transparency.choose(
            ignored: Int,
            straight: Int,
            premultiplied: Int,
        ): Int =
            when (this) {
                Transparency.IGNORED -> ignored
                Transparency.STRAIGHT -> straight
                Transparency.PREMULTIPLIED -> premultiplied
            }

        /** Red, green, blue. */
        public fun rgb(
            width: Int,
            height: Int,
            pixels: ByteBuffer,
            rowStride: Int = 3 * width,
        ): Frame = of(RGB, width, height, Plane(pixels, rowStride, 3))

        /** One grey level per pixel. */
        public fun gray(
            width: Int,
            height: Int,
            pixels: ByteBuffer,
            rowStride: Int = width,
        ): Frame = of(GRAY, width, height, Plane(pixels, rowStride, 1))

        private fun of(
            format: Int,
            width: Int,
            height: Int,
            first: Plane,
            second: Plane? = null,
            third: Plane? = null,
            color: YuvColor = YuvColor.CAMERA,
        ): Frame {
            val numbers = LongArray(PLANES + 3 * 4)
            numbers[0] = format.toLong()
            numbers[WIDTH] = width.toLong()
            numbers[HEIGHT] = height.toLong()
            numbers[3] = if (color.matrix == YuvMatrix.BT709) 1 else 0
            numbers[4] = if (color.range == YuvRange.FULL) 1 else 0
            put(numbers, PLANES, first)
            if (second != null) put(numbers, PLANES + 4, second)
            if (third != null) put(numbers, PLANES + 8, third)
            return Frame(first.data, second?.data, third?.data, numbers, 0)
        }

        private fun put(
            numbers: LongArray,
            at: Int,
            plane: Plane,
        ) {
            numbers[at] = plane.offset.toLong()
            numbers[at + 1] = plane.length.toLong()
            numbers[at + 2] = plane.rowStride.toLong()
            numbers[at + 3] = plane.pixelStride.toLong()
        }
    }
}

/**
 * The meaning of the alpha of RGBA and BGRA pixels. If it has one, the network sees the image over black, and images made
 * from the frame keep the alpha, with hidden pixels black.
 */
public enum class Transparency {
    /** Ignored: cameras leave arbitrary values in that byte. */
    IGNORED,

    /** Straight alpha, as in a [Picture]: the pixel's opacity, with unmultiplied colours. */
    STRAIGHT,

    /** Premultiplied alpha, as in bitmaps: colours are already multiplied by it. */
    PREMULTIPLIED,
}

/**
 * One plane: a direct buffer. The bytes from its position to its limit are used, as they are when the plane is created.
 *
 * @property data the bytes
 * @property rowStride bytes from one row to the next
 * @property pixelStride bytes from one sample to the next in a row
 */
public class Plane(
    public val data: ByteBuffer,
    public val rowStride: Int,
    public val pixelStride: Int = 1,
) {
    internal val offset: Int = data.position()
    internal val length: Int = data.remaining()
}

/**
 * The conversion from YUV to RGB.
 *
 * @property matrix the weights of red, green and blue in luma
 * @property range the levels of black and white
 */
public data class YuvColor(
    public val matrix: YuvMatrix = YuvMatrix.BT601,
    public val range: YuvRange = YuvRange.FULL,
) {
    public companion object {
        /** The conversion of Android's cameras and of JPEG: BT.601 in full range. */
        public val CAMERA: YuvColor = YuvColor()
    }
}

/** The weights of red, green and blue in luma. */
public enum class YuvMatrix {
    /** ITU-R BT.601, used by Android's cameras and JPEG. */
    BT601,

    /** ITU-R BT.709: high-definition video. */
    BT709,
}

/** The levels of black and white. */
public enum class YuvRange {
    /** Luma 16 to 235, chroma 16 to 240. */
    VIDEO,

    /** All of 0 to 255. */
    FULL,
}

/**
 * A rectangle of the upright image, in pixels.
 *
 * @property x first column
 * @property y first row
 * @property width columns
 * @property height rows
 */
public data class Region(
    public val x: Int,
    public val y: Int,
    public val width: Int,
    public val height: Int,
) {
    /** Its size. */
    public val size: Size get() = Size(width, height)
}

/**
 * Columns and rows.
 *
 * @property width columns
 * @property height rows
 */
public data class Size(
    public val width: Int,
    public val height: Int,
)
