package dev.silhouette.sample.engine

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.LinearGradient
import android.graphics.Paint
import android.graphics.Path
import android.graphics.RadialGradient
import android.graphics.Shader
import dev.silhouette.sample.model.Background

/** The backgrounds that come with the app. They are drawn, so they add no megabytes. */
object Backgrounds {
    /** Draws [background], except the user's own, at this size. */
    fun draw(
        background: Background,
        width: Int,
        height: Int,
    ): Bitmap {
        val bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
        val scene = Scene(Canvas(bitmap), width.toFloat(), height.toFloat())
        when (background) {
            Background.DUSK -> scene.dusk()
            Background.FOREST -> scene.forest()
            Background.STUDIO, Background.PHOTO -> scene.studio()
            Background.GRID -> scene.grid()
        }
        return bitmap
    }

    private class Scene(
        private val canvas: Canvas,
        private val width: Float,
        private val height: Float,
    ) {
        private val paint = Paint(Paint.ANTI_ALIAS_FLAG or Paint.DITHER_FLAG)

        fun dusk() {
            sky(0xFF2B1B54.toInt(), 0xFFB4476F.toInt(), 0xFFFFB36B.toInt())
            glow(0.68f, 0.60f, 0.34f, 0xFFFFE3A8.toInt())
            hills(0.70f, 0.035f, 1.3f, 0xFF7A3560.toInt())
            hills(0.79f, 0.045f, 2.1f, 0xFF4A2350.toInt())
            hills(0.90f, 0.03f, 1.1f, 0xFF24143A.toInt())
        }

        fun forest() {
            sky(0xFFBFE3D6.toInt(), 0xFF7DBFA6.toInt(), 0xFF2F7A66.toInt())
            glow(0.3f, 0.18f, 0.4f, 0xFFF4FFE9.toInt())
            trees(0.55f, 9, 0xFF6AAE95.toInt())
            trees(0.68f, 7, 0xFF3D836D.toInt())
            trees(0.84f, 5, 0xFF1B5245.toInt())
        }

        fun studio() {
            sky(0xFFE9EAEE.toInt(), 0xFFD4D7DE.toInt(), 0xFFA9AFBB.toInt())
            glow(0.5f, 0.38f, 0.75f, 0xFFFFFFFF.toInt())
        }

        fun grid() {
            sky(0xFF0B1026.toInt(), 0xFF131A3C.toInt(), 0xFF251A52.toInt())
            glow(0.5f, 0.55f, 0.5f, 0xFF4C3FB0.toInt())
            paint.color = 0x5547E5D0
            paint.strokeWidth = width / 240
            val horizon = height * 0.58f
            for (i in -14..14) canvas.drawLine(width / 2 + i * width * 0.045f, horizon, width / 2 + i * width * 0.35f, height, paint)
            var y = horizon
            var step = height * 0.008f
            while (y < height) {
                canvas.drawLine(0f, y, width, y, paint)
                y += step
                step *= 1.35f
            }
        }

        private fun sky(vararg colors: Int) {
            paint.shader = LinearGradient(0f, 0f, 0f, height, colors, null, Shader.TileMode.CLAMP)
            canvas.drawPaint(paint)
            paint.shader = null
        }

        private fun glow(
            x: Float,
            y: Float,
            radius: Float,
            color: Int,
        ) {
            val colors = intArrayOf(color, color and 0x00FFFFFF)
            paint.shader = RadialGradient(x * width, y * height, radius * maxOf(width, height), colors, null, Shader.TileMode.CLAMP)
            canvas.drawPaint(paint)
            paint.shader = null
        }

        private fun hills(
            top: Float,
            swing: Float,
            waves: Float,
            color: Int,
        ) {
            paint.color = color
            val path = Path().apply { moveTo(0f, height) }
            for (i in 0..60) {
                val x = i / 60f
                val wave = Math.sin((x * waves + top * 7) * 2 * Math.PI) + 0.4 * Math.sin((x * waves * 2.7 + top) * 2 * Math.PI)
                path.lineTo(x * width, (top + swing * wave.toFloat()) * height)
            }
            path.lineTo(width, height)
            canvas.drawPath(path, paint)
        }

        private fun trees(
            foot: Float,
            number: Int,
            color: Int,
        ) {
            paint.color = color
            canvas.drawRect(0f, foot * height, width, height, paint)
            val step = width / number
            for (i in 0..number) {
                // Uneven, but the same each time.
                val tall = height * (0.20f + 0.07f * ((i * 37 + number * 11) % 7) / 7f)
                val x = i * step + step * 0.2f * ((i * 53 + number) % 5 - 2) / 2f
                val path =
                    Path().apply {
                        moveTo(x, foot * height - tall)
                        lineTo(x + step * 0.55f, foot * height + 1)
                        lineTo(x - step * 0.55f, foot * height + 1)
                        close()
                    }
                canvas.drawPath(path, paint)
            }
        }
    }
}
