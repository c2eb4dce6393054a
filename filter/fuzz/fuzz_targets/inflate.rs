//! See [`postern_fuzz::inflate`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::inflate::run(input));
