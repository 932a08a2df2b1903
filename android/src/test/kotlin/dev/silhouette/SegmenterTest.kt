// Everything public except frames: models, options, results, effects, videos, flows, threads, closing.
package dev.silhouette

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.flow.asFlow
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.yield
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File
import java.nio.ByteBuffer
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds

internal class SegmenterTest {
    @Test
    fun aModelSaysWhatItIs() {
        assertEquals(Task.SEGMENTATION, Fixture.model.task)
        assertEquals(65, Fixture.model.size)
        assertTrue(Fixture.model.name.isNotEmpty())
        assertEquals(listOf("background", "aeroplane"), Fixture.model.labels.take(2))
        assertEquals(21, Fixture.model.colors.size)
        assertEquals(15, Fixture.model.classIndex(" Person"))
        assertEquals(0xFFC08080.toInt(), Fixture.model.colors[15])
        assertThrows(SilhouetteException.Unsupported::class.java) { Fixture.model.classIndex("unicorn") }
            .let { assertTrue(it.advice, "person" in it.advice) }
        assertTrue(Silhouette.version.matches(Regex("\\d+\\.\\d+\\.\\d+.*")))
    }

    @Test
    fun modelsComeFromFilesPartsAndBytes() {
        val bytes = File(Fixture.path).readBytes()
        val expected = Fixture.segmenter().use { segmenter -> segmenter.segmentNow(Fixture.frame()).use { Fixture.maskOf(it) } }
        val inside = File.createTempFile("silhouette", ".bin")
        inside.writeBytes(ByteArray(4097) { 1 } + bytes + ByteArray(100))
        val padded = ByteBuffer.allocateDirect(bytes.size + 20)
        padded.position(7)
        padded.duplicate().put(bytes)
        padded.limit(7 + bytes.size)
        val models =
            listOf(
                Model.open(Fixture.path),
                Model.openPart(inside.path, 4097, bytes.size.toLong()),
                Model.fromBytes(bytes),
                Model.fromBytes(padded),
                Model.fromBytes(padded.asReadOnlyBuffer()),
            )
        assertEquals(7 to 7 + bytes.size, padded.position() to padded.limit())
        for (model in models) {
            Segmenter(model, Options(threads = 1)).use { segmenter ->
                segmenter.segmentNow(Fixture.frame()).use { assertArrayEquals(expected, Fixture.maskOf(it)) }
            }
        }
        assertTrue(inside.delete())
        Segmenter(Fixture.model.withOutputStride(8), Options(threads = 1)).use { segmenter ->
            segmenter.segmentNow(Fixture.frame()).use { assertFalse(expected.contentEquals(Fixture.maskOf(it))) }
        }
    }

    @Test
    fun weightsThatWereKeptGiveTheSameMask() {
        val expected = Fixture.segmenter().use { segmenter -> segmenter.segmentNow(Fixture.frame()).use { Fixture.maskOf(it) } }
        val cache = File.createTempFile("silhouette", "cache").also { assertTrue(it.delete()) }
        try {
            repeat(2) { round ->
                Fixture.segmenter(Options(threads = 1, weightCache = cache)).use { segmenter ->
                    segmenter.segmentNow(Fixture.frame()).use { assertArrayEquals("round $round", expected, Fixture.maskOf(it)) }
                }
                assertEquals(1, cache.list()?.count { it.endsWith(".packed") })
            }
        } finally {
            assertTrue(cache.deleteRecursively())
        }
    }

    @Test
    fun theFramesShapeIsTheDefaultAndASquareMakesAnotherMaskOfTheSameSize() {
        val mask = { options: Options ->
            Fixture.segmenter(options).use { segmenter -> segmenter.segmentNow(Fixture.frame()).use { Fixture.maskOf(it) } }
        }
        assertEquals(InputShape.FRAME, Options().inputShape)
        val own = mask(Options(threads = 1))
        assertArrayEquals(own, mask(Options(threads = 1, inputShape = InputShape.FRAME)))
        val square = mask(Options(threads = 1, inputShape = InputShape.SQUARE))
        assertEquals(square.size, own.size)
        assertFalse("the square has grey beside the frame", own.contentEquals(square))
    }

