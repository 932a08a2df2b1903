package dev.silhouette.sample.model

import android.content.SharedPreferences

/** What the app remembers between runs. */
class Memory(
    private val preferences: SharedPreferences,
) {
    var settings: Settings
        get() =
            Settings(
                threads = preferences.getInt("threads", 0).takeIf { it in 1..64 },
                size = preferences.getInt("size", 0).takeIf { it in Settings.SIZES },
                smoothing = preferences.getBoolean("smoothing", true),
                refine = preferences.getBoolean("refine", true),
                model = choice<ModelName>("model"),
            )
        set(value) =
            edit {
                putInt("threads", value.threads ?: 0)
                putInt("size", value.size ?: 0)
                putBoolean("smoothing", value.smoothing)
                putBoolean("refine", value.refine)
                putString("model", value.model?.name)
            }

    var look: Look
        get() =
            Look(
                effect = choice("effect", Effect.OVERLAY),
                classes =
                    preferences
                        .getStringSet("classes", null)
                        .orEmpty()
                        .mapNotNull(String::toIntOrNull)
                        .toSortedSet(),
                background = choice("background", Background.DUSK),
            )
        set(value) =
            edit {
                putString("effect", value.effect.name)
                putStringSet("classes", value.classes.map(Int::toString).toSet())
                putString("background", value.background.name)
            }

    var facing: Facing
        get() = choice("facing", Facing.BACK)
        set(value) = edit { putString("facing", value.name) }

    var showStats: Boolean
        get() = preferences.getBoolean("stats", false)
        set(value) = edit { putBoolean("stats", value) }

    /** How often camera permission was refused since it was last granted. */
    var refusals: Int
        get() = preferences.getInt("refusals", 0)
        set(value) = edit { putInt("refusals", value) }

    /** Whether the system will not ask for camera permission again. */
    var refusedForGood: Boolean
        get() = preferences.getBoolean("refused for good", false)
        set(value) = edit { putBoolean("refused for good", value) }

    private inline fun <reified T : Enum<T>> choice(
        key: String,
        otherwise: T,
    ): T = choice<T>(key) ?: otherwise

    private inline fun <reified T : Enum<T>> choice(key: String): T? =
        enumValues<T>().firstOrNull { it.name == preferences.getString(key, null) }

    private inline fun edit(change: SharedPreferences.Editor.() -> Unit) = preferences.edit().apply(change).apply()
}
