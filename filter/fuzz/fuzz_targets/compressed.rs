//! See [`postern_fuzz::compressed`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::compressed::run(input));
