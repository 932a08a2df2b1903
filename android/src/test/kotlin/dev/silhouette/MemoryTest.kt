// Ten thousand frames: the process does not grow, and almost no garbage is left for the collector.
package dev.silhouette

import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Test
import java.io.File
import java.lang.management.ManagementFactory
import java.nio.ByteBuffer
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit.SECONDS

internal class MemoryTest {
    /** Resident memory of this process, in KiB. */
    private fun resident(): Long {
        System.gc()
        return File("/proc/self/status")
            .readLines()
            .first { it.startsWith("VmRSS") }
            .filter { it.isDigit() }
            .toLong()
    }

    /** The same, once the collector's own threads have freed what it found. */
    private fun settled(): Long {
        repeat(20) {
            System.gc()
            Thread.sleep(100)
        }
        return resident()
    }

    private val threads = ManagementFactory.getThreadMXBean() as com.sun.management.ThreadMXBean

    private fun garbage(
        frames: Int,
        work: () -> Unit,
    ): Double {
        repeat(200) { work() }
        val before = threads.currentThreadAllocatedBytes
        repeat(frames) { work() }
        return (threads.currentThreadAllocatedBytes - before) / frames.toDouble()
    }

    /** A frame as a camera makes it: new planes and a new frame each time, over existing buffers. */
    private class Camera {
        private val y = ByteBuffer.allocateDirect(64 * 48)
        private val chroma = ByteBuffer.allocateDirect(64 * 24)

        fun frame(timestampNanos: Long = 0): Frame {
            val u = chroma.slice()
            val v = chroma.duplicate()
            v.position(1)
            return Frame.yuv420(64, 48, Plane(y, 64), Plane(u, 64, 2), Plane(v, 64, 2)).upright(90, false, timestampNanos)
        }
    }

    @Test
    fun tenThousandFramesLeaveTheProcessAsItWas() {
        assumeTrue("needs /proc", File("/proc/self/status").exists())
        val camera = Camera()
        Fixture.segmenter().use { segmenter ->
            val place = ByteBuffer.allocateDirect(64 * 48)
            val picture = Picture(48, 64)
            var time = 0L
            val results = LinkedBlockingQueue<LiveResult>()
            val live = LiveSegmenter(segmenter) { results.add(it) }
            val video = VideoSegmenter(segmenter)
            val once = {
                time += 33_000_000
                val frame = camera.frame(time)
                segmenter.segmentNow(frame).use { it.mask(place) }
                video.segmentNow(frame).use { it.confidence(place, intArrayOf(15)) }
                live.submit(frame)
                checkNotNull(results.poll(20, SECONDS)).get().use { it.cutout(into = picture) }
            }
            // Until Java has compiled everything that it will.
            repeat(2_000) { once() }
            val before = resident()
            val steps =
                List(4) {
                    repeat(2_500) { once() }
                    resident()
                }
            val after = steps.last()
            live.close()
            println("resident memory: $before KiB before, $steps KiB after each 2500 of 10 000 frames, each segmented three times")
            assertTrue("grew from $before to $after KiB", after - before < 16 * 1024)
        }
    }

    @Test
    fun segmentationsThatNobodyClosesAreFreed() {
        assumeTrue("needs /proc", File("/proc/self/status").exists())
        Fixture.segmenter(Options(threads = 1, output = OutputSize.Given(1000, 1000))).use { segmenter ->
            val frame = Fixture.frame()
            // The C library does not return all memory that is freed, but reuses it: it grows at first.
            val rounds =
                List(4) {
                    repeat(400) { segmenter.segmentNow(frame) }
                    settled()
                }
            println("resident memory: $rounds KiB, each after 400 more unclosed segmentations of 1 MB")
            val before = rounds[1]
            val after = rounds[3]
            assertTrue("grew from $before to $after KiB", after - before < 150 * 1024)
        }
    }

    @Test
    fun aFrameLeavesAtMostAKibibyteOfGarbage() {
        assumeTrue("needs per-thread counts", threads.isThreadAllocatedMemorySupported)
        val camera = Camera()
        Fixture.segmenter().use { segmenter ->
            val place = ByteBuffer.allocateDirect(64 * 48)
            val blocking = garbage(2_000) { segmenter.segmentNow(camera.frame()).use { it.mask(place) } }
            val video = VideoSegmenter(segmenter)
            val ofVideo = garbage(2_000) { video.segmentNow(camera.frame()).use { it.mask(place) } }
            println("garbage per frame: $blocking bytes (image), $ofVideo bytes (video), the frame's own objects included")
            assertTrue("$blocking bytes", blocking <= 1024)
            assertTrue("$ofVideo bytes", ofVideo <= 1024)
            // For coroutines only the caller's thread is counted; the garbage of dispatching is theirs.
            runBlocking {
                repeat(200) { segmenter.segment(camera.frame()).close() }
                val before = threads.currentThreadAllocatedBytes
                repeat(2_000) { segmenter.segment(camera.frame()).close() }
                val suspended = (threads.currentThreadAllocatedBytes - before) / 2_000.0
                println("garbage per frame: $suspended bytes on the caller's thread (suspending)")
                assertTrue("$suspended bytes", suspended <= 1024)
            }
        }
    }
}
