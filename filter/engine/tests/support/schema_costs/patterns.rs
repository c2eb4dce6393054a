//! Patterns on which a matcher may spend more than a step for each byte, or many for none.

use serde_json::{Map, Value, json};

use super::Expected::{self, Invalid, Refused, Valid, Work};
use super::text::{array_of, filled, string};
use super::{LONGEST, Pair, pair};

pub(super) fn pairs() -> Vec<Pair> {
    let mut pairs = backtracking();
    pairs.extend(large());
    pairs.extend(many());
    pairs.extend(refused());
    pairs
}

fn row(name: &'static str, expected: Expected, pattern: &str, message: String) -> Pair {
    pair(name, expected, json!({"pattern": pattern}), message)
}

/// Patterns that are known to end programs that backtrack, each with a string that does not match.
fn backtracking() -> Vec<Pair> {
    let of_a = string("a", "!");
    let optional = format!("^{}{}$", "a?".repeat(30), "a".repeat(30));
    let mail = r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+$";
    vec![
        row("pattern-plus-of-plus", Invalid, "(a+)+$", of_a.clone()),
        row("pattern-a-or-aa", Invalid, "^(a|aa)+$", of_a.clone()),
        row("pattern-a-or-a", Invalid, "(a|a)*b", of_a.clone()),
        row("pattern-20-times", Invalid, "^(.*a){20}$", of_a.clone()),
        row("pattern-20-times-unanchored", Invalid, "(.*a){20}b", of_a.clone()),
        row("pattern-three-stars", Invalid, ".*.*.*=.*", of_a.clone()),
        row("pattern-not-b", Invalid, "[^b]*b", of_a.clone()),
        row("pattern-x-plus-x-plus", Invalid, "(x+x+)+y", string("x", "!")),
        row("pattern-optional", Invalid, &optional, of_a),
        row("pattern-mail", Invalid, mail, string("a", "!")),
        row("pattern-words", Invalid, r"^(\w+\s?)*$", string("a a ", "!")),
        row("pattern-not-ascii", Valid, r"^([^\u0000-\u007f][^x]?)+$", string("жé", "")),
    ]
}

/// Patterns whose automata are as large as they may be, and texts that go from one end of them to the other.
fn large() -> Vec<Pair> {
    let words: Vec<_> = (0..400).map(|number| format!("word{:x}", number * 7919)).collect();
    let words = format!("(?:{})!", words.join("|"));
    let states = |number: usize| format!("(a|b)*a(a|b){{10}}c{number}");
    let defs: Map<_, _> =
        (0..16).map(|number| (format!("n{number}"), json!({"pattern": states(number)}))).collect();
    let reference = |number: usize| json!({"$ref": format!("#/$defs/n{}", number % 16), "title": number});
    let often = json!({"anyOf": (0..1000).map(reference).collect::<Vec<_>>(), "$defs": defs});
    vec![
        row("pattern-many-states", Invalid, &states(0), shuffled()),
        pair("patterns-of-many-states", Work, often, shuffled()),
        row("pattern-words-of-a-list", Invalid, &words, string("word", "")),
    ]
}

/// A string of two letters in no order.
fn shuffled() -> String {
    let letter = |number: usize| if (number * number / 7 + number / 3).is_multiple_of(2) { "b" } else { "a" };
    filled("\"", |number| letter(number).to_owned(), "", "\"", LONGEST)
}

/// Patterns for many strings, and many for one.
fn many() -> Vec<Pair> {
    let numbered = |number: usize| json!({"pattern": format!("^(x{number}.*)?$")});
    let numbered: Vec<Value> = (0..200).map(numbered).collect();
    let words: Vec<_> = (0..400).map(|number| format!("word{:x}", number * 7919)).collect();
    let words = format!("^(?:{})?$", words.join("|"));
    let at_once = |number: usize| json!({"pattern": format!("a[^c]{{0,4}}b{number}")});
    let at_once: Vec<Value> = (0..100).map(at_once).collect();
    vec![
        pair("patterns-for-empty-strings", Work, json!({"items": {"allOf": numbered}}), array_of("\"\"")),
        pair("pattern-for-empty-strings", Valid, json!({"items": {"pattern": words}}), array_of("\"\"")),
        pair("pattern-for-letters", Valid, json!({"items": {"pattern": "^(a|aa)+$"}}), array_of("\"a\"")),
        pair("patterns-for-one-string", Work, json!({"anyOf": at_once}), string("a", "")),
    ]
}

/// Patterns that no automaton of a bearable size, or none at all, can match.
fn refused() -> Vec<Pair> {
    const SIZE: Expected = Refused("automaton");
    let of_a = string("a", "!");
    vec![
        row("pattern-distance", SIZE, "a.{1,200}b", of_a.clone()),
        row("pattern-exponential-states", SIZE, "(a|b)*a(a|b){20}c", shuffled()),
        row("pattern-counts-of-counts", SIZE, "((a{1,100}){1,100}){1,100}", of_a.clone()),
        row("pattern-long-count", SIZE, "a{1,100000}b", of_a.clone()),
        row("pattern-property", Refused("Unicode property"), r"^(\p{L}\p{M}?)+$", of_a.clone()),
        row("pattern-look-ahead", Refused("look-ahead"), "^(?=a+$)a*b", of_a.clone()),
        row("pattern-look-behind", Refused("look-behind"), "(?<=a)b", of_a.clone()),
        row("pattern-back-reference", Refused("back-reference"), r"(a+)\1b", of_a),
    ]
}
