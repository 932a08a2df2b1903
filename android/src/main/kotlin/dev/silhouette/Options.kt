// Options for running a model.
package dev.silhouette

import java.io.File
import dev.silhouette.ffi.Backend as NativeBackend
import dev.silhouette.ffi.InputShape as NativeInputShape
import dev.silhouette.ffi.Options as NativeOptions
import dev.silhouette.ffi.OutputSize as NativeOutputSize
import dev.silhouette.ffi.Precision as NativePrecision

/**
 * Options of a [Segmenter]; null means the default.
 *
 * @property threads threads per call, 1 to 64; default: as many as are useful, at most 4
 * @property backend the backend that runs the network
 * @property size side of the network's input in pixels, the longer one if it is not square; smaller is faster, larger is finer; default: the model's
 * @property concurrency number of concurrent calls, each in memory of its own; further ones wait; default: 2
 * @property output the size of the masks
 * @property refine whether the soft borders of cut-out, blurred and replaced images follow the image's edges; default: true
 * @property weightCache a folder private to the app, in its cache folder, in which the packed weights are cached (4 bytes per parameter, 2 in f16, at
 *   most four files): opening the same model file again is then several times faster, and its weights are pages of that file instead of the app's
 *   own memory; models in memory are not cached; null: no cache
 * @property inputShape whether the network sees a square or the frame's own shape; default: the frame's
 * @property precision the number format that the network computes in; default: f16 if that is fast and safe
 */
public data class Options(
    public val threads: Int? = null,
    public val backend: Backend = Backend.AUTO,
    public val size: Int? = null,
    public val concurrency: Int? = null,
    public val output: OutputSize = OutputSize.Frame,
    public val refine: Boolean = true,
    public val weightCache: File? = null,
    public val inputShape: InputShape = InputShape.FRAME,
    public val precision: Precision = Precision.AUTO,
) {
    internal fun lower(): NativeOptions =
        NativeOptions(
            threads = threads?.unsigned("a number of threads"),
            backend =
                when (backend) {
                    Backend.AUTO -> NativeBackend.AUTO
                    Backend.CPU -> NativeBackend.CPU
                },
            precision =
                when (precision) {
                    Precision.AUTO -> NativePrecision.AUTO
                    Precision.F32 -> NativePrecision.F32
                    Precision.F16 -> NativePrecision.F16
                    Precision.INT8 -> NativePrecision.INT8
                },
            size = size?.unsigned("an input size"),
            inputShape =
                when (inputShape) {
                    InputShape.SQUARE -> NativeInputShape.SQUARE
                    InputShape.FRAME -> NativeInputShape.FRAME
                },
            concurrency = concurrency?.unsigned("a concurrency"),
            output = output.lower(),
            refine = refine,
            weightCache = weightCache?.path,
        )
}

/** The backend that runs the network. */
public enum class Backend {
    /** The best one available: currently the CPU. */
    AUTO,

    /** The CPU. */
    CPU,
}

/** The number format that the network computes in. Images, confidences and alpha have the same types in every precision. */
public enum class Precision {
    /** [INT8] for quantised models if the CPU has a dot product of bytes; otherwise f16 if the CPU supports f16 arithmetic (most phones since 2018) and the activations of the model's feature extractor are bounded by ReLU6; otherwise f32. */
    AUTO,

    /** 32-bit floats. */
    F32,

    /** 16-bit floats: half the memory, and about half the time if the CPU supports f16 arithmetic; otherwise slower than [F32]. */
    F16,

    /** Eight-bit integers, for quantised models only: a quarter of the memory, and the fastest if the CPU has a dot product of bytes. */
    INT8,
}

/** The shape of the network's input. */
public enum class InputShape {
    /** A square, as models are trained. An image of another shape leaves part of it grey, and computing that part takes as much time as any other. */
    SQUARE,

    /**
     * The frame's own shape: the longer side is [Options.size], the shorter one the next 16 n + 1. At 16:9 this takes 0.56 times the
     * square's multiply-accumulates, at 4:3 0.75 times. The network is prepared for upright images of 3:4. The first frame of a shape
     * other than the last two costs as much as opening the model.
     */
    FRAME,
}

/** The size of a mask. */
public sealed class OutputSize {
    /** One class per pixel of the frame's region, upright. */
    public data object Frame : OutputSize()

    /** The network's own resolution: the part of its input that the image covers. */
    public data object Model : OutputSize()

    /**
     * Any other size.
     *
     * @property width columns
     * @property height rows
     */
    public data class Given(
        public val width: Int,
        public val height: Int,
    ) : OutputSize()

    internal fun lower(): NativeOutputSize =
        when (this) {
            Frame -> NativeOutputSize.Frame
            Model -> NativeOutputSize.Model
            is Given -> NativeOutputSize.Given(width.unsigned("a mask's width"), height.unsigned("a mask's height"))
        }
}

/** This number as the library's unsigned type. */
internal fun Int.unsigned(what: String): UInt {
    if (this < 0) throw SilhouetteException.Unsupported("$what of $this", "it cannot be negative")
    return toUInt()
}
