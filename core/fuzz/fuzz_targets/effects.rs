//! See `silhouette_fuzz::effects`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| silhouette_fuzz::effects(bytes));
