//! Strings whose characters are counted.

use serde_json::{Value, json};

use super::Expected::{Invalid, Valid, Work};
use super::text::{array_of, string};
use super::{Pair, pair};

pub(super) fn pairs() -> Vec<Pair> {
    let branches = |branch: fn(usize) -> Value| (0..1000).map(branch).collect::<Vec<_>>();
    let shorter = json!({"anyOf": branches(|number| json!({"maxLength": number}))});
    // More than a quarter of the bytes, and fewer than those: the characters have to be counted.
    let at_least = json!({"anyOf": branches(|number| json!({"minLength": 34_000 + number}))});
    let at_most = json!({"anyOf": branches(|number| json!({"maxLength": 30_000 - number}))});
    let each = json!({"items": {"allOf": branches(|number| json!({"maxLength": number}))}});
    vec![
        pair("lengths-of-ascii", Invalid, shorter, string("a", "")),
        pair("lengths-at-most", Work, at_most.clone(), string("a", "")),
        pair("lengths-at-most-of-two-bytes", Work, at_most, string("é", "")),
        pair("lengths-at-least", Work, at_least.clone(), string("€", "")),
        pair("lengths-at-least-of-emoji", Work, at_least, string("😀", "")),
        pair("lengths-of-empty-strings", Work, each.clone(), array_of("\"\"")),
        pair(
            "lengths-of-long-strings",
            Valid,
            json!({"items": {"maxLength": 400}}),
            array_of(&format!("\"{}\"", "😀".repeat(300))),
        ),
    ]
}