    @Test
    fun edgesAreRefinedByDefault() {
        val cut = { options: Options ->
            Fixture.segmenter(options).use { segmenter ->
                val frame = Fixture.frame(80, 60)
                segmenter.segmentNow(frame).use { Fixture.bytes(it.cutout(frame, Foreground.Classes(1, 2, 3, 4, 5, 6, 7)).rgba) }
            }
        }
        val byDefault = cut(Options(threads = 1))
        assertArrayEquals(byDefault, cut(Options(threads = 1, refine = true)))
        assertFalse("refining changes the alpha", byDefault.contentEquals(cut(Options(threads = 1, refine = false))))
    }

    @Test
    fun badModelsAreRefused() {
        val cases =
            listOf(
                { Model.open("/no/such/file") },
                { Model.open(Fixture.root.path) },
                { Model.openPart(Fixture.path, 5, 100) },
                { Model.openPart(Fixture.path, -1, 100) },
                { Model.openPart(Fixture.path, 0, Long.MAX_VALUE) },
                { Model.fromBytes(ByteArray(0)) },
                { Model.fromBytes(ByteArray(1000)) },
                { Model.fromBytes(File(Fixture.path).readBytes().copyOf(5000)) },
            )
        for ((i, case) in cases.withIndex()) {
            val error = assertThrows("case $i", SilhouetteException.InvalidModel::class.java) { case() }
            assertTrue("case $i: $error", error.reason.isNotEmpty() && error.advice.isNotEmpty())
        }
        assertThrows(SilhouetteException.Unsupported::class.java) { Fixture.model.withOutputStride(7) }
        assertThrows(SilhouetteException.Unsupported::class.java) { Fixture.model.withOutputStride(-8) }
    }

    @Test
    fun impossibleOptionsAreUnsupported() {
        val cases =
            listOf(
                Options(threads = 0),
                Options(threads = -1),
                Options(threads = 1000),
                Options(size = 0),
                Options(size = -5),
                Options(size = Int.MAX_VALUE),
                Options(concurrency = 0),
                Options(concurrency = -1),
                Options(concurrency = Int.MAX_VALUE),
                Options(threads = Int.MAX_VALUE),
                Options(output = OutputSize.Given(0, 5)),
                Options(output = OutputSize.Given(Int.MAX_VALUE, Int.MAX_VALUE)),
                Options(output = OutputSize.Given(-1, 5)),
            )
        for (options in cases) {
            assertThrows("$options", SilhouetteException.Unsupported::class.java) { Segmenter(Fixture.model, options) }
        }
        val endless = listOf(Smoothing(halfLife = Duration.INFINITE), Smoothing(longestPause = Duration.INFINITE))
        for (smoothing in endless + Smoothing((-1).milliseconds)) {
            Fixture.segmenter().use { segmenter ->
                assertThrows(SilhouetteException.Unsupported::class.java) {
                    VideoSegmenter(segmenter, smoothing).segmentNow(Fixture.frame())
                }
                assertThrows(SilhouetteException.Unsupported::class.java) { LiveSegmenter(segmenter, smoothing) { } }
            }
        }
        val frame = Fixture.frame()
        Fixture.segmenter().use { segmenter ->
            segmenter.segmentNow(frame).use { result ->
                for (strength in listOf(1.1f, Float.MAX_VALUE, Float.POSITIVE_INFINITY, -1f, Float.NaN)) {
                    assertThrows(SilhouetteException.Unsupported::class.java) { result.overlay(frame, opacity = strength) }
                    assertThrows(SilhouetteException.Unsupported::class.java) { result.blur(frame, radius = strength) }
                }
                for (tolerance in listOf(-1.0, Double.NaN, Double.POSITIVE_INFINITY)) {
                    assertThrows(SilhouetteException.Unsupported::class.java) { result.polygons(15, tolerance) }
                }
            }
        }
    }

