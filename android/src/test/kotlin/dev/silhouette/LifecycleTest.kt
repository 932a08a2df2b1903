// The cases of core/segmenter/tests/lifecycle.tsv, which Rust's and Swift's tests run too: closing, cancelling, failing listeners, threads.
package dev.silhouette

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.util.concurrent.CountDownLatch
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit.SECONDS
import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread
import kotlin.random.Random

internal class LifecycleTest {
    private val cases: List<Pair<String, () -> Unit>> =
        listOf(
            "close_while_running" to ::closeWhileRunning,
            "close_while_waiting" to ::closeWhileWaiting,
            "close_twice" to ::closeTwice,
            "close_from_callback" to ::closeFromCallback,
            "close_from_finalizer" to ::closeFromFinalizer,
            "cancel_from_callback" to ::cancelFromCallback,
            "nothing_after_cancel" to { nothingAfter { it.cancel() } },
            "nothing_after_close" to { nothingAfter { it.close() } },
            "callback_fails" to { listenerFails { _, error -> reported.add(error) } },
            "handler_fails" to {
                listenerFails { _, error ->
                    reported.add(error)
                    error("the handler fails too")
                }
            },
            "eight_threads" to ::eightThreads,
        )
    private val reported = LinkedBlockingQueue<Throwable>()

    private fun <T> LinkedBlockingQueue<T>.next(): T = checkNotNull(poll(60, SECONDS)) { "nothing came" }

    /** The mask of a call that ended with a result; null: it was rejected, because its segmenter was closed. */
    private fun Segmenter.maskOrClosed(frame: Frame): ByteArray? =
        try {
            segmentNow(frame).use { Fixture.maskOf(it) }
        } catch (_: SilhouetteException.Closed) {
            null
        }

    @Test
    fun everyCaseOfTheTableHolds() {
        val lines = Fixture.root.resolve("core/segmenter/tests/lifecycle.tsv").readLines()
        val listed = lines.drop(1).filter { "kotlin:" !in it }.map { it.substringBefore('\t') }
        assertEquals(listed, cases.map { it.first })
        for ((name, case) in cases) {
            println(name)
            case()
        }
    }

    private fun closeWhileRunning() {
        val mask = Fixture.segmenter().use { checkNotNull(it.maskOrClosed(Fixture.frame())) }
        repeat(20) { round ->
            val segmenter = Fixture.segmenter()
            val result = LinkedBlockingQueue<List<Byte>>()
            val call = thread { result.add(segmenter.maskOrClosed(Fixture.frame())?.toList().orEmpty()) }
            Thread.sleep(0, 50_000 * round)
            segmenter.close()
            call.join()
            result.next().let { if (it.isNotEmpty()) assertEquals(mask.toList(), it) }
            assertNull(segmenter.maskOrClosed(Fixture.frame()))
        }
    }

    private fun closeWhileWaiting() {
        val segmenter = Fixture.segmenter(Options(threads = 1, concurrency = 1))
        val started = CountDownLatch(6)
        val ended = AtomicInteger()
        // One runs, the others wait; all of them call repeatedly until they are rejected.
        val calls =
            List(6) {
                thread {
                    started.countDown()
                    while (segmenter.maskOrClosed(Fixture.frame()) != null) Unit
                    ended.incrementAndGet()
                }
            }
        started.await()
        segmenter.close()
        calls.forEach { it.join(60_000) }
        assertEquals(6, ended.get())
    }

    private fun closeTwice() {
        val segmenter = Fixture.segmenter()
        val live = LiveSegmenter(segmenter) { it.segmentation?.close() }
        val segmentation = segmenter.segmentNow(Fixture.frame())
        repeat(2) {
            live.close()
            segmenter.close()
            segmentation.close()
        }
        assertThrows(SilhouetteException.Closed::class.java) { live.submit(Fixture.frame(), 0) }
    }

    private fun closeFromCallback() {
        Fixture.segmenter().use { segmenter ->
            val ready = CountDownLatch(1)
            val calls = LinkedBlockingQueue<Unit>()
            lateinit var live: LiveSegmenter
            live =
                LiveSegmenter(segmenter) { result ->
                    ready.await()
                    result.get().close()
                    live.close()
                    calls.add(Unit)
                }
            ready.countDown()
            live.submit(Fixture.frame(), 0)
            calls.next()
            assertThrows(SilhouetteException.Closed::class.java) { live.submit(Fixture.frame(), 1) }
            Thread.sleep(20)
            assertTrue(calls.isEmpty())
        }
    }

    /** Closes what it holds when the collector finds it. */
    private class Forgetful(
        private val closeable: AutoCloseable,
        private val closed: CountDownLatch,
    ) {
        @Suppress("removal", "unused", "ProtectedMemberInFinalClass")
        protected fun finalize() {
            closeable.close()
            closed.countDown()
        }
    }

