// Invalid frames and buffers: a typed error, every time, and the segmenter stays usable.
package dev.silhouette

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.nio.ByteBuffer

internal class HostileFrameTest {
    private fun bytes(count: Int): ByteBuffer = ByteBuffer.allocateDirect(count)

    private fun plane(
        count: Int,
        rowStride: Int,
        pixelStride: Int = 1,
    ): Plane = Plane(bytes(count), rowStride, pixelStride)

    /** The problem, a word that the reason must contain, the frame. 8x6 pixels: 48 bytes of luma, 4x3 of chroma. */
    private val wrong: List<Triple<String, String, Frame>> =
        listOf(
            Triple("no columns", "empty", Frame.rgba(0, 6, bytes(400))),
            Triple("no rows", "empty", Frame.rgba(8, 0, bytes(400))),
            Triple("negative columns", "width", Frame.rgba(-8, 6, bytes(400), 32)),
            Triple("negative rows", "height", Frame.rgba(8, -6, bytes(400), 32)),
            Triple("huge", "too large", Frame.rgba(Int.MAX_VALUE, 6, bytes(400), Int.MAX_VALUE)),
            Triple("huge rows", "too large", Frame.gray(1, Int.MAX_VALUE, bytes(400))),
            Triple("one byte short", "191 bytes", Frame.rgba(8, 6, bytes(191))),
            Triple("empty buffer", "", Frame.rgba(8, 6, bytes(0))),
            Triple("narrow rows", "row stride", Frame.rgba(8, 6, bytes(400), 31)),
            Triple("negative row stride", "row stride", Frame.rgba(8, 6, bytes(400), -32)),
            Triple("huge row stride", "bytes", Frame.rgba(8, 6, bytes(400), Int.MAX_VALUE)),
            Triple("not direct", "not direct", Frame.rgba(8, 6, ByteBuffer.allocate(400))),
            Triple("not direct, wrapped", "not direct", Frame.rgba(8, 6, ByteBuffer.wrap(ByteArray(400)))),
            Triple("second plane not direct", "not direct", Frame.nv12(8, 6, plane(48, 8), Plane(ByteBuffer.allocate(24), 8))),
            Triple("beyond the limit", "bytes", Frame.rgba(8, 6, bytes(400).apply { limit(191) })),
            Triple("after the position", "bytes", Frame.rgba(8, 6, bytes(192).apply { position(1) })),
            Triple("short luma", "plane Y", Frame.yuv420(8, 6, plane(47, 8), plane(12, 4), plane(12, 4))),
            Triple("short chroma", "plane V", Frame.yuv420(8, 6, plane(48, 8), plane(12, 4), plane(11, 4))),
            Triple("short by a stride", "plane U", Frame.yuv420(8, 6, plane(48, 8), plane(22, 8, 2), plane(23, 8, 2))),
            Triple("no pixel stride", "pixel stride", Frame.yuv420(8, 6, plane(48, 8), plane(12, 4, 0), plane(12, 4))),
            Triple("negative pixel stride", "pixel stride", Frame.yuv420(8, 6, plane(48, 8), plane(12, 4, -1), plane(12, 4))),
            Triple("huge pixel stride", "stride", Frame.yuv420(8, 6, plane(48, 8), plane(12, 4, Int.MAX_VALUE), plane(12, 4))),
            Triple("short pairs", "plane UV", Frame.nv12(8, 6, plane(48, 8), plane(23, 8))),
            Triple("narrow pairs", "row stride", Frame.nv21(8, 6, plane(48, 8), plane(24, 7))),
            Triple("region over the edge", "region", Frame.rgba(8, 6, bytes(192)).cropped(Region(1, 0, 8, 6))),
            Triple("region beside it", "region", Frame.rgba(8, 6, bytes(192)).cropped(Region(8, 0, 1, 1))),
            Triple("region of a rotated image", "region", Frame.rgba(8, 6, bytes(192)).rotated(90).cropped(Region(0, 0, 8, 6))),
            Triple("negative region", "region", Frame.rgba(8, 6, bytes(192)).cropped(Region(-1, 0, 2, 2))),
            Triple("negative region, rotated", "region", Frame.rgba(8, 6, bytes(192)).cropped(Region(-1, 0, 2, 2)).rotated(90)),
            Triple("negative size, mirrored", "region", Frame.rgba(8, 6, bytes(192)).cropped(Region(0, 0, -1, 2)).mirrored()),
            Triple("huge region, rotated", "region", Frame.rgba(8, 6, bytes(192)).cropped(Region(1, 1, Int.MAX_VALUE, 1)).rotated(180)),
            Triple("huge region", "region", Frame.rgba(8, 6, bytes(192)).cropped(Region(1, 1, Int.MAX_VALUE, Int.MAX_VALUE))),
        )

