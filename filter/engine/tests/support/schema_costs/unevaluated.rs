//! What no other keyword has looked at: which items and members that were is known from every branch.

use serde_json::{Map, Value, json};

use super::Expected::{Valid, Work};
use super::text::{array_of, deep, deep_object, object};
use super::{Pair, pair};

pub(super) fn pairs() -> Vec<Pair> {
    let members = object(|number| format!("\"n{number:04}\":0"));
    let zeros = array_of("0");
    let any_member = json!({"patternProperties": {"": true}});
    let some_members =
        json!({"properties": (0..3000).map(|n| (format!("n{n:04}"), json!(true))).collect::<Map<_, _>>()});
    let contains = json!({"contains": {"const": 0}});
    let of_members = [
        ("unevaluated-members-in-a-chain", chain(&any_member, "unevaluatedProperties")),
        ("unevaluated-members-of-branches", branches(&any_member, "anyOf", "unevaluatedProperties")),
        ("unevaluated-members-of-some", branches(&some_members, "allOf", "unevaluatedProperties")),
        ("unevaluated-members-in-branches", inside(&any_member, "unevaluatedProperties")),
    ];
    let of_items = [
        ("unevaluated-items-in-a-chain", chain(&contains, "unevaluatedItems")),
        ("unevaluated-items-of-branches", branches(&contains, "anyOf", "unevaluatedItems")),
        ("unevaluated-items-of-all", branches(&contains, "allOf", "unevaluatedItems")),
        ("unevaluated-items-in-branches", inside(&contains, "unevaluatedItems")),
    ];
    let again = json!({"$ref": "#"});
    let one_way = json!({"allOf": [{"items": again}], "unevaluatedItems": false});
    let one_way_of_members =
        json!({"anyOf": [{"properties": {"a": again}}], "unevaluatedProperties": {"type": "string"}});
    let mut pairs: Vec<_> = of_members
        .map(|(name, schema)| pair(name, Work, schema, members.clone()))
        .into_iter()
        .chain(of_items.map(|(name, schema)| pair(name, Work, schema, zeros.clone())))
        .collect();
    pairs.extend(in_small_values());
    pairs.push(pair("unevaluated-items-at-each-level", Work, one_way, deep()));
    pairs.push(pair("unevaluated-members-at-each-level", Valid, one_way_of_members, deep_object("a")));
    pairs
}

/// What is looked at in small values, for which as much has to be set up as for large ones.
fn in_small_values() -> [Pair; 3] {
    let all = |branch: fn(usize) -> Value| (0..100).map(branch).collect::<Vec<_>>();
    let items = all(|number| json!({"prefixItems": [true], "maxItems": number + 1}));
    let members = all(|number| json!({"properties": {"": true}, "maxProperties": number + 1}));
    let unique = all(|number| json!({"uniqueItems": true, "maxItems": number + 2}));
    let each = |schema: Value| json!({"items": schema});
    [
        pair(
            "unevaluated-in-small-arrays",
            Work,
            each(json!({"anyOf": items, "unevaluatedItems": false})),
            array_of("[0]"),
        ),
        pair(
            "unevaluated-in-small-objects",
            Work,
            each(json!({"anyOf": members, "unevaluatedProperties": false})),
            array_of("{\"\":0}"),
        ),
        pair("unique-in-small-arrays", Work, each(json!({"allOf": unique})), array_of("[0,1]")),
    ]
}

/// Returns a chain of 1000 references, at each end of which the same is looked at again.
fn chain(looks: &Value, unevaluated: &str) -> Value {
    let mut defs = Map::new();
    for number in 0..1000 {
        let next = json!({"$ref": format!("#/$defs/n{}", number + 1)});
        defs.insert(format!("n{number}"), json!({"allOf": [next, {"$ref": "#/$defs/looks"}]}));
    }
    defs.insert("n1000".to_owned(), json!(true));
    defs.insert("looks".to_owned(), looks.clone());
    json!({"$ref": "#/$defs/n0", (unevaluated): false, "$defs": defs})
}

/// Returns 1000 branches, whose looks are put together.
fn branches(looks: &Value, applicator: &str, unevaluated: &str) -> Value {
    let branch = |number: usize| json!({"$ref": "#/$defs/looks", "maxProperties": 10_000 + number});
    let branches: Vec<_> = (0..1000).map(branch).collect();
    json!({(applicator): branches, (unevaluated): true, "$defs": {"looks": looks}})
}

/// Returns 1000 branches, each of which asks for itself.
fn inside(looks: &Value, unevaluated: &str) -> Value {
    let asks = json!({"type": "integer"});
    let branch = |number: usize| json!({"$ref": "#/$defs/looks", "maxProperties": 10_000 + number, (unevaluated): asks});
    json!({"allOf": (0..1000).map(branch).collect::<Vec<_>>(), "$defs": {"looks": looks}})
}
