//! The keys that the language has and the filter does not carry out yet.
//!
//! A policy that asks for what is not done would be trusted for nothing, so asking is an error. The table is
//! read over the document as written: defaults ask for nothing.

use serde_json::Value;

use crate::path::Path;
use crate::report::Report;

/// A key that is not carried out yet.
struct Row {
    /// The keys on the way; `*` is every member of an object, `[]` every element of a list.
    pattern: &'static [&'static str],
    /// The values that ask for it.
    asks: Asks,
    /// The remedy.
    remedy: &'static str,
}

/// The values that ask for something.
enum Asks {
    /// This word.
    Word(&'static str),
}

const fn row(pattern: &'static [&'static str], asks: Asks, remedy: &'static str) -> Row {
    Row { pattern, asks, remedy }
}

const TABLE: &[Row] =
    &[row(&["policies", "*", "mode"], Asks::Word("shadow"), "leave it out, or write `enforce`")];

/// Notes everything in `document` that asks for what is not carried out yet.
pub(crate) fn check(document: &Value, report: &mut Report) {
    for row in TABLE {
        visit(document, row.pattern, &Path::root(), &mut |value, at| {
            if is_asked(&row.asks, value) {
                report.push(at, what(&row.asks), row.remedy);
            }
        });
    }
}

/// Says whether `value` asks for something.
fn is_asked(asks: &Asks, value: &Value) -> bool {
    match asks {
        Asks::Word(word) => value.as_str() == Some(word),
    }
}

fn what(asks: &Asks) -> String {
    match asks {
        Asks::Word(word) => format!("`{word}` is not supported yet"),
    }
}

fn visit(value: &Value, pattern: &[&str], at: &Path, found: &mut dyn FnMut(&Value, &Path)) {
    match (pattern.split_first(), value) {
        (None, _) => found(value, at),
        (Some((&"*", rest)), Value::Object(members)) => {
            for (key, member) in members {
                visit(member, rest, &at.key(key.as_str()), found);
            }
        }
        (Some((&"[]", rest)), Value::Array(items)) => {
            for (i, item) in items.iter().enumerate() {
                visit(item, rest, &at.index(i), found);
            }
        }
        (Some((key, rest)), Value::Object(members)) => {
            if let Some(member) = members.get(*key) {
                visit(member, rest, &at.key(*key), found);
            }
        }
        (Some(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{document, files};

    #[test]
    fn every_row_has_a_fixture_that_asks_for_it() {
        let documents: Vec<Value> =
            files("tests/fixtures/unsupported").iter().map(|(_, text)| document(text)).collect();
        for row in TABLE {
            let mut asked = false;
            for document in &documents {
                visit(document, row.pattern, &Path::root(), &mut |value, _| {
                    asked |= is_asked(&row.asks, value);
                });
            }
            assert!(asked, "{:?}: {}", row.pattern, what(&row.asks));
        }
    }
}
