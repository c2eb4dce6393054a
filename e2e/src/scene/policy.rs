//! Configurations that demand the least, with the keys that a test is about laid over them.

use serde_json::{Map, Value, json};

/// The policy of [`sole`].
const SOLE: &str = "chat";

/// Returns a document in which each of `policies` holds for `/ws/<its name>`, and no other path has one.
/// Their keys are laid over the least demanding policy: any origin or none, no token, TLS or not, no rates.
pub fn document(providers: Value, policies: Value) -> Value {
    let policies = policies.as_object().expect("an object");
    let route = |name| json!({"match": {"path_prefix": format!("/ws/{name}")}, "policy": name});
    let routes: Vec<Value> = policies.keys().map(route).collect();
    let whole: Map<String, Value> =
        policies.iter().map(|(name, keys)| (name.clone(), demanding(keys))).collect();
    json!({"providers": providers, "policies": whole, "routes": routes})
}

/// Returns a document of one policy, `chat`, that holds for every path. Its keys are laid over the least
/// demanding policy.
pub(crate) fn sole(providers: &Map<String, Value>, keys: &Value) -> Value {
    json!({"providers": providers, "policies": {SOLE: demanding(keys)}, "default_policy": SOLE})
}

/// Returns the least demanding policy with `keys` laid over it.
fn demanding(keys: &Value) -> Value {
    let mut policy = json!({
        "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "auth": "none", "rates": [],
    });
    for (key, value) in keys.as_object().expect("an object") {
        policy[key] = value.clone();
    }
    policy
}
