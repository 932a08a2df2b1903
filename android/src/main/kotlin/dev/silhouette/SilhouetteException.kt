// The library's exceptions, in five kinds that a caller can act on.
package dev.silhouette

import dev.silhouette.ffi.InternalException as UniffiInternal
import dev.silhouette.ffi.SilhouetteException as NativeException

/**
 * Every error of this library. Unchecked, like all of Kotlin's exceptions. Its message is the kind, the reason and the advice, as in
 * "invalid frame: plane Y has 10 bytes, its size and strides need 16; pass planes, strides and sizes as the camera or decoder reports them".
 *
 * @property reason what was wrong, and where
 * @property advice what the caller can do
 */
public sealed class SilhouetteException(
    kind: String,
    public val reason: String,
    public val advice: String,
) : RuntimeException(if (advice.isEmpty()) "$kind: $reason" else "$kind: $reason; $advice") {
    /** The frame or buffer cannot be used: sizes, strides, planes, region, a buffer that is not direct. */
    public class InvalidFrame(
        reason: String,
        advice: String,
    ) : SilhouetteException("invalid frame", reason, advice)

    /** The model cannot be used: truncated, damaged, of an unknown network, or for another task. */
    public class InvalidModel(
        reason: String,
        advice: String,
    ) : SilhouetteException("invalid model", reason, advice)

    /** The request is well-formed, but not supported here: backend, size, class, a bitmap's configuration. */
    public class Unsupported(
        reason: String,
        advice: String,
    ) : SilhouetteException("unsupported", reason, advice)

    /** The object was closed; calls that were still waiting end with this too. */
    public class Closed(
        reason: String,
        advice: String,
    ) : SilhouetteException("closed", reason, advice)

    /** A fault of this library or of the underlying system. */
    public class Internal(
        reason: String,
        advice: String,
    ) : SilhouetteException("internal", reason, advice)

    internal companion object {
        /** By the number of its kind, as in `Native`. */
        fun of(
            kind: Int,
            reason: String,
            advice: String,
        ): SilhouetteException =
            when (kind) {
                1 -> InvalidFrame(reason, advice)
                2 -> InvalidModel(reason, advice)
                3 -> Unsupported(reason, advice)
                4 -> Closed(reason, advice)
                else -> Internal(reason, advice)
            }

        fun of(error: NativeException): SilhouetteException =
            when (error) {
                is NativeException.InvalidFrame -> InvalidFrame(error.reason, error.advice)
                is NativeException.InvalidModel -> InvalidModel(error.reason, error.advice)
                is NativeException.Unsupported -> Unsupported(error.reason, error.advice)
                is NativeException.Closed -> Closed(error.reason, error.advice)
                is NativeException.Internal -> Internal(error.reason, error.advice)
            }
    }
}

/** Runs [call], which goes through uniffi, with the library loaded; converts its errors to ours. */
internal inline fun <T> native(call: () -> T): T {
    Native.load()
    try {
        return call()
    } catch (error: NativeException) {
        throw SilhouetteException.of(error)
    } catch (error: UniffiInternal) {
        throw SilhouetteException.Internal(error.message ?: "a panic", "please report it")
    }
}
