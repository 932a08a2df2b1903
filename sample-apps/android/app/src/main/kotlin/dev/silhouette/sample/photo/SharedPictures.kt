package dev.silhouette.sample.photo

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.content.Intent
import android.database.Cursor
import android.database.MatrixCursor
import android.graphics.Bitmap
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException

/**
 * Lets the app that the user shares an image with read that image, and nothing else: the provider is not exported, and each share
 * grants the right to read one file.
 */
class SharedPictures : ContentProvider() {
    override fun onCreate(): Boolean = true

    override fun getType(uri: Uri): String = typeOf(fileOf(uri).name)

    override fun openFile(
        uri: Uri,
        mode: String,
    ): ParcelFileDescriptor {
        if (mode != "r") throw FileNotFoundException("shared pictures can only be read")
        return ParcelFileDescriptor.open(fileOf(uri), ParcelFileDescriptor.MODE_READ_ONLY)
    }

    override fun query(
        uri: Uri,
        projection: Array<String>?,
        selection: String?,
        selectionArgs: Array<String>?,
        sortOrder: String?,
    ): Cursor {
        val file = fileOf(uri)
        val columns = (projection ?: arrayOf(OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE)).filter { it in KNOWN }
        return MatrixCursor(columns.toTypedArray(), 1).apply {
            addRow(columns.map { if (it == OpenableColumns.SIZE) file.length() else file.name })
        }
    }

    override fun insert(
        uri: Uri,
        values: ContentValues?,
    ): Uri? = null

    override fun update(
        uri: Uri,
        values: ContentValues?,
        selection: String?,
        selectionArgs: Array<String>?,
    ): Int = 0

    override fun delete(
        uri: Uri,
        selection: String?,
        selectionArgs: Array<String>?,
    ): Int = 0

    private fun fileOf(uri: Uri): File {
        val context = context ?: throw FileNotFoundException("no context")
        // Only a name: nothing outside the folder is reachable.
        val name = uri.pathSegments.singleOrNull()?.takeIf { NAME.matches(it) } ?: throw FileNotFoundException("no picture at $uri")
        return File(folder(context), name).takeIf(File::isFile) ?: throw FileNotFoundException("no picture at $uri")
    }

    companion object {
        private val NAME = Regex("silhouette-[0-9]+\\.(png|jpg)")
        private val KNOWN = setOf(OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE)

        private fun folder(context: Context) = File(context.cacheDir, "shared")

        private fun typeOf(name: String) = if (name.endsWith(".png")) "image/png" else "image/jpeg"

        /**
         * Writes the image where it can be shared from: as PNG if it is partly transparent, otherwise as JPEG. Deletes earlier ones,
         * except those from the last hour, which may still be read.
         */
        @Throws(IOException::class)
        fun write(
            context: Context,
            picture: Bitmap,
            transparent: Boolean,
            now: Long = System.currentTimeMillis(),
        ): Uri {
            val folder = folder(context)
            if (!folder.isDirectory && !folder.mkdirs()) throw IOException("$folder cannot be created")
            folder.listFiles()?.filter { it.lastModified() < now - 3_600_000 }?.forEach(File::delete)
            val file = File(folder, "silhouette-$now." + if (transparent) "png" else "jpg")
            val format = if (transparent) Bitmap.CompressFormat.PNG else Bitmap.CompressFormat.JPEG
            file.outputStream().use { if (!picture.compress(format, 92, it)) throw IOException("$file cannot be written") }
            return Uri
                .Builder()
                .scheme("content")
                .authority(context.packageName + ".pictures")
                .appendPath(file.name)
                .build()
        }

        /** An intent that offers [picture] to other apps. */
        fun intent(
            context: Context,
            picture: Uri,
        ): Intent =
            Intent(Intent.ACTION_SEND).apply {
                type = typeOf(picture.lastPathSegment.orEmpty())
                putExtra(Intent.EXTRA_STREAM, picture)
                // The chooser shows a preview of what the clip grants.
                clipData = android.content.ClipData.newUri(context.contentResolver, null, picture)
                addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
            }
    }
}
