// Like CameraX.kt, for androidx.lifecycle.
@file:Suppress("ktlint:standard:package-name")

package androidx.lifecycle

interface LifecycleOwner
