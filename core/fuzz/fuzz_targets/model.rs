//! See `silhouette_fuzz::model`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| silhouette_fuzz::model(bytes));
