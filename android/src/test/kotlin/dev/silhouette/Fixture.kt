// Shared code of the tests: the seeded model, the golden frames and masks of core/segmenter/tests/golden, generated
// images.
package dev.silhouette

import java.io.File
import java.nio.ByteBuffer
import kotlin.math.sin

internal object Fixture {
    /** The repository. */
    val root = File(System.getProperty("silhouette.root"))

    /** A model file: the complete small network with random weights that Rust's and Swift's tests use too. */
    val path: String = System.getProperty("silhouette.fixture")
    val model: Model by lazy { Model.open(path) }

    /** The same network with one logit: a model that gives an alpha. */
    val alpha: Model by lazy { Model.open(File(path).resolveSibling("alpha.safetensors").path) }

    /** One thread and masks of the frame's size by default. */
    fun segmenter(options: Options = Options(threads = 1)): Segmenter = Segmenter(model, options)

    fun direct(bytes: ByteArray): ByteBuffer = ByteBuffer.allocateDirect(bytes.size).also { it.duplicate().put(bytes) }

    /** RGBA waves, a different image for each [phase]. */
    fun picture(
        width: Int,
        height: Int,
        phase: Int = 0,
    ): ByteArray {
        val wave = { x: Int, k: Double -> sin((x + 3 * phase) / k) }
        return ByteArray(4 * width * height) { i ->
            val x = i / 4 % width
            val y = i / 4 / width
            val k = listOf(17.0, 29.0, 41.0, 0.0)[i % 4]
            if (i % 4 == 3) -1 else (127 + 120 * wave(x, k) * wave(y, k + 2)).toInt().toByte()
        }
    }

    fun frame(
        width: Int = 64,
        height: Int = 48,
        phase: Int = 0,
    ): Frame = Frame.rgba(width, height, direct(picture(width, height, phase)))

    fun bytes(buffer: ByteBuffer): ByteArray = buffer.duplicate().let { view -> ByteArray(view.remaining()).also { view.get(it) } }

    fun maskOf(segmentation: Segmentation): ByteArray = bytes(segmentation.mask())
}

/** A line of `cases.tsv`: a frame and its expected mask. */
internal class Golden(
    line: String,
) {
    private val cells = line.split('\t')
    val name = cells[0]
    private val width = cells[2].toInt()
    private val height = cells[3].toInt()
    private val planes = cells[4].split(',').map { plane -> plane.split(':').map { it.toInt() } }
    val bytes: ByteArray = folder.resolve(cells[5]).readBytes()
    val color =
        YuvColor(
            if (cells[6] == "709") YuvMatrix.BT709 else YuvMatrix.BT601,
            if (cells[7] == "video") YuvRange.VIDEO else YuvRange.FULL,
        )
    private val rotation = cells[8].toInt()
    private val isMirrored = cells[9] == "1"
    private val region = if (cells[10] == "-") null else cells[10].split(':').map { it.toInt() }.let { (x, y, w, h) -> Region(x, y, w, h) }
    val output = cells[11].split(':').map { it.toInt() }.let { (w, h) -> OutputSize.Given(w, h) }
    val mask: ByteArray = folder.resolve(cells[12]).readBytes()

    fun frame(): Frame {
        val all = Fixture.direct(bytes)
        val plane = { i: Int ->
            val (offset, length, rowStride, pixelStride) = planes[i]
            val view = all.duplicate()
            view.position(offset)
            view.limit(offset + length)
            Plane(view, rowStride, pixelStride)
        }
        val first = plane(0)
        val frame =
            when (cells[1]) {
                "rgb" -> Frame.rgb(width, height, first.data, first.rowStride)
                "rgba" -> Frame.rgba(width, height, first.data, first.rowStride)
                "bgra" -> Frame.bgra(width, height, first.data, first.rowStride)
                "gray" -> Frame.gray(width, height, first.data, first.rowStride)
                "yuv420" -> Frame.yuv420(width, height, first, plane(1), plane(2), color)
                "nv12" -> Frame.nv12(width, height, first, plane(1), color)
                "nv21" -> Frame.nv21(width, height, first, plane(1), color)
                else -> error("format ${cells[1]}")
            }
        val upright = frame.rotated(rotation).mirrored(isMirrored)
        return region?.let(upright::cropped) ?: upright
    }

    /** Instruction sets round differently, which may decide a tie: one pixel in a thousand may differ. */
    fun check(found: ByteArray) {
        check(found.size == mask.size) { "$name: ${found.size} pixels of ${mask.size}" }
        val different = mask.indices.count { mask[it] != found[it] }
        check(1000 * different <= mask.size) { "$name: $different of ${mask.size} pixels differ" }
    }

    companion object {
        private val folder = Fixture.root.resolve("core/segmenter/tests/golden")
        val all: List<Golden> =
            folder
                .resolve("cases.tsv")
                .readLines()
                .drop(1)
                .map(::Golden)
    }
}
