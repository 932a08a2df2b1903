package dev.silhouette.sample.engine

import android.graphics.Bitmap
import android.media.Image
import dev.silhouette.sample.model.EngineInfo
import dev.silhouette.sample.model.Look
import dev.silhouette.sample.model.Settings
import dev.silhouette.sample.model.Stats

/** Makes pictures of frames and photos. Called on the main thread but for [submit]. */
interface Engine {
    /** Where the pictures come out. */
    val pictures: PictureBuffers

    /** Told on the main thread. */
    var listener: Listener?

    /** Makes the engine anew where the settings changed. */
    fun configure(settings: Settings)

    /** How pictures are to look from now on. A photo is drawn again. */
    fun show(look: Look)

    /** Wants frames from now on. */
    fun startLive()

    /** A frame, from any thread; taken or dropped, never waited for. */
    fun submit(
        image: Image,
        rotation: Int,
        mirrored: Boolean,
    )

    /** Shows this photo instead of frames; it is read on the engine's thread. */
    fun openPhoto(photo: PhotoReader)

    /** A picture that [Look.background] calls the user's own. */
    fun setOwnBackground(photo: PhotoReader)

    /** No frames and no photo any more. When this returns, no picture comes out. */
    fun stop()

    /** Frees everything; for good. */
    fun close()

    fun interface PhotoReader {
        /** The photo, upright and in software memory; null where it cannot be read. */
        fun read(): Bitmap?
    }

    interface Listener {
        fun onReady(info: EngineInfo)

        /** The first picture after [startLive] or [openPhoto] is there. */
        fun onFirstPicture()

        fun onStats(stats: Stats)

        fun onPhotoUnreadable()

        fun onBroken(
            reason: String,
            advice: String,
        )
    }
}
