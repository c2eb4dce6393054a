//! See [`postern_fuzz::token_parts`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::token_parts::run(input));
