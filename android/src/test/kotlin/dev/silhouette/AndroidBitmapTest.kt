// Bitmaps as input and output, with Android's own framework classes.
package dev.silhouette

import android.graphics.Bitmap
import android.graphics.Color
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], manifest = Config.NONE)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
internal class AndroidBitmapTest {
    private val width = 40
    private val height = 30
    private val rgba = Fixture.picture(width, height)

    private fun bitmap(config: Bitmap.Config = Bitmap.Config.ARGB_8888): Bitmap {
        val colors = IntArray(width * height) { i -> Color.rgb(byte(4 * i), byte(4 * i + 1), byte(4 * i + 2)) }
        return Bitmap.createBitmap(colors, width, height, Bitmap.Config.ARGB_8888).copy(config, true)
    }

    private fun byte(at: Int) = rgba[at].toInt() and 0xFF

    private fun blank(
        width: Int = this.width,
        height: Int = this.height,
        config: Bitmap.Config = Bitmap.Config.ARGB_8888,
    ) = Bitmap.createBitmap(width, height, config)

    private fun colors(bitmap: Bitmap): IntArray =
        IntArray(bitmap.width * bitmap.height).also { bitmap.getPixels(it, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height) }

    private fun pixels(picture: Picture): IntArray {
        val bytes = Fixture.bytes(picture.rgba)
        val at = { i: Int -> bytes[i].toInt() and 0xFF }
        return IntArray(bytes.size / 4) { Color.argb(at(4 * it + 3), at(4 * it), at(4 * it + 1), at(4 * it + 2)) }
    }

    @Test
    fun aBitmapIsTheFrameOfItsPixels() {
        Fixture.segmenter().use { segmenter ->
            val expected = segmenter.segmentNow(Fixture.frame(width, height)).use(Fixture::maskOf)
            segmenter.segmentNow(bitmap().toFrame()).use {
                assertArrayEquals(expected, Fixture.maskOf(it))
                assertArrayEquals(rgba, Fixture.bytes(it.picture(bitmap().toFrame()).rgba))
            }
            val turned = bitmap().toFrame(90, mirrored = true)
            assertEquals(listOf(height, width, 90), listOf(turned.uprightSize.width, turned.uprightSize.height, turned.rotation))
            segmenter.segmentNow(turned).use { assertEquals(height to width, it.width to it.height) }
        }
    }

    @Test
    fun whatABitmapHidesStaysHidden() {
        val half = Color.argb(128, 200, 100, 50)
        val sticker = bitmap()
        for (x in 0 until width) sticker.setPixel(x, 3, if (x % 2 == 0) Color.TRANSPARENT else half)
        Fixture.segmenter().use { segmenter ->
            val frame = sticker.toFrame()
            segmenter.segmentNow(frame).use {
                val found = pixels(it.picture(frame))
                assertEquals(Color.TRANSPARENT, found[3 * width])
                assertEquals(128, Color.alpha(found[3 * width + 1]))
                assertTrue(kotlin.math.abs(Color.red(found[3 * width + 1]) - 200) <= 2)
                assertEquals(255, Color.alpha(found[0]))
                // And in the conversion back to a bitmap and to a frame.
                val again = it.picture(frame).toFrame()
                assertArrayEquals(found, pixels(it.picture(again)))
            }
        }
    }

    @Test
    fun otherConfigurationsAreConverted() {
        Fixture.segmenter().use { segmenter ->
            for (config in listOf(Bitmap.Config.RGB_565, Bitmap.Config.RGBA_F16)) {
                val one = bitmap(config)
                val same = one.copy(Bitmap.Config.ARGB_8888, false)
                val expected = segmenter.segmentNow(same.toFrame()).use(Fixture::maskOf)
                segmenter.segmentNow(one.toFrame()).use { assertArrayEquals("$config", expected, Fixture.maskOf(it)) }
            }
        }
    }

