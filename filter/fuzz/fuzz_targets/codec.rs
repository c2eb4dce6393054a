//! See [`postern_fuzz::codec`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::codec::run(input));
