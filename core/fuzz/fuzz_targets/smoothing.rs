//! See `silhouette_fuzz::smoothing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| silhouette_fuzz::smoothing(bytes));
