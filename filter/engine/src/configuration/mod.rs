//! Reads the plugin's configuration in whichever form Envoy hands it over.
//!
//! A `google.protobuf.StringValue` arrives as its text, which is JSON. A `google.protobuf.Struct` arrives as
//! JSON according to Envoy's documentation, and serialised from the releases that leave that out.

mod metadata;
mod structure;

use postern_config::{Config, LogFormat, Problems};
use prost::Message as _;
use serde::Deserialize as _;

pub use metadata::{UnreadableMetadata, of_route, serialize_route};

/// Reads `configuration`, JSON text or a serialised Struct, into a document.
pub fn read_configuration(configuration: &[u8]) -> Result<Config, Problems> {
    // No text is both: a serialised Struct with anything in it has control characters where JSON has none.
    if serde_json::from_slice::<serde::de::IgnoredAny>(configuration).is_err()
        && !configuration.is_empty()
        && let Ok(document) = prost_types::Struct::decode(configuration)
    {
        return Config::from_value(structure::object(document));
    }
    Config::from_json(configuration)
}

/// Returns the form that lines about `configuration` have, which is no document: that which it asks for, as
/// far as it can be read.
pub fn wanted_log_format(configuration: &[u8]) -> LogFormat {
    let document = serde_json::from_slice(configuration).ok();
    let document =
        document.or_else(|| prost_types::Struct::decode(configuration).ok().map(structure::object));
    let format = document.as_ref().and_then(|document| document.pointer("/log/format"));
    format.and_then(|format| LogFormat::deserialize(format).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prost_types::value::Kind;

    use super::*;

    const POLICY: &str = r#"{"origins": {"allow": ["https://app.example.com"]}, "auth": "none"}"#;

    fn string(text: &str) -> prost_types::Value {
        prost_types::Value { kind: Some(Kind::StringValue(text.to_owned())) }
    }

    fn list(values: Vec<prost_types::Value>) -> prost_types::Value {
        prost_types::Value { kind: Some(Kind::ListValue(prost_types::ListValue { values })) }
    }

    fn structure(fields: Vec<(&str, prost_types::Value)>) -> prost_types::Value {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        prost_types::Value { kind: Some(Kind::StructValue(prost_types::Struct { fields })) }
    }

    #[test]
    fn json_is_read_also_when_it_begins_with_the_first_byte_of_a_struct() {
        let text = format!("\n{{\n\"policies\": {{\"chat\": {POLICY}}}, \"default_policy\": \"chat\"}}");
        let config = read_configuration(text.as_bytes()).unwrap();
        assert!(config.policies.contains_key("chat"));
    }

    #[test]
    fn a_struct_is_read_as_it_is_serialised() {
        let origins = structure(vec![("allow", list(vec![string("https://app.example.com")]))]);
        let policy = structure(vec![("origins", origins), ("auth", string("none"))]);
        let document =
            vec![("policies", structure(vec![("chat", policy)])), ("default_policy", string("pass"))];
        let fields = document.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let config = read_configuration(&prost_types::Struct { fields }.encode_to_vec()).unwrap();
        assert!(config.policies.contains_key("chat"));
        assert_eq!(config.default_policy, postern_config::DefaultPolicy::Pass);
    }

    #[test]
    fn a_document_that_is_refused_still_says_how_its_problems_are_to_read() {
        let log = structure(vec![("format", string("json"))]);
        let fields = [("log".to_owned(), log)].into();
        let serialized = prost_types::Struct { fields }.encode_to_vec();
        for (configuration, expected) in [
            (&br#"{"log": {"format": "json"}, "polices": {}}"#[..], LogFormat::Json),
            (&serialized, LogFormat::Json),
            (br#"{"log": {"format": "yaml"}}"#, LogFormat::Text),
            (br#"{"log": {"format": {}}}"#, LogFormat::Text),
            (br#"{"policies": {}}"#, LogFormat::Text),
            (b"{", LogFormat::Text),
            (b"", LogFormat::Text),
        ] {
            assert_eq!(wanted_log_format(configuration), expected, "{}", configuration.escape_ascii());
        }
    }

    #[test]
    fn what_is_neither_is_refused_as_json() {
        for garbage in [&b""[..], b"{", b"\x0a\xff", b"policies: {}"] {
            let problems = read_configuration(garbage).unwrap_err().to_string();
            assert!(problems.contains("is not JSON"), "{problems}");
        }
    }
}
