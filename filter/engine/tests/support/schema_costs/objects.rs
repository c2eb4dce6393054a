//! Objects: many names in the schema, many in the message, and many patterns for them.

use serde_json::{Map, Value, json};

use super::Expected::{Valid, Work};
use super::text::{array_of, deep_object, object};
use super::{LONGEST, Pair, pair};

pub(super) fn pairs() -> Vec<Pair> {
    let mut pairs = empty_objects();
    pairs.extend(many_members());
    pairs.extend(long_names());
    pairs
}

/// What the schema names, and none of 21,000 objects has.
fn empty_objects() -> Vec<Pair> {
    let each = |keyword: &str, value: fn(usize) -> Value| json!({"items": {(keyword): named(8000, value)}});
    let rows = [
        ("properties-of-nothing", Valid, each("properties", |_| json!(false))),
        ("dependent-schemas-of-nothing", Work, each("dependentSchemas", |_| json!(false))),
        ("dependent-required-of-nothing", Work, each("dependentRequired", |_| json!(["x"]))),
        ("patterns-of-nothing", Valid, json!({"items": {"patternProperties": patterns(500)}})),
    ];
    rows.map(|(name, expected, schema)| pair(name, expected, schema, array_of("{}"))).into()
}

/// One object of 6,000 members, each of which many things are asked of.
fn many_members() -> Vec<Pair> {
    let members = object(|number| format!("\"n{number:04}\":0"));
    let names: Vec<_> = (0..5000).map(|number| format!("n{number:04}")).collect();
    let often = |schema: Value| {
        let reference = |number: usize| json!({"$ref": "#/$defs/once", "maxProperties": 10_000 + number});
        json!({"allOf": (0..1000).map(reference).collect::<Vec<_>>(), "$defs": {"once": schema}})
    };
    let next = |number: usize| json!({"required": [format!("n{:04}", number + 1)]});
    let chained = named(5000, next);
    let rows = [
        (
            "patterns-and-names",
            Work,
            json!({"patternProperties": patterns(500), "additionalProperties": {"type": "integer"}}),
        ),
        ("property-names-of-enum", Work, json!({"propertyNames": {"enum": names_up_to(8000)}})),
        ("property-names-of-patterns", Work, json!({"propertyNames": {"allOf": name_patterns(500)}})),
        ("required-often", Work, often(json!({"required": names}))),
        ("properties-often", Work, often(json!({"properties": named(5000, |_| json!(true))}))),
        ("property-names-often", Work, often(json!({"propertyNames": {"maxLength": 5}}))),
        ("additional-properties-often", Work, often(json!({"additionalProperties": {"maximum": 0}}))),
        ("dependent-schemas-in-a-row", Valid, json!({"dependentSchemas": chained})),
        ("dependent-schemas-often", Work, often(json!({"dependentSchemas": chained}))),
        (
            "dependent-required-often",
            Work,
            often(json!({"dependentRequired": named(300, |_| json!(names_up_to(300)))})),
        ),
        ("const-object-often", Work, often(json!({"not": {"const": nearly(&members)}}))),
    ];
    rows.map(|(name, expected, schema)| pair(name, expected, schema, members.clone())).into()
}

/// Names that differ from those of the schema at their end.
fn long_names() -> Vec<Pair> {
    let name = |end: &str| format!("{}{end}", "n".repeat(300));
    let again = json!({"$ref": "#"});
    let schema = json!({
        "properties": {(name("a")): again, (name("b")): false, (name("c")): false},
        "patternProperties": {"n+d$": false}, "required": ["z"],
    });
    let long = |end: usize| format!("{}{end:02}", "n".repeat(LONGEST / 4 - 10));
    let names: Vec<_> = (10..18).map(long).collect();
    let listed = |value: Value| names.iter().map(|name| (name.clone(), value.clone())).collect::<Map<_, _>>();
    let often = |once: Value| {
        let reference = |number: usize| json!({"$ref": "#/$defs/ten", "maxProperties": 10 + number});
        let ten = vec![json!({"$ref": "#/$defs/once"}); 10];
        let defs = json!({"once": once, "ten": {"allOf": ten}});
        json!({"allOf": (0..6000).map(reference).collect::<Vec<_>>(), "$defs": defs})
    };
    let again_and_again = [
        ("long-names-of-properties", often(json!({"properties": listed(json!(false))}))),
        ("long-names-required", often(json!({"not": {"required": names}}))),
        ("long-names-dependent", often(json!({"dependentRequired": listed(json!([]))}))),
        ("long-names-of-dependent-schemas", often(json!({"dependentSchemas": listed(json!(true))}))),
    ];
    let message = object(|number| format!("\"{}\":0", long(number)));
    let mut pairs = vec![pair(
        "long-names",
        Valid,
        json!({"type": "object", "anyOf": [schema, true]}),
        deep_object(&name("a")),
    )];
    pairs.extend(again_and_again.map(|(name, schema)| pair(name, Work, schema, message.clone())));
    pairs
}

/// Returns the object of a message with another value in its last member.
fn nearly(message: &str) -> Value {
    let mut value: Map<String, Value> = serde_json::from_str(message).unwrap();
    if let Some(last) = value.values_mut().next_back() {
        *last = json!(1);
    }
    Value::Object(value)
}

fn named(count: usize, value: fn(usize) -> Value) -> Map<String, Value> {
    (0..count).map(|number| (format!("n{number:04}"), value(number))).collect()
}

fn names_up_to(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("n{number:04}")).collect()
}

/// Returns patterns that no name matches, which is known at its end only.
fn patterns(count: usize) -> Map<String, Value> {
    (0..count).map(|number| (format!("^n[0-9]+x{number}$"), json!(false))).collect()
}

fn name_patterns(count: usize) -> Vec<Value> {
    (0..count).map(|number| json!({"pattern": format!("^n[0-9]{{4}}(x{number})?$")})).collect()
}
