package dev.silhouette.sample

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.ImageFormat
import android.graphics.Matrix
import android.graphics.Paint
import android.graphics.Rect
import android.hardware.HardwareBuffer
import android.media.Image
import android.os.Handler
import android.os.Looper
import dev.silhouette.sample.camera.FrameSource
import dev.silhouette.sample.model.Facing
import dev.silhouette.sample.model.Loss
import java.nio.ByteBuffer
import java.util.concurrent.atomic.AtomicInteger
import kotlin.math.roundToInt

/**
 * A camera that plays a photo like a phone's camera: from a thread of its own, in YUV_420_888 with padded rows, chroma of pixel
 * stride 2 in one shared buffer whose last row is short, rotated by the sensor's 90 degrees (270 at the front, and mirrored).
 */
class PlayedCamera(
    private val photo: Bitmap,
    private val sides: Set<Facing> = setOf(Facing.BACK, Facing.FRONT),
) : FrameSource {
    private val main = Handler(Looper.getMainLooper())
    private var session: Session? = null

    /** Number of delivered frames, over all openings. */
    val frames = AtomicInteger()

    /** Number of open cameras: 0 or 1. */
    val opened = AtomicInteger()

    var facing: Facing? = null
        private set

    /** The result of opening; null: it works. */
    var refusal: Loss? = null

    override fun facings() = sides

    override fun open(
        facing: Facing,
        listener: FrameSource.Listener,
    ) {
        close()
        this.facing = facing
        val refusal = refusal
        session = Session(listener).also { if (refusal == null) it.start() else it.lose(refusal) }
    }

    override fun close() {
        session?.end()
        session = null
    }

    /** Takes the camera away, as another app would. */
    fun lose(loss: Loss) = session?.lose(loss)

    /** The other app releases it. */
    fun giveBack() = session?.giveBack()

    private inner class Session(
        private val listener: FrameSource.Listener,
    ) : Thread("played camera") {
        private val lock = Any()
        private var ended = false
        private var lost = false
        private val image = facing!!.let { PlayedImage.of(photo, if (it == Facing.FRONT) 270 else 90, it == Facing.FRONT) }

        override fun run() {
            opened.incrementAndGet()
            var time = 1_000_000_000L
            while (!ended && !lost) {
                synchronized(lock) {
                    if (!ended && !lost) {
                        image.time = time
                        image.valid = true
                        frames.incrementAndGet()
                        listener.onFrame(image, if (facing == Facing.FRONT) 270 else 90, facing == Facing.FRONT)
                        image.valid = false
                    }
                }
                time += 33_333_333
                sleep(20)
            }
            opened.decrementAndGet()
        }

        fun end() {
            synchronized(lock) { ended = true }
            join()
        }

        fun lose(loss: Loss) {
            synchronized(lock) { lost = true }
            main.post { if (!ended) listener.onLost(loss) }
        }

        fun giveBack() = main.post { if (!ended) listener.onAvailable() }
    }
}

/** A frame of YUV_420_888 in memory; like a camera's, it throws if it is read after it was closed. */
class PlayedImage private constructor(
    private val bufferWidth: Int,
    private val bufferHeight: Int,
    private val planes: Array<Plane>,
) : Image() {
    var time = 0L

    @Volatile
    var valid = true

    override fun getFormat() = alive(ImageFormat.YUV_420_888)

    override fun getWidth() = alive(bufferWidth)

    override fun getHeight() = alive(bufferHeight)

    override fun getTimestamp() = alive(time)

    override fun getTransform() = 0

    override fun getScalingMode() = 0

    override fun getPlanes() = alive(planes)

    override fun getHardwareBuffer(): HardwareBuffer? = null

    override fun getCropRect() = Rect(0, 0, bufferWidth, bufferHeight)

    override fun close() {
        valid = false
    }

    private fun <T> alive(value: T): T {
        check(valid) { "Image is already closed" }
        return value
    }

    private class PlayedPlane(
        private val bytes: ByteBuffer,
        private val row: Int,
        private val pixel: Int,
    ) : Plane() {
        override fun getRowStride() = row

        override fun getPixelStride() = pixel

        override fun getBuffer(): ByteBuffer = bytes
    }

    companion object {
        private const val PADDING = 32

        /**
         * The upright photo as seen by a sensor whose image must be rotated clockwise by [rotation] (and then mirrored) to be
         * upright: BT.601, full range.
         */
        fun of(
            photo: Bitmap,
            rotation: Int,
            mirrored: Boolean,
        ): PlayedImage {
            val matrix = Matrix().apply { if (mirrored) postScale(-1f, 1f) }
            matrix.postRotate(-rotation.toFloat())
            val seen = Bitmap.createBitmap(photo, 0, 0, photo.width, photo.height, matrix, false)
            val width = seen.width and 1.inv()
            val height = seen.height and 1.inv()
            val pixels = IntArray(seen.width * seen.height)
            seen.getPixels(pixels, 0, seen.width, 0, 0, seen.width, seen.height)

            val row = width + PADDING
            val y = ByteBuffer.allocateDirect(row * (height - 1) + width)
            val chroma = ByteBuffer.allocateDirect(row * (height / 2 - 1) + width)
            for (line in 0 until height) {
                for (column in 0 until width) {
                    val (r, g, b) = rgb(pixels[line * seen.width + column])
                    y.put(line * row + column, byte(0.299 * r + 0.587 * g + 0.114 * b))
                    if (line % 2 == 0 && column % 2 == 0) {
                        chroma.put(line / 2 * row + column, byte(128 - 0.168736 * r - 0.331264 * g + 0.5 * b))
                        chroma.put(line / 2 * row + column + 1, byte(128 + 0.5 * r - 0.418688 * g - 0.081312 * b))
                    }
                }
            }
            val u = chroma.duplicate().apply { limit(limit() - 1) }.slice()
            val v = chroma.duplicate().apply { position(1) }.slice()
            return PlayedImage(width, height, arrayOf(PlayedPlane(y, row, 1), PlayedPlane(u, row, 2), PlayedPlane(v, row, 2)))
        }

        private fun rgb(color: Int) = Triple(color shr 16 and 255, color shr 8 and 255, color and 255)

        private fun byte(value: Double) = value.roundToInt().coerceIn(0, 255).toByte()
    }
}

/** The part of this image that covers [width] x [height], around a point given as shares of its sides, scaled. */
fun Bitmap.covering(
    width: Int,
    height: Int,
    x: Float = 0.5f,
    y: Float = 0.5f,
): Bitmap {
    val scale = maxOf(width.toFloat() / this.width, height.toFloat() / this.height)
    val out = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
    val matrix = Matrix().apply { setScale(scale, scale) }
    matrix.postTranslate(
        (width / 2f - x * this.width * scale).coerceIn(width - this.width * scale, 0f),
        (height / 2f - y * this.height * scale).coerceIn(height - this.height * scale, 0f),
    )
    Canvas(out).drawBitmap(this, matrix, Paint(Paint.FILTER_BITMAP_FLAG))
    return out
}
