use serde_json::json;

use super::*;

fn fault(schema: &Value, value: &Value) -> Option<Fault> {
    let schema = Schema::compile(schema).unwrap_or_else(|problems| panic!("{schema}: {problems:?}"));
    schema.validate(value, Budget::for_bytes(value.to_string().len())).err()
}

#[test]
fn the_keyword_that_does_not_hold_is_told_by_its_place_in_the_schema() {
    for (schema, value, at) in [
        (json!(false), json!(1), ""),
        (json!({"type": "object"}), json!(1), "/type"),
        (json!({"properties": {"a/b": {"maximum": 1}}}), json!({"a/b": 2}), "/properties/a~1b/maximum"),
        (json!({"additionalProperties": false}), json!({"secret": 1}), "/additionalProperties"),
        (json!({"required": ["a"]}), json!({}), "/required"),
        (json!({"allOf": [{}, {"minLength": 2}]}), json!("a"), "/allOf/1/minLength"),
        (json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), json!(1), "/anyOf"),
        (json!({"oneOf": [{}, {}]}), json!(1), "/oneOf"),
        (json!({"not": {}}), json!(1), "/not"),
        (json!({"if": {}, "then": {"const": 1}}), json!(2), "/then/const"),
        (json!({"$ref": "#/$defs/a", "$defs": {"a": {"enum": [1]}}}), json!(2), "/$defs/a/enum"),
        (json!({"items": {"pattern": "^a"}}), json!(["a", "b"]), "/items/pattern"),
        (json!({"propertyNames": {"maxLength": 1}}), json!({"ab": 1}), "/propertyNames/maxLength"),
        (json!({"contains": {"const": 1}, "minContains": 2}), json!([1]), "/contains"),
        (json!({"unevaluatedProperties": false}), json!({"a": 1}), "/unevaluatedProperties"),
    ] {
        assert_eq!(fault(&schema, &value), Some(Fault::Keyword(at.to_owned())), "{schema} and {value}");
    }
}

#[test]
fn alternatives_that_a_member_tells_apart_are_judged_as_if_all_had_been_tried() {
    let kind = |name: &str, rest: Value| json!({"properties": {"t": {"const": name}, "n": rest}});
    let listed = json!({"properties": {"t": {"enum": ["c", "b", "c"]}}});
    let kinds = json!([kind("a", json!({"maximum": 5})), listed, kind("b", json!({"minimum": 5}))]);
    let at = |at: &str| Some(Fault::Keyword(at.to_owned()));
    for (value, any, one) in [
        (json!({"t": "a", "n": 1}), None, None),
        // Only one can hold, so that what is wrong with it is told.
        (json!({"t": "a", "n": 9}), at("/anyOf/0/properties/n/maximum"), at("/oneOf/0/properties/n/maximum")),
        (json!({"t": "b", "n": 1}), None, None),
        (json!({"t": "b", "n": 9}), None, at("/oneOf")),
        (json!({"t": "c"}), None, None),
        (json!({"t": "d"}), at("/anyOf"), at("/oneOf")),
        (json!({"t": 1}), at("/anyOf"), at("/oneOf")),
        // What has no tag is ruled out by none.
        (json!({}), None, at("/oneOf")),
        (json!([]), None, at("/oneOf")),
    ] {
        assert_eq!(fault(&json!({"anyOf": kinds}), &value), any, "any of, {value}");
        assert_eq!(fault(&json!({"oneOf": kinds}), &value), one, "one of, {value}");
        let referred = json!({
            "$defs": {"0": kinds[0], "1": kinds[1], "2": kinds[2]},
            "oneOf": [{"$ref": "#/$defs/0"}, {"$ref": "#/$defs/1"}, {"$ref": "#/$defs/2"}],
        });
        assert_eq!(fault(&referred, &value).is_none(), one.is_none(), "one of what is referred to, {value}");
    }
    let evaluated = json!({"anyOf": kinds, "unevaluatedProperties": false});
    for (value, fits) in [
        (json!({"t": "a", "n": 1}), true),
        (json!({"t": "b", "n": 9}), true),
        (json!({"t": "b", "n": 1}), false),
        (json!({"t": "c", "n": 1}), false),
    ] {
        assert_eq!(fault(&evaluated, &value).is_none(), fits, "evaluated, {value}");
    }
}

