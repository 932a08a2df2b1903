// Camera images: planes with padded rows, interleaved chroma, a short last row.
package dev.silhouette

import android.graphics.ImageFormat
import android.graphics.PixelFormat
import android.graphics.Rect
import android.media.Image
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import java.nio.ByteBuffer

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
internal class AndroidImageTest {
    /** An image over existing planes, like those of a camera's `ImageReader`. */
    private class Made(
        private val format: Int,
        private val width: Int,
        private val height: Int,
        private val planes: List<dev.silhouette.Plane>,
        private val time: Long,
    ) : Image() {
        override fun getFormat() = format

        override fun getWidth() = width

        override fun getHeight() = height

        override fun getTimestamp() = time

        override fun getTransform() = 0

        override fun getScalingMode() = 0

        override fun getHardwareBuffer() = null

        override fun getCropRect() = Rect(0, 0, width, height)

        override fun getPlanes(): Array<Image.Plane> =
            planes
                .map { plane ->
                    object : Image.Plane() {
                        override fun getRowStride() = plane.rowStride

                        override fun getPixelStride() = plane.pixelStride

                        override fun getBuffer(): ByteBuffer = plane.data
                    }
                }.toTypedArray()

        override fun close() = Unit
    }

    @Test
    fun aCamerasImageGivesTheGoldenMask() {
        for ((name, rotation, isMirrored) in listOf(
            Triple("turn-0", 0, false),
            Triple("turn-90", 90, false),
            Triple("turn-90-mirror", 90, true),
            Triple("turn-270", 270, false),
        )) {
            val golden = Golden.all.first { it.name == name }
            val frame = golden.frame()
            val planes = listOf(frame.first, checkNotNull(frame.second), checkNotNull(frame.third))
            val strides = listOf(68 to 1, 70 to 2, 70 to 2)
            val image =
                Made(ImageFormat.YUV_420_888, frame.width, frame.height, planes.zip(strides) { b, (row, pixel) -> Plane(b, row, pixel) }, 5)
            Fixture.segmenter(Options(threads = 1, output = golden.output, inputShape = InputShape.SQUARE)).use { segmenter ->
                segmenter.segmentNow(image.toFrame(rotation, isMirrored)).use {
                    golden.check(Fixture.maskOf(it))
                    assertEquals(5L, it.timestampNanos)
                }
            }
        }
    }

    @Test
    fun rgbaImagesAreTakenAndOthersRefused() {
        val pixels = Fixture.picture(20, 10)
        val plane = Plane(Fixture.direct(pixels), 80, 4)
        Fixture.segmenter().use { segmenter ->
            val expected = segmenter.segmentNow(Fixture.frame(20, 10)).use { Fixture.maskOf(it).toList() }
            val image = Made(PixelFormat.RGBA_8888, 20, 10, listOf(plane), 0)
            assertEquals(expected, segmenter.segmentNow(image.toFrame()).use { Fixture.maskOf(it).toList() })
        }
        for (format in listOf(ImageFormat.JPEG, ImageFormat.RAW_SENSOR, ImageFormat.PRIVATE)) {
            val error = assertThrows(SilhouetteException.Unsupported::class.java) { Made(format, 20, 10, listOf(plane), 0).toFrame() }
            assertTrue("$error", "$format" in error.reason)
        }
    }
}
