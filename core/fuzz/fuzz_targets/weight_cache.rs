//! See `silhouette_fuzz::weight_cache`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| silhouette_fuzz::weight_cache(bytes));
