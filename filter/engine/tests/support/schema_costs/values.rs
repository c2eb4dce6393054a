//! Values that are compared and divided.

use serde_json::{Map, Value, json};

use super::Expected::{Invalid, Valid, Work};
use super::text::{array, array_of, filled};
use super::{LONGEST, Pair, pair};

pub(super) fn pairs() -> Vec<Pair> {
    let mut pairs = compared();
    pairs.extend(divided());
    pairs
}

/// Values of a list that the message is compared with, none of which it is.
fn compared() -> Vec<Pair> {
    let none = |list: Vec<Value>| json!({"contains": {"enum": list}});
    let prefix = "-".repeat(40);
    let strings: Vec<_> = (0..10_000).map(|number| json!(format!("{prefix}{number:05}"))).collect();
    let numbers: Vec<_> = (0..10_000).map(|number| json!(number)).collect();
    let fractions: Vec<_> = (0..10_000).map(|number| json!(f64::from(number) + 0.5)).collect();
    let arrays: Vec<_> = (0..2000).map(|number| json!([[0, 0, 0, [0, 0, 0, {"a": number}]]])).collect();
    let long = "-".repeat(LONGEST - 40);
    let long_strings: Vec<_> = (0..16).map(|number| json!(format!("{long}{number:02}"))).collect();
    let reference = |number: usize| json!({"$ref": "#/$defs/values", "maxLength": 70_000 + number});
    let often = json!({
        "anyOf": (0..1000).map(reference).collect::<Vec<_>>(), "$defs": {"values": {"enum": long_strings}},
    });
    let large = |last: usize| -> Map<String, Value> {
        (0..6500)
            .map(|number| (format!("n{number:04}"), json!(if number == 6499 { last } else { 0 })))
            .collect()
    };
    let objects: Vec<_> = (1..9).map(|last| json!(large(last))).collect();
    let object = serde_json::to_string(&large(0)).unwrap();
    vec![
        pair("enum-strings", Invalid, none(strings), array(|_| format!("\"{prefix}xxxxx\""))),
        pair("enum-numbers", Work, none(numbers), array_of("-1")),
        pair("enum-fractions", Work, none(fractions), array_of("-1.5")),
        pair("enum-arrays", Work, none(arrays), array_of("[[0,0,0,[0,0,0,{\"a\":-1}]]]")),
        pair("enum-long-strings-often", Work, often, format!("\"{long}xx\"")),
        pair("enum-objects", Invalid, json!({"enum": objects}), object.clone()),
        pair("const-object", Valid, json!({"const": large(0)}), object),
        pair("const-array-often", Work, const_array(), filled("[", |_| "0".to_owned(), ",", "]", LONGEST)),
    ]
}

fn const_array() -> Value {
    let reference = |number: usize| json!({"$ref": "#/$defs/value", "maxItems": 40_000 + number});
    let mut zeros = vec![json!(0); 32_767];
    zeros.push(json!(1));
    json!({"anyOf": (0..1000).map(reference).collect::<Vec<_>>(), "$defs": {"value": {"const": zeros}}})
}

/// Numbers that are divided by others far from them.
fn divided() -> Vec<Pair> {
    let each = |divisor: Value| json!({"items": {"multipleOf": divisor}});
    let divisors: Vec<_> = (1..100).map(|number| json!({"multipleOf": f64::from(number) * 5e-324})).collect();
    vec![
        pair("multiples-of-the-least", Work, each(json!(5e-324)), array_of("1e308")),
        pair(
            "multiples-of-the-greatest",
            Invalid,
            json!({"contains": {"multipleOf": 1e308}}),
            array_of("5e-324"),
        ),
        pair(
            "multiples-of-a-cent",
            Valid,
            each(json!(0.01)),
            array(|number| format!("{}.{:02}", number / 100, number % 100)),
        ),
        pair(
            "multiples-of-many",
            Work,
            json!({"items": {"anyOf": [{"allOf": divisors}, true]}}),
            array_of("1e308"),
        ),
    ]
}
