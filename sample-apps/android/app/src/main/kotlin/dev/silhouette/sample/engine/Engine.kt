package dev.silhouette.sample.engine

import android.graphics.Bitmap
import android.media.Image
import dev.silhouette.sample.model.EngineInfo
import dev.silhouette.sample.model.Look
import dev.silhouette.sample.model.Settings
import dev.silhouette.sample.model.Stats

/** Renders images from frames and photos. Called on the main thread except for [submit]. */
interface Engine {
    /** The rendered images. */
    val pictures: PictureBuffers

    /** Called on the main thread. */
    var listener: Listener?

    /** Recreates the engine if the settings changed. */
    fun configure(settings: Settings)

    /** Sets how images look from now on, with the model that suits it. A photo is redrawn. */
    fun show(look: Look)

    /** Accepts frames from now on. */
    fun startLive()

    /** Submits a frame, from any thread; it is accepted or dropped, and never blocks. */
    fun submit(
        image: Image,
        rotation: Int,
        mirrored: Boolean,
    )

    /** Shows this photo instead of frames; it is read on the engine's thread. */
    fun openPhoto(photo: PhotoReader)

    /** An image that [Look.background] calls the user's own. */
    fun setOwnBackground(photo: PhotoReader)

    /** Stops frames and photo. When this returns, no image is delivered. */
    fun stop()

    /** Frees everything, permanently. */
    fun close()

    fun interface PhotoReader {
        /** The photo, upright and in software memory; null if it cannot be read. */
        fun read(): Bitmap?
    }

    interface Listener {
        /** A model runs, the first one or another. */
        fun onReady(info: EngineInfo)

        /** The first image after [startLive] or [openPhoto] is ready. */
        fun onFirstPicture()

        fun onStats(stats: Stats)

        fun onPhotoUnreadable()

        fun onBroken(
            reason: String,
            advice: String,
        )
    }
}
