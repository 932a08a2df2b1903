// The masks that Rust, Kotlin and Swift must all compute. They were made in a square.
package dev.silhouette

import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

internal class GoldenTest {
    @Test
    fun masksAreTheGoldenOnes() {
        assertTrue("${Golden.all.size} cases", Golden.all.size >= 18)
        for (golden in Golden.all) {
            Fixture.segmenter(Options(threads = 1, output = golden.output, inputShape = InputShape.SQUARE)).use { segmenter ->
                segmenter.segmentNow(golden.frame()).use { golden.check(Fixture.maskOf(it)) }
                runBlocking { segmenter.segment(golden.frame()) }.use { golden.check(Fixture.maskOf(it)) }
            }
        }
    }

    @Test
    fun allEightOrientationsLeadBackToTheBuffer() {
        val segmenter = Fixture.segmenter()
        val turns = Golden.all.filter { it.name.startsWith("turn-") }
        assertEquals(8, turns.size)
        for (golden in turns) {
            val frame = golden.frame()
            segmenter.segmentNow(frame).use {
                assertEquals(frame.uprightSize.width to frame.uprightSize.height, it.width to it.height)
                val way = it.transform
                // The upright image's corners are the buffer's, each once.
                val corners =
                    listOf(0.0 to 0.0, 1.0 to 0.0, 0.0 to 1.0, 1.0 to 1.0)
                        .map { (x, y) -> x * it.width to y * it.height }
                        .map { (x, y) -> way.map(x, y) }
                val expected = listOf(0.0, frame.width.toDouble()).flatMap { x -> listOf(0.0, frame.height.toDouble()).map { x to it } }
                assertEquals(golden.name, expected.toSet(), corners.toSet())
                // The upright image's first corner, rotated clockwise and mirrored, is this corner of the buffer.
                val w = frame.width.toDouble()
                val h = frame.height.toDouble()
                val first =
                    mapOf(
                        "turn-0" to (0.0 to 0.0),
                        "turn-0-mirror" to (w to 0.0),
                        "turn-90" to (0.0 to h),
                        "turn-90-mirror" to (0.0 to 0.0),
                        "turn-180" to (w to h),
                        "turn-180-mirror" to (0.0 to h),
                        "turn-270" to (w to 0.0),
                        "turn-270-mirror" to (w to h),
                    )
                assertEquals(golden.name, first[golden.name], corners.first())
            }
        }
        segmenter.close()
    }
}
