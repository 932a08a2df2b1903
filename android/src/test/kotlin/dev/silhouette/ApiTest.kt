// The cases of core/segmenter/tests/api.tsv, which Rust's and Swift's tests run too: rotation, mirroring, regions, sizes, options, defaults, errors.
package dev.silhouette

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import kotlin.time.Duration.Companion.milliseconds

internal class ApiTest {
    @Test
    fun everyCaseOfTheTableHolds() {
        val lines = Fixture.root.resolve("core/segmenter/tests/api.tsv").readLines()
        val cases = lines.drop(1).filter { "kotlin:" !in it }.map { it.split('\t') }
        assertTrue("only ${cases.size} cases were read", cases.size > 70)
        for ((case, expected) in cases) {
            val words = case.split(' ')
            val found =
                try {
                    run(words.first(), words.drop(1))
                } catch (error: SilhouetteException) {
                    checkNotNull(error::class.simpleName)
                }
            assertEquals(case, expected, found)
        }
    }

    /** What a case results in, in the table's words. */
    private fun run(
        what: String,
        words: List<String>,
    ): String =
        when (what) {
            "frame" -> frame(words)
            "options" -> segmented(words)
            "default" -> default(words[0])
            "message" -> message(words[0])
            "class_index" -> "${Fixture.model.classIndex(words[0])}"
            "output_stride" -> "ok".also { Fixture.model.withOutputStride(words[0].toInt()) }
            "bad_model" -> "ok".also { Model.fromBytes(ByteArray(1000) { 1 }) }
            "smoothing" -> smoothing(words[0].substringBefore(':'), words[0].substringAfter(':').toLong())
            else -> request(what, words.firstOrNull().orEmpty())
        }

    /** A frame whose red values count its pixels, with the operations of [words], and the image that is made from it. */
    private fun frame(words: List<String>): String {
        val (width, height) = pair(words[0])
        val pixels = Fixture.direct(ByteArray(4 * width * height) { listOf(it / 4, 0, 0, 255)[it % 4].toByte() })
        var frame = Frame.rgba(width, height, pixels)
        for (word in words.drop(1)) {
            val value = word.substringAfter(':')
            frame =
                when (word.substringBefore(':')) {
                    "rotated" -> frame.rotated(value.toInt())
                    "mirrored" -> frame.mirrored(value == "1")
                    "cropped" -> value.split(',').map { it.toInt() }.let { (x, y, w, h) -> frame.cropped(Region(x, y, w, h)) }
                    else -> error(word)
                }
        }
        return Fixture.segmenter().use { segmenter ->
            segmenter.segmentNow(frame).use { segmentation ->
                val reds = Fixture.bytes(segmentation.picture(frame).rgba).filterIndexed { i, _ -> i % 4 == 0 }
                val upright = frame.uprightSize
                val (x, y, w, h) = frame.region
                "rotation:${frame.rotation} mirrored:${if (frame.isMirrored) 1 else 0} upright:${upright.width}x${upright.height} " +
                    "region:$x,$y,$w,$h pixels:${reds.joinToString(",")}"
            }
        }
    }

    private fun options(words: List<String>): Options =
        words.fold(Options(threads = 1)) { options, word ->
            val value = word.substringAfter(':')
            when (word.substringBefore(':')) {
                "threads" -> options.copy(threads = value.toInt())
                "size" -> options.copy(size = value.toInt())
                "concurrency" -> options.copy(concurrency = value.toInt())
                "backend" -> options.copy(backend = Backend.valueOf(value.uppercase()))
                "precision" -> options.copy(precision = Precision.valueOf(value.uppercase()))
                "input_shape" -> options.copy(inputShape = InputShape.valueOf(value.uppercase()))
                "output" -> options.copy(output = output(value))
                else -> error(word)
            }
        }

    private fun output(word: String): OutputSize =
        when (word) {
            "frame" -> OutputSize.Frame
            "model" -> OutputSize.Model
            else -> pair(word).let { (width, height) -> OutputSize.Given(width, height) }
        }

