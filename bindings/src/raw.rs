//! Objects named by their address, on the ways that go past uniffi.
//!
//! uniffi keeps an object alive as long as its Kotlin or Swift twin lives. The twin asks the object for its address once
//! (`raw()`) and hands it to the calls of [`crate::c`] and [`crate::jni`], during which it is alive: Swift's callers say
//! `withExtendedLifetime`, Kotlin's pass the twin itself along, which roots it. Closing never frees: it only empties.

use crate::error::{Result, SilhouetteError};

/// Objects that may be named by their address.
pub trait Raw: Sized + Sync {
    /// What it is called in errors.
    const NAME: &'static str;

    /// Its address.
    fn of(&self) -> u64 {
        std::ptr::from_ref(self).expose_provenance() as u64
    }

    /// The object at an address.
    ///
    /// # Errors
    /// [`SilhouetteError::Closed`] for 0, which stands for an object that is gone.
    ///
    /// # Safety
    /// `raw` is 0 or was given by [`of`](Self::of) of an object of this very type that lives during `'a`.
    unsafe fn at<'a>(raw: u64) -> Result<&'a Self> {
        let object = std::ptr::with_exposed_provenance::<Self>(raw as usize);
        // SAFETY: null is told apart; else the caller promises a live object of this type, shared as `Sync` allows.
        unsafe { object.as_ref() }.ok_or_else(|| SilhouetteError::closed(Self::NAME))
    }
}
