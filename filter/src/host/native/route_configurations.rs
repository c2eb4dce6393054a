//! The configurations of single routes, `DynamicModuleFilterPerRoute`: each has keys that are laid over the route's policy.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use postern_engine::{serialize_route, strict_json};
use serde_json::Value;

/// The most objects and lists within each other: more than any policy has.
const MAX_DEPTH: usize = 32;

/// The configurations that Envoy has not destroyed, as serialised metadata, and the number that was given out last.
static CONFIGURATIONS: Mutex<(BTreeMap<u64, Vec<u8>>, u64)> = Mutex::new((BTreeMap::new(), 0));

/// Adds the configuration of a route, which has to be an object of JSON, and returns its number.
pub(super) fn add(text: &[u8]) -> Option<u64> {
    let said = match strict_json::parse(text, MAX_DEPTH) {
        Ok(Value::Object(said)) => said,
        Ok(_) => return refuse("it is no object"),
        Err(error) => return refuse(&error.to_string()),
    };
    let mut all = lock();
    let number = all.1.wrapping_add(1).max(1);
    all.0.insert(number, serialize_route(&said));
    all.1 = number;
    Some(number)
}

/// Tells why Envoy refuses what it was told of a route: it says itself only that it does.
fn refuse(why: &str) -> Option<u64> {
    log::error!("postern: the configuration of a route cannot be read: {why}");
    None
}

/// Returns a configuration as route metadata have it under `postern`, serialised.
pub(super) fn get(number: u64) -> Option<Vec<u8>> {
    lock().0.get(&number).cloned()
}

/// Forgets a configuration.
pub(super) fn remove(number: u64) {
    lock().0.remove(&number);
}

fn lock() -> MutexGuard<'static, (BTreeMap<u64, Vec<u8>>, u64)> {
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
        remove(number);
        assert_eq!(get(number), None);
        for text in [&b""[..], b"[]", b"\"a\"", b"{", b"null", br#"{"a": 1, "a": 2}"#] {
            assert_eq!(add(text), None, "{text:?}");
        }
    }
}
