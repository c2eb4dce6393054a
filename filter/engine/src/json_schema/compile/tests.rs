use serde_json::json;

use super::super::{Budget, Fault};
use super::*;

fn problems(schema: &Value) -> Vec<(String, String)> {
    let problems = compile(schema).err().unwrap_or_default();
    problems.into_iter().map(|problem| (problem.at, problem.what)).collect()
}

#[test]
fn what_is_not_carried_out_to_the_letter_is_refused_with_its_place() {
    for (schema, at, what) in [
        (json!({"requierd": ["a"]}), "/requierd", "is no keyword of JSON Schema 2020-12"),
        (
            json!({"properties": {"a/b": {"nullable": true}}}),
            "/properties/a~1b/nullable",
            "is no keyword of JSON Schema 2020-12",
        ),
        (json!({"dependencies": {}}), "/dependencies", "is no keyword of JSON Schema 2020-12"),
        (json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "/$schema", "is another draft"),
        (json!({"items": [{}]}), "/items", "is no schema"),
        (json!({"anyOf": [{}, 1]}), "/anyOf/1", "is no schema"),
        (json!({"allOf": []}), "/allOf", "is no list of schemas"),
        (json!({"allOf": {}}), "/allOf", "is no list of schemas"),
        (json!({"properties": []}), "/properties", "is no object of schemas"),
        (json!({"type": "text"}), "/type", "is no type"),
        (json!({"type": []}), "/type", "is no type"),
        (json!({"type": ["string", 1]}), "/type", "is no type"),
        (json!({"enum": "a"}), "/enum", "is no list of values"),
        (json!({"enum": []}), "/enum", "is no list of values"),
        (json!({"maxLength": -1}), "/maxLength", "is no count"),
        (json!({"minItems": 1.5}), "/minItems", "is no count"),
        (json!({"maxContains": "1", "contains": {}}), "/maxContains", "is no count"),
        (json!({"maximum": "1"}), "/maximum", "is no number"),
        (json!({"multipleOf": 0}), "/multipleOf", "is no number above zero"),
        (json!({"multipleOf": -0.5}), "/multipleOf", "is no number above zero"),
        (json!({"required": "a"}), "/required", "is no list of names"),
        (json!({"required": ["a", "a"]}), "/required", "is no list of names"),
        (
            json!({"dependentRequired": {"a": "b"}}),
            "/dependentRequired",
            "has a member that is no list of names",
        ),
        (json!({"uniqueItems": 1}), "/uniqueItems", "is neither true nor false"),
        (json!({"pattern": 1}), "/pattern", "is no text"),
        (
            json!({"pattern": "(?=a)"}),
            "/pattern",
            "has a look-ahead or look-behind, which one pass over a text cannot follow",
        ),
        (
            json!({"patternProperties": {"(": {}}}),
            "/patternProperties/(",
            "is no regular expression of ECMA-262: a `(` is not closed",
        ),
        (json!({"$ref": 1}), "/$ref", "is no text"),
        (
            json!({"$ref": "https://example.com/schema"}),
            "/$ref",
            "refers to another document, and none is fetched",
        ),
        (json!({"$ref": "other.json"}), "/$ref", "refers to another document, and none is fetched"),
        (
            json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}),
            "/$ref",
            "refers to another document, and none is fetched",
        ),
        (json!({"$ref": "#/$defs/a"}), "/$ref", "points to nothing that is a schema"),
        (json!({"$ref": "#/required", "required": []}), "/$ref", "points to nothing that is a schema"),
        (json!({"$ref": "#a"}), "/$ref", "names an anchor that nothing has"),
        (json!({"$ref": "http://["}), "/$ref", "is no URI reference"),
        (json!({"$id": "a#b"}), "/$id", "has a fragment"),
        (
            json!({"$defs": {"a": {"$id": "x"}, "b": {"$id": "x"}}}),
            "/$defs/a/$id",
            "is the name of another schema as well",
        ),
        (json!({"$anchor": "1"}), "/$anchor", "is no anchor"),
        (
            json!({"$anchor": "a", "$dynamicAnchor": "a"}),
            "/$dynamicAnchor",
            "is the anchor of another schema as well",
        ),
        (json!(1), "", "is no schema"),
    ] {
        assert_eq!(problems(&schema), [(at.to_owned(), what.to_owned())], "{schema}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let schema = json!({"type": "text", "properties": {"a": {"maxLength": "1"}, "b": {"pattern": "["}}});
    let mut places: Vec<String> = problems(&schema).into_iter().map(|(at, _)| at).collect();
    places.sort();
    assert_eq!(places, ["/properties/a/maxLength", "/properties/b/pattern", "/type"]);
}

#[test]
fn references_that_come_back_without_going_deeper_are_refused() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"not": {"$ref": "#"}}),
        json!({"if": {"$ref": "#"}}),
        json!({"if": true, "then": {"$ref": "#"}}),
        json!({"dependentSchemas": {"a": {"$ref": "#"}}}),
        json!({"$dynamicAnchor": "a", "$dynamicRef": "#a"}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}}),
        json!({
            "$defs": {"base": {"$id": "base", "$dynamicAnchor": "x", "anyOf": [{"$dynamicRef": "#x"}]}},
            "$ref": "base",
        }),
    ] {
        let found = problems(&schema);
        assert_eq!(found.len(), 1, "{schema}");
        assert_eq!(found[0].1, "refers back to itself without going deeper into the message", "{schema}");
    }
    for schema in [
        json!({"properties": {"a": {"$ref": "#"}}}),
        json!({"anyOf": [{"items": {"$ref": "#"}}, {"propertyNames": {"$ref": "#"}}]}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "string"}}, "allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}),
    ] {
        assert_eq!(problems(&schema), [], "{schema}");
    }
}

