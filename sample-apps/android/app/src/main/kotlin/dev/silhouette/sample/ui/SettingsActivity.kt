package dev.silhouette.sample.ui

import android.app.Activity
import android.content.Context
import android.content.Intent
import android.os.Bundle
import android.view.LayoutInflater
import android.view.View
import android.widget.RadioButton
import android.widget.RadioGroup
import android.widget.Switch
import android.widget.TextView
import dev.silhouette.sample.R
import dev.silhouette.sample.SampleApp
import dev.silhouette.sample.model.EngineInfo
import dev.silhouette.sample.model.ModelName
import dev.silhouette.sample.model.Settings

/** How the engine runs. Every choice is stored immediately; the camera screen recreates its engine when it comes back. */
class SettingsActivity : Activity() {
    private val memory by lazy { SampleApp.of(this).memory }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        window.goEdgeToEdge()
        window.setDarkBarSigns(resources.getBoolean(R.bool.light_surface))
        setContentView(R.layout.settings)
        findViewById<View>(R.id.back).setOnClickListener { finish() }
        findViewById<View>(R.id.page).onBars { bars ->
            findViewById<View>(R.id.bar).setPadding(bars.left, bars.top, bars.right, 0)
            findViewById<View>(R.id.scroll).setPadding(bars.left, 0, bars.right, bars.bottom)
        }

        val now = memory.settings
        choices(R.id.model, listOf(null, ModelName.PEOPLE, ModelName.VOC21), now.model, ::nameOf) { change { copy(model = it) } }
        val threads = Settings.threadChoices(Runtime.getRuntime().availableProcessors())
        choices(R.id.threads, threads, now.threads, ::nameOf) { change { copy(threads = it) } }
        choices(R.id.model_size, Settings.SIZES, now.size, ::nameOf) { change { copy(size = it) } }
        switch(R.id.smoothing, now.smoothing) { change { copy(smoothing = it) } }
        switch(R.id.refine, now.refine) { change { copy(refine = it) } }
        intent.getStringExtra(LIBRARY)?.let { findViewById<TextView>(R.id.about_library).text = it }
        intent.getStringExtra(MODEL)?.let { findViewById<TextView>(R.id.about_model).text = it }
    }

    private fun nameOf(number: Int?): String = number?.toString() ?: getString(R.string.automatic)

    private fun nameOf(model: ModelName?): String =
        when (model) {
            null -> getString(R.string.automatic)
            ModelName.PEOPLE -> getString(R.string.people)
            ModelName.VOC21 -> getString(R.string.voc21)
        }

    private fun change(change: Settings.() -> Settings) {
        memory.settings = memory.settings.change()
    }

    private fun <T> choices(
        id: Int,
        options: List<T>,
        chosen: T,
        name: (T) -> String,
        choose: (T) -> Unit,
    ) {
        val group = findViewById<RadioGroup>(id)
        for (option in options) {
            val button = LayoutInflater.from(this).inflate(R.layout.choice, group, false) as RadioButton
            button.id = View.generateViewId()
            button.text = name(option)
            group.addView(button)
            if (option == chosen) group.check(button.id)
            button.setOnClickListener { choose(option) }
        }
    }

    private fun switch(
        id: Int,
        on: Boolean,
        choose: (Boolean) -> Unit,
    ) = findViewById<Switch>(id).run {
        isSaveEnabled = false // The stored settings take precedence over a view's saved state.
        isChecked = on
        setOnCheckedChangeListener { _, checked -> choose(checked) }
    }

    companion object {
        private const val LIBRARY = "library"
        private const val MODEL = "model"

        fun intent(
            context: Context,
            engine: EngineInfo?,
        ): Intent =
            Intent(context, SettingsActivity::class.java).apply {
                if (engine == null) return@apply
                putExtra(LIBRARY, "Silhouette ${engine.library}\n${engine.description}")
                putExtra(MODEL, "${engine.modelName}\n${engine.modelLicence}")
            }
    }
}
