//! See `silhouette_fuzz::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| silhouette_fuzz::frame(bytes));