    @Test
    fun optionsAreObeyed() {
        val segmenter =
            Fixture.segmenter(
                Options(threads = 2, size = 33, concurrency = 1, backend = Backend.CPU, output = OutputSize.Model),
            )
        segmenter.use {
            assertEquals(33, it.size)
            assertTrue(it.description, "2 threads" in it.description)
            it.segmentNow(Fixture.frame(66, 33)).use { result -> assertEquals(33 to 17, result.width to result.height) }
        }
    }

    @Test
    fun anAlphaIsAForegroundsConfidence() {
        assertEquals(Task.SEGMENTATION, Fixture.model.task)
        assertEquals(Task.ALPHA, Fixture.alpha.task)
        assertEquals(listOf("background", "foreground"), Fixture.alpha.labels)
        Segmenter(Fixture.alpha, Options(threads = 1)).use { segmenter ->
            segmenter.segmentNow(Fixture.frame(60, 40)).use { result ->
                val alpha = Fixture.bytes(result.confidence(1)).map { it.toInt() and 0xFF }
                assertEquals(alpha.map { if (it >= 128) 1 else 0 }, Fixture.maskOf(result).map { it.toInt() })
                assertTrue("it is soft", alpha.toSet().size > 20)
            }
        }
    }

    @Test
    fun resultsAgreeWithOneAnother() {
        val frame = Fixture.frame(60, 40).at(123)
        Fixture.segmenter().use { segmenter ->
            segmenter.segmentNow(frame).use { result ->
                assertEquals(60 to 40, result.width to result.height)
                assertEquals(Size(60, 40), result.frameSize)
                assertEquals(123L, result.timestampNanos)
                assertEquals(Fixture.model.labels, result.labels)
                val mask = Fixture.maskOf(result)
                val timings = result.timings
                assertTrue("$timings", timings.network > Duration.ZERO && timings.total >= timings.network + timings.mask)
                val shares = result.shares()
                assertEquals(1.0, shares.sumOf { it.share }, 1e-9)
                for ((classIndex, share) in shares) assertEquals(share, mask.count { it.toInt() == classIndex } / 2400.0, 1e-9)
                assertTrue("the fixture sees more than one class", shares.size > 1)
                // Every pixel's class is its most confident one, unless 256 levels cannot distinguish them.
                val planes = List(21) { Fixture.bytes(result.confidence(it)) }
                for (i in mask.indices) {
                    val best = planes.maxOf { it[i].toInt() and 0xFF }
                    assertTrue("pixel $i", (planes[mask[i].toInt()][i].toInt() and 0xFF) >= best - 1)
                }
                val all = Fixture.bytes(result.confidence(*IntArray(21) { it }))
                assertTrue(all.all { it.toInt() == -1 })
                // The same mask, row by row into a larger buffer, starting at its position.
                val wide = ByteBuffer.allocateDirect(10 + 70 * 40)
                wide.position(10)
                result.mask(wide, 70)
                assertEquals(10, wide.position())
                for (y in 0 until 40) for (x in 0 until 60) assertEquals(mask[60 * y + x], wide.get(10 + 70 * y + x))
                result.confidence(wide, intArrayOf(3), 70)
                for (y in 0 until 40) assertEquals(planes[3][60 * y + 7], wide.get(10 + 70 * y + 7))
                // Another size, and back.
                result.resize(OutputSize.Given(7, 300))
                assertEquals(7 to 300, result.width to result.height)
                assertEquals(7 * 300, Fixture.maskOf(result).size)
                assertEquals(60.0, result.transform.map(7.0, 0.0).first, 1e-9)
                assertEquals(
                    7.0,
                    result.transform.inverse
                        .map(60.0, 40.0)
                        .first,
                    1e-9,
                )
                result.resize(OutputSize.Model)
                assertEquals(65 to 43, result.width to result.height)
                result.resize(OutputSize.Frame)
                assertArrayEquals(mask, Fixture.maskOf(result))
                for (output in listOf(OutputSize.Given(0, 1), OutputSize.Given(-1, 1), OutputSize.Given(Int.MAX_VALUE, Int.MAX_VALUE))) {
                    assertThrows(SilhouetteException.Unsupported::class.java) { result.resize(output) }
                }
                for (wrong in listOf(-1, 21, 300)) {
                    assertThrows(SilhouetteException.Unsupported::class.java) { result.confidence(wrong) }
                    assertThrows(SilhouetteException.Unsupported::class.java) { result.polygons(wrong) }
                    assertThrows(SilhouetteException.Unsupported::class.java) { result.cutout(frame, Foreground.Classes(wrong)) }
                }
            }
        }
    }

