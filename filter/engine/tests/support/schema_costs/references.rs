//! References: long chains of them, at each level, and dynamic ones.

use serde_json::{Map, Value, json};

use super::Expected::Work;
use super::text::{array_of, deep};
use super::{Pair, pair};

pub(super) fn pairs() -> Vec<Pair> {
    let last = json!({"type": "integer"});
    let step = |next: &str| json!({"$ref": next});
    let in_all_of = |next: &str| json!({"allOf": [{"$ref": next}]});
    let in_not = |next: &str| json!({"not": {"not": {"$ref": next}}});
    let choice = |next: &str| json!({"if": {"const": next.len()}, "then": true, "else": {"$ref": next}, "title": next});
    let each = |chain: Value| json!({"items": chain["$ref"].as_str().map(|_| json!({"$ref": "#/$defs/n0"})), "$defs": chain["$defs"]});
    let zeros = array_of("0");
    vec![
        pair("chain-for-each-item", Work, each(chain(1000, step, &last)), zeros.clone()),
        pair("chain-of-else", Work, each(chain(1000, choice, &last)), zeros.clone()),
        pair("long-chain", Work, chain(4000, step, &json!({"type": "array"})), zeros.clone()),
        pair("long-chain-of-all-of", Work, chain(4000, in_all_of, &json!({"type": "array"})), zeros.clone()),
        pair("long-chain-of-not", Work, chain(2500, in_not, &json!({"type": "array"})), zeros.clone()),
        pair("chain-at-each-level", Work, chain(100, step, &json!({"items": {"$ref": "#"}})), deep()),
        pair("all-of-at-each-level", Work, chain(100, in_all_of, &json!({"items": {"$ref": "#"}})), deep()),
        pair(
            "doubling",
            Work,
            chain(40, |next| json!({"allOf": [{"$ref": next}, {"$ref": next}]}), &json!(true)),
            zeros.clone(),
        ),
        pair("dynamic-through-many-resources", Work, resources(1000), zeros),
    ]
}

/// Returns a schema that refers to the first of many, of which each leads to the next by `step`, up to the last.
fn chain(length: usize, step: impl Fn(&str) -> Value, last: &Value) -> Value {
    let mut defs = Map::new();
    for number in 0..length {
        let next = format!("#/$defs/n{}", number + 1);
        defs.insert(format!("n{number}"), step(&next));
    }
    defs.insert(format!("n{length}"), last.clone());
    json!({"$ref": "#/$defs/n0", "$defs": defs})
}

/// Returns a chain of resources, the last of which refers dynamically for each item: every resource in the scope has
/// to be asked whether it has the anchor.
fn resources(count: usize) -> Value {
    let mut defs = Map::new();
    for number in 0..count {
        let (id, next) =
            (format!("https://example.com/{number}"), format!("https://example.com/{}", number + 1));
        defs.insert(format!("n{number}"), json!({"$id": id, "$ref": next}));
    }
    let last = json!({
        "$id": format!("https://example.com/{count}"), "items": {"$dynamicRef": "#node"},
        "$defs": {"node": {"$dynamicAnchor": "node", "type": "integer"}},
    });
    defs.insert(format!("n{count}"), last);
    json!({"$id": "https://example.com/root", "$ref": "https://example.com/0", "$defs": defs})
}
