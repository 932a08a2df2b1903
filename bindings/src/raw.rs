//! Objects identified by their address, for calls that bypass uniffi.
//!
//! uniffi keeps an object alive as long as the corresponding Kotlin or Swift object lives. That object reads the
//! address once (`raw()`) and passes it to the calls of [`crate::c`] and [`crate::jni`], during which it stays alive:
//! Swift's callers use `withExtendedLifetime`, Kotlin's pass the object itself as an argument, which roots it. Closing
//! never frees: it only empties.

use crate::error::{Result, SilhouetteError};

/// Objects that can be identified by their address.
pub trait Raw: Sized + Sync {
    /// Its name in errors.
    const NAME: &'static str;

    /// Its address.
    fn of(&self) -> u64 {
        std::ptr::from_ref(self).expose_provenance() as u64
    }

    /// The object at an address.
    ///
    /// # Errors
    /// [`SilhouetteError::Closed`] for 0, which represents a closed object.
    ///
    /// # Safety
    /// `raw` is 0 or the result of [`of`](Self::of) for an object of this type that lives during `'a`.
    unsafe fn at<'a>(raw: u64) -> Result<&'a Self> {
        let object = std::ptr::with_exposed_provenance::<Self>(raw as usize);
        // SAFETY: null is handled; otherwise the caller guarantees a live object of this type, shared as `Sync` allows.
        unsafe { object.as_ref() }.ok_or_else(|| SilhouetteError::closed(Self::NAME))
    }
}
