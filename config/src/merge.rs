//! Laying an override over a policy as written.

use serde_json::Value;

/// Lays `overrides` over `base`: objects merge deep; every other value replaces what was there.
pub(crate) fn lay_over(base: &mut Value, overrides: &Value) {
    match (base, overrides) {
        (Value::Object(base), Value::Object(overrides)) => {
            for (key, value) in overrides {
                match base.get_mut(key) {
                    Some(member) => lay_over(member, value),
                    None => {
                        base.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (base, overrides) => *base = overrides.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_merge_deep_and_everything_else_replaces() {
        for (base, overrides, expected) in [
            (
                json!({"a": {"x": 1, "y": 2}}),
                json!({"a": {"y": 3, "z": 4}}),
                json!({"a": {"x": 1, "y": 3, "z": 4}}),
            ),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": "none"}), json!({"a": {"x": 1}}), json!({"a": {"x": 1}})),
            (json!({"a": {"x": 1}}), json!({"a": "none"}), json!({"a": "none"})),
            (json!({"a": 1}), json!({}), json!({"a": 1})),
        ] {
            let mut merged = base.clone();
            lay_over(&mut merged, &overrides);
            assert_eq!(merged, expected, "{base} + {overrides}");
        }
    }
}