    private fun closeFromFinalizer() {
        repeat(5) {
            val segmenter = Fixture.segmenter()
            val live = LiveSegmenter(segmenter) { it.segmentation?.close() }
            val closed = CountDownLatch(2)
            live.submit(Fixture.frame(), 0)
            Forgetful(live, closed)
            Forgetful(segmenter, closed)
            var rounds = 0
            while (closed.count > 0L) {
                System.gc()
                System.runFinalization()
                segmenter.maskOrClosed(Fixture.frame())
                assertTrue("the collector never ran", rounds++ < 10_000)
            }
            assertNull(segmenter.maskOrClosed(Fixture.frame()))
        }
    }

    private fun cancelFromCallback() {
        Fixture.segmenter().use { segmenter ->
            val times = LinkedBlockingQueue<Long>()
            val begun = CountDownLatch(1)
            val go = CountDownLatch(1)
            lateinit var live: LiveSegmenter
            live =
                LiveSegmenter(segmenter) { result ->
                    result.get().close()
                    if (result.timestampNanos == 0L) {
                        // The test submits the next frame before this goes on.
                        begun.countDown()
                        go.await()
                        live.cancel()
                    }
                    times.add(result.timestampNanos)
                }
            live.submit(Fixture.frame(), 0)
            begun.await()
            live.submit(Fixture.frame(), 1)
            go.countDown()
            assertEquals(0L, times.next())
            live.submit(Fixture.frame(), 2)
            assertEquals(2L, times.next())
            live.close()
        }
    }

    /** Submits until a result is being delivered, or about to be, and calls [end]; no delivery may follow it. */
    private fun nothingAfter(end: (LiveSegmenter) -> Unit) {
        Fixture.segmenter().use { segmenter ->
            repeat(100) { round ->
                val ended = AtomicBoolean()
                val late = AtomicBoolean()
                val live =
                    LiveSegmenter(segmenter) { result ->
                        if (ended.get()) late.set(true)
                        result.get().close()
                        if (ended.get()) late.set(true)
                    }
                val until = System.nanoTime() + 50_000L * (round % 40)
                var time = 0L
                do live.submit(Fixture.frame(), time++) while (System.nanoTime() < until)
                end(live)
                ended.set(true)
                Thread.sleep(1)
                assertFalse("delivered after the end, round $round", late.get())
                live.close()
            }
        }
    }

    private fun listenerFails(handler: (Thread, Throwable) -> Unit) {
        reported.clear()
        val before = Thread.getDefaultUncaughtExceptionHandler()
        Thread.setDefaultUncaughtExceptionHandler(handler)
        try {
            Fixture.segmenter().use { segmenter ->
                LiveSegmenter(segmenter) { error("on purpose ${it.timestampNanos}") }.use { live ->
                    for (i in 0L..3L) {
                        live.submit(Fixture.frame(), i)
                        assertEquals("on purpose $i", reported.next().message)
                    }
                }
            }
        } finally {
            Thread.setDefaultUncaughtExceptionHandler(before)
        }
    }

    /** A second; a minute if SILHOUETTE_LONG is set. */
    private fun eightThreads() {
        val frames = List(4) { Fixture.frame(40, 30, it) }
        val masks = Fixture.segmenter().use { segmenter -> frames.map { checkNotNull(segmenter.maskOrClosed(it)) } }
        val seconds = if (System.getenv("SILHOUETTE_LONG") == null) 1 else 60
        val until = System.nanoTime() + 1_000_000_000L * seconds
        val failures = LinkedBlockingQueue<Throwable>()
        val threads =
            List(8) { number ->
                thread {
                    val random = Random(number)
                    runCatching { while (System.nanoTime() < until) round(random, frames, masks) }.onFailure { failures.add(it) }
                }
            }
        threads.forEach { it.join() }
        failures.poll()?.let { throw it }
    }

    private fun round(
        random: Random,
        frames: List<Frame>,
        masks: List<ByteArray>,
    ) {
        val segmenter = Fixture.segmenter(Options(threads = 1, concurrency = 2))
        val live = LiveSegmenter(segmenter) { it.segmentation?.close() }
        val closer =
            thread {
                Thread.sleep(0, random.nextInt(999_999))
                segmenter.close()
            }
        repeat(random.nextInt(30)) { time ->
            val which = random.nextInt(4)
            when (random.nextInt(4)) {
                0 -> live.submit(frames[which], time.toLong())
                1 -> live.cancel()
                else -> segmenter.maskOrClosed(frames[which])?.let { assertArrayEquals(masks[which], it) }
            }
        }
        live.close()
        closer.join()
    }
}
