package dev.silhouette.sample.ui

import android.Manifest.permission.CAMERA
import android.annotation.TargetApi
import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.content.pm.PackageManager.PERMISSION_GRANTED
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.provider.MediaStore
import android.provider.Settings
import android.view.WindowManager
import android.widget.Toast
import android.window.OnBackInvokedCallback
import android.window.OnBackInvokedDispatcher
import dev.silhouette.sample.R
import dev.silhouette.sample.SampleApp
import dev.silhouette.sample.model.CameraController
import dev.silhouette.sample.model.Effect
import dev.silhouette.sample.model.Screen
import dev.silhouette.sample.model.UiState
import dev.silhouette.sample.photo.Photos
import dev.silhouette.sample.photo.SharedPictures
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import java.io.IOException

/** Connects the camera screen to the system: lifecycle, permission, other apps. The controller decides, and outlives a rotation. */
class CameraActivity :
    Activity(),
    CameraScreen.Asks {
    lateinit var controller: CameraController
        private set

    private lateinit var screen: CameraScreen
    private var scope: CoroutineScope? = null
    private var back: Any? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        window.goEdgeToEdge()
        setContentView(R.layout.camera)
        val kept = lastNonConfigurationInstance as CameraController?
        controller = kept ?: SampleApp.of(this).makeController()
        if (kept == null) readOwnBackground()
        controller.onPhotoUnreadable = { say(R.string.photo_unreadable) }
        screen = CameraScreen(findViewById(R.id.stage), controller, this)
        screen.show(controller.pictures)
        val scope = MainScope().also { scope = it }
        scope.launch(Dispatchers.Main.immediate) { controller.state.collect(::render) }
        scope.launch(Dispatchers.Main.immediate) { controller.stats.collect { it?.let(screen::render) } }
    }

    override fun onStart() {
        super.onStart()
        controller.start(checkSelfPermission(CAMERA) == PERMISSION_GRANTED)
    }

    override fun onStop() {
        // The camera keeps running while the device rotates: its frames go to the controller, which stays.
        if (!isChangingConfigurations) controller.stop()
        super.onStop()
    }

    @Deprecated("The platform's way to keep an object while the device turns; androidx has ViewModel.")
    override fun onRetainNonConfigurationInstance(): Any = controller

    override fun onDestroy() {
        scope?.cancel()
        controller.onPhotoUnreadable = {}
        if (!isChangingConfigurations) controller.close()
        super.onDestroy()
    }

    private fun render(state: UiState) {
        screen.render(state)
        window.setDarkBarSigns(screen.hasMessage(state) && resources.getBoolean(R.bool.light_surface))
        val live = state.screen is Screen.Live || state.screen is Screen.Opening
        if (live) {
            window.addFlags(
                WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON,
            )
        } else {
            window.clearFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        }
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) listenToBack(controller.canGoBack)
    }

    // Back

    @TargetApi(Build.VERSION_CODES.TIRAMISU)
    private fun listenToBack(listen: Boolean) {
        val callback = back as OnBackInvokedCallback?
        if (listen && callback == null) {
            back =
                OnBackInvokedCallback { controller.back() }.also {
                    onBackInvokedDispatcher.registerOnBackInvokedCallback(OnBackInvokedDispatcher.PRIORITY_DEFAULT, it)
                }
        } else if (!listen && callback != null) {
            onBackInvokedDispatcher.unregisterOnBackInvokedCallback(callback)
            back = null
        }
    }

    @Deprecated("Called before Android 13 only.")
    override fun onBackPressed() {
        @Suppress("DEPRECATION")
        if (!controller.back()) super.onBackPressed()
    }

    // Permission

    override fun askPermission() = requestPermissions(arrayOf(CAMERA), ASK_CAMERA)

    override fun onRequestPermissionsResult(
        requestCode: Int,
        permissions: Array<String>,
        grantResults: IntArray,
    ) {
        // Empty: the question was interrupted; it can be asked again.
        if (requestCode != ASK_CAMERA || grantResults.isEmpty()) return
        controller.permissionAnswered(grantResults[0] == PERMISSION_GRANTED, shouldShowRequestPermissionRationale(CAMERA))
    }

    override fun openSystemSettings() =
        open(Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", packageName, null)))

    override fun openSettings() = open(SettingsActivity.intent(this, controller.state.value.engine))

    // Photos

    override fun choosePhoto() = open(photoIntent(), CHOOSE_PHOTO)

    override fun chooseBackground() = open(photoIntent(), CHOOSE_BACKGROUND)

    private fun photoIntent(): Intent =
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            Intent(MediaStore.ACTION_PICK_IMAGES).setType("image/*")
        } else {
            Intent(Intent.ACTION_GET_CONTENT).setType("image/*").addCategory(Intent.CATEGORY_OPENABLE)
        }

    override fun onActivityResult(
        requestCode: Int,
        resultCode: Int,
        data: Intent?,
    ) {
        val uri = data?.data?.takeIf { resultCode == RESULT_OK } ?: return
        val context = applicationContext
        when (requestCode) {
            CHOOSE_PHOTO -> controller.openPhoto { Photos.read(context, uri) }
            CHOOSE_BACKGROUND ->
                controller.setOwnBackground({
                    Photos.read(context, uri, BACKGROUND_SIDE)?.also { Photos.keepAsBackground(context, it) }
                })
        }
    }

    private fun readOwnBackground() {
        val file = Photos.ownBackground(this)
        if (!file.isFile) return
        val context = applicationContext
        controller.setOwnBackground({ Photos.read(context, Uri.fromFile(file), BACKGROUND_SIDE) }, remember = false)
    }

    // Sharing

    override fun share() {
        val picture = controller.pictures.copy() ?: return
        val transparent = controller.state.value.look.effect == Effect.CUTOUT
        scope?.launch {
            try {
                val uri = withContext(Dispatchers.IO) { SharedPictures.write(applicationContext, picture, transparent) }
                open(Intent.createChooser(SharedPictures.intent(this@CameraActivity, uri), getString(R.string.share_with)))
            } catch (_: IOException) {
                say(R.string.share_failed)
            }
        }
    }

    private fun open(
        intent: Intent,
        request: Int? = null,
    ) = try {
        if (request == null) startActivity(intent) else startActivityForResult(intent, request)
    } catch (_: ActivityNotFoundException) {
        say(R.string.no_app)
    }

    private fun say(words: Int) = Toast.makeText(this, words, Toast.LENGTH_LONG).show()

    private companion object {
        const val ASK_CAMERA = 1
        const val CHOOSE_PHOTO = 2
        const val CHOOSE_BACKGROUND = 3
        const val BACKGROUND_SIDE = 1280
    }
}
