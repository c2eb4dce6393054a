//! See [`postern_fuzz::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::config::run(input));
