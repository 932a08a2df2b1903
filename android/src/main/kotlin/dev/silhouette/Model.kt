// Models: weights and what they mean.
package dev.silhouette

import java.nio.Buffer
import java.nio.ByteBuffer
import dev.silhouette.ffi.Model as NativeModel
import dev.silhouette.ffi.Task as NativeTask

/**
 * A model file, opened and checked. Immutable, for any thread. Nothing is to be closed: its memory goes with its last user.
 *
 * The weights that come with the Android library are `Model.builtIn(context)`.
 */
public class Model internal constructor(
    internal val ffi: NativeModel,
) {
    /** What the model says about itself. */
    public val info: ModelInfo = native { ffi.info() }.let(ModelInfo::of)

    /** One label per class; class 0 is the background. */
    public val labels: List<String> get() = info.labels

    /** The class of a label; upper and lower case are the same. [SilhouetteException.Unsupported] lists those that there are. */
    public fun classOf(label: String): Int = native { ffi.classOf(label) }.toInt()

    /** The colour of a class as a colour int, 0xFFRRGGBB; black for a class that the model does not have. */
    public fun color(classIndex: Int): Int = info.colors.getOrElse(classIndex) { 0xFF shl 24 }

    /**
     * The same weights in a network of another output stride (8, 16 or 32): a smaller one gives a finer mask for more work.
     */
    public fun withOutputStride(outputStride: Int): Model =
        Model(native { ffi.withOutputStride(outputStride.unsigned("an output stride")) })

    public companion object {
        /**
         * Opens a model file, as `silhouette import` writes them; its weights are read when a [Segmenter] is made. Replace
         * it by renaming a new file over it: one that was cut or written to by then is an error. [SilhouetteException.InvalidModel] where it cannot be read, is damaged or holds no known network.
         */
        public fun open(path: String): Model = Model(native { NativeModel.open(path) })

        /**
         * Opens a model that is a part of another file, such as an asset of the app's package: [length] bytes from
         * [offset] on. Otherwise as [open].
         */
        public fun open(
            path: String,
            offset: Long,
            length: Long,
        ): Model {
            if (offset < 0 || length < 0) {
                throw SilhouetteException.InvalidModel("$length bytes from $offset on", "pass where the model lies in the file")
            }
            return Model(native { NativeModel.openPart(path, offset.toULong(), length.toULong()) })
        }

        /** A model file's content; it is copied. */
        public fun from(bytes: ByteArray): Model = from(ByteBuffer.wrap(bytes))

        /** A model file's content, from the buffer's position to its limit, which stay; it is copied. */
        public fun from(buffer: ByteBuffer): Model {
            val view = buffer.duplicate()
            val direct = if (view.isDirect) view.slice() else ByteBuffer.allocateDirect(view.remaining()).put(view)
            // As a `Buffer`: Java 9 gave ByteBuffer a method of its own, which old versions of Android do not know.
            (direct as Buffer).rewind()
            return Model(native { NativeModel.fromBytes(direct) })
        }
    }
}

/** What a model says about itself. */
public class ModelInfo internal constructor(
    /** Its name. */
    public val name: String,
    /** What it is for. */
    public val task: Task,
    /** One label per class; class 0 is the background. */
    public val labels: List<String>,
    /** A colour int for each class, 0xFFRRGGBB. */
    public val colors: List<Int>,
    /** Side of the square input that the weights were made for, in pixels. */
    public val size: Int,
    /** Licence of the weights; empty where it is not stated. */
    public val licence: String,
    /** Where the weights come from. */
    public val provenance: String,
) {
    internal companion object {
        fun of(info: dev.silhouette.ffi.ModelInfo): ModelInfo =
            ModelInfo(
                info.name,
                when (info.task) {
                    NativeTask.SEGMENTATION -> Task.SEGMENTATION
                    NativeTask.ALPHA -> Task.ALPHA
                    NativeTask.CLASSIFICATION -> Task.CLASSIFICATION
                },
                info.labels,
                info.colors.map { it.toInt() or (0xFF shl 24) },
                info.size.toInt(),
                info.licence,
                info.provenance,
            )
    }
}

/** What a model is for. */
public enum class Task {
    /** A class for each pixel: for [Segmenter]. */
    SEGMENTATION,

    /**
     * How much of each pixel is foreground: for [Segmenter] too. There are two classes, background and foreground; the confidence of the
     * foreground, which effects use, is the alpha itself.
     */
    ALPHA,

    /** Classes for the picture as a whole. */
    CLASSIFICATION,
}
