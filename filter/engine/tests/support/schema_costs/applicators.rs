//! Schemas that are applied to one value many times: in branches that recur, and in many branches.

use serde_json::{Value, json};

use super::Expected::{Invalid, Valid, Work};
use super::text::{array, array_of, deep, deep_object};
use super::{Pair, pair};

pub(super) fn pairs() -> Vec<Pair> {
    let mut pairs = recurring();
    pairs.extend(wide());
    pairs.extend(kinds());
    pairs
}

/// Two ways down at each level, so that there are 2^126 to the innermost value.
fn recurring() -> Vec<Pair> {
    let again = json!({"$ref": "#"});
    let items = json!({"items": again});
    let in_arrays = [
        ("all-of-twice", json!({"allOf": [items, items]})),
        ("any-of-twice", json!({"type": "array", "anyOf": [items, items]})),
        ("one-of-twice", json!({"oneOf": [items, items]})),
        ("not-not-twice", json!({"not": {"anyOf": [{"not": items}, {"not": items}]}})),
        ("if-then-else-twice", json!({"if": items, "then": items, "else": items})),
        ("contains-twice", json!({"items": again, "contains": again})),
        ("unevaluated-items-twice", json!({"not": {"not": items}, "unevaluatedItems": again})),
        ("all-any-one-of", json!({"allOf": [{"anyOf": [{"oneOf": [items, {"not": items}]}, items]}, items]})),
        (
            "dynamic-twice",
            json!({
                "$id": "https://example.com/tree", "$dynamicAnchor": "node",
                "allOf": [{"items": {"$dynamicRef": "#node"}}, {"items": {"$dynamicRef": "#node"}}],
            }),
        ),
    ];
    let in_objects = [
        ("properties-and-patterns", json!({"properties": {"a": again}, "patternProperties": {"^a": again}})),
        (
            "patterns-twice",
            json!({"patternProperties": {"a": again, "^a": again}, "additionalProperties": {"type": "string"}}),
        ),
        (
            "dependent-schemas-twice",
            json!({"dependentSchemas": {"a": {"properties": {"a": again}}, "z": {"properties": {"a": again}}}}),
        ),
        (
            "unevaluated-properties-twice",
            json!({"not": {"not": {"properties": {"a": again}}}, "unevaluatedProperties": again}),
        ),
    ];
    let arrays = in_arrays.map(|(name, schema)| pair(name, Work, schema, deep()));
    let objects = in_objects.map(|(name, schema)| pair(name, Work, schema, deep_object("a")));
    arrays.into_iter().chain(objects).collect()
}

/// Many branches for each of 32,000 items.
fn wide() -> Vec<Pair> {
    let branches = |branch: fn(usize) -> Value| (0..1000).map(branch).collect::<Vec<_>>();
    let alike = branches(|_| json!({"type": "integer"}));
    let titles = branches(|_| json!({"title": "nothing is asked"}));
    let minima = branches(|number| json!({"minimum": -(number as f64)}));
    let never = branches(|_| json!(false));
    let consts = branches(|number| json!({"const": number + 1}));
    let one = branches(|number| json!({"minimum": number}));
    let rows = [
        ("all-of-alike", Work, json!({"items": {"allOf": alike}})),
        ("all-of-titles", Work, json!({"items": {"allOf": titles}})),
        ("all-of-minima", Work, json!({"items": {"allOf": minima}})),
        ("any-of-never", Work, json!({"contains": {"anyOf": never}})),
        ("any-of-consts", Work, json!({"contains": {"anyOf": consts}})),
        ("one-of-minima", Work, json!({"items": {"oneOf": one}})),
        ("not-any-of-consts", Work, json!({"items": {"not": {"anyOf": consts}}})),
        (
            "all-of-at-the-root",
            Valid,
            json!({"allOf": branches(|number| json!({"maxItems": 40_000 + number}))}),
        ),
    ];
    rows.map(|(name, expected, schema)| pair(name, expected, schema, array_of("0"))).into()
}

/// Alternatives that a member tells apart, or seems to.
fn kinds() -> Vec<Pair> {
    let kind =
        |number: usize| json!({"properties": {"k": {"const": format!("{number}")}}, "required": ["k"]});
    let long = |number: usize| {
        let kind = format!("{}{number:03}", "-".repeat(300));
        json!({"properties": {"k": {"enum": [kind, "x"]}}, "minProperties": 2})
    };
    let alike = |number: usize| json!({"properties": {"k": {"const": "x"}}, "minProperties": number + 2});
    let none = |number: usize| json!({"properties": {"k": {"const": "x"}, "l": {"const": number}}});
    let many = |kind: &dyn Fn(usize) -> Value| (0..500).map(kind).collect::<Vec<_>>();
    let each = |kinds: Vec<Value>| json!({"contains": {"oneOf": kinds}});
    let of = |kind: &str| array_of(&format!("{{\"k\":\"{kind}\"}}"));
    vec![
        pair(
            "kinds",
            Valid,
            json!({"items": {"oneOf": many(&kind)}}),
            array(|n| format!("{{\"k\":\"{}\"}}", n % 500)),
        ),
        pair("kinds-of-long-names", Invalid, each(many(&long)), of(&"-".repeat(300))),
        pair("kinds-alike", Work, each(many(&alike)), of("x")),
        pair(
            "kinds-that-are-not-there",
            Work,
            json!({"contains": {"oneOf": many(&none)}}),
            array_of("{\"l\":0.5}"),
        ),
    ]
}
