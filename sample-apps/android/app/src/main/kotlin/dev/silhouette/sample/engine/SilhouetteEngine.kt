package dev.silhouette.sample.engine

import android.content.Context
import android.graphics.Bitmap
import android.media.Image
import android.os.Handler
import android.os.Looper
import dev.silhouette.Foreground
import dev.silhouette.Frame
import dev.silhouette.LiveResult
import dev.silhouette.LiveSegmenter
import dev.silhouette.Model
import dev.silhouette.Options
import dev.silhouette.Picture
import dev.silhouette.Segmentation
import dev.silhouette.Segmenter
import dev.silhouette.Silhouette
import dev.silhouette.SilhouetteException
import dev.silhouette.Size
import dev.silhouette.Smoothing
import dev.silhouette.Task
import dev.silhouette.copyTo
import dev.silhouette.people
import dev.silhouette.sample.model.Background
import dev.silhouette.sample.model.Effect
import dev.silhouette.sample.model.EngineInfo
import dev.silhouette.sample.model.Look
import dev.silhouette.sample.model.ModelName
import dev.silhouette.sample.model.Settings
import dev.silhouette.sample.model.Stats
import dev.silhouette.toFrame
import dev.silhouette.voc21
import java.io.File
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import kotlin.time.Duration
import kotlin.time.DurationUnit

/**
 * The engine based on Silhouette. Opening a model and processing a photo happen on a worker thread; frames go from the camera's
 * thread to the live segmenter, whose own thread renders the images. Nothing is allocated per frame except the result's few small
 * objects. One model runs at a time: where a look needs another, frames go to the old one until the new one is open, and the old one is
 * then closed.
 */
