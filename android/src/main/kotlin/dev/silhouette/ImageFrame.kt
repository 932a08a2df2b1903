// Android's camera images as frames, without a copy.
package dev.silhouette

import android.graphics.ImageFormat
import android.graphics.PixelFormat
import android.media.Image

/**
 * The image as a frame, without a copy: valid until `Image.close()`. `YUV_420_888` as cameras and decoders produce it,
 * and `RGBA_8888`; other formats throw [SilhouetteException.Unsupported]. For CameraX's `ImageProxy`, pass
 * `imageProxy.image`.
 *
 * [rotationDegrees] makes the buffer upright (`imageProxy.imageInfo.rotationDegrees`, or the sensor's orientation minus
 * the display's), [mirrored] is for front cameras shown as in a mirror.
 */
public fun Image.toFrame(
    rotationDegrees: Int = 0,
    mirrored: Boolean = false,
    color: YuvColor = YuvColor.CAMERA,
): Frame {
    val frame =
        when (format) {
            ImageFormat.YUV_420_888 -> {
                val (y, u, v) = planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
                Frame.yuv420(width, height, y, u, v, color)
            }
            PixelFormat.RGBA_8888 -> planes[0].let { Frame.rgba(width, height, it.buffer, it.rowStride) }
            else -> throw SilhouetteException.Unsupported("an image of format $format", "use YUV_420_888 or RGBA_8888")
        }
    return frame.upright(rotationDegrees, mirrored, timestamp)
}
