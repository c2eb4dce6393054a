//! The places of secrets in a file, which are never shown.

use super::Position;

/// The keys whose text is a secret, in lower case without `_` and `-`: of policies, of JSON Web Keys (RFC 7518 §6), of Envoy's
/// data sources and environment, and of manifests.
const KEYS: [&str; 19] = [
    "accesstoken",
    "apikey",
    "authorization",
    "bearer",
    "credential",
    "d",
    "dp",
    "dq",
    "idtoken",
    "inline",
    "inlinebytes",
    "inlinestring",
    "k",
    "p",
    "q",
    "qi",
    "refreshtoken",
    "token",
    "value",
];

/// The words that are in keys of secrets, and in texts that have such keys.
const WORDS: [&str; 5] = ["passphrase", "password", "passwd", "private", "secret"];

/// The keys of which every text below is a secret, beside those with one of [`WORDS`].
const ABOVE: [&str; 2] = ["keyvalues", "stringdata"];

/// The keys of a manifest of which every text below is a secret, or a file that is not written line by line.
const FILES: [&str; 2] = ["binarydata", "data"];

/// The key of the name of a variable, which is no secret.
const VARIABLE: &str = "env";

/// The shortest text that may have keys of its own.
const SHORTEST_DOCUMENT: usize = 16;

/// The part of a file that is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hidden {
    pub(crate) begin: Position,
    /// The place behind the last character.
    pub(crate) end: Position,
}

/// Says whether a text under this key, which stands under those `above` it, is a secret.
pub(super) fn is_secret<'k>(key: &str, mut above: impl Iterator<Item = &'k str>) -> bool {
    let name = plain(key);
    let has_word = |name: &str| WORDS.iter().any(|word| name.contains(word));
    let is_above = |name: &str| ABOVE.contains(&name) || has_word(name);
    KEYS.contains(&name.as_str())
        || has_word(&name)
        || (name != VARIABLE && above.any(|key| is_above(&plain(key))))
}

/// Says whether a text that stands under these keys is one of the files of a manifest.
pub(super) fn is_file<'k>(mut above: impl Iterator<Item = &'k str>) -> bool {
    above.any(|key| FILES.contains(&plain(key).as_str()))
}

/// Says whether a text may have secrets inside: a document in a string, or what could not be read as YAML.
pub(crate) fn may_have_secrets(text: &str) -> bool {
    let lower = || text.to_ascii_lowercase();
    let is_key = |word: &str| !word.is_empty() && KEYS.contains(&plain(word).as_str());
    text.len() >= SHORTEST_DOCUMENT
        && (WORDS.iter().any(|word| lower().contains(word))
            || text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(is_key))
}

fn plain(key: &str) -> String {
    key.chars().take(64).filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
}
