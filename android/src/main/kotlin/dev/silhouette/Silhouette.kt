// The library itself.
package dev.silhouette

import dev.silhouette.ffi.version as nativeVersion

/** The library. */
public object Silhouette {
    /** Its version. */
    public val version: String by lazy { native { nativeVersion() } }
}