    @Test
    fun hardwareAndRecycledBitmapsAreRefusedWithAReason() {
        // There is no hardware here to create such a bitmap: a copy stays ARGB_8888. So only its configuration is
        // checked.
        val error = assertThrows(SilhouetteException.Unsupported::class.java) { Bitmap.Config.HARDWARE.mustBeReadable() }
        assertTrue("$error", "hardware" in error.reason && "ARGB_8888" in error.advice)
        val gone = bitmap().apply { recycle() }
        assertThrows(SilhouetteException.InvalidFrame::class.java) { gone.toFrame() }
    }

    @Test
    fun masksAndConfidencesAreBitmaps() {
        Fixture.segmenter().use { segmenter ->
            segmenter.segmentNow(bitmap().toFrame()).use { result ->
                val mask = Fixture.maskOf(result)
                val drawn = colors(result.maskBitmap())
                for (i in mask.indices) {
                    val expected = if (mask[i].toInt() == 0) Color.TRANSPARENT else Fixture.model.colors[mask[i].toInt()]
                    assertEquals("pixel $i", expected, drawn[i])
                }
                val place = blank()
                assertTrue(place === result.maskBitmap(place))
                assertArrayEquals(drawn, colors(place))
                val seen = result.shares().first().classIndex
                val alpha = result.confidenceBitmap(seen)
                assertEquals(Bitmap.Config.ALPHA_8, alpha.config)
                val values = Fixture.bytes(result.confidence(seen))
                for (i in values.indices) {
                    assertEquals(
                        "pixel $i",
                        values[i].toInt() and 0xFF,
                        Color.alpha(
                            alpha.getPixel(
                                i % width,
                                i / width,
                            ),
                        ),
                    )
                }
            }
        }
    }

    @Test
    fun effectsGoIntoBitmaps() {
        val frame = bitmap().toFrame()
        val behind = Fixture.frame(9, 9, 5)
        Fixture.segmenter().use { segmenter ->
            segmenter.segmentNow(frame).use { result ->
                val place = blank()
                val opaque: List<Triple<String, (Bitmap) -> Unit, Picture>> =
                    listOf(
                        Triple("picture", { result.picture(it, frame) }, result.picture(frame)),
                        Triple("overlay", { result.overlay(it, frame) }, result.overlay(frame)),
                        Triple("blur", { result.blur(it, frame) }, result.blur(frame)),
                        Triple("replace", { result.replace(it, behind, frame) }, result.replace(behind, frame)),
                    )
                for ((what, draw, picture) in opaque) {
                    draw(place)
                    assertArrayEquals(what, pixels(picture), colors(place))
                    assertArrayEquals(what, pixels(picture), colors(picture.toBitmap()))
                }
                // Half-transparent colours lose bits when multiplied by alpha. Some classes only, because the fixture predicts no
                // background.
                val foreground = Foreground.Classes(*IntArray(10) { it })
                result.cutout(place, frame, foreground)
                val expected = pixels(result.cutout(frame, foreground))
                val found = colors(place)
                for (i in expected.indices) {
                    assertEquals("alpha $i", Color.alpha(expected[i]), Color.alpha(found[i]))
                    val alpha = Color.alpha(expected[i]).coerceAtLeast(1)
                    assertTrue("red $i", kotlin.math.abs(Color.red(expected[i]) - Color.red(found[i])) <= 255 / alpha + 1 || alpha == 1)
                }
                assertNotEquals(0, expected.count { Color.alpha(it) in 1..254 })
            }
        }
    }

    @Test
    fun bitmapsThatDoNotFitAreRefused() {
        val frame = bitmap().toFrame()
        Fixture.segmenter().use { segmenter ->
            segmenter.segmentNow(frame).use { result ->
                val wrong =
                    listOf(
                        blank(width + 1),
                        blank(width, height - 1),
                        blank(config = Bitmap.Config.RGB_565),
                        blank(config = Bitmap.Config.ALPHA_8),
                        bitmap().copy(Bitmap.Config.ARGB_8888, false),
                        blank().apply { recycle() },
                    )
                for (place in wrong) {
                    assertThrows(SilhouetteException.Unsupported::class.java) { result.overlay(place, frame) }
                    assertThrows(SilhouetteException.Unsupported::class.java) { result.maskBitmap(place) }
                    assertThrows(SilhouetteException.Unsupported::class.java) { result.picture(frame).copyTo(place) }
                }
            }
        }
    }
}
