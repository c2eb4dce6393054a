//! References: long chains of them, at each level, and dynamic ones.

use serde_json::{Map, Value, json};

use super::Expected::Work;
use super::text::{array_of, deep};
use super::{Pair, pair};

pub(super) fn pairs() -> Vec<Pair> {
    let mut pairs = chains();
    pairs.extend(dynamic());
    let twice = chain(40, |next| json!({"allOf": [{"$ref": next}, {"$ref": next}]}), &json!(true));
    pairs.push(pair("doubling", Work, twice, array_of("0")));
    pairs.push(pair("references-in-no-order", Work, scattered(), array_of("0")));
    pairs
}

/// References that lead to references, for each item, at each level, and deeper than is allowed.
fn chains() -> Vec<Pair> {
    let (integer, array, again) =
        (json!({"type": "integer"}), json!({"type": "array"}), json!({"items": {"$ref": "#"}}));
    let step = |next: &str| json!({"$ref": next});
    let in_all_of = |next: &str| json!({"allOf": [{"$ref": next}]});
    let in_not = |next: &str| json!({"not": {"not": {"$ref": next}}});
    let choice = |next: &str| json!({"if": {"const": next}, "then": true, "else": {"$ref": next}});
    let for_each_item = |mut chain: Value| {
        chain["items"] = json!({"$ref": "#/$defs/n0"});
        chain["$ref"] = json!("#/$defs/array");
        chain["$defs"]["array"] = array.clone();
        chain
    };
    let rows = [
        ("chain-for-each-item", for_each_item(chain(400, step, &integer))),
        ("chain-of-else", for_each_item(chain(200, choice, &integer))),
        ("long-chain", chain(4000, step, &array)),
        ("long-chain-of-all-of", chain(4000, in_all_of, &array)),
        ("long-chain-of-not", chain(2500, in_not, &array)),
    ];
    let at_each_level = [
        ("chain-at-each-level", chain(100, step, &again)),
        ("all-of-at-each-level", chain(100, in_all_of, &again)),
    ];
    let flat = rows.map(|(name, schema)| pair(name, Work, schema, array_of("0")));
    flat.into_iter().chain(at_each_level.map(|(name, schema)| pair(name, Work, schema, deep()))).collect()
}

/// Dynamic references, for each of which every resource on the way is asked for the anchor.
fn dynamic() -> Vec<Pair> {
    let rows = [
        ("dynamic-through-resources", resources(200, 0, "")),
        ("dynamic-among-many-anchors", resources(200, 7000, "")),
        ("dynamic-among-anchors-alike", resources(100, 1000, &"n".repeat(1000))),
        ("dynamic-too-deep", resources(1000, 0, "")),
    ];
    rows.map(|(name, schema)| pair(name, Work, schema, array_of("0"))).into()
}

/// Returns references to many schemas, one far from another in memory.
fn scattered() -> Value {
    let names: Map<_, _> = (0..6000).map(|number| (format!("n{number}"), json!({"minimum": -1}))).collect();
    let reference = |number: usize| json!({"$ref": format!("#/$defs/n{}", number * 2641 % 6000)});
    json!({"items": {"allOf": (0..2000).map(reference).collect::<Vec<_>>()}, "$defs": names})
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

/// Returns a chain of resources, the last of which refers dynamically for each item; and in the first so many other
/// anchors, whose names begin alike.
fn resources(count: usize, others: usize, name: &str) -> Value {
    let anchor = format!("node{name}");
    let uri = |number: usize| format!("https://example.com/{number}");
    let mut defs: Map<_, _> = (0..count)
        .map(|number| (format!("n{number}"), json!({"$id": uri(number), "$ref": uri(number + 1)})))
        .collect();
    let other =
        |number: usize| (format!("o{number}"), json!({"$dynamicAnchor": format!("{anchor}{number}")}));
    defs.extend((0..others).map(other));
    let last = json!({
        "$id": uri(count), "items": {"$dynamicRef": format!("#{anchor}")},
        "$defs": {"node": {"$dynamicAnchor": anchor, "type": "integer"}},
    });
    defs.insert(format!("n{count}"), last);
    json!({"$id": "https://example.com/root", "$ref": uri(0), "$defs": defs})
}