#[test]
fn many_kinds_that_a_member_tells_apart_cost_no_more_than_few() {
    let steps = |count: usize| {
        let kind = |i: usize| json!({"properties": {"t": {"const": i.to_string()}}});
        let kinds: Vec<Value> = (0..count).map(kind).collect();
        let schema = Schema::compile(&json!({"oneOf": kinds})).unwrap();
        schema.measure(&json!({"t": (count - 1).to_string()}), Budget(u64::MAX)).1
    };
    assert_eq!(steps(2), steps(100));
}

#[test]
fn numbers_are_compared_exactly() {
    let most = 9_007_199_254_740_993_u64;
    for (schema, value, fits) in [
        (json!({"maximum": most}), json!(most), true),
        (json!({"maximum": most - 1}), json!(most), false),
        (json!({"exclusiveMinimum": most - 1}), json!(most), true),
        (json!({"minimum": 1.5}), json!(1), false),
        (json!({"minimum": 1.5}), json!(2), true),
        (json!({"maximum": u64::MAX}), json!(1e300), false),
        (json!({"const": most}), json!(9_007_199_254_740_992.0), false),
        (json!({"enum": [1, 2.0]}), json!(2), true),
        (json!({"type": "integer"}), json!(1.0), true),
        (json!({"type": "integer"}), json!(1e300), true),
        (json!({"type": "integer"}), json!(1.5), false),
        (json!({"multipleOf": 0.01}), json!(19.99), true),
    ] {
        assert_eq!(fault(&schema, &value).is_none(), fits, "{schema} and {value}");
    }
}

#[test]
fn lengths_are_counted_in_characters() {
    for (text, len) in [("", 0), ("abc", 3), ("äöü", 3), ("😀😀", 2), ("e\u{301}", 2)] {
        for bound in 0..16 {
            let fits = |keyword: &str| fault(&json!({keyword: bound}), &json!(text)).is_none();
            assert_eq!(
                (fits("maxLength"), fits("minLength")),
                (len <= bound, len >= bound),
                "{text}, {bound}"
            );
        }
    }
}

#[test]
fn a_keyword_says_nothing_of_values_of_other_types() {
    let values = [json!(null), json!(true), json!(1), json!("a"), json!([1]), json!({"a": 1})];
    for (keyword, bound, spoken_of) in [
        ("maximum", json!(0), 2),
        ("multipleOf", json!(2), 2),
        ("minLength", json!(2), 3),
        ("pattern", json!("b"), 3),
        ("minItems", json!(2), 4),
        ("items", json!(false), 4),
        ("prefixItems", json!([false]), 4),
        ("contains", json!(false), 4),
        ("unevaluatedItems", json!(false), 4),
        ("required", json!(["b"]), 5),
        ("properties", json!({"a": false}), 5),
        ("propertyNames", json!(false), 5),
        ("dependentRequired", json!({"a": ["b"]}), 5),
        ("dependentSchemas", json!({"a": false}), 5),
        ("maxProperties", json!(0), 5),
        ("unevaluatedProperties", json!(false), 5),
    ] {
        for (type_of, value) in values.iter().enumerate() {
            let fails = fault(&json!({keyword: bound}), value).is_some();
            assert_eq!(fails, type_of == spoken_of, "{keyword} and {value}");
        }
    }
}

#[test]
fn judging_what_is_judged_over_and_over_ends_when_the_budget_is_used_up() {
    // Every level of the message is judged twice by the level above: 2^60 judgements.
    let level = json!({"properties": {"a": {"$ref": "#"}}});
    let twice = json!({"allOf": [level, level]});
    let nested = (0..60).fold(json!({}), |inner, _| json!({"a": inner}));
    assert_eq!(fault(&twice, &nested), Some(Fault::Work));
}

