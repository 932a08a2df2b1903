package dev.silhouette.sample

import android.app.Application
import android.content.Context
import dev.silhouette.sample.camera.Camera2Source
import dev.silhouette.sample.camera.FrameSource
import dev.silhouette.sample.engine.Engine
import dev.silhouette.sample.engine.SilhouetteEngine
import dev.silhouette.sample.model.CameraController
import dev.silhouette.sample.model.Memory

/** Assembles the parts; tests use others. */
open class SampleApp : Application() {
    val memory: Memory by lazy { Memory(getSharedPreferences("choices", MODE_PRIVATE)) }

    open fun makeSource(): FrameSource = Camera2Source(this)

    open fun makeEngine(): Engine = SilhouetteEngine(this)

    fun makeController(): CameraController = CameraController(makeSource(), makeEngine(), memory)

    companion object {
        fun of(context: Context): SampleApp = context.applicationContext as SampleApp
    }
}
