//! See `silhouette_fuzz::pytorch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| silhouette_fuzz::pytorch(bytes));
