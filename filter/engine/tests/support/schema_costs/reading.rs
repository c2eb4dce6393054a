//! Messages that cost the most to be read, under a schema that asks nothing: what the others cost at least.

use serde_json::json;

use super::text::{array_of, deep, object, string};
use super::{Expected, LONGEST, Pair, pair};

pub(super) fn pairs() -> Vec<Pair> {
    let texts = [
        ("read-numbers", array_of("0")),
        ("read-long-numbers", array_of("123456789012345678901234567890e-20")),
        ("read-one-long-number", format!("0.{}", "1".repeat(LONGEST - 2))),
        ("read-empty-strings", array_of("\"\"")),
        ("read-escapes", string("\\u0061", "")),
        ("read-empty-objects", array_of("{}")),
        ("read-small-objects", array_of("{\"\":0}")),
        ("read-members", object(|number| format!("\"{number:x}\":0"))),
        ("read-members-backwards", object(|number| format!("\"{:04x}\":0", 0xffff - number))),
        ("read-nested", deep()),
        ("read-nested-objects", array_of(&format!("{}0{}", "{\"\":".repeat(125), "}".repeat(125)))),
        ("read-arrays-of-nothing", array_of("[[]]")),
    ];
    texts.map(|(name, message)| pair(name, Expected::Valid, json!(true), message)).into()
}