    @Test
    fun polygonsCoverTheirClass() {
        Fixture.segmenter().use { segmenter ->
            segmenter.segmentNow(Fixture.frame(60, 40)).use { result ->
                val area = { ring: IntArray ->
                    val n = ring.size / 2
                    (0 until n).sumOf { i ->
                        val j = (i + 1) % n
                        (ring[2 * i].toLong() * ring[2 * j + 1] - ring[2 * j].toLong() * ring[2 * i + 1])
                    } / 2.0
                }
                for ((classIndex, share) in result.shares()) {
                    val pieces = result.polygons(classIndex, tolerance = 0.0)
                    // Outlines run clockwise, holes counter-clockwise.
                    val covered = pieces.sumOf { piece -> area(piece.outer) + piece.holes.sumOf { area(it) } }
                    assertEquals("class $classIndex", share * 2400, covered, 1e-6)
                    assertTrue(result.polygons(classIndex, leastArea = 2401).isEmpty())
                }
            }
        }
    }

    @Test
    fun effectsKeepTheForegroundAndChangeTheRest() {
        val width = 40
        val height = 30
        val bytes = Fixture.picture(width, height)
        val frame = Fixture.frame(width, height)
        val background = Fixture.frame(33, 21, 9)
        val everything = Foreground.Classes(*IntArray(21) { it })
        val nothing = Foreground.Classes()
        Fixture.segmenter().use { segmenter ->
            segmenter.segmentNow(frame).use { result ->
                val pixels = { picture: Picture -> Fixture.bytes(picture.rgba) }
                assertArrayEquals(bytes, pixels(result.picture(frame)))
                assertArrayEquals(bytes, pixels(result.cutout(frame, everything)))
                assertArrayEquals(bytes, pixels(result.blur(frame, everything)))
                assertArrayEquals(bytes, pixels(result.replace(background, frame, everything)))
                assertArrayEquals(bytes, pixels(result.overlay(frame, nothing)))
                assertTrue(pixels(result.cutout(frame, nothing)).filterIndexed { i, _ -> i % 4 == 3 }.all { it.toInt() == 0 })
                assertFalse(bytes.contentEquals(pixels(result.blur(frame, nothing, radius = 0.1f))))
                assertFalse(bytes.contentEquals(pixels(result.replace(background, frame, nothing))))
                assertFalse(bytes.contentEquals(pixels(result.overlay(frame))))
                assertArrayEquals(pixels(result.cutout(frame, nothing)), pixels(result.render(Effect.Cutout, frame, nothing)))
                assertArrayEquals(pixels(result.replace(background, frame)), pixels(result.render(Effect.Replace(background), frame)))
                assertArrayEquals(pixels(result.blur(frame)), pixels(result.blur(frame, radius = Segmentation.BLUR_RADIUS)))
                val mask = Fixture.maskOf(result)
                val seen = result.shares().first().classIndex
                val painted = pixels(result.overlay(frame, Foreground.Classes(seen), opacity = 1f))
                for (i in mask.indices) {
                    val color = Fixture.model.colors[seen]
                    val expected = if (mask[i].toInt() == seen) (color shr 16).toByte() else bytes[4 * i]
                    assertEquals("pixel $i", expected, painted[4 * i])
                }
                // Into an existing image, and one of the wrong size.
                val place = Picture(width, height)
                assertTrue(place === result.cutout(frame, into = place))
                assertThrows(SilhouetteException.InvalidFrame::class.java) { result.cutout(frame, into = Picture(width, height + 1)) }
                // Not the frame that was segmented, or none.
                assertThrows(SilhouetteException.InvalidFrame::class.java) { result.blur(background) }
                assertThrows(SilhouetteException.InvalidFrame::class.java) { result.blur() }
                // An image is a frame again.
                segmenter.segmentNow(result.picture(frame).toFrame()).use { assertArrayEquals(mask, Fixture.maskOf(it)) }
            }
        }
        for ((w, h) in listOf(0 to 5, -1 to 5, 40_000 to 40_000)) {
            assertThrows(SilhouetteException.Unsupported::class.java) { Picture(w, h) }
        }
    }

