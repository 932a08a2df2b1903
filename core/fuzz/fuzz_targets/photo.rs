//! See `silhouette_fuzz::photo`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| silhouette_fuzz::photo(bytes));
