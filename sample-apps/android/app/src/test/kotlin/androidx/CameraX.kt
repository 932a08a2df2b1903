// Stand-ins for the CameraX classes that docs/camerax.md names, with CameraX's own names and types, so that the page's code is compiled.
// They do nothing. CameraX comes from Google's Maven repository, which the tests do not use.
@file:Suppress("ktlint:standard:filename", "ktlint:standard:package-name", "unused", "UNUSED_PARAMETER")

package androidx.camera.core

import android.graphics.Rect
import java.nio.ByteBuffer
import java.util.concurrent.Executor

interface ImageInfo {
    val timestamp: Long
    val rotationDegrees: Int
}

interface ImageProxy : AutoCloseable {
    interface PlaneProxy {
        val rowStride: Int
        val pixelStride: Int
        val buffer: ByteBuffer
    }

    val width: Int
    val height: Int
    val cropRect: Rect
    val planes: Array<PlaneProxy>
    val imageInfo: ImageInfo
}

abstract class UseCase

class ImageAnalysis private constructor() : UseCase() {
    fun interface Analyzer {
        fun analyze(image: ImageProxy)
    }

    class Builder {
        fun setBackpressureStrategy(strategy: Int): Builder = this

        fun setOutputImageFormat(format: Int): Builder = this

        fun build(): ImageAnalysis = ImageAnalysis()
    }

    fun setAnalyzer(
        executor: Executor,
        analyzer: Analyzer,
    ) = Unit

    fun clearAnalyzer() = Unit

    companion object {
        const val STRATEGY_KEEP_ONLY_LATEST = 0
        const val OUTPUT_IMAGE_FORMAT_YUV_420_888 = 1
    }
}

class CameraSelector private constructor() {
    companion object {
        val DEFAULT_BACK_CAMERA = CameraSelector()
    }
}