#[test]
fn a_schema_has_a_bound_on_its_size() {
    let many = |count: usize| json!({"prefixItems": vec![json!({}); count]});
    assert!(compile(&many(8191)).is_ok());
    assert_eq!(
        problems(&many(8192)),
        [(String::new(), "has more than 8192 schemas in it, or ones too deep within others".to_owned())]
    );
    let name = "a".repeat(100_000);
    let deep = (0..20).fold(json!({}), |inner, _| json!({"properties": {name.as_str(): inner}}));
    assert_eq!(problems(&deep).len(), 1, "each of its pointers is longer than the one before");
    // Each pattern is within its bound of 512 KiB by itself.
    let patterns: Vec<Value> = (0..100).map(|i| json!({"pattern": format!("^{i}[a-z]{{3000}}$")})).collect();
    assert!(compile(&json!({"allOf": patterns[..4]})).is_ok());
    let found = problems(&json!({"allOf": patterns}));
    assert!(found.iter().any(|(_, what)| what.contains("more than 4 MiB")), "{found:?}");
}

#[test]
fn annotations_and_names_of_ones_own_are_accepted() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/message",
        "$comment": "c", "title": "t", "description": "d", "default": 1, "examples": [1], "deprecated": true, "readOnly": true,
        "writeOnly": true, "format": "email", "contentEncoding": "base64", "contentMediaType": "text/plain", "contentSchema": {},
        "x-internal": {"anything": "goes"},
        "definitions": {"a": {}},
        "properties": {"a": {"$ref": "#/definitions/a"}},
    });
    assert_eq!(problems(&schema), []);
}

#[test]
fn a_schema_costs_no_more_to_compile_than_in_proportion_to_its_text() {
    let many = |schema: Value, count: usize| vec![schema; count];
    let numbered = |schema: &dyn Fn(usize) -> Value, count: usize| -> Map<String, Value> {
        (0..count).map(|i| (i.to_string(), schema(i))).collect()
    };
    let one_text = |_| json!({"const": "a"});
    let texts: Vec<Value> = (0..20_000).map(|i| json!(i.to_string())).collect();
    let listed = json!({"properties": {"t": {"enum": texts}}});
    let constants = json!({"properties": numbered(&one_text, 4000)});
    let to_it = json!({"$ref": "#/$defs/it"});
    let unlike: Vec<Value> = many(to_it.clone(), 4000).into_iter().chain([json!({})]).collect();
    let anchored = |i| json!({"$id": format!("i{i}"), "$dynamicAnchor": "a", "items": {"$dynamicRef": "#a"}});
    let class: String = (0..20_000_u32).filter_map(|i| char::from_u32(0x4e00 + i * 7919 % 20_000)).collect();
    for (what, schema) in [
        (
            "alternatives that all list the same texts",
            json!({"anyOf": many(to_it, 4000), "$defs": {"it": listed}}),
        ),
        ("alternatives of which the last has no tag", json!({"anyOf": unlike, "$defs": {"it": constants}})),
        ("an anchor in each of many resources", json!({"$defs": numbered(&anchored, 4000)})),
        ("many classes of many characters", json!({"allOf": [{"pattern": format!("[{class}]")}]})),
    ] {
        // Without its bounds each takes minutes.
        assert!(compile(&schema).is_ok(), "{what}");
    }
}

#[test]
fn what_is_told_of_a_schema_has_a_bound_however_long_its_names_are() {
    let unknown: Map<String, Value> = (0..1000).map(|i| (format!("unknown{i}"), json!(1))).collect();
    let told = problems(&json!({"properties": {"n".repeat(50_000): unknown}}));
    let bytes: usize = told.iter().map(|(at, what)| at.len() + what.len()).sum();
    assert!((1..200_000).contains(&bytes), "{bytes}");
}

#[test]
fn a_uri_of_a_schema_has_a_bound_since_all_within_it_begin_with_it() {
    let root = format!("https://example.com/{}/", "a".repeat(2000));
    let schema = json!({"$id": root, "$defs": {"b": {"$id": "b"}}});
    assert_eq!(problems(&schema), [("/$id".to_owned(), "has more than 1024 bytes".to_owned())]);
}

#[test]
fn texts_that_tell_alternatives_apart_are_given_up_where_they_are_too_many_and_all_are_judged() {
    let texts: Vec<Value> = (0..1000).map(|i| json!(i.to_string())).collect();
    let listed = json!({"properties": {"t": {"enum": texts}}});
    let schema =
        compile(&json!({"oneOf": vec![json!({"$ref": "#/$defs/it"}); 1000], "$defs": {"it": listed}}));
    let value = json!({"t": "999"});
    let verdict = schema.unwrap().validate(&value, Budget::for_bytes(100_000));
    assert_eq!(verdict, Err(Fault::Keyword("/oneOf".to_owned())));
}
