package dev.silhouette.sample

import android.Manifest
import dev.silhouette.Segmenter
import dev.silhouette.sample.camera.FrameSource
import dev.silhouette.sample.engine.Engine
import dev.silhouette.sample.engine.SilhouetteEngine
import dev.silhouette.sample.model.CameraController
import dev.silhouette.sample.model.Effect
import dev.silhouette.sample.model.Screen
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import java.util.concurrent.CopyOnWriteArrayList

/** The app with a played camera instead of the phone's; engine and library are the real ones. */
class TestApp : SampleApp() {
    /** What the camera sees: upright, 9:16, as 720 lines of a phone's 1280x720. */
    val scene by lazy { Phone.astronaut.covering(360, 640, 0.42f, 0.5f) }
    val camera by lazy { PlayedCamera(scene) }
    val engines = mutableListOf<SilhouetteEngine>()

    /** Every segmenter that the engines made. */
    val segmenters = CopyOnWriteArrayList<Segmenter>()

    override fun makeSource(): FrameSource = camera

    override fun makeEngine(): Engine =
        SilhouetteEngine(this) { model, options -> Segmenter(model, options).also { segmenters += it } }.also {
            engines +=
                it
        }

    companion object {
        val now: TestApp get() = RuntimeEnvironment.getApplication() as TestApp

        fun allowCamera() = shadowOf(RuntimeEnvironment.getApplication()).grantPermissions(Manifest.permission.CAMERA)
    }
}

/** Waits for the engine; fails immediately if it reports that it cannot run. */
fun CameraController.awaitEngine() =
    Phone.waitUntil("the engine") {
        (state.value.screen as? Screen.Broken)?.let { error("${it.reason} ${it.advice}") }
        state.value.engine != null
    }

/** Waits for the first image. */
fun CameraController.awaitLive() {
    awaitEngine()
    Phone.waitUntil("the first picture") { state.value.screen == Screen.Live }
}

/** Waits for images begun after now: the one in progress may still have the earlier look. */
fun CameraController.awaitPictures(number: Int = 3) {
    val count = pictures.count
    Phone.waitUntil("$number pictures more") { pictures.count >= count + number }
}

/** Chooses an effect and waits for images of it, by the model that it needs. */
fun CameraController.look(effect: Effect) {
    choose(effect)
    awaitModel()
    awaitPictures()
}

/** Waits until the model runs that settings and look need. */
fun CameraController.awaitModel() {
    val person =
        state.value.engine!!
            .labels
            .indexOf("person")
    val name =
        TestApp.now.memory.settings
            .modelFor(state.value.look, person)
    Phone.waitUntil("the model $name") {
        (state.value.screen as? Screen.Broken)?.let { error("${it.reason} ${it.advice}") }
        state.value.engine?.model == name
    }
}
