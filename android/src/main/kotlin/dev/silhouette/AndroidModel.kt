// Models that an Android app carries as assets.
package dev.silhouette

import android.content.Context
import android.content.res.AssetFileDescriptor
import java.io.FileNotFoundException
import java.io.IOException

/** Folder of the library's own weights among an app's assets. */
private const val FOLDER = "silhouette"

/**
 * People, as one alpha: how much of each pixel belongs to a person. For blurred and replaced backgrounds and cut-outs.
 * Throws [SilhouetteException.InvalidModel] if the app's build left this model out.
 */
public fun Model.Companion.people(context: Context): Model = packaged(context, "silhouette-person.safetensors")

/**
 * The 21 classes of PASCAL VOC: background, people, animals, vehicles, furniture. Throws [SilhouetteException.InvalidModel] if the app's build left
 * this model out.
 */
public fun Model.Companion.voc21(context: Context): Model = packaged(context, "silhouette-voc21.safetensors")

/** A model that comes with the library. */
private fun Model.Companion.packaged(
    context: Context,
    file: String,
): Model =
    asset(context, "$FOLDER/$file") { problem ->
        SilhouetteException.InvalidModel(
            "the app has no $FOLDER/$file among its assets: $problem",
            "remove it from androidResources.ignoreAssetsPatterns in the app's Gradle build, or open a model of your own",
        )
    }

/**
 * A model among an app's assets. Its weights are read in place if it is stored uncompressed (`noCompress += "safetensors"` in Gradle's
 * `androidResources`), otherwise it is unpacked into memory. Throws [SilhouetteException.InvalidModel] if there is none with this name.
 */
public fun Model.Companion.fromAsset(
    context: Context,
    name: String,
): Model =
    asset(context, name) { problem ->
        SilhouetteException.InvalidModel("no asset '$name': $problem", "put the model under src/main/assets")
    }

/** Opens an asset; [missing] is the error if there is none. */
private inline fun Model.Companion.asset(
    context: Context,
    name: String,
    missing: (String?) -> SilhouetteException,
): Model =
    try {
        openInPlace(context, name) ?: fromBytes(context.assets.open(name).use { it.readBytes() })
    } catch (error: IOException) {
        throw missing(error.message)
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
        openPart("/proc/self/fd/${asset.parcelFileDescriptor.fd}", asset.startOffset, asset.length)
    }
}