#[test]
fn schemas_judged_by_inside_one_another_have_a_bound_for_the_stack() {
    // Unoptimised, a level takes many times the stack that it takes in the module.
    let judged = std::thread::Builder::new().stack_size(16 << 20).spawn(deepest).unwrap();
    judged.join().unwrap();
}

fn deepest() {
    let chain = |len: usize| {
        let link = |i: usize| (format!("{i}"), json!({"$ref": format!("#/$defs/{}", i + 1)}));
        let mut defs: serde_json::Map<String, Value> = (0..len).map(link).collect();
        defs.insert(len.to_string(), json!({}));
        json!({"$ref": "#/$defs/0", "$defs": defs})
    };
    assert_eq!(fault(&chain(500), &json!(1)), None);
    assert_eq!(fault(&chain(600), &json!(1)), Some(Fault::Work));
    // The deepest message under a schema that takes four schemas for each of its levels.
    let recursive = json!({"allOf": [{"anyOf": [{"properties": {"a": {"$ref": "#"}}}]}]});
    let nested = (0..125).fold(json!({}), |inner, _| json!({"a": inner}));
    assert_eq!(fault(&recursive, &nested), None);
}

#[test]
fn work_is_counted_for_what_is_compared_and_read_and_not_only_for_keywords() {
    let steps = |schema: Value, value: &Value| {
        let schema = Schema::compile(&schema).unwrap();
        schema.measure(value, Budget(u64::MAX)).1
    };
    let long = json!("x".repeat(64_000));
    let numbers: Value = (0..10_000).collect::<Vec<_>>().into();
    for (schema, value, at_least) in [
        (json!({"pattern": "y"}), &long, 8_000),
        (json!({"minLength": 20_000, "maxLength": 64_000}), &long, 2_000),
        (json!({"const": "x".repeat(64_000)}), &long, 2_000),
        (json!({"uniqueItems": true}), &numbers, 10_000),
        (json!({"const": numbers}), &numbers, 10_000),
        (json!({"contains": {"const": -1}}), &numbers, 20_000),
        (json!({"unevaluatedItems": true}), &numbers, 10_000),
        (json!({"multipleOf": 1e-300}), &json!(1e300), 16 + 5 * 4),
    ] {
        let taken = steps(schema.clone(), value);
        assert!(
            taken >= at_least,
            "{taken} for {}",
            schema.to_string().split_at(20.min(schema.to_string().len())).0
        );
    }
}

#[test]
fn an_ordinary_message_is_far_within_its_budget() {
    let kinds: Vec<Value> = (0..50)
        .map(|i| json!({"properties": {"type": {"const": format!("kind{i}")}, "body": {"type": "string"}}, "required": ["type"]}))
        .collect();
    let schema = Schema::compile(&json!({"type": "object", "oneOf": kinds})).unwrap();
    let message = json!({"type": "kind49", "body": "hello"});
    let budget = Budget::for_bytes(message.to_string().len());
    let (verdict, steps) = schema.measure(&message, budget);
    assert_eq!(verdict, Ok(()));
    assert!(steps * 10 < budget.steps(), "{steps} of {}", budget.steps());
}

