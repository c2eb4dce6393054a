//! Schemas and values made of an input, so that the keywords speak of what the values have.

use arbitrary::{Result, Unstructured};
use serde_json::{Map, Value, json};

const NAMES: [&str; 4] = ["a", "b", "ab", "c"];

const SCALARS: [&str; 22] = [
    "null", "true", "false", "0", "1", "2", "-1", "1.0", "0.5", "1.5", "-0.0", "3", "1e2", "9007199254740993",
    "18446744073709551615", "0.1", "\"\"", "\"a\"", "\"ab\"", "\"é\"", "\"😀b\"", "\"c\"",
];

/// Patterns that mean the same in every dialect.
const PATTERNS: [&str; 6] = ["^a", "b$", "a", "^[ab]+$", "^.?$", "c|^$"];

const TYPES: [&str; 7] = ["null", "boolean", "number", "string", "array", "object", "integer"];

const REFERENCES: [&str; 6] = ["#", "#/$defs/a", "#/$defs/b", "#/$defs/c", "#x", "https://example.com/b"];

/// Returns a schema document, in which what it refers to may be.
pub(crate) fn schema(input: &mut Unstructured<'_>) -> Result<Value> {
    let mut root = within(input, 3)?;
    let defs = [("a", ""), ("b", "https://example.com/b"), ("c", "")];
    let mut named = Map::new();
    for (name, id) in defs {
        let mut inner = within(input, 2)?;
        if let Some(members) = inner.as_object_mut() {
            if !id.is_empty() {
                members.insert("$id".to_owned(), json!(id));
            }
            if input.ratio(1, 3)? {
                members.insert("$dynamicAnchor".to_owned(), json!("node"));
            }
            if name == "a" {
                members.insert("$anchor".to_owned(), json!("x"));
            }
        }
        named.insert(name.to_owned(), inner);
    }
    if let Some(members) = root.as_object_mut() {
        if input.ratio(1, 3)? {
            members.insert("$dynamicAnchor".to_owned(), json!("node"));
        }
        members.insert("$defs".to_owned(), Value::Object(named));
    }
    Ok(root)
}

/// Returns a value of at most this depth.
pub(crate) fn value(input: &mut Unstructured<'_>, depth: u32) -> Result<Value> {
    let count = input.int_in_range(0..=4)?;
    match input.int_in_range(0..=if depth == 0 { 0 } else { 3 })? {
        0 => Ok(serde_json::from_str(input.choose(&SCALARS)?).expect("JSON")),
        1 => (0..count).map(|_| value(input, depth - 1)).collect::<Result<Vec<_>>>().map(Value::Array),
        _ => {
            let member = |input: &mut Unstructured<'_>| Ok((name(input)?, value(input, depth - 1)?));
            (0..count).map(|_| member(input)).collect::<Result<Map<_, _>>>().map(Value::Object)
        }
    }
}

fn name(input: &mut Unstructured<'_>) -> Result<String> {
    input.choose(&NAMES).map(|name| (*name).to_owned())
}

/// Returns a schema of at most this depth.
fn within(input: &mut Unstructured<'_>, depth: u32) -> Result<Value> {
    if input.ratio(1, 8)? {
        return Ok(Value::Bool(input.arbitrary()?));
    }
    let mut members = Map::new();
    for _ in 0..input.int_in_range(1..=4)? {
        let (name, value) = if depth > 0 && input.ratio(2, 3)? {
            applicator(input, depth - 1)?
        } else {
            assertion(input)?
        };
        members.insert(name.to_owned(), value);
    }
    Ok(Value::Object(members))
}

