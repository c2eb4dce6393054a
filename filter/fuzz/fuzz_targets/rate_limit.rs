//! See [`postern_fuzz::rate_limit`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::rate_limit::run(input));
