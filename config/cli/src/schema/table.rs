//! The tables of keys of docs/policy.md.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::yaml;

/// The page whose tables have a row for every key.
const PAGE: &str = include_str!("../../../../docs/policy.md");

/// The head of the tables of keys.
const HEAD: [&str; 5] = ["Key", "Default", "Takes", "Refused", "Meaning"];

/// The default of a key that has to be written.
const REQUIRED: &str = "required";

/// The keys that are as those elsewhere: what their paths have, and what those have in its place.
const ALIKE: [(&str, &str); 4] = [
    (".upstream_messages.", ".messages."),
    (".messages.allow[].require[].", ".auth.require[]."),
    (".tiers[].require[].", ".auth.require[]."),
    (TIER, "."),
];

/// The step into a tier.
const TIER: &str = ".tiers[].";

/// What a table says of a key.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) is_required: bool,
    /// The value that holds where the key is left out, if it is one value.
    pub(super) default: Option<Value>,
    pub(super) meaning: String,
}

/// The rows by the paths of their keys: the default and the meaning as they are written.
#[derive(Debug)]
pub(super) struct Table(BTreeMap<&'static str, (&'static str, &'static str)>);

impl Table {
    /// Returns the rows of all keys.
    pub(super) fn of_the_language() -> Self {
        let mut rows = BTreeMap::new();
        let mut is_of_keys = false;
        for line in PAGE.lines() {
            let Some(cells) = cells(line) else {
                is_of_keys = false;
                continue;
            };
            match cells {
                HEAD => is_of_keys = true,
                [key, default, _, _, meaning] if is_of_keys => {
                    rows.insert(key.trim_matches('`'), (default, meaning));
                }
                _ => {}
            }
        }
        Self(rows)
    }

    /// Returns what is said of the key at `path`, or of the one that it is like.
    pub(super) fn row(&self, path: &str) -> Option<Row> {
        let own = self.0.get(path);
        let alike = || {
            let others = ALIKE.iter().filter(|(here, _)| path.contains(here));
            others.map(|(here, there)| path.replacen(here, there, 1)).find_map(|other| self.row(&other))
        };
        let Some((default, meaning)) = own else {
            let like = alike()?;
            // What a tier leaves out of an object is the policy's; a list is laid over the policy's as a whole.
            let is_laid_over = path.split_once(TIER).is_some_and(|(_, inside)| !inside.contains("[]"));
            return Some(if is_laid_over { Row { is_required: false, default: None, ..like } } else { like });
        };
        let meaning = if meaning.is_empty() { alike()?.meaning } else { plain(meaning) };
        Some(Row { is_required: *default == REQUIRED, default: value(default), meaning })
    }
}

/// Returns the cells of a row.
fn cells(line: &'static str) -> Option<[&'static str; 5]> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
    cells.try_into().ok()
}

/// Returns the value that a cell has, if it has one and nothing else.
fn value(cell: &str) -> Option<Value> {
    let inner = cell.strip_prefix('`')?.strip_suffix('`').filter(|inner| !inner.contains('`'))?;
    yaml::load(inner.as_bytes()).documents.first().map(yaml::Node::to_json)
}

/// Returns a text without its links, which lead nowhere in an editor.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    // The bracket before `](` that is nearest to it opens the link.
    while let Some((before, link)) = rest.split_once("](")
        && let (Some((before, name)), Some((_, after))) = (before.rsplit_once('['), link.split_once(')'))
    {
        plain.extend([before, name]);
        rest = after;
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_nowhere_in_an_editor_and_lose_their_address() {
        for (text, expected) in [
            ("as in [tiers](#tiers), or [b](c.md#d)", "as in tiers, or b"),
            ("`[]`: none", "`[]`: none"),
            ("`[a]` and [b](c)", "`[a]` and b"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn a_key_without_a_row_is_like_another_and_one_of_a_tier_is_not_required() {
        let table = Table::of_the_language();
        let row = |path: &str| table.row(path).unwrap_or_else(|| panic!("{path}"));
        assert!(row("policies.*.messages.schemas.by").is_required);
        assert!(row("policies.*.upstream_messages.schemas.by").is_required);
        assert!(!row("policies.*.tiers[].upstream_messages.schemas.by").is_required);
        assert!(row("policies.*.tiers[].rates[].window").is_required);
        assert!(row("policies.*.tiers[].require[].claim").is_required);
        assert_eq!(row("policies.*.tiers[].messages.utf8").default, None);
        assert_eq!(row("policies.*.messages.utf8").default, Some(Value::Bool(true)));
        assert!(table.row("policies.*.no_such_key").is_none());
    }
}
