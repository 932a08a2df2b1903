package dev.silhouette.sample

import android.content.Context
import android.graphics.Bitmap
import android.media.Image
import dev.silhouette.sample.camera.FrameSource
import dev.silhouette.sample.engine.Engine
import dev.silhouette.sample.engine.PictureBuffers
import dev.silhouette.sample.model.Background
import dev.silhouette.sample.model.CameraController
import dev.silhouette.sample.model.Effect
import dev.silhouette.sample.model.EngineInfo
import dev.silhouette.sample.model.Facing
import dev.silhouette.sample.model.Look
import dev.silhouette.sample.model.Loss
import dev.silhouette.sample.model.Memory
import dev.silhouette.sample.model.ModelName
import dev.silhouette.sample.model.Screen
import dev.silhouette.sample.model.Settings
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

/** The state machine alone: camera and engine only record their calls. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = android.app.Application::class)
class CameraControllerTest {
    private class Source : FrameSource {
        var sides = setOf(Facing.BACK, Facing.FRONT)
        var open: Facing? = null
        var listener: FrameSource.Listener? = null
        var openings = 0

        override fun facings() = sides

        override fun open(
            facing: Facing,
            listener: FrameSource.Listener,
        ) {
            open = facing
            this.listener = listener
            openings++
        }

        override fun close() {
            open = null
        }
    }

    private class Notebook : Engine {
        override val pictures = PictureBuffers()
        override var listener: Engine.Listener? = null
        val settings = mutableListOf<Settings>()
        var look = Look()
        var live = false
        var photo: Engine.PhotoReader? = null
        var closed = false

        override fun configure(settings: Settings) {
            if (this.settings.lastOrNull() != settings) this.settings += settings
        }

        override fun show(look: Look) {
            this.look = look
        }

        override fun startLive() {
            live = true
        }

        override fun submit(
            image: Image,
            rotation: Int,
            mirrored: Boolean,
        ) = Unit

        override fun openPhoto(photo: Engine.PhotoReader) {
            live = false
            this.photo = photo
        }

        override fun setOwnBackground(photo: Engine.PhotoReader) = Unit

        override fun stop() {
            live = false
        }

        override fun close() {
            closed = true
        }
    }

    private val source = Source()
    private val engine = Notebook()
    private val memory = Memory(RuntimeEnvironment.getApplication().getSharedPreferences("test", Context.MODE_PRIVATE))
    private val controller = CameraController(source, engine, memory)
    private val screen get() = controller.state.value.screen
    private val photo = Engine.PhotoReader { Bitmap.createBitmap(4, 4, Bitmap.Config.ARGB_8888) }

    private fun goLive() {
        controller.start(allowed = true)
        engine.listener!!.onFirstPicture()
        assertEquals(Screen.Live, screen)
    }

    @Test
    fun `without permission it asks and leaves the camera alone`() {
        controller.start(allowed = false)
        assertEquals(Screen.AskPermission, screen)
        assertEquals(0, source.openings)
    }

    @Test
    fun `with permission the camera opens and the first picture makes it live`() {
        controller.start(allowed = true)
        assertEquals(Screen.Opening, screen)
        assertEquals(Facing.BACK, source.open)
        assertTrue(engine.live)
        engine.listener!!.onFirstPicture()
        assertEquals(Screen.Live, screen)
    }

    @Test
    fun `refused once may be asked again, twice without an offer is for good`() {
        controller.start(allowed = false)
        controller.permissionAnswered(allowed = false, mayAskAgain = true)
        assertEquals(Screen.Refused(forGood = false), screen)
        controller.permissionAnswered(allowed = false, mayAskAgain = false)
        assertEquals(Screen.Refused(forGood = true), screen)
        // After a restart too.
        val again = CameraController(Source(), Notebook(), memory)
        again.start(allowed = false)
        assertEquals(Screen.Refused(forGood = true), again.state.value.screen)
    }

    @Test
    fun `a question that is swiped away is not a refusal for good`() {
        controller.start(allowed = false)
        controller.permissionAnswered(allowed = false, mayAskAgain = false)
        assertEquals(Screen.Refused(forGood = false), screen)
    }

    @Test
    fun `allowed in the system's settings after all`() {
        memory.refusals = 2
        memory.refusedForGood = true
        controller.start(allowed = false)
        controller.stop()
        controller.start(allowed = true)
        assertEquals(Screen.Opening, screen)
        // And when permission is revoked later, asking starts again.
        controller.stop()
        controller.start(allowed = false)
        assertEquals(Screen.AskPermission, screen)
    }

    @Test
    fun `an answer in the background opens no camera`() {
        controller.start(allowed = false)
        controller.stop()
        controller.permissionAnswered(allowed = true, mayAskAgain = false)
        assertEquals(0, source.openings)
        controller.start(allowed = true)
        assertEquals(1, source.openings)
    }

    @Test
    fun `going away gives the camera back and coming back opens it again`() {
        goLive()
        controller.stop()
        assertEquals(null, source.open)
        assertFalse(engine.live)
        controller.start(allowed = true)
        assertEquals(Screen.Opening, screen)
        assertEquals(Facing.BACK, source.open)
    }

    @Test
    fun `a camera in use comes back by itself, one with a fault does not`() {
        goLive()
        source.listener!!.onLost(Loss.IN_USE)
        assertEquals(Screen.Lost(Loss.IN_USE), screen)
        assertFalse(engine.live)
        source.listener!!.onAvailable()
        assertEquals(Screen.Opening, screen)
        assertEquals(2, source.openings)
        source.listener!!.onLost(Loss.FAULT)
        source.listener!!.onAvailable()
        assertEquals(Screen.Lost(Loss.FAULT), screen)
        controller.tryAgain()
        assertEquals(3, source.openings)
    }

    @Test
    fun `what an earlier opening says does not count`() {
        goLive()
        val earlier = source.listener!!
        controller.switchFacing()
        earlier.onLost(Loss.DISCONNECTED)
        assertEquals(Screen.Opening, screen)
        controller.stop()
        source.listener!!.onLost(Loss.DISCONNECTED)
        assertEquals(Screen.Opening, screen)
    }

    @Test
    fun `front and back, remembered`() {
        goLive()
        controller.switchFacing()
        assertEquals(Facing.FRONT, source.open)
        assertEquals(Facing.FRONT, memory.facing)
        assertTrue(controller.state.value.canSwitch)
    }

    @Test
    fun `a side without a camera falls back to the other, none at all says so`() {
        source.sides = setOf(Facing.FRONT)
        controller.start(allowed = true)
        assertEquals(Facing.FRONT, source.open)
        assertFalse(controller.state.value.canSwitch)
        controller.stop()
        source.sides = emptySet()
        controller.start(allowed = true)
        assertEquals(Screen.Lost(Loss.NONE), screen)
    }

    @Test
    fun `a photo takes the camera's place, outlives the background and gives it back`() {
        goLive()
        controller.openPhoto(photo)
        assertEquals(Screen.Photo(ready = false), screen)
        assertEquals(null, source.open)
        engine.listener!!.onFirstPicture()
        controller.stop()
        controller.start(allowed = true)
        assertEquals(Screen.Photo(ready = true), screen)
        assertTrue(controller.back())
        assertEquals(Screen.Opening, screen)
        assertEquals(Facing.BACK, source.open)
    }

    @Test
    fun `a photo works without the permission, and leads back to the question`() {
        controller.start(allowed = false)
        controller.openPhoto(photo)
        engine.listener!!.onFirstPicture()
        assertEquals(Screen.Photo(ready = true), screen)
        controller.closePhoto()
        assertEquals(Screen.AskPermission, screen)
    }

    @Test
    fun `an unreadable photo leads back to the camera and is told`() {
        var told = 0
        controller.onPhotoUnreadable = { told++ }
        goLive()
        controller.openPhoto(photo)
        engine.listener!!.onPhotoUnreadable()
        assertEquals(1, told)
        assertEquals(Screen.Opening, screen)
    }

    @Test
    fun `changed settings reach the engine on return`() {
        goLive()
        controller.stop()
        memory.settings = memory.settings.copy(threads = 1, size = 513)
        controller.start(allowed = true)
        assertEquals(listOf(Settings(), Settings(threads = 1, size = 513)), engine.settings)
    }

    @Test
    fun `the chosen model is kept, and automatic again`() {
        assertEquals(null, memory.settings.model)
        for (name in ModelName.entries + null) {
            memory.settings = memory.settings.copy(model = name)
            assertEquals(name, memory.settings.model)
        }
    }

    @Test
    fun `looks are shown, kept, and classes that the model lacks forgotten`() {
        controller.choose(Effect.REPLACE)
        controller.choose(Background.GRID)
        controller.toggle(2)
        controller.toggle(77)
        controller.toggle(1)
        controller.toggle(1)
        assertEquals(Look(Effect.REPLACE, setOf(2, 77), Background.GRID), engine.look)
        engine.listener!!.onReady(EngineInfo(listOf("background", "a", "b"), listOf(0, 0, 0), ModelName.VOC21, true, "", "", "", "", 1))
        assertEquals(setOf(2), memory.look.classes)
        controller.chooseEverything()
        assertEquals(Look(Effect.REPLACE, emptySet(), Background.GRID), CameraController(Source(), Notebook(), memory).state.value.look)
    }

    @Test
    fun `an engine that cannot run stops the camera and says why`() {
        goLive()
        engine.listener!!.onBroken("no room", "make some")
        assertEquals(Screen.Broken("no room", "make some"), screen)
        assertEquals(null, source.open)
        controller.tryAgain()
        assertEquals(Screen.Opening, screen)
    }

    @Test
    fun `back closes the sheet first and then leaves`() {
        goLive()
        controller.pickClasses(true)
        assertTrue(controller.canGoBack)
        assertTrue(controller.back())
        assertFalse(controller.state.value.picking)
        assertFalse(controller.back())
    }

    @Test
    fun `the end frees all`() {
        goLive()
        controller.close()
        assertTrue(engine.closed)
        assertEquals(null, source.open)
        assertEquals(null, engine.listener)
    }
}
