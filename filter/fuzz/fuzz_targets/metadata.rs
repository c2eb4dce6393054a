//! See [`postern_fuzz::metadata`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::metadata::run(input));
