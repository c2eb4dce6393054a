//! Everything Postern decides.
//!
//! This crate has no I/O, no clock, no randomness and no log; it knows no proxy-wasm. The filter
//! drives it: inputs with the time go in, outputs come out, and the filter performs them. So
//! every rule is tested natively at full speed, at every byte split, with a clock of the test's.

pub mod headers;
