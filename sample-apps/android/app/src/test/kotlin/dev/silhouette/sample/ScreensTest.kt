package dev.silhouette.sample

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.res.Configuration
import android.graphics.Bitmap
import android.graphics.Color
import android.net.Uri
import android.provider.MediaStore
import android.view.View
import android.widget.Button
import android.widget.CheckBox
import android.widget.CompoundButton
import android.widget.RadioButton
import android.widget.RadioGroup
import android.widget.TextView
import dev.silhouette.Model
import dev.silhouette.Segmenter
import dev.silhouette.people
import dev.silhouette.sample.engine.Backgrounds
import dev.silhouette.sample.model.Background
import dev.silhouette.sample.model.Effect
import dev.silhouette.sample.model.Loss
import dev.silhouette.sample.model.ModelName
import dev.silhouette.sample.model.Screen
import dev.silhouette.sample.model.Settings
import dev.silhouette.sample.ui.CameraActivity
import dev.silhouette.sample.ui.SettingsActivity
import dev.silhouette.toFrame
import dev.silhouette.voc21
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import java.util.concurrent.CountDownLatch
import kotlin.math.abs

/**
 * The real screens with the real library: a camera plays a photo, the screen is drawn as on a phone, and its pixels are compared with
 * the photo and with a mask computed here from the photo itself. Every screen is written to target/screens.
 */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = TestApp::class, qualifiers = "w393dp-h800dp-hdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ScreensTest {
    private val activities = mutableListOf<ActivityController<out Activity>>()

    private fun launch(): CameraActivity {
        val activity =
            Robolectric
                .buildActivity(CameraActivity::class.java)
                .also { activities += it }
                .setup()
                .get()
        activity.controller.awaitEngine()
        return activity
    }

    private fun launchLive(): CameraActivity {
        TestApp.allowCamera()
        return launch().also { it.controller.awaitLive() }
    }

    private fun shoot(
        name: String,
        activity: Activity,
    ): Bitmap {
        Phone.waitUntil("idle") { true }
        return Phone.draw(activity).also { Phone.save(name, it) }
    }

    @After
    fun end() {
        activities.forEach { it.pause().stop().destroy() }
        TestApp.now.engines.forEach { assertTrue(it.awaitClosed()) }
        assertEquals(
            "cameras left open",
            0,
            TestApp.now.camera.opened
                .get(),
        )
    }

    // Pictures

    @Test
    fun `overlay colours exactly the mask`() {
        val activity = launchLive()
        activity.controller.awaitPictures()
        val screen = Picture(shoot("live-overlay", activity), TestApp.now.scene)
        val person = color("person")
        val inside = screen.points { screen.classAt(it) == screen.person }
        val outside = screen.points { screen.classAt(it) == 0 }
        assertTrue("points: ${inside.size} and ${outside.size}", inside.size > 300 && outside.size > 100)
        screen.assertNear("the person's colour over the photo", inside) { mix(screen.photoAt(it), person, 0.55) }
        screen.assertNear("the photo beside the person", outside) { screen.photoAt(it) }
        // The comparison is sensitive: the photo alone, or the mask mirrored, would not pass.
        assertTrue(screen.distance(inside) { screen.photoAt(it) } > 15)
        assertTrue(screen.distance(outside) { mix(screen.photoAt(it), person, 0.55) } > 15)
    }

    @Test
    fun `blur keeps the person sharp and the rest soft`() {
        val activity = launchLive()
        activity.controller.look(Effect.BLUR)
        val screen = Picture(shoot("live-blur", activity), TestApp.now.scene, people)
        val inside = screen.points(SOFT) { screen.classAt(it) == screen.person }
        val outside = screen.points(SOFT) { screen.classAt(it) == 0 }
        screen.assertNear("the person as in the photo", inside) { screen.photoAt(it) }
        val before = outside.sumOf { screen.roughness(it, screen.photo) }
        val after = outside.sumOf { screen.roughness(it, null) }
        assertTrue("roughness beside the person: $before, blurred $after", after < before * 0.6)
    }

    @Test
    fun `replace puts the chosen scene behind the person`() {
        val activity = launchLive()
        activity.controller.choose(Background.DUSK)
        activity.controller.look(Effect.REPLACE)
        val screen = Picture(shoot("live-replace", activity), TestApp.now.scene, people)
        val scene = Backgrounds.draw(Background.DUSK, screen.photo.width, screen.photo.height)
        screen.assertNear("the person", screen.points(SOFT) { screen.classAt(it) == screen.person }) { screen.photoAt(it) }
        screen.assertNear("the scene", screen.points(SOFT) { screen.classAt(it) == 0 }) { screen.at(scene, it) }
    }

    @Test
    fun `cut out leaves the person over a checkerboard`() {
        val activity = launchLive()
        activity.controller.look(Effect.CUTOUT)
        val screen = Picture(shoot("live-cutout", activity), TestApp.now.scene, people)
        screen.assertNear("the person", screen.points(SOFT) { screen.classAt(it) == screen.person }) { screen.photoAt(it) }
        val outside = screen.points(SOFT) { screen.classAt(it) == 0 }
        val tiles = outside.map { screen.shot.getPixel(it.first, it.second) }.groupingBy { it }.eachCount()
        val two = tiles.entries.sortedByDescending { it.value }.take(2)
        assertTrue(
            "two tiles and little else: $tiles",
            two.sumOf { it.value } > outside.size * 0.9 && two.all { it.value > outside.size * 0.2 },
        )
    }

    @Test
    fun `a chosen class is kept, another is not`() {
        val activity = launchLive()
        activity.controller.toggle(
            activity.controller.state.value.engine!!
                .labels
                .indexOf("cat"),
        )
        activity.controller.look(Effect.CUTOUT)
        val screen = Picture(shoot("live-cutout-cat", activity), TestApp.now.scene)
        val person = screen.points(SOFT) { screen.classAt(it) == screen.person }
        assertTrue("no cat, so the person goes too", screen.distance(person) { screen.photoAt(it) } > 40)
    }

    @Test
    fun `effects are about people, the overlay about classes`() {
        val activity = launchLive()
        val controller = activity.controller
        val button = activity.findViewById<Button>(R.id.choose_classes)
        for ((effect, name, words) in listOf(
            Triple(Effect.BLUR, ModelName.PEOPLE, "People"),
            Triple(Effect.OVERLAY, ModelName.VOC21, "Everything"),
            Triple(Effect.CUTOUT, ModelName.PEOPLE, "People"),
        )) {
            controller.look(effect)
            assertEquals(
                name,
                controller.state.value.engine!!
                    .model,
            )
            assertEquals(words, button.text.toString())
            assertTrue("classes can be chosen", button.isEnabled)
        }
        controller.toggle(
            controller.state.value.engine!!
                .labels
                .indexOf("cat"),
        )
        controller.awaitModel()
        assertEquals("Cat", button.text.toString())
    }

    @Test
    fun `a model is opened while the main thread goes on and the other model's pictures do too`() {
        val activity = launchLive()
        val controller = activity.controller
        val gate = CountDownLatch(1)
        // The worker opens models, one thing after the other: it is held up here.
        controller.setOwnBackground({
            gate.await()
            Phone.chelsea
        }, remember = false)
        controller.choose(Effect.BLUR)
        assertEquals(Effect.BLUR, controller.state.value.look.effect)
        controller.awaitPictures()
        assertEquals(
            ModelName.VOC21,
            controller.state.value.engine!!
                .model,
        )
        gate.countDown()
        controller.awaitModel()
        assertEquals(
            ModelName.PEOPLE,
            controller.state.value.engine!!
                .model,
        )
        controller.awaitPictures()
    }

    @Test
    fun `the front camera is mirrored, and its mask with it`() {
        val activity = launchLive()
        activity.findViewById<View>(R.id.flip).performClick()
        activity.controller.awaitLive()
        activity.controller.awaitPictures()
        // The played front camera is rotated and mirrored by its sensor; upright on the screen it is the same scene
        // again.
        val screen = Picture(shoot("live-front", activity), TestApp.now.scene)
        val person = color("person")
        screen.assertNear(
            "the person's colour",
            screen.points { screen.classAt(it) == screen.person },
        ) { mix(screen.photoAt(it), person, 0.55) }
        screen.assertNear("the photo", screen.points { screen.classAt(it) == 0 }) { screen.photoAt(it) }
    }

    @Test
    fun `timing is shown on demand`() {
        val activity = launchLive()
        assertEquals(View.GONE, activity.findViewById<View>(R.id.stats).visibility)
        activity.findViewById<View>(R.id.toggle_stats).performClick()
        Phone.waitUntil("a rate") { activity.findViewById<TextView>(R.id.stats_rate).text.contains("per second") }
        shoot("live-timing", activity)
        assertEquals(View.VISIBLE, activity.findViewById<View>(R.id.stats).visibility)
        assertTrue(activity.findViewById<TextView>(R.id.stats_time).text.matches(Regex("[0-9]+\\.[0-9] ms")))
        val more = activity.findViewById<TextView>(R.id.stats_more).text.toString()
        for (word in listOf("network", "Dropped", "321 × 321")) assertTrue("$word in: $more", word in more)
        assertTrue(activity.findViewById<View>(R.id.picture).contentDescription.contains("Person"))
    }

    @Test
    @Config(qualifiers = "w800dp-h393dp-land-hdpi")
    fun `held sideways`() {
        val activity = launchLive()
        activity.controller.look(Effect.BLUR)
        shoot("live-sideways", activity)
        assertEquals(Configuration.ORIENTATION_LANDSCAPE, activity.resources.configuration.orientation)
        assertNotNull(activity.findViewById<View>(R.id.end))
    }

    @Test
    fun `classes are chosen by touch`() {
        val activity = launchLive()
        val controller = activity.controller
        activity.findViewById<View>(R.id.choose_classes).performClick()
        Phone.waitUntil("the sheet") { activity.findViewById<View>(R.id.sheet).visibility == View.VISIBLE }
        val chips = Phone.tree(activity.findViewById(R.id.classes)).filterIsInstance<CheckBox>().toList()
        assertEquals(21, chips.size)
        for (name in listOf("Person", "Dog")) chips.first { it.text.toString() == name }.performClick()
        Phone.waitUntil("both") { controller.state.value.look.classes.size == 2 }
        shoot("classes", activity)
        assertEquals("2 classes", activity.findViewById<Button>(R.id.choose_classes).text.toString())
        chips[0].performClick()
        activity.findViewById<View>(R.id.sheet_done).performClick()
        Phone.waitUntil("closed") { activity.findViewById<View>(R.id.sheet).visibility == View.GONE }
        assertEquals(emptySet<Int>(), controller.state.value.look.classes)
    }

    // Photos

    @Test
    fun `a photo of the gallery, all of it, with every effect`() {
        val activity = launchLive()
        val controller = activity.controller
        activity.findViewById<View>(R.id.gallery).performClick()
        val asked = shadowOf(activity).nextStartedActivityForResult
        assertEquals(MediaStore.ACTION_PICK_IMAGES, asked.intent.action)
        val uri = Uri.fromFile(Phone.photoFile("chelsea.png"))
        shadowOf(activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(uri))
        Phone.waitUntil("the photo") { controller.state.value.screen == Screen.Photo(ready = true) }
        assertEquals(
            0,
            TestApp.now.camera.opened
                .get(),
        )
        val screen = Picture(shoot("photo-overlay", activity), Phone.chelsea, fit = true)

        fun drawnAgain(
            times: Int,
            choose: () -> Unit,
        ) {
            val count = controller.pictures.count
            choose()
            Phone.waitUntil("drawn again") { controller.pictures.count == count + times }
        }
        drawnAgain(1) { controller.toggle(screen.cat) }
        val cat = color("cat")
        val inside = screen.points { screen.classAt(it) == screen.cat }
        assertTrue("points on the cat: ${inside.size}", inside.size > 200)
        screen.assertNear("the cat's colour", inside) { mix(screen.photoAt(it), cat, 0.55) }
        // Each effect is redrawn from the same photo, by the model that knows cats.
        for (effect in listOf(Effect.CUTOUT, Effect.BLUR)) {
            drawnAgain(1) { controller.choose(effect) }
            val drawn = Picture(shoot("photo-${effect.name.lowercase()}", activity), Phone.chelsea, fit = true)
            drawn.assertNear("the cat itself", drawn.points(SOFT) { drawn.classAt(it) == drawn.cat }) { drawn.photoAt(it) }
        }
        // Without a choice the effects are about people: the photo is segmented again, by the other model.
        drawnAgain(1) { controller.choose(Effect.CUTOUT) }
        drawnAgain(1) { controller.chooseEverything() }
        controller.awaitModel()
        val none = Picture(shoot("photo-cutout-people", activity), Phone.chelsea, fit = true)
        assertTrue(none.distance(none.points(SOFT) { none.classAt(it) == none.cat }) { none.photoAt(it) } > 40)
        activity.findViewById<View>(R.id.flip).performClick()
        controller.awaitLive()
    }

    @Test
    fun `an unreadable photo leads back to the camera`() {
        val activity = launchLive()
        activity.findViewById<View>(R.id.gallery).performClick()
        val asked = shadowOf(activity).nextStartedActivityForResult
        val text = java.io.File(activity.filesDir, "no.jpg").apply { writeText("no picture") }
        shadowOf(activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(Uri.fromFile(text)))
        activity.controller.awaitLive()
        assertEquals(
            "This photo cannot be read.",
            org.robolectric.shadows.ShadowToast
                .getTextOfLatestToast(),
        )
    }

    @Test
    fun `the picture on the screen is shared`() {
        val activity = launchLive()
        activity.controller.look(Effect.CUTOUT)
        activity.findViewById<View>(R.id.share).performClick()
        var chooser: Intent? = null
        Phone.waitUntil("the chooser") { shadowOf(activity).nextStartedActivity?.also { chooser = it } != null }
        assertEquals(Intent.ACTION_CHOOSER, chooser!!.action)
        @Suppress("DEPRECATION")
        val send = chooser.getParcelableExtra<Intent>(Intent.EXTRA_INTENT)!!
        assertEquals("image/png", send.type)
        @Suppress("DEPRECATION")
        val uri = send.getParcelableExtra<Uri>(Intent.EXTRA_STREAM)!!
        val provider = Robolectric.setupContentProvider(dev.silhouette.sample.photo.SharedPictures::class.java, uri.authority)
        val shared = provider.openFile(uri, "r").use { android.graphics.BitmapFactory.decodeFileDescriptor(it.fileDescriptor) }
        assertEquals(360 to 640, shared.width to shared.height)
        assertEquals("a corner is transparent", 0, Color.alpha(shared.getPixel(355, 5)))
        assertEquals("the suit is not", 255, Color.alpha(shared.getPixel(180, 600)))
    }

    // Permission

    @Test
    fun `the camera is asked for, refused, and refused for good`() {
        val activity = launch()
        shoot("permission", activity)
        assertEquals("Hold up your phone", words(activity, R.id.message_title))
        activity.findViewById<View>(R.id.message_button).performClick()
        assertEquals(listOf(Manifest.permission.CAMERA), shadowOf(activity).lastRequestedPermission.requestedPermissions.toList())

        shadowOf(
            RuntimeEnvironment.getApplication().packageManager,
        ).setShouldShowRequestPermissionRationale(Manifest.permission.CAMERA, true)
        answer(activity, android.content.pm.PackageManager.PERMISSION_DENIED)
        shoot("permission-refused", activity)
        assertEquals("Ask again", words(activity, R.id.message_button))

        shadowOf(
            RuntimeEnvironment.getApplication().packageManager,
        ).setShouldShowRequestPermissionRationale(Manifest.permission.CAMERA, false)
        activity.findViewById<View>(R.id.message_button).performClick()
        answer(activity, android.content.pm.PackageManager.PERMISSION_DENIED)
        shoot("permission-refused-for-good", activity)
        assertEquals("Open system settings", words(activity, R.id.message_button))
        activity.findViewById<View>(R.id.message_button).performClick()
        val settings = shadowOf(activity).nextStartedActivity
        assertEquals(android.provider.Settings.ACTION_APPLICATION_DETAILS_SETTINGS, settings.action)
        assertEquals("package:${activity.packageName}", settings.dataString)

        // Granted in the system's settings: coming back is enough.
        activities.last().pause().stop()
        TestApp.allowCamera()
        activities.last().restart().resume()
        activity.controller.awaitLive()
    }

    private fun answer(
        activity: CameraActivity,
        result: Int,
    ) {
        activity.onRequestPermissionsResult(
            shadowOf(activity).lastRequestedPermission.requestCode,
            arrayOf(Manifest.permission.CAMERA),
            intArrayOf(result),
        )
        Phone.waitUntil("the answer") { true }
    }

    // The camera goes away

    @Test
    fun `a camera lost to another app, and back`() {
        val activity = launchLive()
        val before =
            TestApp.now.camera.frames
                .get()
        TestApp.now.camera.lose(Loss.IN_USE)
        Phone.waitUntil("lost") { activity.controller.state.value.screen == Screen.Lost(Loss.IN_USE) }
        val shot = shoot("camera-lost", activity)
        assertEquals("The camera went away", words(activity, R.id.message_title))
        // Nothing of the last picture shines through.
        assertEquals(1, (0 until shot.width step 16).map { shot.getPixel(it, shot.height - 60) }.toSet().size)
        TestApp.now.camera.giveBack()
        activity.controller.awaitLive()
        assertTrue(
            TestApp.now.camera.frames
                .get() > before,
        )
    }

    // Settings

    @Test
    fun `settings by touch reach the engine`() {
        val camera = launchLive()
        camera.findViewById<View>(R.id.open_settings).performClick()
        val intent = shadowOf(camera).nextStartedActivity
        activities.last().pause().stop()
        val settings = Robolectric.buildActivity(SettingsActivity::class.java, intent).setup()
        shoot("settings", settings.get())
        val memory = TestApp.now.memory
        assertEquals(Settings(), memory.settings)
        choose(settings.get(), R.id.model, "People")
        choose(settings.get(), R.id.threads, "1")
        choose(settings.get(), R.id.model_size, "129")
        settings.get().findViewById<CompoundButton>(R.id.smoothing).performClick()
        settings.get().findViewById<CompoundButton>(R.id.refine).performClick()
        assertEquals(Settings(threads = 1, size = 129, smoothing = false, refine = false, model = ModelName.PEOPLE), memory.settings)
        assertTrue(words(settings.get(), R.id.about_library).startsWith("Silhouette 0"))
        settings.pause().stop().destroy()

        activities.last().restart().resume()
        Phone.waitUntil("the new engine") {
            camera.controller.state.value.engine
                ?.size == 129
        }
        camera.controller.awaitLive()
        assertTrue(
            camera.controller.state.value.engine!!
                .description
                .contains("1 thread"),
        )
        // The overlay too is the people's now, and there is no class to choose.
        assertEquals(
            ModelName.PEOPLE,
            camera.controller.state.value.engine!!
                .model,
        )
        assertFalse(camera.findViewById<View>(R.id.choose_classes).isEnabled)
    }

    @Test
    @Config(qualifiers = "+night")
    fun `settings at night`() {
        val settings = Robolectric.buildActivity(SettingsActivity::class.java).also { activities += it }.setup()
        val night = shoot("settings-night", settings.get())
        assertTrue(Color.luminance(night.getPixel(4, night.height / 2)) < 0.05)
    }

    private fun choose(
        activity: Activity,
        group: Int,
        option: String,
    ) = Phone
        .tree(activity.findViewById<RadioGroup>(group))
        .filterIsInstance<RadioButton>()
        .first {
            it.text.toString() == option
        }.performClick()

    // For everyone

    @Test
    fun `all that is touched has words and is large enough`() {
        val activity = launchLive()
        activity.controller.look(Effect.REPLACE)
        check(activity, "live")
        activity.controller.pickClasses(true)
        check(activity, "classes")
        TestApp.now.camera.lose(Loss.FAULT)
        Phone.waitUntil("lost") { activity.controller.state.value.screen is Screen.Lost }
        check(activity, "lost")
        check(
            Robolectric
                .buildActivity(SettingsActivity::class.java)
                .also { activities += it }
                .setup()
                .get(),
            "settings",
        )
    }

    private fun check(
        activity: Activity,
        screen: String,
    ) {
        Phone.waitUntil("idle") { true }
        Phone.draw(activity)
        val least = (48 * activity.resources.displayMetrics.density).toInt()
        val touched =
            Phone
                .tree(activity.window.decorView)
                .filter {
                    it.isClickable && it.isShown && it.width > 0 &&
                        it.id != R.id.sheet_panel
                }.toList()
        assertTrue("$screen: ${touched.size} views", touched.size >= 2)
        for (view in touched) {
            val name =
                "$screen: " + runCatching { activity.resources.getResourceEntryName(view.id) }.getOrDefault(view.javaClass.simpleName)
            val words = listOfNotNull((view as? TextView)?.text, view.contentDescription).joinToString("")
            assertNotEquals("$name says nothing", "", words)
            assertTrue("$name is ${view.width} x ${view.height}, not $least", view.width >= least && view.height >= least)
        }
    }

    private fun words(
        activity: Activity,
        id: Int,
    ) = activity.findViewById<TextView>(id).text.toString()

    private val people get() = Model.people(RuntimeEnvironment.getApplication())

    private fun color(label: String): Int = Model.voc21(RuntimeEnvironment.getApplication()).let { it.colors[it.labels.indexOf(label)] }

    /** A drawn screen, the photo that should be on it, and the photo's mask, computed here without camera, YUV or rotation. */
    private class Picture(
        val shot: Bitmap,
        val photo: Bitmap,
        model: Model = Model.voc21(RuntimeEnvironment.getApplication()),
        fit: Boolean = false,
    ) {
        val person = model.labels.indexOf("person")
        val cat = model.labels.indexOf("cat")
        private val mask =
            Segmenter(model).use { segmenter ->
                segmenter.segmentNow(photo.toFrame()).use { found ->
                    check(found.width == photo.width && found.height == photo.height)
                    found.mask().let { mask -> ByteArray(photo.width * photo.height).also { mask.get(it) } }
                }
            }
        private val across = shot.width.toDouble() / photo.width
        private val down = shot.height.toDouble() / photo.height
        private val scale = if (fit) minOf(across, down) else maxOf(across, down)
        private val left = (shot.width - photo.width * scale) / 2
        private val top = (shot.height - photo.height * scale) / 2

        /** The position in the photo of a point on the screen. */
        private fun inPhoto(point: Pair<Int, Int>) =
            Pair(((point.first + 0.5 - left) / scale).toInt(), ((point.second + 0.5 - top) / scale).toInt())

        fun classAt(point: Pair<Int, Int>): Int = inPhoto(point).let { (x, y) -> mask[y * photo.width + x].toInt() }

        fun photoAt(point: Pair<Int, Int>) = at(photo, point)

        /** The mean of 3 x 3 pixels of an image of the photo's size: the screen's is scaled. */
        fun at(
            picture: Bitmap,
            point: Pair<Int, Int>,
        ): Int = inPhoto(point).let { (x, y) -> mean(picture, x, y) }

        /**
         * A grid of points on the screen where this holds all around, [margin] pixels of the photo each way, and no button covers the image.
         */
        fun points(
            margin: Int = 6,
            holds: (Pair<Int, Int>) -> Boolean,
        ): List<Pair<Int, Int>> =
            grid().filter { (x, y) ->
                val reach = (margin * scale).toInt()
                listOf(-reach, 0, reach).all { dx ->
                    listOf(-reach, 0, reach).all { dy ->
                        inside(x + dx, y + dy) &&
                            holds(Pair(x + dx, y + dy))
                    }
                }
            }

        private fun grid() =
            (shot.height * 24 / 100 until shot.height * 62 / 100 step 9).flatMap { y ->
                (12 until shot.width - 12 step 9).map {
                    Pair(it, y)
                }
            }

        private fun inside(
            x: Int,
            y: Int,
        ) = inPhoto(Pair(x, y)).let { (px, py) -> px in 2 until photo.width - 2 && py in 2 until photo.height - 2 }

        /** The mean distance of the screen's colours from these, 0 to 255, over the three channels. */
        fun distance(
            points: List<Pair<Int, Int>>,
            expected: (Pair<Int, Int>) -> Int,
        ): Double = points.map { difference(mean(shot, it.first, it.second), expected(it)) }.average()

        fun assertNear(
            what: String,
            points: List<Pair<Int, Int>>,
            expected: (Pair<Int, Int>) -> Int,
        ) {
            assertTrue("$what: only ${points.size} points", points.size > 60)
            val apart = points.map { difference(mean(shot, it.first, it.second), expected(it)) }
            val far = apart.count { it > 24 }
            assertTrue(
                "$what: ${"%.1f".format(apart.average())} levels apart, $far of ${points.size} points far off",
                apart.average() < 7 && far < points.size * 0.05,
            )
        }

        /** How much a point differs from its neighbours, on the photo or (null) on the screen. */
        fun roughness(
            point: Pair<Int, Int>,
            picture: Bitmap?,
        ): Int {
            val reach = (3 * scale).toInt()
            val here = if (picture == null) shot.getPixel(point.first, point.second) else photoAt(point)
            return listOf(Pair(reach, 0), Pair(0, reach)).sumOf { (dx, dy) ->
                val there = Pair(point.first + dx, point.second + dy)
                difference(here, if (picture == null) shot.getPixel(there.first, there.second) else photoAt(there)).toInt()
            }
        }

        private fun mean(
            picture: Bitmap,
            x: Int,
            y: Int,
        ): Int {
            val around =
                (-1..1).flatMap { dy ->
                    (-1..1).map { dx ->
                        picture.getPixel(
                            (x + dx).coerceIn(0, picture.width - 1),
                            (y + dy).coerceIn(
                                0,
                                picture.height - 1,
                            ),
                        )
                    }
                }
            return Color.rgb(around.sumOf(Color::red) / 9, around.sumOf(Color::green) / 9, around.sumOf(Color::blue) / 9)
        }

        private fun difference(
            a: Int,
            b: Int,
        ) = (abs(Color.red(a) - Color.red(b)) + abs(Color.green(a) - Color.green(b)) + abs(Color.blue(a) - Color.blue(b))) / 3.0
    }

    private companion object {
        /** Effects have soft borders; the network's map is coarse, so they are wide. */
        const val SOFT = 22
    }

    private fun mix(
        photo: Int,
        color: Int,
        opacity: Double,
    ): Int {
        fun channel(of: (Int) -> Int) = (of(photo) * (1 - opacity) + of(color) * opacity).toInt()
        return Color.rgb(channel(Color::red), channel(Color::green), channel(Color::blue))
    }
}