    @Test
    fun aStillVideoIsThePictureAndACutStartsAfresh() =
        runBlocking {
            Fixture.segmenter().use { segmenter ->
                val one = Fixture.frame()
                val other = Fixture.frame(phase = 50)
                val single = segmenter.segment(one).use { Fixture.maskOf(it) }
                val cut = segmenter.segment(other).use { Fixture.maskOf(it) }
                val video = VideoSegmenter(segmenter)
                for (i in 0L..3L) video.segment(one, 33_000_000 * i).use { assertArrayEquals(single, Fixture.maskOf(it)) }
                video.reset()
                video.segment(other, 133_000_000).use { assertArrayEquals(cut, Fixture.maskOf(it)) }
                // By the frame's own time: after a pause, smoothing restarts.
                video.segmentNow(one.at(9_000_000_000)).use { assertArrayEquals(single, Fixture.maskOf(it)) }
                assertThrows(SilhouetteException.InvalidFrame::class.java) { video.segmentNow(one, -1) }
                Unit
            }
        }

    @Test
    fun aFlowOfFramesIsAFlowOfSegmentations() =
        runBlocking {
            Fixture.segmenter().use { segmenter ->
                val frames = List(6) { Fixture.frame(phase = 7 * it).at(33_000_000L * it) }
                val expected = frames.map { frame -> segmenter.segment(frame).use { Fixture.maskOf(it) }.toList() }
                val alone = Smoothing(halfLife = Duration.ZERO)
                val found =
                    segmenter
                        .segments(frames.asFlow(), alone)
                        .map { it.use { one -> one.timestampNanos to Fixture.maskOf(one).toList() } }
                assertEquals(frames.map { it.timestampNanos }.zip(expected), found.toList())
                // Each collection is a video of its own; a collector that has enough ends it.
                assertEquals(expected.take(2), found.take(2).map { it.second }.toList())
                assertNotEquals(expected[0], expected[1])
            }
        }

    @Test
    fun cancellationEndsTheCallAndLeavesTheSegmenterUsable() =
        runBlocking {
            Fixture.segmenter(Options(threads = 1, concurrency = 1)).use { segmenter ->
                val frame = Fixture.frame()
                val expected = segmenter.segment(frame).use { Fixture.maskOf(it) }
                val ends = AtomicInteger()
                repeat(40) { i ->
                    val job =
                        launch(Dispatchers.Default) {
                            try {
                                while (true) segmenter.segment(frame).close()
                            } catch (_: CancellationException) {
                                ends.incrementAndGet()
                                throw CancellationException("done")
                            }
                        }
                    repeat(i % 7) { yield() }
                    job.cancel()
                    job.join()
                }
                // A call cancelled before it began ran no code.
                assertTrue("${ends.get()}", ends.get() > 0)
                segmenter.segment(frame).use { assertArrayEquals(expected, Fixture.maskOf(it)) }
            }
        }