#[test]
fn evaluated_places_are_those_of_schemas_that_hold_for_the_same_value() {
    for (schema, value, fits) in [
        (json!({"properties": {"a": {}}, "unevaluatedProperties": false}), json!({"a": 1}), true),
        (
            json!({"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": false}),
            json!({"a": 1}),
            true,
        ),
        (
            json!({"anyOf": [{"properties": {"a": {"const": 2}}}, {}], "unevaluatedProperties": false}),
            json!({"a": 1}),
            false,
        ),
        (
            json!({"anyOf": [{}, {"properties": {"a": {}}}], "unevaluatedProperties": false}),
            json!({"a": 1}),
            true,
        ),
        (
            json!({"not": {"properties": {"a": false}}, "unevaluatedProperties": false}),
            json!({"a": 1}),
            false,
        ),
        (json!({"if": {"properties": {"a": {}}}, "unevaluatedProperties": false}), json!({"a": 1}), true),
        (
            json!({"allOf": [{"unevaluatedProperties": false}], "properties": {"a": {}}}),
            json!({"a": 1}),
            false,
        ),
        (
            json!({"allOf": [{"unevaluatedProperties": true}], "unevaluatedProperties": false}),
            json!({"a": 1}),
            true,
        ),
        (
            json!({"patternProperties": {"^a": {}}, "unevaluatedProperties": false}),
            json!({"ab": 1, "b": 1}),
            false,
        ),
        (json!({"prefixItems": [{}], "unevaluatedItems": false}), json!([1]), true),
        (json!({"prefixItems": [{}], "unevaluatedItems": false}), json!([1, 2]), false),
        (
            json!({"contains": {"const": 2}, "prefixItems": [{}], "unevaluatedItems": false}),
            json!([1, 2]),
            true,
        ),
        (json!({"contains": {"const": 2}, "unevaluatedItems": false}), json!([1, 2]), false),
    ] {
        assert_eq!(fault(&schema, &value).is_none(), fits, "{schema} and {value}");
    }
}

#[test]
fn a_dynamic_reference_means_the_same_however_its_anchor_is_written() {
    for reference in ["#node", "#n%6fde", "inner#node"] {
        let own = json!({"$dynamicAnchor": "node", "type": "string"});
        let inner = json!({"$id": "inner", "$dynamicRef": reference, "$defs": {"own": own}});
        let outer = json!({
            "$id": "https://example.com/outer",
            "$dynamicAnchor": "node",
            "type": "array",
            "items": {"$ref": "inner"},
            "$defs": {"inner": inner},
        });
        assert_eq!(fault(&outer, &json!([[]])), None, "{reference}");
        assert_eq!(fault(&outer, &json!(["a"])), Some(Fault::Keyword("/type".to_owned())), "{reference}");
    }
}

#[test]
fn a_look_among_many_values_is_paid_for_by_how_far_they_lie_apart() {
    // Texts of a list that the machine has to fetch from far away, for each of the items.
    let steps = |count: usize| {
        let listed: Vec<Value> = (0..count).map(|i| json!(format!("{i:08}"))).collect();
        let schema = Schema::compile(&json!({"enum": listed})).unwrap();
        schema.measure(&json!("00000000"), Budget(u64::MAX)).1
    };
    let doublings = u64::from((100_000_usize / NEAR_VALUES).ilog2()) + 1;
    assert!(
        steps(100_000) >= steps(1000) + doublings * STEPS_OF_FAR_VALUE,
        "{} and {}",
        steps(1000),
        steps(100_000)
    );
    assert!(steps(1000) < 16, "a short list costs what it did");
}

#[test]
fn ordinary_messages_that_are_long_and_dense_are_within_their_budget() {
    let filled = |item: &str| {
        let items = vec![item; (64 << 10) / (item.len() + 1)];
        format!("[{}]", items.join(","))
    };
    let any = json!({
        "$ref": "#/$defs/any",
        "$defs": {"any": {"anyOf": [
            {"type": "string"},
            {"type": "number"},
            {"type": "boolean"},
            {"type": "null"},
            {"type": "array", "items": {"$ref": "#/$defs/any"}},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/any"}},
        ]}},
    });
    let price = json!({"items": {"type": "number", "minimum": 0, "multipleOf": 0.01}});
    let place = json!({"type": "number", "minimum": -180, "maximum": 180});
    let places = json!({"items": {"type": "array", "prefixItems": [place, place], "items": false}});
    for (schema, text) in [
        (price, filled("19.99")),
        (any, filled(r#"{"a":[1,"b"]}"#)),
        (places, filled("[13,52]")),
        (json!({"items": {"enum": ["DE", "FR", "PL"]}}), filled(r#""PL""#)),
    ] {
        let schema = Schema::compile(&schema).unwrap();
        let budget = Budget::for_bytes(text.len());
        let (verdict, steps) = schema.measure(&serde_json::from_str(&text).unwrap(), budget);
        assert_eq!(verdict, Ok(()), "{steps} of {} for {}", budget.steps(), text.split_at(20).0);
    }
}
