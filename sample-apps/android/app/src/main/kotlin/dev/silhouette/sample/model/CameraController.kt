package dev.silhouette.sample.model

import android.media.Image
import dev.silhouette.sample.camera.FrameSource
import dev.silhouette.sample.engine.Engine
import dev.silhouette.sample.engine.PictureBuffers
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update

/**
 * The app's logic: the path from permission through camera and engine to images, as a state machine. It outlives the activity when the
 * device rotates. Called on the main thread; it does not depend on views.
 */
class CameraController(
    private val source: FrameSource,
    private val engine: Engine,
    private val memory: Memory,
) {
    private val mutableState = MutableStateFlow(UiState(look = memory.look, facing = memory.facing, showStats = memory.showStats))
    private val mutableStats = MutableStateFlow<Stats?>(null)

    /** What the screen shows. */
    val state: StateFlow<UiState> = mutableState.asStateFlow()

    /** How the images are rendered; null before the first. */
    val stats: StateFlow<Stats?> = mutableStats.asStateFlow()

    /** The rendered images. */
    val pictures: PictureBuffers get() = engine.pictures

    private var visible = false
    private var allowed = false

    /** Counts the openings of the camera: callbacks of earlier ones are ignored. */
    private var opening = 0

    /** Called when a photo that the user chose could not be read. */
    var onPhotoUnreadable: () -> Unit = {}

    init {
        engine.listener = EngineEvents()
        engine.show(memory.look)
    }

    private var screen: Screen
        get() = state.value.screen
        set(value) = mutableState.update { it.copy(screen = value) }

    // Coming and going

    /** The screen is visible; [allowed]: whether the camera may be used. */
    fun start(allowed: Boolean) {
        // A new activity after a rotation of the device: the camera keeps running.
        val running = visible && allowed && this.allowed
        visible = true
        this.allowed = allowed
        engine.configure(memory.settings)
        if (allowed) {
            memory.refusals = 0
            memory.refusedForGood = false
        }
        // A photo stays until the user leaves it.
        if (!running && screen !is Screen.Photo) openCamera()
    }

    /** The screen is no longer visible: the camera is closed and no image is delivered. */
    fun stop() {
        visible = false
        leaveCamera()
        if (screen !is Screen.Photo) {
            engine.stop()
            if (screen is Screen.Live) screen = Screen.Opening
        }
    }

    /** The end. */
    fun close() {
        visible = false
        leaveCamera()
        engine.listener = null
        engine.close()
    }

    // Permission

    /** The system's question was answered. [mayAskAgain]: the system would show it again, after an explanation. */
    fun permissionAnswered(
        allowed: Boolean,
        mayAskAgain: Boolean,
    ) {
        this.allowed = allowed
        if (allowed) {
            memory.refusals = 0
            memory.refusedForGood = false
        } else {
            // A question that is only swiped away looks like a permanent refusal, so the first time does not count.
            memory.refusedForGood = !mayAskAgain && memory.refusals > 0
            memory.refusals++
        }
        if (screen !is Screen.Photo) openCamera()
    }

    // The camera

    /** After a loss or a fault. */
    fun tryAgain() {
        engine.configure(memory.settings)
        openCamera()
    }

    fun switchFacing() {
        memory.facing = state.value.facing.other
        mutableState.update { it.copy(facing = memory.facing) }
        openCamera()
    }

    private fun openCamera() {
        leaveCamera()
        if (!visible) return
        if (!allowed) {
            engine.stop()
            screen = if (memory.refusals == 0) Screen.AskPermission else Screen.Refused(memory.refusedForGood)
            return
        }
        val sides = source.facings()
        val facing = state.value.facing.takeIf { it in sides } ?: sides.firstOrNull()
        mutableState.update { it.copy(canSwitch = sides.size > 1, facing = facing ?: it.facing) }
        if (facing == null) {
            lose(Loss.NONE)
            return
        }
        screen = Screen.Opening
        engine.startLive()
        source.open(facing, CameraEvents(opening))
    }

    private fun leaveCamera() {
        opening++
        source.close()
    }

    private fun lose(loss: Loss) {
        engine.stop()
        screen = Screen.Lost(loss)
    }

    // Photos

    fun openPhoto(photo: Engine.PhotoReader) {
        leaveCamera()
        screen = Screen.Photo(ready = false)
        engine.openPhoto(photo)
    }

    /** From a photo back to the camera. */
    fun closePhoto() {
        if (screen !is Screen.Photo) return
        engine.stop()
        openCamera()
        if (!visible) screen = Screen.Nothing
    }

    // Choices

    fun choose(effect: Effect) = show(state.value.look.copy(effect = effect))

    fun choose(background: Background) = show(state.value.look.copy(background = background))

    /** Toggles the class. */
    fun toggle(classIndex: Int) {
        val classes = state.value.look.classes
        show(state.value.look.copy(classes = if (classIndex in classes) classes - classIndex else classes + classIndex))
    }

    fun chooseEverything() = show(state.value.look.copy(classes = emptySet()))

    /** A photo as background; [remember] false: one of an earlier run, which is only reloaded. */
    fun setOwnBackground(
        photo: Engine.PhotoReader,
        remember: Boolean = true,
    ) {
        engine.setOwnBackground(photo)
        if (remember) choose(Background.PHOTO)
    }

    private fun show(look: Look) {
        memory.look = look
        mutableState.update { it.copy(look = look) }
        engine.show(look)
    }

    fun toggleStats() {
        memory.showStats = !state.value.showStats
        mutableState.update { it.copy(showStats = memory.showStats) }
    }

    fun pickClasses(open: Boolean) = mutableState.update { it.copy(picking = open) }

    /** Closes what the back button closes first; false: nothing is left, it leaves the app. */
    fun back(): Boolean {
        when {
            state.value.picking -> pickClasses(false)
            screen is Screen.Photo -> closePhoto()
            else -> return false
        }
        return true
    }

    /** Whether [back] has something to close. */
    val canGoBack: Boolean get() = state.value.picking || screen is Screen.Photo

    private inner class CameraEvents(
        private val mine: Int,
    ) : FrameSource.Listener {
        override fun onFrame(
            image: Image,
            rotation: Int,
            mirrored: Boolean,
        ) = engine.submit(image, rotation, mirrored)

        override fun onLost(loss: Loss) {
            if (mine == opening) lose(loss)
        }

        override fun onAvailable() {
            val loss = (screen as? Screen.Lost)?.loss
            // The others would only fail too.
            if (mine == opening && (loss == Loss.IN_USE || loss == Loss.DISCONNECTED)) openCamera()
        }
    }

    private inner class EngineEvents : Engine.Listener {
        override fun onReady(info: EngineInfo) {
            mutableState.update { it.copy(engine = info) }
            // Chosen with a model that had other classes.
            val look = state.value.look
            val known = look.classes.filterTo(mutableSetOf()) { it in info.labels.indices }
            if (known != look.classes) show(look.copy(classes = known))
        }

        override fun onFirstPicture() {
            when (screen) {
                Screen.Opening -> screen = Screen.Live
                is Screen.Photo -> screen = Screen.Photo(ready = true)
                else -> Unit
            }
        }

        override fun onStats(stats: Stats) {
            mutableStats.value = stats
        }

        override fun onPhotoUnreadable() {
            this@CameraController.onPhotoUnreadable()
            if (screen == Screen.Photo(ready = false)) closePhoto()
        }

        override fun onBroken(
            reason: String,
            advice: String,
        ) {
            leaveCamera()
            engine.stop()
            screen = Screen.Broken(reason, advice)
        }
    }
}
