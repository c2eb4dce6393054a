//! See [`postern_fuzz::extensions`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::extensions::run(input));
