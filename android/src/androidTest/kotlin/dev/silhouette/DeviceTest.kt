// Tests that need a device or an emulator: the library loads there (16 KB pages included), the weights come out of the APK, and a photo of a cat is one.
package dev.silhouette

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import androidx.test.platform.app.InstrumentationRegistry
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import java.nio.ByteBuffer
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit

public class DeviceTest {
    private val app = InstrumentationRegistry.getInstrumentation().targetContext
    private val cat: Bitmap =
        InstrumentationRegistry
            .getInstrumentation()
            .context.assets
            .open("chelsea.png")
            .use { BitmapFactory.decodeStream(it) }

    @Test
    public fun theCatIsACat() {
        val model = Model.voc21(app)
        Segmenter(model).use { segmenter ->
            segmenter.segmentNow(cat.toFrame()).use { segmentation ->
                assertEquals(cat.width, segmentation.width)
                assertEquals(cat.height, segmentation.height)
                val share = segmentation.shares().single { it.classIndex == model.classIndex("cat") }.share
                assertTrue("$share of the image is a cat", share > 0.2)
            }
        }
    }

    @Test
    public fun thePeopleModelIsThereToo() {
        val model = Model.people(app)
        assertEquals(Task.ALPHA, model.task)
        Segmenter(model).use { segmenter ->
            segmenter.segmentNow(cat.toFrame()).use { assertEquals(cat.width * cat.height, it.mask().remaining()) }
        }
    }

    @Test
    public fun liveAndStillAgree() {
        Segmenter(Model.voc21(app), Options(output = OutputSize.Model)).use { segmenter ->
            val still = segmenter.segmentNow(cat.toFrame()).use { bytes(it.mask()) }
            val results = LinkedBlockingQueue<ByteArray>()
            LiveSegmenter(segmenter, smoothing = null) { result -> results.put(result.get().use { bytes(it.mask()) }) }.use { live ->
                live.submit(cat.toFrame())
                assertArrayEquals(still, results.poll(30, TimeUnit.SECONDS))
            }
        }
    }

    @Test
    public fun aDamagedModelIsAnError() {
        val error = runCatching { Model.fromBytes(ByteArray(64) { 0x7F }) }.exceptionOrNull()
        assertTrue("$error", error is SilhouetteException.InvalidModel)
    }

    private fun bytes(buffer: ByteBuffer) = ByteArray(buffer.remaining()).also { buffer.get(it) }
}