    @Test
    fun wrongFramesAreInvalid() {
        Fixture.segmenter().use { segmenter ->
            val video = VideoSegmenter(segmenter)
            LiveSegmenter(segmenter) { }.use { live ->
                val good = Fixture.frame(8, 6)
                segmenter.segmentNow(good).use { result ->
                    for ((what, word, frame) in wrong) {
                        val uses: List<() -> Any?> =
                            listOf(
                                { segmenter.segmentNow(frame) },
                                { video.segmentNow(frame, 0) },
                                { live.submit(frame, 0) },
                                { result.blur(frame) },
                                { result.replace(background = frame, frame = good) },
                            )
                        for (use in uses) {
                            val error = assertThrows(what, SilhouetteException.InvalidFrame::class.java) { use() }
                            assertTrue("$what: $error", word in error.reason && error.advice.isNotEmpty())
                        }
                    }
                }
                segmenter.segmentNow(good).close()
            }
        }
    }

    @Test
    fun framesThatOnlyLookWrongAreTaken() {
        Fixture.segmenter().use { segmenter ->
            val right =
                listOf(
                    "exactly as long as it must be" to Frame.rgba(8, 6, bytes(192)),
                    "a row of any stride" to Frame.rgba(8, 1, bytes(32), 0),
                    "a position and a limit" to Frame.rgba(8, 6, bytes(300).apply { position(100).limit(292) }),
                    "read-only" to Frame.rgba(8, 6, bytes(192).asReadOnlyBuffer()),
                    "a slice" to Frame.rgba(8, 6, bytes(200).apply { position(5) }.slice()),
                    // As in Android's cameras: the second chroma plane begins one byte later and ends with its last
                    // sample.
                    "a short last row" to Frame.yuv420(8, 6, plane(48, 8), plane(23, 8, 2), plane(23, 8, 2)),
                    "odd sizes" to Frame.yuv420(7, 5, plane(35, 7), plane(12, 4), plane(12, 4)),
                    "one pixel" to Frame.nv21(1, 1, plane(1, 1), plane(2, 2)),
                    "a region of one pixel" to
                        Frame
                            .rgba(8, 6, bytes(192))
                            .rotated(270)
                            .mirrored()
                            .cropped(Region(5, 7, 1, 1)),
                )
            for ((what, frame) in right) {
                segmenter.segmentNow(frame).use {
                    assertEquals(what, frame.region.size, Size(it.width, it.height))
                }
            }
        }
    }

    @Test
    fun positionAndLimitAreObeyed() {
        val pixels = Fixture.picture(20, 10)
        val shifted = bytes(pixels.size + 37)
        shifted.position(37)
        shifted.duplicate().put(pixels)
        Fixture.segmenter().use { segmenter ->
            val expected = segmenter.segmentNow(Frame.rgba(20, 10, Fixture.direct(pixels))).use { Fixture.maskOf(it).toList() }
            val found = segmenter.segmentNow(Frame.rgba(20, 10, shifted)).use { Fixture.maskOf(it).toList() }
            assertEquals(expected, found)
            assertEquals(37, shifted.position())
        }
    }

    @Test
    fun wrongPlacesForResultsAreInvalid() {
        Fixture.segmenter().use { segmenter ->
            segmenter.segmentNow(Fixture.frame(8, 6)).use { result ->
                val places: List<Pair<ByteBuffer, Int>> =
                    listOf(
                        bytes(47) to 8,
                        bytes(0) to 8,
                        bytes(48).apply { position(1) } to 8,
                        bytes(48).apply { limit(47) } to 8,
                        bytes(48) to 7,
                        bytes(48) to 9,
                        bytes(48) to -8,
                        bytes(48) to Int.MAX_VALUE,
                        bytes(48) to Int.MIN_VALUE,
                        ByteBuffer.allocate(48) to 8,
                        bytes(48).asReadOnlyBuffer() to 8,
                    )
                for ((i, place) in places.withIndex()) {
                    val (buffer, stride) = place
                    assertThrows("mask $i", SilhouetteException.InvalidFrame::class.java) { result.mask(buffer, stride) }
                    assertThrows("confidence $i", SilhouetteException.InvalidFrame::class.java) {
                        result.confidence(buffer, intArrayOf(1), stride)
                    }
                }
                result.mask(bytes(48), 8)
            }
        }
    }

    @Test
    fun aFrameSaysWhatItWasGiven() {
        val frame =
            Frame
                .rgba(8, 6, bytes(192))
                .rotated(90)
                .mirrored()
                .cropped(Region(1, 2, 3, 4))
                .at(77)
        assertEquals(listOf(8, 6, 90), listOf(frame.width, frame.height, frame.rotation))
        assertEquals(Size(6, 8), frame.uprightSize)
        assertTrue(frame.isMirrored)
        assertEquals(Region(1, 2, 3, 4), frame.region)
        assertEquals(77L, frame.timestampNanos)
        assertEquals(Region(0, 0, 8, 6), Frame.rgba(8, 6, bytes(192)).region)
        assertEquals(YuvColor(YuvMatrix.BT601, YuvRange.FULL), YuvColor.CAMERA)
    }
}
