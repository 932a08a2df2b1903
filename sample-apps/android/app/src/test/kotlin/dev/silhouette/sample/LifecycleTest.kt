package dev.silhouette.sample

import dev.silhouette.Frame
import dev.silhouette.Segmenter
import dev.silhouette.SilhouetteException
import dev.silhouette.sample.model.Effect
import dev.silhouette.sample.model.Screen
import dev.silhouette.sample.ui.CameraActivity
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotSame
import org.junit.Assert.assertSame
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import java.io.File
import java.lang.ref.WeakReference
import java.nio.ByteBuffer

/** Coming, going and rotating, a hundred times: nothing is left behind and nothing arrives late. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = TestApp::class, qualifiers = "w393dp-h800dp-port-hdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class LifecycleTest {
    private val camera get() = TestApp.now.camera

    @Test
    fun `pause and resume a hundred times`() {
        TestApp.allowCamera()
        val activity = Robolectric.buildActivity(CameraActivity::class.java).setup()
        val controller = activity.get().controller
        controller.awaitLive()
        assertEquals("live streams", 1, liveThreads())
        var threads = 0
        var memory = 0L
        repeat(100) { round ->
            activity.pause().stop()
            assertNothingComes(activity.get(), pause = if (round % 10 == 0) 60L else 0L)
            if (round == WARM) {
                threads = threads()
                memory = nativeMebibytes()
            }
            activity.restart().resume()
            controller.awaitLive()
        }
        activity.pause().stop()
        assertNothingComes(activity.get(), pause = 100)
        Phone.waitUntil("threads: ${threads()} after, $threads before") { threads() <= threads }
        val grown = nativeMebibytes() - memory
        println("native memory grew by $grown MiB over ${100 - WARM} rounds")
        assertTrue("memory grew by $grown MiB over ${100 - WARM} rounds", grown < 48)
        assertEquals(1, TestApp.now.engines.size)

        activity.destroy()
        assertTrue(
            TestApp.now.engines
                .single()
                .awaitClosed(),
        )
        assertEquals(0, liveThreads())
    }

    @Test
    fun `turned a hundred times`() {
        TestApp.allowCamera()
        val activity = Robolectric.buildActivity(CameraActivity::class.java).setup()
        val controller = activity.get().controller
        controller.awaitLive()
        val earlier = mutableListOf<WeakReference<CameraActivity>>()
        var before = camera.frames.get()
        repeat(100) { round ->
            val old = activity.get()
            earlier += WeakReference(old)
            RuntimeEnvironment.setQualifiers(if (round % 2 == 0) "w800dp-h393dp-land" else "w393dp-h800dp-port")
            activity.configurationChange(RuntimeEnvironment.getApplication().resources.configuration)
            assertNotSame("a new activity", old, activity.get())
            assertSame("with the same controller", controller, activity.get().controller)
            assertEquals("the camera runs on", 1, camera.opened.get())
            controller.awaitPictures(1)
            assertEquals(Screen.Live, controller.state.value.screen)
            if (round % 10 == 9) Phone.draw(activity.get())
            assertEquals("live streams", 1, liveThreads())
        }
        assertTrue(camera.frames.get() > before)
        before = camera.frames.get()
        assertEquals("one engine for all", 1, TestApp.now.engines.size)
        Phone.waitUntil("the activities of before are collected") {
            System.gc()
            // The last ones may still be referenced by the system's own queues.
            earlier.count { it.get() != null } <= 3
        }
        activity.pause().stop()
        assertNothingComes(activity.get(), pause = 100)
        activity.destroy()
        assertTrue(
            TestApp.now.engines
                .single()
                .awaitClosed(),
        )
        assertEquals(0, liveThreads())
    }

    @Test
    fun `a model that is no longer used is closed`() {
        TestApp.allowCamera()
        val activity = Robolectric.buildActivity(CameraActivity::class.java).setup()
        val controller = activity.get().controller
        controller.awaitLive()
        val segmenters = TestApp.now.segmenters
        repeat(3) { round ->
            controller.look(Effect.BLUR)
            controller.look(Effect.OVERLAY)
            assertEquals("live streams", 1, liveThreads())
            assertEquals(3 + 2 * round, segmenters.size)
            Phone.waitUntil("all but the last are closed") { segmenters.dropLast(1).all(::isClosed) }
            assertFalse(isClosed(segmenters.last()))
        }
        activity.pause().stop().destroy()
        assertTrue(
            TestApp.now.engines
                .single()
                .awaitClosed(),
        )
        assertTrue(segmenters.all(::isClosed))
        assertEquals(0, liveThreads())
    }

    private fun isClosed(segmenter: Segmenter): Boolean =
        try {
            segmenter.segmentNow(Frame.rgba(8, 8, ByteBuffer.allocateDirect(256))).close()
            false
        } catch (_: SilhouetteException.Closed) {
            true
        }

    @Test
    fun `turned while the camera opens, and closed while a photo is read`() {
        TestApp.allowCamera()
        val activity = Robolectric.buildActivity(CameraActivity::class.java).setup()
        RuntimeEnvironment.setQualifiers("w800dp-h393dp-land")
        activity.configurationChange(RuntimeEnvironment.getApplication().resources.configuration)
        val controller = activity.get().controller
        controller.awaitLive()
        controller.openPhoto {
            Thread.sleep(200)
            Phone.chelsea
        }
        activity.pause().stop().destroy()
        assertTrue(
            TestApp.now.engines
                .single()
                .awaitClosed(),
        )
        val count = controller.pictures.count
        Phone.waitUntil("idle") { true }
        assertEquals(count, controller.pictures.count)
        assertEquals(0, liveThreads())
    }

    /** In the background: no camera, no frame, no image. */
    private fun assertNothingComes(
        activity: CameraActivity,
        pause: Long,
    ) {
        val frames = camera.frames.get()
        val pictures = activity.controller.pictures.count
        assertEquals("cameras open", 0, camera.opened.get())
        Thread.sleep(pause)
        Phone.waitUntil("idle") { true }
        assertEquals("frames after close", frames, camera.frames.get())
        assertEquals("pictures after close", pictures, activity.controller.pictures.count)
    }

    /** Threads of this process, Java's and the library's. */
    private fun threads() = tasks().size

    /** The library's threads for live streams. */
    private fun liveThreads() = tasks().count { it.startsWith("silhouette-live") }

    private fun tasks(): List<String> =
        File(
            "/proc/self/task",
        ).list().orEmpty().mapNotNull { runCatching { File("/proc/self/task/$it/comm").readText().trim() }.getOrNull() }

    /** Resident memory besides Java's heap, of which this machine's garbage collector keeps as much as it likes. Every page of the heap is resident: -XX:+AlwaysPreTouch. */
    private fun nativeMebibytes(): Long {
        repeat(3) {
            System.gc()
            System.runFinalization()
        }
        val kibibytes =
            File("/proc/self/status")
                .readLines()
                .first { it.startsWith("VmRSS") }
                .filter(Char::isDigit)
                .toLong()
        return kibibytes / 1024 - Runtime.getRuntime().totalMemory() / (1 shl 20)
    }

    private companion object {
        /** Rounds after which caches are full. */
        const val WARM = 30
    }
}
