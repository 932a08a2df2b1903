// Milliseconds from a 1280x720 YUV frame to its mask, the median of many: the Kotlin side of scripts/bench/bindings.
package dev.silhouette

import java.nio.ByteBuffer

private const val WIDTH = 1280
private const val HEIGHT = 720

/** `CameraSpeed MODEL [FRAMES]`: the same image and options as core/segmenter/examples/camera_speed.rs. */
internal object CameraSpeed {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val frames = arguments.getOrNull(1)?.toInt() ?: 100
        val luma = ByteBuffer.allocateDirect(WIDTH * HEIGHT)
        for (i in 0 until WIDTH * HEIGHT) luma.put(i, (i % WIDTH / 5 + i / WIDTH / 3).toByte())
        val chroma = ByteBuffer.allocateDirect(WIDTH * HEIGHT / 2)
        for (i in 0 until WIDTH * HEIGHT / 2) chroma.put(i, (i / 640).toByte())
        val second = chroma.duplicate().position(1)
        val mask = ByteBuffer.allocateDirect(WIDTH * HEIGHT)
        Segmenter(Model.open(arguments[0]), Options(threads = 1, size = 257)).use { segmenter ->
            val once = {
                val start = System.nanoTime()
                // Everything that an app does for a frame: the frame's own objects, the call, and the mask where the
                // app needs it.
                val frame = Frame.yuv420(WIDTH, HEIGHT, Plane(luma, WIDTH), Plane(chroma, WIDTH, 2), Plane(second, WIDTH, 2))
                segmenter.segmentNow(frame).use { it.mask(mask) }
                System.nanoTime() - start
            }
            repeat(frames / 5) { once() }
            val times = LongArray(frames) { once() }.sorted()
            println("%.4f".format(times[frames / 2] / 1e6))
        }
    }
}
