// How a model is to be run.
package dev.silhouette

import java.io.File
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import dev.silhouette.ffi.Backend as NativeBackend
import dev.silhouette.ffi.InputShape as NativeInputShape
import dev.silhouette.ffi.Options as NativeOptions
import dev.silhouette.ffi.OutputSize as NativeOutputSize
import dev.silhouette.ffi.Smoothing as NativeSmoothing

/**
 * Options of a [Segmenter]; what is null is chosen.
 *
 * @property threads threads of one call, 1 to 64; chosen: as many as pay, at most 4
 * @property backend where to compute
 * @property size side of the network's input in pixels, the longer one where it is not square; smaller is faster, larger is finer; chosen: the model's
 * @property concurrency how many calls run at once, each in memory of its own; further ones wait; chosen: 2
 * @property output the size of the masks
 * @property refine whether the soft borders of cut-out, blurred and replaced pictures follow the picture's edges
 * @property smoothing how videos and live streams are calmed over time
 * @property weightCache a folder of the app's own, in its cache folder, in which the weights are kept as the kernels read them (4 bytes a parameter, at
 *   most four files): opening the same model file again is then several times faster, and its weights are pages of that file instead of the app's
 *   own memory; models in memory are not kept; null: nothing is kept
 * @property inputShape whether the network sees a square or the frame's own shape
 */
public data class Options(
    public val threads: Int? = null,
    public val backend: Backend = Backend.AUTO,
    public val size: Int? = null,
    public val concurrency: Int? = null,
    public val output: OutputSize = OutputSize.Frame,
    public val refine: Boolean = false,
    public val smoothing: Smoothing = Smoothing(),
    public val weightCache: File? = null,
    public val inputShape: InputShape = InputShape.SQUARE,
) {
    internal fun lower(): NativeOptions =
        NativeOptions(
            threads = threads?.unsigned("a number of threads"),
            backend =
                when (backend) {
                    Backend.AUTO -> NativeBackend.AUTO
                    Backend.CPU -> NativeBackend.CPU
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

/** Where to compute. */
public enum class Backend {
    /** The best that is there: for now the CPU. */
    AUTO,

    /** The CPU. */
    CPU,
}

/** The shape of the network's input. */
public enum class InputShape {
    /** A square, as models are trained; a picture of another shape leaves a part of it grey, and that part costs as much as any other. */
    SQUARE,

    /**
     * The frame's own shape: [Options.size] for its longer side, the next 16 n + 1 for its shorter one. Of 16:9 that is 0.56 of the square's
     * arithmetic, of 4:3 0.75. Another shape than the two last ones costs as much as opening the model, at its first frame.
     */
    FRAME,
}

/** The size of a mask. */
public sealed class OutputSize {
    /** One class per pixel of the frame's region, upright. */
    public data object Frame : OutputSize()

    /** The network's own resolution: the part of its input that the picture covers. */
    public data object Model : OutputSize()

    /**
     * Any other.
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

/**
 * How a video's frames are smoothed: calm where the picture is calm, at once where it moves.
 *
 * @property halfLife in a calm picture, what was seen this long ago weighs half; zero: no smoothing
 * @property longestPause a pause between frames longer than this starts afresh
 */
public data class Smoothing(
    public val halfLife: Duration = 100.milliseconds,
    public val longestPause: Duration = 1.seconds,
) {
    internal fun lower(): NativeSmoothing {
        if (halfLife.isNegative() || longestPause.isNegative()) {
            throw SilhouetteException.Unsupported("a half-life of $halfLife, a pause of $longestPause", "time runs forwards")
        }
        return NativeSmoothing(halfLife.inWholeNanoseconds.toULong(), longestPause.inWholeNanoseconds.toULong())
    }

    public companion object {
        /** Each frame by itself. */
        public val NONE: Smoothing = Smoothing(Duration.ZERO)
    }
}

/** This number for the library, which knows no negative ones. */
internal fun Int.unsigned(what: String): UInt {
    if (this < 0) throw SilhouetteException.Unsupported("$what of $this", "it cannot be negative")
    return toUInt()
}
