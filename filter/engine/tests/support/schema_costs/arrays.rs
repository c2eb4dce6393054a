//! Arrays: items that have to differ, items that are counted, and items by place.

use serde_json::{Value, json};

use super::Expected::{Invalid, Valid, Work};
use super::text::{DEPTH, array, array_of, filled};
use super::{LONGEST, Pair, pair};

pub(super) fn pairs() -> Vec<Pair> {
    let mut pairs = unique();
    pairs.extend(counted());
    pairs.extend(by_place());
    pairs
}

/// Items that differ, and are told from one another at their end only.
fn unique() -> Vec<Pair> {
    let unique = json!({"uniqueItems": true});
    let inner = |number: usize| filled("[", |_| "0".to_owned(), ",", &format!(",{number}]"), 256);
    let member = |number: usize| format!("\"n{number}\":0");
    let ordered = |number: usize| filled("{", member, ",", &format!(",\"z\":{number}}}"), 256);
    let turned = |number: usize| {
        let member = |place: usize| member((place + number) % 24);
        format!("{{{},\"z\":{number}}}", (0..24).map(member).collect::<Vec<_>>().join(","))
    };
    let texts = [
        ("unique-integers", array(|number| format!("{number}"))),
        ("unique-near-integers", array(|number| format!("{}", (1_u64 << 53) + 2 * number as u64))),
        ("unique-fractions", array(|number| format!("0.1{number:015}"))),
        ("unique-powers", array(|number| format!("{}1e-{}", number / 300 + 1, number % 300))),
        ("unique-strings", array(|number| format!("\"{number:x}\""))),
        ("unique-strings-alike", array(|number| format!("\"{}{number:04}\"", "-".repeat(50)))),
        ("unique-long-strings", array(|number| format!("\"{}{number:02}\"", "-".repeat(1000)))),
        ("unique-two-strings", array(|number| format!("\"{}{number}\"", "-".repeat(LONGEST / 2 - 6)))),
        ("unique-arrays", array(inner)),
        ("unique-objects", array(ordered)),
        ("unique-objects-turned", array(turned)),
        ("unique-small-arrays", array(|number| format!("[{number}]"))),
    ];
    let mut pairs: Vec<_> =
        texts.map(|(name, message)| pair(name, Valid, unique.clone(), message)).into_iter().collect();
    let recurring = json!({"uniqueItems": true, "items": {"$ref": "#"}});
    pairs.push(pair("unique-at-each-level", Valid, recurring, comb()));
    let often = |number: usize| json!({"uniqueItems": true, "maxItems": 40_000 + number});
    let often = json!({"allOf": (0..1000).map(often).collect::<Vec<_>>()});
    pairs.push(pair("unique-often", Work, often, array(|number| format!("{number}"))));
    let same = json!({"contains": {"uniqueItems": true}});
    pairs.push(pair("unique-at-the-last", Invalid, same, format!("[{}]", array_with_last_twice())));
    pairs
}

/// Returns arrays nested as deeply as anything may be, each beside a string.
fn comb() -> String {
    let padding = LONGEST / DEPTH - 8;
    let mut text = "0".to_owned();
    for level in 0..DEPTH {
        text = format!("[{text},\"{level:03}{}\"]", "-".repeat(padding - 3));
    }
    text
}

fn array_with_last_twice() -> String {
    filled("[", |number| format!("{number}"), ",", ",0]", LONGEST - 2)
}

/// Items that are looked for.
fn counted() -> Vec<Pair> {
    let branches = |branch: fn(usize) -> Value| (0..1000).map(branch).collect::<Vec<_>>();
    let kinds = branches(|number| json!({"contains": {"const": number + 1}}));
    let counts = branches(|number| json!({"contains": {"const": 0}, "minContains": 40_000 + number}));
    let rows = [
        (
            "contains-all",
            Valid,
            json!({"contains": {"const": 0}, "minContains": 30_000, "maxContains": 40_000}),
        ),
        ("contains-none", Invalid, json!({"contains": {"enum": [1, 2, 3, 4, 5, "a", "b", null, [], {}]}})),
        ("contains-any-of", Work, json!({"anyOf": kinds})),
        ("contains-often", Work, json!({"anyOf": counts})),
    ];
    rows.map(|(name, expected, schema)| pair(name, expected, schema, array_of("0"))).into()
}

/// Schemas by place.
fn by_place() -> Vec<Pair> {
    let places =
        |count: usize| json!({"prefixItems": vec![json!({"type": "integer"}); count], "items": true});
    let often = |number: usize| json!({"$ref": "#/$defs/places", "maxItems": 40_000 + number});
    let often = json!({"allOf": (0..1000).map(often).collect::<Vec<_>>(), "$defs": {"places": places(7000)}});
    vec![
        pair("prefix-items", Valid, places(8000), array_of("0")),
        pair("prefix-items-of-nothing", Valid, json!({"items": places(8000)}), array_of("[]")),
        pair("prefix-items-often", Work, often, array_of("0")),
    ]
}
