//! Tests with requirements that not every machine meets: if one is missing they are reported as ignored, with the
//! reason.
//!
//! Such a test is a function without `#[test]`; one line at the end of its file turns such functions into tests:
//!
//! ```
//! fn models_are_there() {
//!     assert!(silhouette_testkit::shared_folder().join("models").is_dir());
//! }
//!
//! silhouette_testkit::tests_with_shared!(models_are_there);
//! # fn main() {}
//! ```
//!
//! | macro | needs |
//! | --- | --- |
//! | `tests_with_shared!` | the reference models and photos: `../shared` beside the checkout, or `$SILHOUETTE_SHARED` |
//! | `long_tests_with_shared!` | the same, and minutes: `$SILHOUETTE_LONG` |
//! | `long_tests!` | minutes or gigabytes: `$SILHOUETTE_LONG` |
//! | `tests_with_metal!` | `$SILHOUETTE_METAL`, which promises that there is a Metal device |

use std::path::{Path, PathBuf};

/// The folder with the reference models and photos.
///
/// # Panics
/// If it does not exist: only tests created by `tests_with_shared!` use it.
pub fn shared_folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("SILHOUETTE_SHARED").map_or_else(beside, PathBuf::from);
    assert!(
        folder.join("models").is_dir(),
        "no reference models in {}: set SILHOUETTE_SHARED to their folder",
        folder.display()
    );
    folder
}

/// Whether the tests run in an emulator, where a network takes seconds to minutes: `$SILHOUETTE_EMULATED`.
pub fn is_emulated() -> bool {
    std::env::var_os("SILHOUETTE_EMULATED").is_some()
}

/// A module of tests; if a reason is passed they are ignored.
#[doc(hidden)]
#[macro_export]
macro_rules! tests_in {
    ($module:ident, $($test:ident),+) => {
        mod $module {
            $(#[test] fn $test() { super::$test(); })+
        }
    };
    ($module:ident, $reason:literal, $($test:ident),+) => {
        mod $module {
            $(#[test] #[ignore = $reason] fn $test() { super::$test(); })+
        }
    };
}

/// Creates tests of functions that read the reference models; ignored if these are absent.
#[cfg(shared)]
#[macro_export]
macro_rules! tests_with_shared {
    ($($test:ident),+ $(,)?) => { $crate::tests_in!(with_shared, $($test),+); };
}

/// Creates tests of functions that read the reference models; ignored if these are absent.
#[cfg(not(shared))]
#[macro_export]
macro_rules! tests_with_shared {
    ($($test:ident),+ $(,)?) => {
        $crate::tests_in!(with_shared, "no reference models: set SILHOUETTE_SHARED", $($test),+);
    };
}

/// Creates tests of functions that read the reference models and take minutes; ignored without either.
#[cfg(all(shared, long))]
#[macro_export]
macro_rules! long_tests_with_shared {
    ($($test:ident),+ $(,)?) => { $crate::tests_in!(long_with_shared, $($test),+); };
}

/// Creates tests of functions that read the reference models and take minutes; ignored without either.
#[cfg(not(all(shared, long)))]
#[macro_export]
macro_rules! long_tests_with_shared {
    ($($test:ident),+ $(,)?) => {
        $crate::tests_in!(
            long_with_shared, "minutes over the reference models: set SILHOUETTE_LONG and SILHOUETTE_SHARED", $($test),+
        );
    };
}

/// Creates tests of functions that take minutes or gigabytes; ignored unless requested.
#[cfg(long)]
#[macro_export]
macro_rules! long_tests {
    ($($test:ident),+ $(,)?) => { $crate::tests_in!(long, $($test),+); };
}

/// Creates tests of functions that take minutes or gigabytes; ignored unless requested.
#[cfg(not(long))]
#[macro_export]
macro_rules! long_tests {
    ($($test:ident),+ $(,)?) => { $crate::tests_in!(long, "minutes or gigabytes: set SILHOUETTE_LONG", $($test),+); };
}

/// Creates tests of functions that run on a Metal device; ignored unless one is promised.
#[cfg(metal)]
#[macro_export]
macro_rules! tests_with_metal {
    ($($test:ident),+ $(,)?) => { $crate::tests_in!(with_metal, $($test),+); };
}

/// Creates tests of functions that run on a Metal device; ignored unless one is promised.
#[cfg(not(metal))]
#[macro_export]
macro_rules! tests_with_metal {
    ($($test:ident),+ $(,)?) => {
        $crate::tests_in!(with_metal, "no Metal device is promised: set SILHOUETTE_METAL", $($test),+);
    };
}
