package dev.silhouette.sample

import android.app.Activity
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.graphics.Insets
import android.os.Build
import android.view.View
import android.view.View.MeasureSpec.EXACTLY
import android.view.View.MeasureSpec.makeMeasureSpec
import android.view.WindowInsets
import org.robolectric.Shadows.shadowOf
import java.io.File

/** Shared code of the tests: photos, drawing a screen, waiting. */
object Phone {
    /** The screens shown in the documentation. */
    private val DOCUMENTED =
        setOf(
            "live-overlay",
            "live-blur",
            "live-replace",
            "live-cutout",
            "live-timing",
            "permission-refused",
            "camera-lost",
            "classes",
            "settings",
        )

    private val images = File(System.getProperty("silhouette.images") ?: "../../docs/images")

    /** The folder of the drawn screens. */
    val screens = File("target/screens").apply { mkdirs() }

    val astronaut: Bitmap by lazy { photo("astronaut.png") }
    val chelsea: Bitmap by lazy { photo("chelsea.png") }

    fun photo(name: String): Bitmap {
        val options = BitmapFactory.Options().apply { inScaled = false }
        return checkNotNull(BitmapFactory.decodeFile(File(images, name).path, options)) { "$images/$name" }
    }

    fun photoFile(name: String) = File(images, name)

    /** Lays the window out with a status bar of 32 dp and a navigation bar of 20 dp, and draws it. */
    fun draw(activity: Activity): Bitmap {
        val decor = activity.window.decorView
        val metrics = activity.resources.displayMetrics
        val bars = Insets.of(0, (32 * metrics.density).toInt(), 0, (20 * metrics.density).toInt())
        check(Build.VERSION.SDK_INT >= Build.VERSION_CODES.R)
        decor.dispatchApplyWindowInsets(WindowInsets.Builder().setInsets(WindowInsets.Type.systemBars(), bars).build())
        decor.measure(makeMeasureSpec(metrics.widthPixels, EXACTLY), makeMeasureSpec(metrics.heightPixels, EXACTLY))
        decor.layout(0, 0, metrics.widthPixels, metrics.heightPixels)
        val shot = Bitmap.createBitmap(metrics.widthPixels, metrics.heightPixels, Bitmap.Config.ARGB_8888)
        decor.draw(Canvas(shot))
        return shot
    }

    /** Writes the drawn screen to target/screens, and a small one to the documentation's images if requested. */
    fun save(
        name: String,
        shot: Bitmap,
    ) {
        write(File(screens, "$name.png"), shot)
        val docs = System.getProperty("silhouette.docs").orEmpty()
        if (docs.isEmpty() || name !in DOCUMENTED) return
        val width = if (shot.width < shot.height) 240 else 480
        val file = File(docs, "android-$name.png")
        write(file, Bitmap.createScaledBitmap(shot, width, width * shot.height / shot.width, true))
        check(file.length() < 200_000) { "$file has ${file.length()} bytes" }
    }

    private fun write(
        file: File,
        picture: Bitmap,
    ) = file.outputStream().use { picture.compress(Bitmap.CompressFormat.PNG, 100, it) }

    /** Runs the main thread until this holds; fails after [seconds]. */
    fun waitUntil(
        what: String,
        seconds: Int = 30,
        holds: () -> Boolean,
    ) {
        val end = System.nanoTime() + seconds * 1_000_000_000L
        val looper = shadowOf(android.os.Looper.getMainLooper())
        while (true) {
            looper.idle()
            if (holds()) return
            check(System.nanoTime() < end) { "$what: not within $seconds s" }
            Thread.sleep(2)
        }
    }

    /** All views below this one, itself first. */
    fun tree(view: View): Sequence<View> =
        sequence {
            yield(view)
            if (view is android.view.ViewGroup) for (i in 0 until view.childCount) yieldAll(tree(view.getChildAt(i)))
        }
}