/// Returns a keyword that applies schemas.
fn applicator(input: &mut Unstructured<'_>, depth: u32) -> Result<(&'static str, Value)> {
    const OF_ONE: [&str; 11] = [
        "not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems",
        "unevaluatedProperties", "items",
    ];
    const OF_SOME: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
    const OF_NAMED: [&str; 2] = ["properties", "dependentSchemas"];
    let count = input.int_in_range(1..=3)?;
    Ok(match input.int_in_range(0..=19)? {
        0..=7 => (input.choose(&OF_ONE)?, within(input, depth)?),
        8 => (input.choose(&["anyOf", "oneOf"])?, kinds(input, count, depth)?),
        9..=11 => {
            let all = (0..count).map(|_| within(input, depth)).collect::<Result<Vec<_>>>()?;
            (input.choose(&OF_SOME)?, Value::Array(all))
        }
        12..=14 => (input.choose(&OF_NAMED)?, named(input, count, name, |input| within(input, depth))?),
        15 => ("patternProperties", named(input, count, pattern, |input| within(input, depth))?),
        16..=18 => ("$ref", json!(input.choose(&REFERENCES)?)),
        _ => ("$dynamicRef", json!("#node")),
    })
}

/// Returns alternatives that a member may tell apart.
fn kinds(input: &mut Unstructured<'_>, count: usize, depth: u32) -> Result<Value> {
    const KINDS: [&str; 4] = ["a", "ab", "b", "c"];
    let tag = name(input)?;
    let mut all = Vec::new();
    for _ in 0..=count {
        let mut kind = within(input, depth)?;
        let told = if input.arbitrary()? {
            json!({"const": input.choose(&KINDS)?})
        } else {
            json!({"enum": [input.choose(&KINDS)?, input.choose(&KINDS)?]})
        };
        if let Some(members) = kind.as_object_mut() {
            let properties = members.entry("properties").or_insert_with(|| json!({}));
            if let Some(properties) = properties.as_object_mut() {
                properties.insert(tag.clone(), told);
            }
        }
        all.push(kind);
    }
    Ok(Value::Array(all))
}

fn named(
    input: &mut Unstructured<'_>,
    count: usize,
    name: fn(&mut Unstructured<'_>) -> Result<String>,
    mut value: impl FnMut(&mut Unstructured<'_>) -> Result<Value>,
) -> Result<Value> {
    let mut members = Map::new();
    for _ in 0..count {
        members.insert(name(input)?, value(input)?);
    }
    Ok(Value::Object(members))
}

fn pattern(input: &mut Unstructured<'_>) -> Result<String> {
    input.choose(&PATTERNS).map(|pattern| (*pattern).to_owned())
}

/// Returns a keyword that asserts something itself.
fn assertion(input: &mut Unstructured<'_>) -> Result<(&'static str, Value)> {
    const COUNTS: [&str; 8] = [
        "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "minContains",
        "maxContains",
    ];
    const BOUNDS: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
    const NUMBERS: [f64; 6] = [0.0, 1.0, 0.5, -1.0, 2.0, 1e2];
    const DIVISORS: [f64; 5] = [1.0, 0.5, 2.0, 0.1, 3.0];
    let count = input.int_in_range(1..=3)?;
    Ok(match input.int_in_range(0..=11)? {
        0..=2 => (input.choose(&COUNTS)?, json!(input.int_in_range(0..=3)?)),
        3 | 4 => (input.choose(&BOUNDS)?, json!(input.choose(&NUMBERS)?)),
        5 => ("multipleOf", json!(input.choose(&DIVISORS)?)),
        6 => ("type", json!(input.choose(&TYPES)?)),
        7 => ("const", value(input, 2)?),
        8 => ("enum", Value::Array((0..count).map(|_| value(input, 2)).collect::<Result<_>>()?)),
        9 => ("required", json!(names(input)?)),
        10 => ("dependentRequired", named(input, count, name, |input| Ok(json!(names(input)?)))?),
        _ if input.arbitrary()? => ("pattern", json!(pattern(input)?)),
        _ => ("uniqueItems", json!(true)),
    })
}

fn names(input: &mut Unstructured<'_>) -> Result<Vec<&'static str>> {
    let first = input.int_in_range(0..=NAMES.len() - 1)?;
    let count = input.int_in_range(0..=NAMES.len() - first)?;
    Ok(NAMES[first..first + count].to_vec())
}
