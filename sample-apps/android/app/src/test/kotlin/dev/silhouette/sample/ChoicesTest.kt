package dev.silhouette.sample

import dev.silhouette.sample.model.Effect
import dev.silhouette.sample.model.Look
import dev.silhouette.sample.model.ModelName
import dev.silhouette.sample.model.Settings
import org.junit.Assert.assertEquals
import org.junit.Test

/** Which model a look gets. */
class ChoicesTest {
    private val person = 15
    private val cat = 8

    private fun model(
        effect: Effect,
        vararg classes: Int,
        settings: Settings = Settings(),
    ) = settings.modelFor(Look(effect, classes.toSet()), person)

    @Test
    fun `people for every effect but the overlay`() {
        assertEquals(ModelName.VOC21, model(Effect.OVERLAY))
        for (effect in listOf(Effect.BLUR, Effect.REPLACE, Effect.CUTOUT)) assertEquals("$effect", ModelName.PEOPLE, model(effect))
    }

    @Test
    fun `chosen classes need the classes, unless they are people alone`() {
        assertEquals(ModelName.VOC21, model(Effect.BLUR, cat))
        assertEquals(ModelName.VOC21, model(Effect.CUTOUT, cat, person))
        assertEquals(ModelName.PEOPLE, model(Effect.CUTOUT, person))
        assertEquals(ModelName.VOC21, model(Effect.OVERLAY, person))
    }

    @Test
    fun `the settings have the last word`() {
        for (name in ModelName.entries) {
            assertEquals(name, model(Effect.OVERLAY, settings = Settings(model = name)))
            assertEquals(name, model(Effect.BLUR, cat, settings = Settings(model = name)))
        }
    }
}
