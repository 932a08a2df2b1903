//! See `silhouette_fuzz::tflite`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| silhouette_fuzz::tflite(bytes));
