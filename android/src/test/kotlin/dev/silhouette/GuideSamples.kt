// The samples of docs/android.md, verbatim: the guide's code compiles, and the parts that need no camera run.
package dev.silhouette

import android.content.Context
import android.graphics.Bitmap
import android.media.ImageReader
import android.os.Handler
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.map
import java.nio.ByteBuffer

@Suppress("unused")
internal object GuideSamples {
    // sample: blur
    suspend fun blurred(
        context: Context,
        bitmap: Bitmap,
    ): Bitmap =
        Segmenter(Model.people(context)).use { segmenter ->
            val frame = bitmap.toFrame()
            segmenter.segment(frame).use { it.blur(frame).toBitmap() }
        }
    // end of sample

    // sample: picture
    suspend fun share(
        context: Context,
        bitmap: Bitmap,
    ): Double =
        Segmenter(Model.voc21(context)).use { segmenter ->
            segmenter.segment(bitmap.toFrame()).use { segmentation ->
                val person = segmenter.model.classIndex("person")
                segmentation.shares().firstOrNull { it.classIndex == person }?.share ?: 0.0
            }
        }
    // end of sample

    // sample: camera2
    fun listen(
        reader: ImageReader,
        live: LiveSegmenter,
        rotationDegrees: Int,
        front: Boolean,
        handler: Handler,
    ) {
        val listener =
            ImageReader.OnImageAvailableListener {
                // Copies the planes and returns at once: the image can go back to the camera.
                it.acquireLatestImage()?.use { image -> live.submit(image.toFrame(rotationDegrees, mirrored = front)) }
            }
        reader.setOnImageAvailableListener(listener, handler)
    }
    // end of sample

    // sample: planes
    fun frames(
        y: ByteBuffer,
        uv: ByteBuffer,
        rgba: ByteBuffer,
        width: Int,
        height: Int,
        stride: Int,
    ): List<Frame> =
        listOf(
            Frame.nv12(width, height, Plane(y, stride), Plane(uv, stride)),
            Frame.rgba(width, height, rgba).rotated(90).cropped(Region(0, 0, height / 2, width / 2)),
        )
    // end of sample

    // sample: live
    fun preview(
        segmenter: Segmenter,
        show: (Bitmap) -> Unit,
    ): LiveSegmenter =
        LiveSegmenter(segmenter) { result ->
            result.segmentation?.use { segmentation ->
                val (width, height) = segmentation.frameSize
                val picture = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
                segmentation.blur(into = picture)
                show(picture)
            }
        }
    // end of sample

    // sample: flow
    fun masks(
        segmenter: Segmenter,
        frames: Flow<Frame>,
    ): Flow<Bitmap> = segmenter.segments(frames).map { segmentation -> segmentation.use { it.maskBitmap() } }
    // end of sample

    // sample: model
    fun open(context: Context): Segmenter {
        val model = Model.fromAsset(context, "mine.safetensors") // or Model.open(file.path)
        return Segmenter(model, Options(threads = 2, size = 257, output = OutputSize.Model))
    }
    // end of sample
}
