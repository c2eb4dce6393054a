//! See [`postern_fuzz::request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::request::run(input));
