package dev.silhouette.sample.camera

import android.media.Image
import dev.silhouette.sample.model.Facing
import dev.silhouette.sample.model.Loss

/** A source of frames: a phone's cameras, or a test's recording. Called on the main thread. */
interface FrameSource {
    /** The sides that have a camera. */
    fun facings(): Set<Facing>

    /** Opens a camera after closing the one that was open. */
    fun open(
        facing: Facing,
        listener: Listener,
    )

    /** Closes the camera. When this returns, the listener is not called any more and no call of it is running. */
    fun close()

    interface Listener {
        /**
         * A frame in YUV_420_888, on the source's own thread; valid until this returns. Clockwise [rotation] degrees make it
         * upright on the screen, then it is [mirrored] horizontally.
         */
        fun onFrame(
            image: Image,
            rotation: Int,
            mirrored: Boolean,
        )

        /** The camera is gone; on the main thread. */
        fun onLost(loss: Loss)

        /** After [onLost]: opening again may work now; on the main thread. */
        fun onAvailable()
    }
}
