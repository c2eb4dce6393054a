//! See [`postern_fuzz::strict_json`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::strict_json::run(input));
