//! See [`postern_fuzz::frames`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::frames::run(input));
