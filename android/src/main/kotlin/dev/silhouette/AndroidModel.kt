// Models that an Android app carries as assets.
package dev.silhouette

import android.content.Context
import android.content.res.AssetFileDescriptor
import java.io.FileNotFoundException
import java.io.IOException

/** Path of the library's own weights among an app's assets. */
private const val BUILT_IN = "silhouette/silhouette-voc21.safetensors"

/** The model that comes with the library: the 21 classes of PASCAL VOC (people, pets, vehicles, furniture). */
public fun Model.Companion.builtIn(context: Context): Model = fromAsset(context, BUILT_IN)

/**
 * A model among an app's assets. Its weights are read in place if it is stored uncompressed (`noCompress += "safetensors"` in Gradle's
 * `androidResources`), otherwise it is unpacked into memory. [SilhouetteException.InvalidModel] if there is none with this name.
 */
public fun Model.Companion.fromAsset(
    context: Context,
    name: String,
): Model =
    try {
        openInPlace(context, name) ?: from(context.assets.open(name).use { it.readBytes() })
    } catch (error: IOException) {
        throw SilhouetteException.InvalidModel("no asset '$name': ${error.message}", "put the model under src/main/assets")
    }

/** Null if the asset is compressed. */
private fun Model.Companion.openInPlace(
    context: Context,
    name: String,
): Model? {
    val descriptor =
        try {
            context.assets.openFd(name)
        } catch (_: FileNotFoundException) {
            // Compressed; or missing, which reading it will report.
            return null
        }
    return descriptor.use { asset ->
        if (asset.length == AssetFileDescriptor.UNKNOWN_LENGTH) return null
        open("/proc/self/fd/${asset.parcelFileDescriptor.fd}", asset.startOffset, asset.length)
    }
}
