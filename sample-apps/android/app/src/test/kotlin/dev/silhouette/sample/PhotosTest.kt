package dev.silhouette.sample

import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Color
import android.graphics.Matrix
import android.media.ExifInterface
import android.net.Uri
import android.provider.OpenableColumns
import dev.silhouette.sample.photo.Photos
import dev.silhouette.sample.photo.SharedPictures
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import java.io.File
import java.io.FileNotFoundException

/** Photos as input, images as output. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = android.app.Application::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class PhotosTest {
    private val context: Context = RuntimeEnvironment.getApplication()

    @Test
    fun `a photo of the gallery is read, and made smaller where it is large`() {
        val uri = Uri.fromFile(Phone.photoFile("chelsea.png"))
        val photo = Photos.read(context, uri)!!
        assertEquals(451 to 300, photo.width to photo.height)
        assertEquals(Bitmap.Config.ARGB_8888, photo.config)
        assertEquals(Phone.chelsea.getPixel(200, 150), photo.getPixel(200, 150))
        val small = Photos.read(context, uri, longSide = 100)!!
        assertEquals(100 to 66, small.width to small.height)
    }

    @Test
    fun `what is no photo is null, not a crash`() {
        val text = File(context.filesDir, "no.jpg").apply { writeText("this is no picture") }
        assertNull(Photos.read(context, Uri.fromFile(text)))
        assertNull(Photos.read(context, Uri.fromFile(File(context.filesDir, "missing.jpg"))))
    }

    @Test
    fun `orientations of EXIF, each corner where it belongs`() {
        // The stored image's corners, clockwise from the top left, and their positions in the upright one.
        val cases =
            mapOf(
                ExifInterface.ORIENTATION_NORMAL to "ABCD",
                ExifInterface.ORIENTATION_FLIP_HORIZONTAL to "BADC",
                ExifInterface.ORIENTATION_ROTATE_180 to "CDAB",
                ExifInterface.ORIENTATION_FLIP_VERTICAL to "DCBA",
                ExifInterface.ORIENTATION_TRANSPOSE to "ADCB",
                ExifInterface.ORIENTATION_ROTATE_90 to "DABC",
                ExifInterface.ORIENTATION_TRANSVERSE to "CBAD",
                ExifInterface.ORIENTATION_ROTATE_270 to "BCDA",
            )
        for ((orientation, corners) in cases) assertEquals("orientation $orientation", corners, turn(Photos.uprightMatrix(orientation)))
    }

    private fun turn(matrix: Matrix): String {
        val stored = Bitmap.createBitmap(intArrayOf(1, 2, 4, 3).map { Color.rgb(it, 0, 0) }.toIntArray(), 2, 2, Bitmap.Config.ARGB_8888)
        val upright = Bitmap.createBitmap(stored, 0, 0, 2, 2, matrix, false)
        return listOf(0 to 0, 1 to 0, 1 to 1, 0 to 1).joinToString("") { (x, y) -> "?ABCD"[Color.red(upright.getPixel(x, y))].toString() }
    }

    @Test
    fun `a shared picture can be read by its address, as PNG with its transparency`() {
        Robolectric.setupContentProvider(SharedPictures::class.java, context.packageName + ".pictures")
        val picture = Bitmap.createBitmap(8, 8, Bitmap.Config.ARGB_8888).apply { setPixel(3, 3, Color.RED) }
        val uri = SharedPictures.write(context, picture, transparent = true, now = 5)
        val resolver = context.contentResolver
        assertEquals("image/png", resolver.getType(uri))
        val back = resolver.openInputStream(uri)!!.use { BitmapFactory.decodeStream(it) }
        assertEquals(Color.RED, back.getPixel(3, 3))
        assertEquals(0, back.getPixel(0, 0))
        resolver.query(uri, null, null, null, null)!!.use {
            assertTrue(it.moveToFirst())
            assertEquals("silhouette-5.png", it.getString(it.getColumnIndexOrThrow(OpenableColumns.DISPLAY_NAME)))
            assertTrue(it.getLong(it.getColumnIndexOrThrow(OpenableColumns.SIZE)) > 0)
        }
        val intent = SharedPictures.intent(context, uri)
        assertEquals(uri, intent.clipData!!.getItemAt(0).uri)
        assertEquals("image/png", intent.type)
    }

    @Test
    fun `nothing else can be reached through the provider`() {
        val provider = Robolectric.setupContentProvider(SharedPictures::class.java, context.packageName + ".pictures")
        File(context.cacheDir, "secret.png").writeText("secret")
        SharedPictures.write(context, Bitmap.createBitmap(2, 2, Bitmap.Config.ARGB_8888), transparent = false, now = 7)
        for (path in listOf(
            "..%2Fsecret.png",
            "../secret.png",
            "shared/silhouette-7.jpg",
            "",
            "silhouette-8.jpg",
            "silhouette-7.jpg%00.png",
        )) {
            val uri = Uri.parse("content://${context.packageName}.pictures/$path")
            assertThrows(path, FileNotFoundException::class.java) { provider.openFile(uri, "r") }
        }
        assertThrows(FileNotFoundException::class.java) {
            provider.openFile(Uri.parse("content://${context.packageName}.pictures/silhouette-7.jpg"), "rw")
        }
    }

    @Test
    fun `earlier pictures go after an hour`() {
        val picture = Bitmap.createBitmap(2, 2, Bitmap.Config.ARGB_8888)
        SharedPictures.write(context, picture, transparent = false, now = 1)
        val folder = File(context.cacheDir, "shared")
        folder.listFiles()!!.forEach { it.setLastModified(1_000) }
        SharedPictures.write(context, picture, transparent = false, now = 4_000_000)
        assertArrayEquals(arrayOf("silhouette-4000000.jpg"), folder.list())
    }
}
