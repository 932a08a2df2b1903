// Models among an app's assets: stored uncompressed, compressed, and missing.
package dev.silhouette

import android.content.Context
import android.content.ContextWrapper
import android.content.res.AssetManager
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import java.io.File
import java.util.zip.CRC32
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
internal class AndroidModelTest {
    private val name = "silhouette/silhouette-voc21.safetensors"

    /** A context whose assets are those of a package with the model in it. */
    private fun context(isCompressed: Boolean): Context {
        val bytes = File(Fixture.path).readBytes()
        val file = File.createTempFile("silhouette", ".apk")
        ZipOutputStream(file.outputStream()).use { zip ->
            val entry = ZipEntry("assets/$name")
            if (!isCompressed) {
                entry.method = ZipEntry.STORED
                entry.size = bytes.size.toLong()
                entry.crc = CRC32().apply { update(bytes) }.value
            }
            zip.putNextEntry(entry)
            zip.write(bytes)
        }
        file.deleteOnExit()
        val assets =
            AssetManager::class.java
                .getDeclaredConstructor()
                .apply { isAccessible = true }
                .newInstance()
        AssetManager::class.java.getMethod("addAssetPath", String::class.java).invoke(assets, file.path)
        return object : ContextWrapper(RuntimeEnvironment.getApplication()) {
            override fun getAssets() = assets
        }
    }

    @Test
    fun assetsAreModelsCompressedOrNot() {
        val wanted = Fixture.segmenter().use { segmenter -> segmenter.segmentNow(Fixture.frame()).use { Fixture.maskOf(it).toList() } }
        for (isCompressed in listOf(false, true)) {
            val model = Model.builtIn(context(isCompressed))
            assertEquals(Fixture.model.labels, model.labels)
            Segmenter(model, Options(threads = 1)).use { segmenter ->
                assertEquals(wanted, segmenter.segmentNow(Fixture.frame()).use { Fixture.maskOf(it).toList() })
            }
        }
    }

    @Test
    fun aMissingAssetSaysItsName() {
        val error = assertThrows(SilhouetteException.InvalidModel::class.java) { Model.fromAsset(context(true), "other.safetensors") }
        assertTrue("$error", "other.safetensors" in error.reason)
    }
}
