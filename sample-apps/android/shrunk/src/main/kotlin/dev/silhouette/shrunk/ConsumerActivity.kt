package dev.silhouette.shrunk

import android.app.Activity
import android.graphics.Bitmap
import android.os.Bundle
import dev.silhouette.Foreground
import dev.silhouette.Frame
import dev.silhouette.LiveSegmenter
import dev.silhouette.Model
import dev.silhouette.Options
import dev.silhouette.Plane
import dev.silhouette.Segmentation
import dev.silhouette.Segmenter
import dev.silhouette.Silhouette
import dev.silhouette.SilhouetteException
import dev.silhouette.VideoSegmenter
import dev.silhouette.people
import dev.silhouette.toBitmap
import dev.silhouette.toFrame
import dev.silhouette.voc21
import kotlinx.coroutines.runBlocking
import java.nio.ByteBuffer
import java.util.concurrent.ArrayBlockingQueue
import java.util.concurrent.TimeUnit

/** Uses the library in every way that goes through JNI, JNA or a callback; the title then shows the result. */
class ConsumerActivity : Activity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        title =
            try {
                report()
            } catch (fault: SilhouetteException) {
                "refused: ${fault.reason} ${fault.advice}"
            }
    }

    private fun report(): String {
        val lines = mutableListOf("version ${Silhouette.version}")
        val model = Model.voc21(this)
        val person = model.labels.indexOf("person")
        val picture = intent.getParcelableExtra<Bitmap>("picture")!!
        val frame = picture.toFrame()
        Segmenter(Model.people(this)).use { segmenter -> segmenter.segmentNow(frame).use { lines += "people ${share(it, 1)}" } }
        Segmenter(model, Options(threads = 2)).use { segmenter ->
            // Through JNI, and coroutines.
            runBlocking { segmenter.segment(frame) }.use { lines += "segment ${share(it, person)}" }
            VideoSegmenter(segmenter).segmentNow(frame, 1L).use { lines += "video ${share(it, person)}" }
            segmenter.segmentNow(frame).use { found ->
                val cutout = found.cutout(frame, Foreground.Classes(person)).toBitmap()
                lines +=
                    "cutout ${cutout.getPixel(
                        picture.width - 2,
                        2,
                    ) ushr 24} ${cutout.getPixel(picture.width / 2, picture.height - 8) ushr 24}"
                lines += "polygons ${found.polygons(person).isNotEmpty()}"
                lines += "shares ${found.shares().any { it.classIndex == person }}"
            }
            // The library calls back from a thread of its own.
            val results = ArrayBlockingQueue<String>(1)
            LiveSegmenter(segmenter, null) { result -> result.get().use { results.offer(share(it, person)) } }.use { live ->
                live.submit(frame, 7L)
                lines += "live ${results.poll(20, TimeUnit.SECONDS)}"
            }
            // The library creates exceptions by name.
            lines += "short plane " +
                try {
                    val few = ByteBuffer.allocateDirect(10)
                    segmenter.segmentNow(Frame.yuv420(64, 64, Plane(few, 64), Plane(few, 32), Plane(few, 32))).use { "taken" }
                } catch (_: SilhouetteException.InvalidFrame) {
                    "refused"
                }
            lines += "unknown class " +
                try {
                    model.classIndex("unicorn").toString()
                } catch (_: SilhouetteException.Unsupported) {
                    "refused"
                }
        }
        return lines.joinToString("\n")
    }

    /** The class's share of the mask's pixels, in percent. */
    private fun share(
        found: Segmentation,
        classIndex: Int,
    ): String {
        val mask = found.mask()
        var pixels = 0
        for (i in 0 until mask.capacity()) if (mask.get(i).toInt() == classIndex) pixels++
        return (100 * pixels / mask.capacity()).toString()
    }
}
