package dev.silhouette.sample.model

/** Everything that the camera screen shows, except the images themselves. */
data class UiState(
    val screen: Screen = Screen.Nothing,
    val look: Look = Look(),
    val facing: Facing = Facing.BACK,
    /** Whether there is a camera on the other side. */
    val canSwitch: Boolean = false,
    val showStats: Boolean = false,
    val picking: Boolean = false,
    /** The running engine; null while it is being created. */
    val engine: EngineInfo? = null,
)

/** The screen that is shown. */
sealed interface Screen {
    /** Before the first start. */
    data object Nothing : Screen

    /** Camera permission was not requested yet. */
    data object AskPermission : Screen

    /** Camera permission was refused; [forGood]: the system does not ask again, only its settings help. */
    data class Refused(
        val forGood: Boolean,
    ) : Screen

    /** Until the first image. */
    data object Opening : Screen

    /** Images are shown. */
    data object Live : Screen

    /** The camera was lost; it comes back by itself or on request. */
    data class Lost(
        val loss: Loss,
    ) : Screen

    /** A still photo instead of the camera; [ready] when it is segmented. */
    data class Photo(
        val ready: Boolean,
    ) : Screen

    /** The engine cannot run; its own words about why and what to do. */
    data class Broken(
        val reason: String,
        val advice: String,
    ) : Screen
}

/** Why there is no camera. */
enum class Loss {
    /** Another app is using it. */
    IN_USE,

    /** The device's owner or a switch disabled cameras. */
    DISABLED,

    /** It was disconnected while it ran. */
    DISCONNECTED,

    /** It failed. */
    FAULT,

    /** The device has none. */
    NONE,
}

/** The running engine. */
data class EngineInfo(
    /** The classes to choose from: those of [ModelName.VOC21]. */
    val labels: List<String>,
    /** A colour for each class, as Android's colour ints. */
    val colors: List<Int>,
    /** The model that runs. */
    val model: ModelName,
    /** Whether chosen classes have an effect: not if the settings keep to people. */
    val choosesClasses: Boolean,
    val modelName: String,
    val modelLicence: String,
    val library: String,
    val description: String,
    val size: Int,
)

/** How the last images were rendered; times in milliseconds. */
data class Stats(
    val input: Double,
    val network: Double,
    val mask: Double,
    val effect: Double,
    /** Images per second; 0 for a photo. */
    val rate: Double,
    val frames: Long,
    val dropped: Long,
    /** Labels of the last image's classes except the background, the largest first, each with its share of the pixels. */
    val found: List<Pair<String, Double>>,
) {
    val total: Double get() = input + network + mask + effect
}
