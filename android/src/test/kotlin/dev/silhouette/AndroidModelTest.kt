// Models among an app's assets: the library's own and others, stored uncompressed, compressed, and missing.
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
    private val people = "silhouette/silhouette-person.safetensors"
    private val voc21 = "silhouette/silhouette-voc21.safetensors"

    /** The library's own model files. */
    private fun own(name: String): ByteArray = Fixture.root.resolve("core/segmenter/models/${File(name).name}").readBytes()

    /** A context whose assets are those of a package with these files. */
    private fun context(
        files: Map<String, ByteArray>,
        isCompressed: Boolean,
    ): Context {
        val file = File.createTempFile("silhouette", ".apk")
        ZipOutputStream(file.outputStream()).use { zip ->
            for ((name, bytes) in files) {
                val entry = ZipEntry("assets/$name")
                if (!isCompressed) {
                    entry.method = ZipEntry.STORED
                    entry.size = bytes.size.toLong()
                    entry.crc = CRC32().apply { update(bytes) }.value
                }
                zip.putNextEntry(entry)
                zip.write(bytes)
            }
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
        val expected = Fixture.segmenter().use { segmenter -> segmenter.segmentNow(Fixture.frame()).use { Fixture.maskOf(it).toList() } }
        for (isCompressed in listOf(false, true)) {
            val app = context(mapOf("mine.safetensors" to File(Fixture.path).readBytes()), isCompressed)
            val model = Model.fromAsset(app, "mine.safetensors")
            assertEquals(Fixture.model.labels, model.labels)
            Segmenter(model, Options(threads = 1)).use { segmenter ->
                assertEquals(expected, segmenter.segmentNow(Fixture.frame()).use { Fixture.maskOf(it).toList() })
            }
        }
    }

    @Test
    fun bothModelsOfTheLibraryOpen() {
        val app = context(mapOf(people to own(people), voc21 to own(voc21)), isCompressed = false)
        val one = Model.people(app)
        assertEquals(Task.ALPHA, one.task)
        assertEquals(listOf("background", "person"), one.labels)
        val other = Model.voc21(app)
        assertEquals(Task.SEGMENTATION, other.task)
        assertEquals(21, other.labels.size)
        assertEquals(15, other.classIndex("person"))
        for (model in listOf(one, other)) {
            assertTrue("${model.name} has a licence", model.licence.isNotEmpty())
            Segmenter(model, Options(threads = 1, size = 129)).use { segmenter ->
                segmenter.segmentNow(Fixture.frame()).use { assertEquals(64 * 48, Fixture.maskOf(it).size) }
            }
        }
    }

    @Test
    fun aModelThatTheAppLeftOutSaysWhatToChange() {
        val openings = mapOf<String, (Context) -> Model>(people to { Model.people(it) }, voc21 to { Model.voc21(it) })
        for ((missing, open) in openings) {
            val kept = openings.keys.single { it != missing }
            val app = context(mapOf(kept to own(kept)), isCompressed = false)
            val error = assertThrows(SilhouetteException.InvalidModel::class.java) { open(app) }
            assertTrue("$error", missing in error.reason)
            assertTrue("$error", "ignoreAssetsPatterns" in error.advice)
        }
    }

    @Test
    fun aMissingAssetSaysItsName() {
        val app = context(emptyMap(), isCompressed = true)
        val error = assertThrows(SilhouetteException.InvalidModel::class.java) { Model.fromAsset(app, "other.safetensors") }
        assertTrue("$error", "other.safetensors" in error.reason)
    }
}
