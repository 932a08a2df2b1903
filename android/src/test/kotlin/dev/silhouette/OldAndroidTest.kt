// Methods that Java 9 added to buffers: code compiled against a newer Java would call methods that Android 7 does not have.
package dev.silhouette

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.DataInputStream
import java.io.File

internal class OldAndroidTest {
    /** Names and types of everything that a class file mentions. */
    private fun mentions(file: File): List<Pair<String, String>> =
        DataInputStream(file.inputStream().buffered()).use { input ->
            input.skipBytes(8)
            val count = input.readUnsignedShort()
            val texts = HashMap<Int, String>()
            val pairs = ArrayList<Pair<Int, Int>>()
            var at = 1
            while (at < count) {
                when (val tag = input.readUnsignedByte()) {
                    1 -> texts[at] = input.readUTF()
                    3, 4, 9, 10, 11, 17, 18 -> input.skipBytes(4)
                    5, 6 -> input.skipBytes(8).also { at++ }
                    7, 8, 16, 19, 20 -> input.skipBytes(2)
                    12 -> pairs += input.readUnsignedShort() to input.readUnsignedShort()
                    15 -> input.skipBytes(3)
                    else -> error("constant $tag in $file")
                }
                at++
            }
            pairs.map { (name, type) -> texts.getValue(name) to texts.getValue(type) }
        }

    @Test
    fun noMethodOfBuffersIsNewerThanAndroid7() {
        val newer = setOf("position", "limit", "mark", "reset", "clear", "flip", "rewind")
        val folder =
            File(
                Segmenter::class.java.protectionDomain.codeSource.location
                    .toURI(),
            )
        val files = folder.walk().filter { it.extension == "class" }.toList()
        assertTrue("${files.size} classes in $folder", files.size > 50)
        val found =
            files.flatMap { file ->
                mentions(file)
                    .filter { (name, type) -> name in newer && type.endsWith("Ljava/nio/ByteBuffer;") }
                    .map { "${file.name}: ${it.first}${it.second}" }
            }
        assertEquals(emptyList<String>(), found)
    }
}
