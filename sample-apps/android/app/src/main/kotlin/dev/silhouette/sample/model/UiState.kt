package dev.silhouette.sample.model

/** All that the camera screen shows, but for the pictures themselves. */
data class UiState(
    val screen: Screen = Screen.Nothing,
    val look: Look = Look(),
    val facing: Facing = Facing.BACK,
    /** Whether there is a camera on the other side. */
    val canSwitch: Boolean = false,
    val showStats: Boolean = false,
    val picking: Boolean = false,
    /** The engine that runs; null while it is made. */
    val engine: EngineInfo? = null,
)

/** Which screen is shown. */
sealed interface Screen {
    /** Before the first start. */
    data object Nothing : Screen

    /** The camera was not asked for yet. */
    data object AskPermission : Screen

    /** The camera was refused; [forGood]: the system does not ask again, only its settings help. */
    data class Refused(
        val forGood: Boolean,
    ) : Screen

    /** Until the first picture. */
    data object Opening : Screen

    /** Pictures come. */
    data object Live : Screen

    /** The camera went away; it comes back by itself or when asked. */
    data class Lost(
        val loss: Loss,
    ) : Screen

    /** A still photo instead of the camera; [ready] when it is segmented. */
    data class Photo(
        val ready: Boolean,
    ) : Screen

    /** The engine cannot run, with its own words about why and what to do. */
    data class Broken(
        val reason: String,
        val advice: String,
    ) : Screen
}

/** Why there is no camera. */
enum class Loss {
    /** Another app has it. */
    IN_USE,

    /** The device's owner or a switch turned cameras off. */
    DISABLED,

    /** It was taken away while it ran. */
    DISCONNECTED,

    /** It failed. */
    FAULT,

    /** The device has none. */
    NONE,
}

/** What runs. */
data class EngineInfo(
    val labels: List<String>,
    /** A colour of each class, as Android's colour numbers. */
    val colors: List<Int>,
    val modelName: String,
    val modelLicence: String,
    val library: String,
    val description: String,
    val size: Int,
)

/** How the last pictures were made; times in milliseconds. */
data class Stats(
    val input: Double,
    val network: Double,
    val mask: Double,
    val effect: Double,
    /** Pictures a second; 0 for a photo. */
    val rate: Double,
    val frames: Long,
    val dropped: Long,
    /** Classes of the last picture but the background, the largest first, each with its share of the pixels. */
    val found: List<Pair<Int, Double>>,
) {
    val total: Double get() = input + network + mask + effect
}
