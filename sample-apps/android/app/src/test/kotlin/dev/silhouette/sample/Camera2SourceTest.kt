package dev.silhouette.sample

import android.content.Context
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.media.Image
import android.os.Looper
import android.util.Size
import dev.silhouette.sample.camera.Camera2Source
import dev.silhouette.sample.camera.FrameSource
import dev.silhouette.sample.model.Facing
import dev.silhouette.sample.model.Loss
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowCameraCharacteristics

/** The phone's cameras, as far as Robolectric simulates them: opening, losing, closing; no pixels come from its cameras. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = android.app.Application::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class Camera2SourceTest {
    private val context: Context = RuntimeEnvironment.getApplication()
    private val manager = context.getSystemService(CameraManager::class.java)
    private val said = mutableListOf<String>()
    private val listener =
        object : FrameSource.Listener {
            override fun onFrame(
                image: Image,
                rotation: Int,
                mirrored: Boolean,
            ) {
                said += "frame"
            }

            override fun onLost(loss: Loss) {
                said += "lost $loss"
            }

            override fun onAvailable() {
                said += "available"
            }
        }

    private fun add(
        id: String,
        facing: Int,
    ) {
        val characteristics = ShadowCameraCharacteristics.newCameraCharacteristics()
        shadowOf(characteristics).set(CameraCharacteristics.LENS_FACING, facing)
        shadowOf(characteristics).set(CameraCharacteristics.SENSOR_ORIENTATION, 90)
        shadowOf(manager).addCamera(id, characteristics)
    }

    private fun cameraThreads() = Thread.getAllStackTraces().keys.filter { it.name == "camera" && it.isAlive }

    /** Runs the tasks waiting on the camera's thread. */
    private fun settle() {
        for (thread in cameraThreads()) (thread as? android.os.HandlerThread)?.looper?.let { shadowOf(it).idle() }
        shadowOf(Looper.getMainLooper()).idle()
    }

    @Test
    fun `sides that have a camera`() {
        val source = Camera2Source(context)
        assertEquals(emptySet<Facing>(), source.facings())
        add("0", CameraCharacteristics.LENS_FACING_BACK)
        assertEquals(setOf(Facing.BACK), source.facings())
        add("1", CameraCharacteristics.LENS_FACING_FRONT)
        assertEquals(setOf(Facing.BACK, Facing.FRONT), source.facings())
    }

    @Test
    fun `a side without a camera is lost at once`() {
        add("0", CameraCharacteristics.LENS_FACING_BACK)
        Camera2Source(context).open(Facing.FRONT, listener)
        shadowOf(Looper.getMainLooper()).idle()
        assertEquals(listOf("lost NONE"), said)
    }

    @Test
    fun `a camera that another app takes is told once, and told again when it is free`() {
        add("0", CameraCharacteristics.LENS_FACING_BACK)
        val source = Camera2Source(context)
        source.open(Facing.BACK, listener)
        settle()
        assertEquals(emptyList<String>(), said)
        shadowOf(manager).triggerDisconnect()
        settle()
        assertEquals(listOf("lost DISCONNECTED"), said)
        shadowOf(Looper.getMainLooper()).idleFor(java.time.Duration.ofSeconds(2))
        shadowOf(manager).removeCamera("0")
        add("0", CameraCharacteristics.LENS_FACING_BACK)
        settle()
        assertEquals("available", said.last())
        source.close()
        settle()
    }

    @Test
    fun `after closing nothing is told any more and no thread stays`() {
        add("0", CameraCharacteristics.LENS_FACING_BACK)
        val source = Camera2Source(context)
        source.open(Facing.BACK, listener)
        settle()
        source.close()
        shadowOf(manager).triggerDisconnect()
        settle()
        assertEquals(emptyList<String>(), said)
        for (thread in cameraThreads()) thread.join(2_000)
        assertEquals(0, cameraThreads().size)
    }

    @Test
    fun `the size nearest to 1280x720, wide before narrow`() {
        val offered =
            listOf(Size(4000, 3000), Size(1920, 1080), Size(1440, 1080), Size(1280, 960), Size(1280, 720), Size(640, 480), Size(176, 144))
        assertEquals(Size(1280, 720), Camera2Source.chooseSize(offered))
        assertEquals(Size(640, 480), Camera2Source.chooseSize(listOf(Size(640, 480), Size(4000, 3000))))
        assertEquals(Size(1920, 1080), Camera2Source.chooseSize(listOf(Size(1920, 1080), Size(1280, 1024))))
        assertEquals(Size(640, 480), Camera2Source.chooseSize(emptyList()))
    }

    @Test
    fun `rotations as the documentation of sensor orientation has them`() {
        // Phone upright, rotated left (display 90), upside down, rotated right; usual sensors: 90 at the back, 270 at the
        // front.
        assertEquals(listOf(90, 0, 270, 180), listOf(0, 90, 180, 270).map { Camera2Source.rotationOf(90, it, Facing.BACK) })
        assertEquals(listOf(270, 0, 90, 180), listOf(0, 90, 180, 270).map { Camera2Source.rotationOf(270, it, Facing.FRONT) })
    }
}
