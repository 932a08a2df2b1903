package dev.silhouette.sample.photo

import android.annotation.TargetApi
import android.content.ContentResolver
import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ImageDecoder
import android.graphics.Matrix
import android.media.ExifInterface
import android.net.Uri
import android.os.Build
import java.io.File
import java.io.IOException

/** Reads photos from the gallery: upright, in software memory, at most [LONG_SIDE] pixels per side. */
object Photos {
    /** Enough for a screen, and affordable for a phone's memory. */
    const val LONG_SIDE = 2048

    /** The photo, or null if it is not an image or cannot be read. Not for the main thread. */
    fun read(
        context: Context,
        uri: Uri,
        longSide: Int = LONG_SIDE,
    ): Bitmap? =
        try {
            if (Build.VERSION.SDK_INT >=
                Build.VERSION_CODES.P
            ) {
                decode(context.contentResolver, uri, longSide)
            } else {
                decodeOld(context.contentResolver, uri, longSide)
            }
        } catch (_: IOException) {
            null
        } catch (_: SecurityException) {
            null // The other app revoked its permission.
        } catch (_: IllegalArgumentException) {
            null
        } catch (_: IllegalStateException) {
            null
        }

    /** The user's last background, stored as our own file because the right to read the original ends with the app. */
    fun ownBackground(context: Context): File = File(context.filesDir, "background.jpg")

    /** Stores [photo] as the user's background. */
    fun keepAsBackground(
        context: Context,
        photo: Bitmap,
    ) {
        val file = ownBackground(context)
        val part = File(file.path + ".part")
        part.outputStream().use { photo.compress(Bitmap.CompressFormat.JPEG, 90, it) }
        part.renameTo(file)
    }

    @TargetApi(Build.VERSION_CODES.P)
    private fun decode(
        resolver: ContentResolver,
        uri: Uri,
        longSide: Int,
    ): Bitmap =
        ImageDecoder.decodeBitmap(ImageDecoder.createSource(resolver, uri)) { decoder, info, _ ->
            decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE
            val long = maxOf(info.size.width, info.size.height)
            if (long > longSide) {
                val scale = longSide.toDouble() / long
                decoder.setTargetSize(maxOf(1, (info.size.width * scale).toInt()), maxOf(1, (info.size.height * scale).toInt()))
            }
        }

    private fun decodeOld(
        resolver: ContentResolver,
        uri: Uri,
        longSide: Int,
    ): Bitmap? {
        val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        resolver.openInputStream(uri)?.use { BitmapFactory.decodeStream(it, null, options) }
        options.inJustDecodeBounds = false
        while (maxOf(options.outWidth, options.outHeight) / maxOf(1, options.inSampleSize) >
            longSide
        ) {
            options.inSampleSize = 2 * maxOf(1, options.inSampleSize)
        }
        val bitmap = resolver.openInputStream(uri)?.use { BitmapFactory.decodeStream(it, null, options) } ?: return null
        val exif = resolver.openInputStream(uri)?.use { ExifInterface(it) }
        val matrix = uprightMatrix(exif?.getAttributeInt(ExifInterface.TAG_ORIENTATION, 1) ?: 1)
        return if (matrix.isIdentity) bitmap else Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, matrix, true)
    }

    /** The transform for EXIF's orientation; ImageDecoder applies it by itself. */
    internal fun uprightMatrix(orientation: Int): Matrix =
        Matrix().apply {
            when (orientation) {
                ExifInterface.ORIENTATION_FLIP_HORIZONTAL, ExifInterface.ORIENTATION_TRANSPOSE, ExifInterface.ORIENTATION_TRANSVERSE ->
                    postScale(
                        -1f,
                        1f,
                    )
                ExifInterface.ORIENTATION_FLIP_VERTICAL -> postScale(1f, -1f)
            }
            when (orientation) {
                ExifInterface.ORIENTATION_ROTATE_90, ExifInterface.ORIENTATION_TRANSVERSE -> postRotate(90f)
                ExifInterface.ORIENTATION_ROTATE_180 -> postRotate(180f)
                ExifInterface.ORIENTATION_ROTATE_270, ExifInterface.ORIENTATION_TRANSPOSE -> postRotate(270f)
            }
        }
}
