//! The configurations of single routes, `DynamicModuleFilterPerRoute`: each has keys that are laid over the route's policy.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use postern_engine::{serialize_route, strict_json};
use serde_json::Value;

use crate::host::random_number;

/// The most objects and lists within each other: more than any policy has.
const MAX_DEPTH: usize = 32;

/// The configurations that Envoy has not destroyed, as serialised metadata. Their numbers are random: Envoy hands those that another
/// build of the library has given out to this one too, where they must stand for nothing.
static CONFIGURATIONS: Mutex<BTreeMap<u64, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// Adds the configuration of a route, which has to be an object of JSON, and returns its number.
pub(super) fn add(text: &[u8]) -> Option<u64> {
    let said = match strict_json::parse(text, MAX_DEPTH) {
        Ok(Value::Object(said)) => said,
        Ok(_) => return refuse("it is no object"),
        Err(error) => return refuse(&error.to_string()),
    };
    let Some(number) = random_number() else { return refuse("there is no randomness") };
    lock().insert(number, serialize_route(&said));
    Some(number)
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
        for text in [&b""[..], b"[]", b"\"a\"", b"{", b"null", br#"{"a": 1, "a": 2}"#] {
            assert_eq!(add(text), None, "{text:?}");
        }
    }
}
