package dev.silhouette.sample.model

/** What is done with a picture. */
enum class Effect { OVERLAY, BLUR, REPLACE, CUTOUT }

/** Which way a camera looks. */
enum class Facing {
    BACK,
    FRONT,
    ;

    /** The other way. */
    val other: Facing get() = if (this == BACK) FRONT else BACK
}

/** What lies behind the foreground where [Effect.REPLACE] is chosen. */
enum class Background { DUSK, FOREST, STUDIO, GRID, PHOTO }

/** How a picture is to look. */
data class Look(
    val effect: Effect = Effect.OVERLAY,
    /** Classes that the effect keeps; empty: all but the background. */
    val classes: Set<Int> = emptySet(),
    val background: Background = Background.DUSK,
)

/** How the engine is to run; what the settings screen changes. */
data class Settings(
    /** Threads of the engine; null leaves it to choose. */
    val threads: Int? = null,
    /** Side of the network's input in pixels. */
    val size: Int = DEFAULT_SIZE,
    val smoothing: Boolean = true,
    val refine: Boolean = false,
) {
    companion object {
        /** What the built-in model was trained at. */
        const val DEFAULT_SIZE = 257

        /** Sizes to choose from. One more than a multiple of 16: the network's map then meets the picture's corners. */
        val SIZES = listOf(129, 193, 257, 385, 513)

        /** Numbers of threads to choose from on a device with [cores]; null is the engine's own choice. */
        fun threadChoices(cores: Int): List<Int?> = listOf(null) + listOf(1, 2, 4, 8).filter { it == 1 || it <= cores }.take(3)
    }
}
