//! See [`postern_fuzz::documents`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::documents::run(input));
