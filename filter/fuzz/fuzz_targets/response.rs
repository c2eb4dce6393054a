//! See [`postern_fuzz::response`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::response::run(input));
