// Models: weights and their meaning.
package dev.silhouette

import java.nio.Buffer
import java.nio.ByteBuffer
import dev.silhouette.ffi.Model as NativeModel
import dev.silhouette.ffi.Task as NativeTask

/**
 * A model file, opened and checked. Immutable and thread-safe. It need not be closed: its memory is freed with its last
 * user.
 *
 * The models that come with the Android library are `Model.people(context)` and `Model.voc21(context)`.
 */
public class Model internal constructor(
    internal val ffi: NativeModel,
) {
    private val info = native { ffi.info() }

    /** Its name. */
    public val name: String get() = info.name

    /** Its task. */
    public val task: Task =
        when (info.task) {
            NativeTask.SEGMENTATION -> Task.SEGMENTATION
            NativeTask.ALPHA -> Task.ALPHA
            NativeTask.CLASSIFICATION -> Task.CLASSIFICATION
        }

    /** One label per class; class 0 is the background. */
    public val labels: List<String> get() = info.labels

    /** A colour int for each class, 0xFFRRGGBB. */
    public val colors: List<Int> = info.colors.map { it.toInt() or (0xFF shl 24) }

    /** Side of the square input that the weights were trained for, in pixels. */
    public val size: Int get() = info.size.toInt()

    /** Licence of the weights; empty if it is unknown. */
    public val licence: String get() = info.licence

    /** Origin of the weights. */
    public val provenance: String get() = info.provenance

    /** The class with a label, ignoring case. If there is none, throws [SilhouetteException.Unsupported], which lists the labels. */
    public fun classIndex(label: String): Int = native { ffi.classOf(label) }.toInt()

    /**
     * The same weights in a network with another output stride (8, 16 or 32): a smaller one produces a finer mask at a
     * higher cost.
     */
    public fun withOutputStride(outputStride: Int): Model =
        Model(native { ffi.withOutputStride(outputStride.unsigned("an output stride")) })

    public companion object {
        /**
         * Opens a model file, as `silhouette import` writes it; its weights are read when a [Segmenter] is created. To replace it, rename a new file over it: if it is truncated or written to
         * instead, creating a segmenter fails. Throws [SilhouetteException.InvalidModel] if it cannot be read, is damaged or contains an unknown network.
         */
        public fun open(path: String): Model = Model(native { NativeModel.open(path) })

        /**
         * Opens a model inside another file, such as an asset of the app's package: [length] bytes starting at
         * [offset]. Otherwise like [open].
         */
        public fun openPart(
            path: String,
            offset: Long,
            length: Long,
        ): Model {
            if (offset < 0 || length < 0) {
                throw SilhouetteException.InvalidModel("$length bytes from $offset on", "pass the model's position in the file")
            }
            return Model(native { NativeModel.openPart(path, offset.toULong(), length.toULong()) })
        }

        /** Reads a model file from memory; it is copied. */
        public fun fromBytes(bytes: ByteArray): Model = fromBytes(ByteBuffer.wrap(bytes))

        /** Reads a model file from the buffer's position to its limit, which do not change; it is copied. */
        public fun fromBytes(buffer: ByteBuffer): Model {
            val view = buffer.duplicate()
            val direct = if (view.isDirect) view.slice() else ByteBuffer.allocateDirect(view.remaining()).put(view)
            // As a `Buffer`: since Java 9 ByteBuffer has a method of its own, which old versions of Android do not have.
            (direct as Buffer).rewind()
            return Model(native { NativeModel.fromBytes(direct) })
        }
    }
}

/** The task of a model. */
public enum class Task {
    /** A class for each pixel: for [Segmenter]. */
    SEGMENTATION,

    /**
     * How much of each pixel is foreground: for [Segmenter] too. There are two classes, background and foreground; the confidence of the
     * foreground, which effects use, is the alpha itself.
     */
    ALPHA,

    /** Classes of the image as a whole. */
    CLASSIFICATION,
}
