//! See [`postern_fuzz::json_schema`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| postern_fuzz::json_schema::run(input));
