package dev.silhouette.sample.model

/** The effect on an image. */
enum class Effect { OVERLAY, BLUR, REPLACE, CUTOUT }

/** The side of a camera. */
enum class Facing {
    BACK,
    FRONT,
    ;

    /** The other side. */
    val other: Facing get() = if (this == BACK) FRONT else BACK
}

/** The background for [Effect.REPLACE]. */
enum class Background { DUSK, FOREST, STUDIO, GRID, PHOTO }

/** How an image looks. */
data class Look(
    val effect: Effect = Effect.OVERLAY,
    /** Classes that the effect keeps; empty: all except the background. */
    val classes: Set<Int> = emptySet(),
    val background: Background = Background.DUSK,
)

/** How the engine runs, as set on the settings screen. */
data class Settings(
    /** Threads of the engine; null: its default. */
    val threads: Int? = null,
    /** Side of the network's input in pixels. */
    val size: Int = DEFAULT_SIZE,
    val smoothing: Boolean = true,
    val refine: Boolean = false,
) {
    companion object {
        /** The size that the built-in model was trained at. */
        const val DEFAULT_SIZE = 257

        /** Selectable sizes. One more than a multiple of 16: the network's map then meets the image's corners. */
        val SIZES = listOf(129, 193, 257, 385, 513)

        /** Selectable numbers of threads on a device with [cores]; null is the engine's default. */
        fun threadChoices(cores: Int): List<Int?> = listOf(null) + listOf(1, 2, 4, 8).filter { it == 1 || it <= cores }.take(3)
    }
}
