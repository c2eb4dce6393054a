//! Reads `filter_metadata.postern` out of a serialised `envoy.config.core.v3.Metadata`.
//!
//! Envoy hands route metadata over in this form; the flat encoding that its property paths offer loses types.

use std::collections::HashMap;

use prost::Message as _;
use serde_json::{Map, Value};

use crate::configuration::structure;

/// The namespace of Postern's metadata.
const NAMESPACE: &str = "postern";

/// The message `envoy.config.core.v3.Metadata`, as far as it is read.
#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(map = "string, message", tag = "1")]
    filter_metadata: HashMap<String, prost_types::Struct>,
}

/// Metadata that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the route's metadata is not a serialised Metadata message")]
pub struct UnreadableMetadata;

/// Returns what the route has under `postern`, if it has anything.
pub fn of_route(serialized: &[u8]) -> Result<Option<Value>, UnreadableMetadata> {
    let mut metadata = Metadata::decode(serialized).map_err(|_| UnreadableMetadata)?;
    Ok(metadata.filter_metadata.remove(NAMESPACE).map(structure::object))
}

/// Returns the metadata of a route that has `said` under `postern`, serialised.
pub fn serialize_route(said: &Map<String, Value>) -> Vec<u8> {
    let filter_metadata = [(NAMESPACE.to_owned(), structure::of_object(said))];
    Metadata { filter_metadata: filter_metadata.into_iter().collect() }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use prost_types::value::Kind;
    use serde_json::json;

    use super::*;

    fn kind(kind: Kind) -> prost_types::Value {
        prost_types::Value { kind: Some(kind) }
    }

    fn structure(fields: Vec<(&str, prost_types::Value)>) -> prost_types::Struct {
        prost_types::Struct { fields: fields.into_iter().map(|(n, v)| (n.to_owned(), v)).collect() }
    }

    #[test]
    fn every_kind_of_value_keeps_its_type() {
        let messages = structure(vec![("max_message_bytes", kind(Kind::NumberValue(4096.0)))]);
        let list = prost_types::ListValue { values: vec![kind(Kind::StringValue("text".to_owned()))] };
        let postern = structure(vec![
            ("policy", kind(Kind::StringValue("chat".to_owned()))),
            ("upgrade_only", kind(Kind::BoolValue(true))),
            ("messages", kind(Kind::StructValue(messages))),
            ("list", kind(Kind::ListValue(list))),
            ("nothing", kind(Kind::NullValue(0))),
            ("infinite", kind(Kind::NumberValue(f64::INFINITY))),
        ]);
        let metadata = Metadata {
            filter_metadata: [("other", structure(vec![])), ("postern", postern)]
                .into_iter()
                .map(|(n, s)| (n.to_owned(), s))
                .collect(),
        };
        assert_eq!(
            of_route(&metadata.encode_to_vec()),
            Ok(Some(json!({
                "policy": "chat",
                "upgrade_only": true,
                "messages": {"max_message_bytes": 4096.0},
                "list": ["text"],
                "nothing": null,
                "infinite": null,
            })))
        );
    }

    #[test]
    fn a_route_may_say_nothing_and_garbage_is_told_apart() {
        assert_eq!(of_route(b""), Ok(None));
        assert_eq!(of_route(b"\x0a\xff\xff"), Err(UnreadableMetadata));
    }
}
