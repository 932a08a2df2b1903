package dev.silhouette.sample.ui

import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapShader
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Matrix
import android.graphics.Paint
import android.graphics.RectF
import android.graphics.Shader
import android.util.AttributeSet
import android.view.View
import dev.silhouette.sample.engine.PictureBuffers

/** Draws the newest image: live ones fill the view, photos fit into it. A checkerboard is behind transparent parts. */
class PictureView
    @JvmOverloads
    constructor(
        context: Context,
        attributes: AttributeSet? = null,
    ) : View(context, attributes) {
        /** The source of images. */
        var pictures: PictureBuffers? = null
            set(value) {
                field?.onPicture = null
                field = value
                value?.onPicture = ::postInvalidateOnAnimation
                invalidate()
            }

        /** Whether the whole image is shown rather than the view filled. */
        var fit = false
            set(value) {
                if (field != value) invalidate()
                field = value
            }

        /** Whether images have transparent parts. */
        var transparent = false
            set(value) {
                if (field != value) invalidate()
                field = value
            }

        /** False draws nothing: remains of an earlier screen must not shine through. */
        var showing = false
            set(value) {
                if (field != value) invalidate()
                field = value
            }

        private val matrix = Matrix()
        private val place = RectF()
        private val paint = Paint(Paint.FILTER_BITMAP_FLAG)
        private val checkerboard = Paint().apply { shader = checkerboard(resources.displayMetrics.density) }

        override fun onDraw(canvas: Canvas) {
            if (!showing) return
            val picture = pictures?.take() ?: return
            place(picture)
            if (transparent) canvas.drawRect(place, checkerboard)
            canvas.drawBitmap(picture, matrix, paint)
        }

        private fun place(picture: Bitmap) {
            val across = width.toFloat() / picture.width
            val down = height.toFloat() / picture.height
            val scale = if (fit) minOf(across, down) else maxOf(across, down)
            matrix.setScale(scale, scale)
            matrix.postTranslate((width - picture.width * scale) / 2, (height - picture.height * scale) / 2)
            place.set(0f, 0f, picture.width.toFloat(), picture.height.toFloat())
            matrix.mapRect(place)
        }

        override fun onDetachedFromWindow() {
            pictures = null
            super.onDetachedFromWindow()
        }

        private companion object {
            fun checkerboard(density: Float): Shader {
                val side = (10 * density).toInt().coerceAtLeast(1)
                val tile = Bitmap.createBitmap(2 * side, 2 * side, Bitmap.Config.ARGB_8888)
                val canvas = Canvas(tile)
                canvas.drawColor(Color.rgb(236, 238, 241))
                val dark = Paint().apply { color = Color.rgb(205, 209, 216) }
                canvas.drawRect(0f, 0f, side.toFloat(), side.toFloat(), dark)
                canvas.drawRect(side.toFloat(), side.toFloat(), 2f * side, 2f * side, dark)
                return BitmapShader(tile, Shader.TileMode.REPEAT, Shader.TileMode.REPEAT)
            }
        }
    }