    @Test
    fun eightThreadsGetTheirOwnMasks() {
        val frames = List(4) { Fixture.frame(phase = 20 * it) }
        Fixture.segmenter().use { segmenter ->
            val expected = frames.map { frame -> segmenter.segmentNow(frame).use { Fixture.maskOf(it) } }
            val failures = ConcurrentLinkedQueue<String>()
            val threads =
                List(8) { first ->
                    thread {
                        for (i in first until first + 25) {
                            segmenter.segmentNow(frames[i % 4]).use {
                                if (!expected[i % 4].contentEquals(Fixture.maskOf(it))) failures.add("thread $first, frame $i")
                            }
                        }
                    }
                }
            threads.forEach { it.join() }
            assertEquals(emptyList<String>(), failures.toList())
            runBlocking {
                List(
                    16,
                ) { i ->
                    async {
                        segmenter
                            .segment(
                                frames[i % 4],
                            ).use { assertArrayEquals(expected[i % 4], Fixture.maskOf(it)) }
                    }
                }.awaitAll()
            }
        }
    }

    @Test
    fun closingWhileCallsRunEndsThemInOrder() {
        repeat(10) {
            val segmenter = Fixture.segmenter(Options(threads = 1, concurrency = 1))
            val frame = Fixture.frame()
            val earlier = segmenter.segmentNow(frame)
            val mask = Fixture.maskOf(earlier)
            val video = VideoSegmenter(segmenter)
            val started = CountDownLatch(6)
            val wrong = ConcurrentLinkedQueue<Throwable>()
            val closed = AtomicInteger()
            val threads =
                List(6) {
                    thread {
                        try {
                            while (true) {
                                segmenter.segmentNow(frame).use { check(mask.contentEquals(Fixture.maskOf(it))) }
                                started.countDown()
                            }
                        } catch (_: SilhouetteException.Closed) {
                            closed.incrementAndGet()
                        } catch (error: Throwable) {
                            wrong.add(error)
                        }
                    }
                }
            started.await()
            segmenter.close()
            segmenter.close()
            threads.forEach { it.join() }
            assertEquals(emptyList<Throwable>(), wrong.toList())
            assertEquals(6, closed.get())
            assertThrows(SilhouetteException.Closed::class.java) { runBlocking { segmenter.segment(frame) } }
            assertThrows(SilhouetteException.Closed::class.java) { video.segmentNow(frame) }
            // Earlier results stay valid until they are closed.
            assertArrayEquals(mask, Fixture.maskOf(earlier))
            earlier.close()
        }
    }

    @Test
    fun aClosedSegmentationSaysSo() {
        Fixture.segmenter().use { segmenter ->
            val frame = Fixture.frame()
            val result = segmenter.segmentNow(frame)
            result.close()
            result.close()
            val uses: List<() -> Any?> =
                listOf(
                    { result.mask() },
                    { result.mask(ByteBuffer.allocateDirect(64 * 48)) },
                    { result.confidence(0) },
                    { result.resize(OutputSize.Model) },
                    { result.polygons(0) },
                    { result.shares() },
                    { result.timings },
                    { result.transform },
                    { result.frameSize },
                    { result.overlay(frame) },
                )
            for ((i, use) in uses.withIndex()) assertThrows("use $i", SilhouetteException.Closed::class.java) { use() }
            // Its memory is reused by the next one, which it cannot modify.
            segmenter.segmentNow(frame).use { next ->
                assertThrows(SilhouetteException.Closed::class.java) { result.mask() }
                assertEquals(64 * 48, next.mask().remaining())
            }
        }
    }
}
