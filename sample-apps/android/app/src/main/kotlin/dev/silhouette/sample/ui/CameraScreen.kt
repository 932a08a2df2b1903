package dev.silhouette.sample.ui

import android.graphics.Bitmap
import android.graphics.BitmapShader
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.Rect
import android.graphics.Shader
import android.graphics.drawable.GradientDrawable
import android.view.LayoutInflater
import android.view.View
import android.widget.Button
import android.widget.CheckBox
import android.widget.ImageButton
import android.widget.ImageView
import android.widget.RadioGroup
import android.widget.TextView
import dev.silhouette.sample.R
import dev.silhouette.sample.engine.Backgrounds
import dev.silhouette.sample.engine.PictureBuffers
import dev.silhouette.sample.model.Background
import dev.silhouette.sample.model.CameraController
import dev.silhouette.sample.model.Effect
import dev.silhouette.sample.model.EngineInfo
import dev.silhouette.sample.model.Facing
import dev.silhouette.sample.model.Loss
import dev.silhouette.sample.model.ModelName
import dev.silhouette.sample.model.Screen
import dev.silhouette.sample.model.Stats
import dev.silhouette.sample.model.UiState
import kotlin.math.roundToInt

/** The camera screen's views: shows a state, reports touches to the controller. It contains no logic. */
class CameraScreen(
    private val stage: View,
    private val controller: CameraController,
    private val asks: Asks,
) {
    /** Actions that only the activity can perform. */
    interface Asks {
        fun askPermission()

        fun openSystemSettings()

        fun openSettings()

        fun choosePhoto()

        fun chooseBackground()

        fun share()
    }

    private val resources = stage.resources
    private val picture = stage.findViewById<PictureView>(R.id.picture)
    private val opening = stage.findViewById<View>(R.id.opening)
    private val top = stage.findViewById<View>(R.id.top)
    private val bottom = stage.findViewById<View>(R.id.bottom)
    private val end: View? = stage.findViewById(R.id.end)
    private val scrims = listOf<View>(stage.findViewById(R.id.scrim_top), stage.findViewById(R.id.scrim_bottom))
    private val effects = stage.findViewById<RadioGroup>(R.id.effects)
    private val backgrounds = stage.findViewById<View>(R.id.backgrounds)
    private val chooseClasses = stage.findViewById<Button>(R.id.choose_classes)
    private val toggleStats = stage.findViewById<ImageButton>(R.id.toggle_stats)
    private val statsPanel = stage.findViewById<View>(R.id.stats)
    private val gallery = stage.findViewById<ImageButton>(R.id.gallery)
    private val share = stage.findViewById<View>(R.id.share)
    private val flip = stage.findViewById<ImageButton>(R.id.flip)
    private val sheet = stage.findViewById<View>(R.id.sheet)
    private val classes = stage.findViewById<FlowLayout>(R.id.classes)
    private val message = stage.findViewById<View>(R.id.message)
    private val messageButton = stage.findViewById<Button>(R.id.message_button)

    private var shown = UiState()
    private var stats: Stats? = null

    /** True while views are set from a state: their events then are not touches. */
    private var rendering = false

    init {
        effects.setOnCheckedChangeListener { _, id -> if (!rendering) EFFECTS[id]?.let(controller::choose) }
        for ((id, background) in BACKGROUNDS) stage.findViewById<View>(id).setOnClickListener { controller.choose(background) }
        stage.findViewById<View>(R.id.background_choose).setOnClickListener { asks.chooseBackground() }
        stage.findViewById<View>(R.id.open_settings).setOnClickListener { asks.openSettings() }
        chooseClasses.setOnClickListener { controller.pickClasses(true) }
        stage.findViewById<View>(R.id.sheet_outside).setOnClickListener { controller.pickClasses(false) }
        stage.findViewById<View>(R.id.sheet_done).setOnClickListener { controller.pickClasses(false) }
        toggleStats.setOnClickListener { controller.toggleStats() }
        gallery.setOnClickListener { asks.choosePhoto() }
        share.setOnClickListener { asks.share() }
        stage.findViewById<View>(R.id.message_photo).setOnClickListener { asks.choosePhoto() }
        drawThumbs()
        stage.onBars(::keepClear)
    }

    /** Shows images from here. */
    fun show(pictures: PictureBuffers) {
        picture.pictures = pictures
    }

    fun render(state: UiState) {
        rendering = true
        val before = shown
        shown = state
        val screen = state.screen
        val photo = screen is Screen.Photo
        val onStage = photo || screen is Screen.Live || screen is Screen.Opening
        val ready = screen is Screen.Live || screen == Screen.Photo(ready = true)

        picture.fit = photo
        picture.transparent = state.look.effect == Effect.CUTOUT
        picture.showing = ready
        opening.visibility = visible(onStage && !ready)
        stage.findViewById<View>(R.id.opening_text).visibility = visible(!photo)
        for (view in listOfNotNull(top, bottom, end) + scrims) view.visibility = visible(onStage)

        effects.check(EFFECTS.entries.first { it.value == state.look.effect }.key)
        backgrounds.visibility = visible(state.look.effect == Effect.REPLACE)
        for ((id, background) in BACKGROUNDS) stage.findViewById<View>(id).isSelected = background == state.look.background
        stage.findViewById<View>(R.id.background_photo).visibility = visible(state.look.background == Background.PHOTO)

        share.isEnabled = ready
        share.alpha = if (ready) 1f else 0.4f
        renderFlip(state, photo)
        renderClasses(state, before)
        toggleStats.isActivated = state.showStats
        toggleStats.contentDescription = resources.getString(if (state.showStats) R.string.stats_hide else R.string.stats_show)
        statsPanel.visibility = visible(state.showStats && stats != null && ready)
        renderMessage(screen)
        rendering = false
        stats?.let(::render)
    }

    fun render(stats: Stats) {
        this.stats = stats
        val engine = shown.engine ?: return
        val ready = shown.screen is Screen.Live || shown.screen == Screen.Photo(ready = true)
        picture.contentDescription = describe(stats)
        statsPanel.visibility = visible(shown.showStats && ready)
        if (!shown.showStats) return
        val rate = if (stats.rate > 0) resources.getString(R.string.stats_rate, stats.rate) else resources.getString(R.string.stats_still)
        text(R.id.stats_time, resources.getString(R.string.stats_time, stats.total))
        text(R.id.stats_rate, if (stats.rate > 0 || shown.screen is Screen.Photo) rate else "")
        text(
            R.id.stats_more,
            listOfNotNull(
                resources.getString(R.string.stats_stages, stats.input, stats.network, stats.mask, stats.effect),
                listOfNotNull(
                    if (shown.screen is Screen.Photo) null else resources.getString(R.string.stats_dropped, stats.dropped, stats.frames),
                    resources.getString(R.string.stats_size, engine.size),
                ).joinToString(" · "),
                engine.description,
            ).joinToString("\n"),
        )
    }

    private fun describe(stats: Stats): String {
        val found =
            stats.found.mapNotNull { (label, share) ->
                val percent = (share * 100).roundToInt()
                if (percent < 1) null else resources.getString(R.string.class_share, wordsOf(label), percent)
            }
        if (found.isEmpty()) return resources.getString(R.string.picture_nothing)
        return resources.getString(R.string.picture_found, found.joinToString(", "))
    }

    private fun renderFlip(
        state: UiState,
        photo: Boolean,
    ) {
        flip.visibility = if (photo || state.canSwitch) View.VISIBLE else View.INVISIBLE
        flip.setImageResource(if (photo) R.drawable.ic_camera else R.drawable.ic_flip)
        val words =
            when {
                photo -> R.string.back_to_camera
                state.facing == Facing.BACK -> R.string.switch_to_front
                else -> R.string.switch_to_back
            }
        flip.contentDescription = resources.getString(words)
        flip.setOnClickListener { if (photo) controller.closePhoto() else controller.switchFacing() }
    }

    private fun renderClasses(
        state: UiState,
        before: UiState,
    ) {
        sheet.visibility = visible(state.picking)
        // Views under the sheet are not read out.
        val covered = if (state.picking) View.IMPORTANT_FOR_ACCESSIBILITY_NO_HIDE_DESCENDANTS else View.IMPORTANT_FOR_ACCESSIBILITY_AUTO
        for (view in listOfNotNull(top, bottom, end, picture)) view.importantForAccessibility = covered
        val engine = state.engine
        chooseClasses.isEnabled = engine?.choosesClasses == true
        chooseClasses.text = nameOf(state)
        chooseClasses.contentDescription = resources.getString(R.string.choose_classes, chooseClasses.text)
        if (engine == null) return
        if (before.engine?.labels != engine.labels || classes.childCount == 0) addChips(engine)
        for (i in 0 until classes.childCount) {
            // The first chip stands for no choice, in place of the background.
            (classes.getChildAt(i) as CheckBox).isChecked = if (i == 0) state.look.classes.isEmpty() else i in state.look.classes
        }
    }

    private fun nameOf(state: UiState): String {
        val chosen = state.look.classes
        if (state.engine?.model == ModelName.PEOPLE) return resources.getString(R.string.people)
        return when (chosen.size) {
            0 -> resources.getString(R.string.everything)
            1 ->
                state.engine
                    ?.labels
                    ?.getOrNull(chosen.first())
                    ?.let(::wordsOf) ?: resources.getString(R.string.everything)
            else -> resources.getQuantityString(R.plurals.classes_chosen, chosen.size, chosen.size)
        }
    }

    private fun addChips(engine: EngineInfo) {
        classes.removeAllViews()
        val inflater = LayoutInflater.from(stage.context)
        val side = (12 * resources.displayMetrics.density).roundToInt()
        for ((index, label) in engine.labels.withIndex()) {
            val chip = inflater.inflate(R.layout.class_chip, classes, false) as CheckBox
            if (index == 0) {
                chip.setText(R.string.automatic)
            } else {
                chip.text = wordsOf(label)
                val dot =
                    GradientDrawable().apply {
                        shape = GradientDrawable.OVAL
                        setColor(engine.colors[index])
                        // Some of the colours are nearly black.
                        setStroke(maxOf(1, side / 10), stage.context.getColor(R.color.on_glass_soft))
                        setBounds(0, 0, side, side)
                    }
                chip.setCompoundDrawablesRelative(dot, null, null, null)
            }
            chip.setOnClickListener { if (index == 0) controller.chooseEverything() else controller.toggle(index) }
            classes.addView(chip)
        }
    }

    private fun renderMessage(screen: Screen) {
        val content = messageOf(screen)
        message.visibility = visible(content != null)
        if (content == null) return
        stage.findViewById<ImageView>(R.id.message_icon).setImageResource(content.icon)
        text(R.id.message_title, resources.getString(content.title))
        text(R.id.message_text, content.text)
        messageButton.visibility = visible(content.button != null)
        content.button?.let(messageButton::setText)
        messageButton.setOnClickListener { content.act() }
    }

    /** Whether a message covers the stage, with a surface that follows day and night. */
    fun hasMessage(state: UiState): Boolean = messageOf(state.screen) != null

    private class Message(
        val icon: Int,
        val title: Int,
        val text: String,
        val button: Int?,
        val act: () -> Unit,
    )

    private fun messageOf(screen: Screen): Message? =
        when (screen) {
            Screen.AskPermission ->
                Message(
                    R.drawable.ic_camera,
                    R.string.ask_title,
                    resources.getString(R.string.ask_text),
                    R.string.ask_button,
                    asks::askPermission,
                )

            is Screen.Refused ->
                if (screen.forGood) {
                    val text = resources.getString(R.string.refused_for_good_text)
                    Message(
                        R.drawable.ic_camera_off,
                        R.string.refused_title,
                        text,
                        R.string.refused_for_good_button,
                        asks::openSystemSettings,
                    )
                } else {
                    val text = resources.getString(R.string.refused_text)
                    Message(R.drawable.ic_camera_off, R.string.refused_title, text, R.string.refused_button, asks::askPermission)
                }

            is Screen.Lost -> {
                val again = if (screen.loss == Loss.NONE) null else R.string.try_again
                Message(
                    R.drawable.ic_camera_off,
                    R.string.lost_title,
                    resources.getString(textOf(screen.loss)),
                    again,
                    controller::tryAgain,
                )
            }

            is Screen.Broken -> {
                val text = resources.getString(R.string.broken_text, screen.reason, screen.advice)
                Message(R.drawable.ic_fault, R.string.broken_title, text, R.string.try_again, controller::tryAgain)
            }

            Screen.Nothing, Screen.Opening, Screen.Live, is Screen.Photo -> null
        }

    private fun textOf(loss: Loss): Int =
        when (loss) {
            Loss.IN_USE -> R.string.lost_in_use
            Loss.DISABLED -> R.string.lost_disabled
            Loss.DISCONNECTED -> R.string.lost_disconnected
            Loss.FAULT -> R.string.lost_fault
            Loss.NONE -> R.string.lost_none
        }

    private fun drawThumbs() {
        val side = resources.getDimensionPixelSize(R.dimen.thumb)
        for ((id, background) in BACKGROUNDS) {
            val thumb = stage.findViewById<ImageButton>(id)
            if (background == Background.PHOTO) {
                thumb.setImageResource(R.drawable.ic_replace)
                thumb.scaleType = ImageView.ScaleType.CENTER
            } else {
                thumb.setImageBitmap(rounded(Backgrounds.draw(background, side, side)))
            }
        }
    }

    private fun rounded(picture: Bitmap): Bitmap {
        val out = Bitmap.createBitmap(picture.width, picture.height, Bitmap.Config.ARGB_8888)
        val paint = Paint(Paint.ANTI_ALIAS_FLAG).apply { shader = BitmapShader(picture, Shader.TileMode.CLAMP, Shader.TileMode.CLAMP) }
        val radius = 16 * resources.displayMetrics.density
        Canvas(out).drawRoundRect(0f, 0f, picture.width.toFloat(), picture.height.toFloat(), radius, radius, paint)
        return out
    }

    /** Keeps everything that can be touched or read clear of the system bars. */
    private fun keepClear(bars: Rect) {
        val edge = resources.getDimensionPixelSize(R.dimen.edge)
        val gap = resources.getDimensionPixelSize(R.dimen.gap)
        val right = if (end == null) bars.right else 0
        top.setPadding(edge + bars.left, gap + bars.top, edge + right, 0)
        bottom.setPadding(bars.left, 0, right, edge + bars.bottom)
        end?.setPadding(edge, edge + bars.top, edge + bars.right, edge + bars.bottom)
        val panel = stage.findViewById<View>(R.id.sheet_panel)
        panel.setPadding(panel.paddingLeft, 0, panel.paddingRight, edge + bars.bottom)
        (panel.layoutParams as android.view.ViewGroup.MarginLayoutParams).topMargin = bars.top + 6 * edge
        message.setPadding(bars.left, bars.top, bars.right, bars.bottom)
    }

    private fun text(
        id: Int,
        text: String,
    ) {
        val view = stage.findViewById<TextView>(id)
        if (view.text.toString() != text) view.text = text
    }

    private fun visible(yes: Boolean) = if (yes) View.VISIBLE else View.GONE

    /** A class's label in normal spelling. */
    private fun wordsOf(label: String) = WORDS[label] ?: label.replace('_', ' ').replaceFirstChar(Char::titlecase)

    private companion object {
        /** PASCAL VOC joins some words. */
        val WORDS = mapOf("diningtable" to "Dining table", "pottedplant" to "Potted plant", "tvmonitor" to "TV")
        val EFFECTS =
            mapOf(
                R.id.effect_overlay to Effect.OVERLAY,
                R.id.effect_blur to Effect.BLUR,
                R.id.effect_replace to Effect.REPLACE,
                R.id.effect_cutout to Effect.CUTOUT,
            )
        val BACKGROUNDS =
            mapOf(
                R.id.background_dusk to Background.DUSK,
                R.id.background_forest to Background.FOREST,
                R.id.background_studio to Background.STUDIO,
                R.id.background_grid to Background.GRID,
                R.id.background_photo to Background.PHOTO,
            )
    }
}
