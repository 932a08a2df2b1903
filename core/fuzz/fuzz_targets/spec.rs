//! See `silhouette_fuzz::spec`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| silhouette_fuzz::spec(bytes));