class SilhouetteEngine(
    private val context: Context,
    private val make: (Model, Options) -> Segmenter = ::Segmenter,
) : Engine {
    override val pictures = PictureBuffers()
    override var listener: Engine.Listener? = null

    private val main = Handler(Looper.getMainLooper())
    private val worker = Executors.newSingleThreadExecutor { Thread(it, "engine") }

    // Used on the main thread.
    private var settings: Settings? = null
    private var closed = false

    /** Increases with each start and stop: work begun under an earlier number must not be shown any more. */
    @Volatile
    private var turn = 0

    @Volatile
    private var look = Look()

    /** Where frames go; null while they are not accepted. */
    @Volatile
    private var live: LiveSegmenter? = null

    @Volatile
    private var background: Pair<Background, Frame>? = null

    @Volatile
    private var ownBackground: Frame? = null

    // Used on the worker thread.
    private var configured: Settings? = null
    private var classes: Classes? = null
    private var opened: Opened? = null
    private var liveTurn: Int? = null
    private var photo: Photo? = null

    /** The classes to choose from. */
    private class Classes(
        model: Model,
    ) {
        val labels = model.labels
        val colors = model.colors
        val person = model.classIndex("person")
    }

    /** The model that runs. */
    private class Opened(
        val name: ModelName,
        val segmenter: Segmenter,
        val smoothing: Smoothing?,
    )

    /** A photo and its segmentation. */
    private class Photo(
        val turn: Int,
        val frame: Frame,
        val segmentation: Segmentation,
    )

    override fun configure(settings: Settings) {
        if (settings == this.settings) return
        this.settings = settings
        work {
            configured = settings
            open(settings, settings.modelFor(look, classes().person))
        }
    }

    override fun show(look: Look) {
        this.look = look
        work {
            val settings = configured ?: return@work
            val name = settings.modelFor(this.look, classes().person)
            if (name == opened?.name) photo?.let(::draw) else open(settings, name)
        }
    }

    /** The classes, without their weights. */
    private fun classes(): Classes = classes ?: Classes(Model.voc21(context)).also { classes = it }

    /** Opens a model; what runs goes over to it, and the earlier one is closed. */
    private fun open(
        settings: Settings,
        name: ModelName,
    ) {
        val model =
            when (name) {
                ModelName.PEOPLE -> Model.people(context)
                ModelName.VOC21 -> Model.voc21(context)
            }
        val options =
            Options(
                threads = settings.threads,
                size = settings.size,
                refine = settings.refine,
                weightCache = File(context.cacheDir, "weights"),
            )
        val earlier = opened
        val now = Opened(name, make(model, options), if (settings.smoothing) Smoothing() else null)
        opened = now
        val classes = classes()
        val ready =
            EngineInfo(
                labels = classes.labels,
                colors = classes.colors,
                model = name,
                choosesClasses = settings.model != ModelName.PEOPLE,
                modelName = model.name,
                modelLicence = model.licence,
                library = Silhouette.version,
                description = now.segmenter.description,
                size = now.segmenter.size,
            )
        tell { onReady(ready) }
        liveTurn?.let { begin(it) }
        photo?.let { segment(it.frame, it.turn) }
        earlier?.segmenter?.close()
    }

    override fun startLive() {
        val now = ++turn
        pictures.setOpen(true)
        work {
            leavePhoto()
            liveTurn = now
            begin(now)
        }
    }

    override fun submit(
        image: Image,
        rotation: Int,
        mirrored: Boolean,
    ) {
        try {
            live?.submit(image.toFrame(rotation, mirrored), image.timestamp)
        } catch (_: SilhouetteException.Closed) {
            // The frame came while the engine was stopped.
        } catch (fault: SilhouetteException) {
            tellBroken(fault.reason, fault.advice)
        }
    }

    override fun openPhoto(photo: Engine.PhotoReader) {
        val now = ++turn
        pictures.setOpen(true)
        work {
            leaveLive()
            val bitmap = photo.read()
            if (bitmap == null) {
                tell { onPhotoUnreadable() }
            } else {
                segment(bitmap.toFrame(), now)
            }
        }
    }

    override fun setOwnBackground(photo: Engine.PhotoReader) =
        work {
            ownBackground = photo.read()?.toFrame()
            background = null
            if (ownBackground == null) tell { onPhotoUnreadable() }
            this.photo?.let(::draw)
        }

    override fun stop() {
        turn++
        pictures.setOpen(false)
        work { leaveLive() }
    }

    override fun close() {
        if (closed) return
        stop()
        closed = true
        listener = null
        worker.execute {
            leavePhoto()
            opened?.segmenter?.close()
            opened = null
            pictures.clear()
        }
        worker.shutdown()
    }

    /** Waits for the work that close() left; for tests. */
    fun awaitClosed(): Boolean = worker.awaitTermination(10, TimeUnit.SECONDS)

    /** Starts accepting frames; on the worker. */
    private fun begin(turn: Int) {
        live?.close()
        live = null
        if (turn == this.turn) live = opened?.let { LiveSegmenter(it.segmenter, it.smoothing, LiveMaker(turn)::onResult) }
    }

    private fun leaveLive() {
        liveTurn = null
        live?.close()
        live = null
    }

    private fun leavePhoto() {
        leaveLive()
        photo?.segmentation?.close()
        photo = null
    }

    private fun segment(
        frame: Frame,
        turn: Int,
    ) {
        leavePhoto()
        val segmenter = opened?.segmenter ?: return
        photo = Photo(turn, frame, segmenter.segmentNow(frame)).also(::draw)
    }

    private fun draw(photo: Photo) {
        if (photo.turn != turn) return
        val began = System.nanoTime()
        publish(picture(photo.segmentation, photo.frame, null), photo.turn)
        val effect = (System.nanoTime() - began) / 1e6
        val times = photo.segmentation.timings
        val stats = Stats(millis(times.input), millis(times.network), millis(times.mask), effect, 0.0, 1, 0, found(photo.segmentation))
        tell(photo.turn) {
            onFirstPicture()
            onStats(stats)
        }
    }

    /** The selected effect, on a segmentation's frame; [frame] is null for live results, which keep theirs. */
    private fun picture(
        segmentation: Segmentation,
        frame: Frame?,
        into: Picture?,
    ): Picture {
        val look = look
        // Chosen classes are those of the other model.
        val people = segmentation.model.task == Task.ALPHA
        val foreground = if (people || look.classes.isEmpty()) Foreground.All else Foreground.Classes(*look.classes.toIntArray())
        return when (look.effect) {
            Effect.OVERLAY -> segmentation.overlay(frame, foreground, into = into)
            Effect.BLUR -> segmentation.blur(frame, foreground, into = into)
            Effect.REPLACE -> segmentation.replace(backgroundFrame(look.background), frame, foreground, into)
            Effect.CUTOUT -> segmentation.cutout(frame, foreground, into)
        }
    }

    private fun backgroundFrame(requested: Background): Frame {
        background?.let { (drawn, frame) -> if (drawn == requested) return frame }
        val own = if (requested == Background.PHOTO) ownBackground else null
        val frame = own ?: Backgrounds.draw(requested, BACKGROUND_WIDTH, BACKGROUND_HEIGHT).toFrame()
        background = requested to frame
        return frame
    }

    private fun publish(
        picture: Picture,
        turn: Int,
    ): Boolean {
        if (turn != this.turn) return false
        val bitmap: Bitmap = pictures.obtain(picture.width, picture.height)
        picture.copyTo(bitmap)
        return turn == this.turn && pictures.publish(bitmap)
    }

    private fun found(segmentation: Segmentation): List<Pair<String, Double>> =
        segmentation.shares().filter { it.classIndex != 0 }.map { segmentation.labels[it.classIndex] to it.share }

    private fun millis(time: Duration): Double = time.toDouble(DurationUnit.MILLISECONDS)

    private fun tell(what: Engine.Listener.() -> Unit) {
        main.post { listener?.what() }
    }

    /** Reports an image, unless it is outdated by then. */
    private fun tell(
        turn: Int,
        what: Engine.Listener.() -> Unit,
    ) {
        main.post { if (turn == this.turn) listener?.what() }
    }

    private fun tellBroken(
        reason: String,
        advice: String,
    ) {
        main.post {
            // The next configure recreates the engine.
            settings = null
            listener?.onBroken(reason, advice)
        }
    }

    /** Runs this on the worker; the library's errors are reported in its own words. */
    private fun work(what: () -> Unit) {
        if (closed) return
        worker.execute {
            try {
                what()
            } catch (fault: SilhouetteException) {
                tellBroken(fault.reason, fault.advice)
            } catch (fault: LinkageError) {
                tellBroken("The native library cannot be loaded: ${fault.message}", "Install the build for this device's processor.")
            } catch (_: OutOfMemoryError) {
                tellBroken("There is not enough memory.", "Choose a smaller model size or a smaller photo.")
            }
        }
    }

    /** Renders the images of one live stream; on that stream's thread. */
    private inner class LiveMaker(
        private val turn: Int,
    ) {
        private var picture: Picture? = null
        private var frames = 0L
        private var lastTold = 0L
        private var framesTold = 0L

        fun onResult(result: LiveResult) {
            if (turn != this@SilhouetteEngine.turn) {
                result.segmentation?.close()
                return
            }
            try {
                result.get().use { show(it, result.dropped) }
            } catch (fault: SilhouetteException) {
                tellBroken(fault.reason, fault.advice)
            }
        }

        private fun show(
            segmentation: Segmentation,
            dropped: Long,
        ) {
            val began = System.nanoTime()
            val into = picture?.takeIf { Size(it.width, it.height) == segmentation.frameSize }
            val made = picture(segmentation, null, into)
            picture = made
            if (!publish(made, turn)) return
            val now = System.nanoTime()
            frames++
            if (frames == 1L) tell(turn) { onFirstPicture() }
            if (now - lastTold < STATS_NANOS && frames > 1) return
            val rate = if (lastTold == 0L) 0.0 else (frames - framesTold) * 1e9 / (now - lastTold)
            lastTold = now
            framesTold = frames
            val times = segmentation.timings
            val effect = (now - began) / 1e6
            val stats =
                Stats(
                    millis(times.input),
                    millis(times.network),
                    millis(times.mask),
                    effect,
                    rate,
                    frames + dropped,
                    dropped,
                    found(segmentation),
                )
            tell(turn) { onStats(stats) }
        }
    }

    private companion object {
        const val BACKGROUND_WIDTH = 720
        const val BACKGROUND_HEIGHT = 1280

        /** Numbers that change more often are unreadable. */
        const val STATS_NANOS = 250_000_000L
    }
}
