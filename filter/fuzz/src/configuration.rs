//! A plugin's configuration as Envoy hands it over.
//!
//! Input: JSON text, or a serialised `google.protobuf.Struct`. Text that is JSON is never taken
//! for anything else.

use postern_config::Config;
use postern_engine::read_configuration;

/// Runs one input.
pub fn run(input: &[u8]) {
    let read = read_configuration(input).map(|config| format!("{config:?}"));
    if serde_json::from_slice::<serde_json::Value>(input).is_ok() {
        assert_eq!(read, Config::from_json(input).map(|config| format!("{config:?}")));
    }
}
