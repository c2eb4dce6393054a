use serde_json::json;

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
