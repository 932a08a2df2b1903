package dev.silhouette.sample.camera

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.hardware.camera2.params.OutputConfiguration
import android.hardware.camera2.params.SessionConfiguration
import android.hardware.display.DisplayManager
import android.media.ImageReader
import android.os.Build
import android.os.Handler
import android.os.HandlerThread
import android.os.Looper
import android.util.Size
import android.view.Display
import android.view.Surface
import dev.silhouette.sample.model.Facing
import dev.silhouette.sample.model.Loss
import kotlin.math.abs

/**
 * A phone's cameras through Camera2. Frames go only to an ImageReader: the screen shows the engine's output, so image and mask
 * are always from the same moment.
 */
class Camera2Source(
    private val context: Context,
) : FrameSource {
    private val manager = context.getSystemService(CameraManager::class.java)
    private val main = Handler(Looper.getMainLooper())
    private var camera: Camera? = null

    override fun facings(): Set<Facing> = Facing.entries.filterTo(mutableSetOf()) { idOf(it) != null }

    override fun open(
        facing: Facing,
        listener: FrameSource.Listener,
    ) {
        close()
        val id = idOf(facing)
        if (id == null) {
            main.post { listener.onLost(Loss.NONE) }
            return
        }
        val characteristics =
            try {
                manager.getCameraCharacteristics(id)
            } catch (fault: CameraAccessException) {
                main.post { listener.onLost(lossOf(fault)) }
                return
            }
        camera = Camera(id, characteristics, facing, listener).also(Camera::open)
    }

    override fun close() {
        camera?.close()
        camera = null
    }

    private fun idOf(facing: Facing): String? {
        val lens = if (facing == Facing.FRONT) CameraCharacteristics.LENS_FACING_FRONT else CameraCharacteristics.LENS_FACING_BACK
        return try {
            manager.cameraIdList.firstOrNull { manager.getCameraCharacteristics(it).get(CameraCharacteristics.LENS_FACING) == lens }
        } catch (_: CameraAccessException) {
            null
        } catch (_: IllegalArgumentException) {
            // An external camera was unplugged between the two calls.
            null
        }
    }

    /** One camera from opening to closing. The system's callbacks run on its own thread. */
    private inner class Camera(
        private val id: String,
        private val characteristics: CameraCharacteristics,
        private val facing: Facing,
        private val listener: FrameSource.Listener,
    ) {
        private val thread = HandlerThread("camera").apply { start() }
        private val handler = Handler(thread.looper)
        private val sensor = characteristics.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0
        private val display = context.getSystemService(DisplayManager::class.java).getDisplay(Display.DEFAULT_DISPLAY)

        /** Held while a frame is delivered, so that closing waits for it. */
        private val lock = Any()
        private var closed = false
        private var lost = false
        private var device: CameraDevice? = null
        private var reader: ImageReader? = null

        /** Reports when a lost camera is available again. The first call comes immediately if the camera is free. */
        private val availability =
            object : CameraManager.AvailabilityCallback() {
                override fun onCameraAvailable(cameraId: String) {
                    if (cameraId == id) tell(FrameSource.Listener::onAvailable)
                }
            }

        @SuppressLint("MissingPermission") // The controller opens cameras when they are allowed only; else: SecurityException.
        fun open() {
            try {
                manager.openCamera(id, states, handler)
            } catch (fault: CameraAccessException) {
                lose(lossOf(fault))
            } catch (_: SecurityException) {
                lose(Loss.DISABLED)
            } catch (_: IllegalArgumentException) {
                lose(Loss.NONE)
            }
        }

        fun close() {
            manager.unregisterAvailabilityCallback(availability)
            synchronized(lock) { closed = true }
            // The device is closed where it was opened, so that one being opened at this moment is not forgotten.
            handler.post {
                release()
                thread.quitSafely()
            }
        }

        private val states =
            object : CameraDevice.StateCallback() {
                override fun onOpened(camera: CameraDevice) {
                    device = camera
                    if (synchronized(lock) { closed }) return release()
                    try {
                        stream(camera)
                    } catch (fault: CameraAccessException) {
                        lose(lossOf(fault))
                    } catch (_: IllegalStateException) {
                        lose(Loss.DISCONNECTED)
                    } catch (_: IllegalArgumentException) {
                        lose(Loss.FAULT)
                    }
                }

                override fun onDisconnected(camera: CameraDevice) {
                    device = camera
                    lose(Loss.DISCONNECTED)
                }

                override fun onError(
                    camera: CameraDevice,
                    error: Int,
                ) {
                    device = camera
                    lose(
                        when (error) {
                            ERROR_CAMERA_IN_USE, ERROR_MAX_CAMERAS_IN_USE -> Loss.IN_USE
                            ERROR_CAMERA_DISABLED -> Loss.DISABLED
                            else -> Loss.FAULT
                        },
                    )
                }
            }

        private fun stream(camera: CameraDevice) {
            val sizes = characteristics.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)?.getOutputSizes(ImageFormat.YUV_420_888)
            val size = chooseSize(sizes.orEmpty().toList())
            // One being processed, one being filled, one waiting.
            val reader = ImageReader.newInstance(size.width, size.height, ImageFormat.YUV_420_888, 3)
            this.reader = reader
            reader.setOnImageAvailableListener(::deliver, handler)
            val request =
                camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW).apply {
                    addTarget(reader.surface)
                    set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_VIDEO)
                }
            val sessions =
                object : CameraCaptureSession.StateCallback() {
                    override fun onConfigured(session: CameraCaptureSession) {
                        try {
                            session.setRepeatingRequest(request.build(), null, handler)
                        } catch (fault: CameraAccessException) {
                            lose(lossOf(fault))
                        } catch (_: IllegalStateException) {
                            // Closed meanwhile: onDisconnected or close reports it.
                        }
                    }

                    override fun onConfigureFailed(session: CameraCaptureSession) = lose(Loss.FAULT)
                }
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) {
                val outputs = listOf(OutputConfiguration(reader.surface))
                camera.createCaptureSession(
                    SessionConfiguration(SessionConfiguration.SESSION_REGULAR, outputs, { handler.post(it) }, sessions),
                )
            } else {
                @Suppress("DEPRECATION")
                camera.createCaptureSession(listOf(reader.surface), sessions, handler)
            }
        }

        private fun deliver(reader: ImageReader) {
            val image =
                try {
                    reader.acquireLatestImage()
                } catch (_: IllegalStateException) {
                    null // The reader was closed.
                }
            image?.use {
                val rotation = rotationOf(sensor, degreesOf(display.rotation), facing)
                synchronized(lock) { if (!closed && !lost) listener.onFrame(it, rotation, facing == Facing.FRONT) }
            }
        }

        private fun lose(loss: Loss) {
            synchronized(lock) {
                if (closed || lost) return
                lost = true
            }
            handler.post(::release)
            tell {
                onLost(loss)
                // Not immediately: if the camera is free but keeps failing, opening it repeatedly would spin.
                main.postDelayed({ if (!closed) manager.registerAvailabilityCallback(availability, main) }, RETRY_MILLIS)
            }
        }

        private fun tell(what: FrameSource.Listener.() -> Unit) {
            main.post { if (!closed) listener.what() }
        }

        private fun release() {
            device?.close()
            device = null
            reader?.close()
            reader = null
        }
    }

    companion object {
        private const val RETRY_MILLIS = 1_000L

        /**
         * Of the sizes that a camera offers: the one with a number of pixels nearest to 1280x720's, 16:9 before others. The
         * network sees a few hundred pixels per side; more only costs copying.
         */
        fun chooseSize(sizes: List<Size>): Size =
            sizes.minByOrNull { size ->
                val wide = abs(size.width * 9 - size.height * 16) <= 16 * 16
                abs(size.width.toLong() * size.height - 1280L * 720) + if (wide) 0L else 1280L * 720
            } ?: Size(640, 480)

        /** Clockwise degrees that make a frame upright on a display rotated by [display] degrees. */
        fun rotationOf(
            sensor: Int,
            display: Int,
            facing: Facing,
        ): Int = (if (facing == Facing.FRONT) sensor + display else sensor - display + 360) % 360

        private fun degreesOf(rotation: Int): Int =
            when (rotation) {
                Surface.ROTATION_90 -> 90
                Surface.ROTATION_180 -> 180
                Surface.ROTATION_270 -> 270
                else -> 0
            }

        private fun lossOf(fault: CameraAccessException): Loss =
            when (fault.reason) {
                CameraAccessException.CAMERA_IN_USE, CameraAccessException.MAX_CAMERAS_IN_USE -> Loss.IN_USE
                CameraAccessException.CAMERA_DISABLED -> Loss.DISABLED
                CameraAccessException.CAMERA_DISCONNECTED -> Loss.DISCONNECTED
                else -> Loss.FAULT
            }
    }
}
