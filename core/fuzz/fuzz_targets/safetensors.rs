//! See `silhouette_fuzz::safetensors`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| silhouette_fuzz::safetensors(bytes));