    private fun segmented(words: List<String>): String =
        Fixture.segmenter(options(words)).use { segmenter ->
            // Its precision, if the case sets one.
            val found = listOf("f32", "f16").firstOrNull { ", $it," in segmenter.description }
            val computed = if (words.any { it.startsWith("precision:") }) " in:${found ?: "none"}" else ""
            segmenter.segmentNow(Fixture.frame(60, 40)).use { "size:${segmenter.size} mask:${it.width}x${it.height}$computed" }
        }

    private fun default(what: String): String =
        when (what) {
            "options" ->
                Options().run {
                    "threads:${threads ?: "none"} backend:${backend.name.lowercase()} " +
                        "precision:${precision.name.lowercase()} size:${size ?: "none"} " +
                        "input_shape:${inputShape.name.lowercase()} concurrency:${concurrency ?: "none"} " +
                        "output:${output.toString().lowercase()} refine:${if (refine) 1 else 0} weight_cache:${weightCache ?: "none"}"
                }
            "smoothing" ->
                Smoothing().run { "half_life:${halfLife.inWholeMilliseconds} longest_pause:${longestPause.inWholeMilliseconds}" }
            "overlay" -> "opacity:${Segmentation.OVERLAY_OPACITY}"
            "blur" -> "radius:${Segmentation.BLUR_RADIUS}"
            "polygons" ->
                Fixture.segmenter().use { segmenter ->
                    segmenter.segmentNow(Fixture.frame(60, 40)).use { result ->
                        val corners = { polygons: List<Polygon> -> polygons.map { it.outer.toList() } }
                        val class1 = result.shares().first().classIndex
                        assertEquals(corners(result.polygons(class1, 0.0, 0)), corners(result.polygons(class1)))
                        "tolerance:0 least_area:0"
                    }
                }
            else -> error(what)
        }

    private fun smoothing(
        name: String,
        milliseconds: Long,
    ): String {
        val smoothing =
            when (name) {
                "half_life" -> Smoothing(halfLife = milliseconds.milliseconds)
                "longest_pause" -> Smoothing(longestPause = milliseconds.milliseconds)
                else -> error(name)
            }
        Fixture.segmenter().use { VideoSegmenter(it, smoothing).segmentNow(Fixture.frame(60, 40)).close() }
        return "ok"
    }

    /** A request to a segmenter, or to the segmentation of a frame of 60x40. */
    private fun request(
        what: String,
        word: String,
    ): String {
        val frame = Fixture.frame(60, 40)
        val value = word.substringAfter(':')
        Fixture.segmenter().use { segmenter ->
            segmenter.segmentNow(frame).use { result ->
                when ("$what ${word.substringBefore(':', "")}".trim()) {
                    "resize" -> {
                        result.resize(output(value))
                        return "mask:${result.width}x${result.height}"
                    }
                    "confidence" -> result.confidence(value.toInt())
                    "polygons class" -> result.polygons(value.toInt())
                    "polygons tolerance" -> result.polygons(15, number(value))
                    "overlay opacity" -> result.overlay(frame, opacity = number(value).toFloat())
                    "blur radius" -> result.blur(frame, radius = number(value).toFloat())
                    "another_frame" -> pair(value).let { (width, height) -> result.picture(Fixture.frame(width, height)) }
                    "timestamp" -> VideoSegmenter(segmenter).segmentNow(frame, value.toLong()).close()
                    "segment_after_close" -> {
                        segmenter.close()
                        segmenter.segmentNow(frame).close()
                    }
                    else -> error("$what $word")
                }
            }
        }
        return "ok"
    }

    private fun number(word: String): Double = if (word == "nan") Double.NaN else word.toDouble()

    private fun pair(size: String): List<Int> = size.split('x').map { it.toInt() }

    private fun message(kind: String): String {
        val make: (String, String) -> SilhouetteException =
            when (kind) {
                "InvalidFrame" -> SilhouetteException::InvalidFrame
                "InvalidModel" -> SilhouetteException::InvalidModel
                "Unsupported" -> SilhouetteException::Unsupported
                "Closed" -> SilhouetteException::Closed
                "Internal" -> SilhouetteException::Internal
                else -> error(kind)
            }
        return checkNotNull(make("why", "what to do").message)
    }
}
