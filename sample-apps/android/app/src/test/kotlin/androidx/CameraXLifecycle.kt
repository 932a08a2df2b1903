// Like CameraX.kt, for the part that binds to a lifecycle.
@file:Suppress("ktlint:standard:filename", "ktlint:standard:package-name", "unused", "UNUSED_PARAMETER")

package androidx.camera.lifecycle

import androidx.camera.core.CameraSelector
import androidx.camera.core.UseCase
import androidx.lifecycle.LifecycleOwner

interface Camera

class ProcessCameraProvider private constructor() {
    fun bindToLifecycle(
        owner: LifecycleOwner,
        selector: CameraSelector,
        vararg useCases: UseCase,
    ): Camera = throw UnsupportedOperationException("a stand-in")

    fun unbind(vararg useCases: UseCase) = Unit
}
