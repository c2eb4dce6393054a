//! See [`postern_fuzz::matchers`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::matchers::run(input));
