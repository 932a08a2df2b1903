//! See `silhouette_fuzz::frozen_graph`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| silhouette_fuzz::frozen_graph(bytes));
