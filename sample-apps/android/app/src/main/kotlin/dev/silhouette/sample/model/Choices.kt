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

/** The models that come with the library. */
enum class ModelName {
    /** An alpha of all people. */
    PEOPLE,

    /** 21 classes. */
    VOC21,
}

/** How an image looks. */
data class Look(
    val effect: Effect = Effect.OVERLAY,
    /** Classes of [ModelName.VOC21] that the effect keeps; empty: all that the model finds. */
    val classes: Set<Int> = emptySet(),
    val background: Background = Background.DUSK,
)

/** How the engine runs, as set on the settings screen. */
data class Settings(
    /** Threads of the engine; null: its default. */
    val threads: Int? = null,
    /** Longer side of the network's input in pixels; null: the model's own. */
    val size: Int? = null,
    val smoothing: Boolean = true,
    val refine: Boolean = true,
    /** Null: the one that suits the look. */
    val model: ModelName? = null,
) {
    /**
     * The model for [look]: the overlay needs the classes, the other effects are about people unless other classes are chosen. [person] is the
     * class of people in [ModelName.VOC21].
     */
    fun modelFor(
        look: Look,
        person: Int,
    ): ModelName =
        when {
            model != null -> model
            look.effect == Effect.OVERLAY || (look.classes - person).isNotEmpty() -> ModelName.VOC21
            else -> ModelName.PEOPLE
        }

    companion object {
        /** Selectable sizes. One more than a multiple of 16: the network's map then meets the image's corners. */
        val SIZES = listOf(null, 129, 193, 257, 385, 513)

        /** Selectable numbers of threads on a device with [cores]; null is the engine's default. */
        fun threadChoices(cores: Int): List<Int?> = listOf(null) + listOf(1, 2, 4, 8).filter { it == 1 || it <= cores }.take(3)
    }
}
