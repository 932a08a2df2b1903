// The live stream: in order, the latest wins, cancelled, closed, including by the listener, and failing listeners.
package dev.silhouette

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.util.concurrent.CountDownLatch
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit.SECONDS
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread

internal class LiveTest {
    private fun <T> LinkedBlockingQueue<T>.next(): T = checkNotNull(poll(20, SECONDS)) { "no result" }

    @Test
    fun resultsComeInOrderAndEachFrameIsDeliveredOrCounted() {
        Fixture.segmenter().use { segmenter ->
            val results = LinkedBlockingQueue<Pair<Long, List<Byte>>>()
            val live =
                LiveSegmenter(segmenter, null) { result ->
                    result.get().use {
                        results.add(result.timestampNanos to Fixture.maskOf(it).toList())
                    }
                }
            val frames = List(40) { Fixture.frame(phase = 3 * it) }
            var replaced = 0L
            for ((i, frame) in frames.withIndex()) if (live.submit(frame, i.toLong())) replaced++
            var last = -1L
            var count = 0
            while (last != 39L) {
                val (time, mask) = results.next()
                assertTrue("$time after $last", time > last)
                assertEquals(segmenter.segmentNow(frames[time.toInt()]).use { Fixture.maskOf(it).toList() }, mask)
                last = time
                count++
            }
            assertEquals(replaced, live.dropped)
            assertEquals(40L, count + replaced)
            live.close()
            live.close()
            assertThrows(SilhouetteException.Closed::class.java) { live.submit(frames[0], 50) }
        }
    }

    @Test
    fun theLatestFrameWinsAndCancelForgets() {
        Fixture.segmenter().use { segmenter ->
            val results = LinkedBlockingQueue<LiveResult>()
            val begun = LinkedBlockingQueue<Long>()
            val go = LinkedBlockingQueue<Unit>()
            val live =
                LiveSegmenter(segmenter) { result ->
                    results.add(result)
                    begun.add(result.timestampNanos)
                    go.take()
                }
            val frame = Fixture.frame()
            assertFalse(live.submit(frame, 1))
            assertEquals(1L, begun.next())
            // The listener blocks the stream: the last of these waits.
            assertEquals(listOf(false, true, true), (2L..4L).map { live.submit(frame, it) })
            go.add(Unit)
            assertEquals(4L, begun.next())
            live.submit(frame, 5)
            // It waits for the listener's call.
            val cancelling = thread { live.cancel() }
            Thread.sleep(50)
            assertTrue("cancel waits for the call in progress", cancelling.isAlive)
            go.add(Unit)
            cancelling.join()
            live.submit(frame, 6)
            assertEquals(6L, begun.next())
            go.add(Unit)
            assertEquals(listOf(1L to 0L, 4L to 2L, 6L to 2L), results.map { it.timestampNanos to it.dropped })
            live.close()
        }
    }

    @Test
    fun aResultIsItsHoldersAndKeepsItsFrame() {
        Fixture.segmenter().use { segmenter ->
            val results = LinkedBlockingQueue<LiveResult>()
            val live = LiveSegmenter(segmenter, null) { results.add(it) }
            val held = List(5) { i -> live.submit(Fixture.frame(20, 10, 9 * i), i.toLong()).let { results.next() } }
            live.close()
            for ((i, result) in held.withIndex()) {
                result.get().use {
                    assertArrayEquals(Fixture.picture(20, 10, 9 * i), Fixture.bytes(it.picture().rgba))
                    assertArrayEquals(segmenter.segmentNow(Fixture.frame(20, 10, 9 * i)).use(Fixture::maskOf), Fixture.maskOf(it))
                    assertEquals(i.toLong(), it.timestampNanos)
                }
            }
        }
    }

    @Test
    fun afterCloseTheListenerIsNotCalled() {
        Fixture.segmenter().use { segmenter ->
            repeat(20) {
                val calls = AtomicInteger()
                val live =
                    LiveSegmenter(segmenter) { result ->
                        result.get().close()
                        calls.incrementAndGet()
                    }
                repeat(5) { live.submit(Fixture.frame(), it.toLong()) }
                live.close()
                val then = calls.get()
                Thread.sleep(2)
                assertEquals(then, calls.get())
            }
        }
    }

    @Test
    fun theListenerMayClose() {
        Fixture.segmenter().use { segmenter ->
            val closed = CountDownLatch(1)
            lateinit var live: LiveSegmenter
            val ready = CountDownLatch(1)
            live =
                LiveSegmenter(segmenter) { result ->
                    ready.await()
                    result.get().close()
                    live.close()
                    closed.countDown()
                }
            ready.countDown()
            live.submit(Fixture.frame(), 0)
            assertTrue(closed.await(20, SECONDS))
            assertThrows(SilhouetteException.Closed::class.java) { while (true) live.submit(Fixture.frame(), 1) }
        }
    }

    @Test
    fun aListenerThatFailsIsReportedAndTheStreamGoesOn() {
        val reported = LinkedBlockingQueue<Throwable>()
        val before = Thread.getDefaultUncaughtExceptionHandler()
        Thread.setDefaultUncaughtExceptionHandler { _, error -> reported.add(error) }
        try {
            Fixture.segmenter().use { segmenter ->
                LiveSegmenter(segmenter) { error("on purpose ${it.timestampNanos}") }.use { live ->
                    for (i in 0L..1L) {
                        live.submit(Fixture.frame(), i)
                        assertEquals("on purpose $i", reported.next().message)
                    }
                }
            }
        } finally {
            Thread.setDefaultUncaughtExceptionHandler(before)
        }
    }

    @Test
    fun aClosedSegmenterIsEachFramesError() {
        val segmenter = Fixture.segmenter()
        val results = LinkedBlockingQueue<LiveResult>()
        LiveSegmenter(segmenter) { results.add(it) }.use { live ->
            segmenter.close()
            repeat(2) {
                live.submit(Fixture.frame(), it.toLong())
                val result = results.next()
                assertTrue("${result.error}", result.error is SilhouetteException.Closed && result.segmentation == null)
                assertThrows(SilhouetteException.Closed::class.java) { result.get() }
            }
        }
    }
}
