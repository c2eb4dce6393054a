//! The configurations of single routes, `DynamicModuleFilterPerRoute`: each has keys that are laid over the route's policy.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use postern_engine::{of_route, serialize_route, strict_json};
use prost::Message as _;
use serde_json::Value;

use crate::host::random_number;

/// The most objects and lists within each other: more than any policy has.
const MAX_DEPTH: usize = 32;

/// The namespace of Postern's metadata.
pub(super) const NAMESPACE: &str = "postern";

/// The configurations that Envoy has not destroyed, as serialised metadata. Their numbers are random: Envoy hands those that another
/// build of the library has given out to this one too, where they must stand for nothing.
static CONFIGURATIONS: Mutex<BTreeMap<u64, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// Adds the configuration of a route, which has to be an object of JSON or a serialised Struct, and returns its number.
pub(super) fn add(said: &[u8]) -> Option<u64> {
    let said = match strict_json::parse(said, MAX_DEPTH) {
        Ok(Value::Object(members)) => serialize_route(&members),
        Ok(_) => return refuse("it is no object"),
        Err(error) => match of_struct(said) {
            Some(said) => said,
            None => return refuse(&error.to_string()),
        },
    };
    let Some(number) = random_number() else { return refuse("there is no randomness") };
    lock().insert(number, said);
    Some(number)
}

/// Returns what a serialised Struct has, which Envoy 1.38 hands over as it lies there: it is no JSON, since each of its members has a
/// control character. Whatever has anything else in it is none, nor is one without members.
fn of_struct(said: &[u8]) -> Option<Vec<u8>> {
    let whole = metadata(said.to_vec());
    let Ok(Some(Value::Object(members))) = of_route(&whole) else { return None };
    let known = serialize_route(&members);
    (!members.is_empty() && known.len() == whole.len()).then_some(known)
}

/// Returns metadata that have a serialised Struct under `postern`, serialised.
pub(super) fn metadata(structure: Vec<u8>) -> Vec<u8> {
    let entry = Entry { key: NAMESPACE.to_owned(), value: structure };
    Metadata { filter_metadata: vec![entry] }.encode_to_vec()
}

/// The message `envoy.config.core.v3.Metadata`, as far as it is written here.
#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(message, repeated, tag = "1")]
    filter_metadata: Vec<Entry>,
}

/// An entry of its map, whose value is a serialised Struct.
#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// Tells why Envoy refuses what it was told of a route: it says itself only that it does.
fn refuse(why: &str) -> Option<u64> {
    log::error!("postern: the configuration of a route cannot be read: {why}");
    None
}

/// Returns a configuration as route metadata have it under `postern`, serialised.
pub(super) fn get(number: u64) -> Option<Vec<u8>> {
    lock().get(&number).cloned()
}

/// Forgets a configuration.
pub(super) fn remove(number: u64) {
    lock().remove(&number);
}

fn lock() -> MutexGuard<'static, BTreeMap<u64, Vec<u8>>> {
    CONFIGURATIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use postern_engine::of_route;

    use super::{add, get, remove};

    #[test]
    fn a_configuration_is_kept_as_metadata_until_it_is_removed_and_what_is_no_object_is_refused() {
        let number = add(br#"{"max_session": "1h"}"#).expect("an object");
        let kept = get(number).expect("a configuration");
        assert_eq!(of_route(&kept), Ok(Some(serde_json::json!({"max_session": "1h"}))));
        let other = add(b"{}").expect("an object");
        assert!(number.abs_diff(other) > 1, "{number} and {other} could be another build's");
        remove(number);
        assert_eq!((get(number), get(other).is_some()), (None, true));
        for text in
            [&b""[..], b"[]", b"\"a\"", b"{", b"null", br#"{"a": 1, "a": 2}"#, b"xyz", b"max_session: 1h"]
        {
            assert_eq!(add(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_struct_that_envoy_hands_over_as_it_lies_there_is_read_and_anything_more_in_it_is_refused() {
        let handed = b"\n\r\n\x07origins\x12\x02\x08\0\n\x10\n\x06policy\x12\x06\x1a\x04open";
        let number = add(handed).expect("a Struct");
        let kept = get(number).expect("a configuration");
        assert_eq!(of_route(&kept), Ok(Some(serde_json::json!({"origins": null, "policy": "open"}))));
        let unknown = [&handed[..], b"xy"].concat();
        let twice = [&handed[..], &handed[..]].concat();
        for said in [&unknown[..], &twice[..], &handed[..handed.len() - 1]] {
            assert_eq!(add(said), None, "{said:?}");
        }
    }
}
