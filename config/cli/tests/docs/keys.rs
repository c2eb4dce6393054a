//! The tables of keys against the language: no key is missing, defaults change nothing, and what is said to
//! be sound or refused is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::pages::{page, spans};
use crate::postern::check;
use crate::schema::{self, fault};

/// The surroundings without which a key means nothing: for keys that begin so, the value at a place. Later
/// lines go over earlier ones, and a null takes out.
const SURROUNDINGS: &[(&str, &str, &str)] = &[
    ("providers.*.issuer_allow", "providers.*.issuer", r#""https://a.example.com/{tenant}/""#),
    ("providers.*.audiences.", "providers.*.audiences", r#"{"claim": "client_id", "values": ["a"]}"#),
    (
        "providers.*.algorithms",
        "providers.*.jwks",
        r#"{"remote": {"cluster": "a", "uri": "https://a.example.com/"}}"#,
    ),
    ("providers.*.jwks.", "providers.*.jwks", "{}"),
    (
        "providers.*.jwks.remote.",
        "providers.*.jwks.remote",
        r#"{"cluster": "a", "uri": "https://a.example.com/"}"#,
    ),
    ("providers.*.secret", "providers.*.jwks", "null"),
    ("providers.*.secret", "providers.*.algorithms", r#"["HS256"]"#),
    ("providers.*.secret.", "providers.*.secret", "{}"),
    ("policies.*.auth.from[].", "policies.*.auth.from", "[{}]"),
    ("policies.*.auth.from[].encoding", "policies.*.auth.from", r#"[{"subprotocol": "bearer."}]"#),
    (
        "policies.*.auth.from[].first_message.",
        "policies.*.auth.from",
        r#"[{"first_message": {"pointer": "/token"}}]"#,
    ),
    ("policies.*.auth.require[].", "policies.*.auth.require", r#"[{"claim": "scope", "contains": "chat"}]"#),
    ("policies.*.auth.require[].one_of", "policies.*.auth.require", r#"[{"claim": "scope"}]"#),
    ("policies.*.auth.max_session_jitter", "policies.*.auth.max_session", r#""1h""#),
    ("drain_with_envoy.", "drain_with_envoy", r#"{"cluster": "envoy_admin"}"#),
    ("policies.*.auth.revocation.", "policies.*.auth.revocation", r#"{"cluster": "a", "path": "/"}"#),
    (
        "policies.*.csrf.",
        "policies.*.csrf",
        r#"{"secret": {"env": "CSRF"}, "session_cookie": "sid", "from": {"query": "csrf"}}"#,
    ),
    ("policies.*.csrf.secret.", "policies.*.csrf.secret", "{}"),
    ("policies.*.csrf.from.", "policies.*.csrf.from", "{}"),
    ("policies.*.csrf.issue.", "policies.*.csrf.issue", "{}"),
    (
        "policies.*.rates[].",
        "policies.*.rates",
        r#"[{"count": "messages", "per": "connection", "limit": 100, "window": "1m"}]"#,
    ),
    ("policies.*.tiers[].", "policies.*.tiers", r#"[{"require": [{"claim": "plan", "one_of": ["pro"]}]}]"#),
    (
        "policies.*.messages.allow[].",
        "policies.*.messages.allow",
        r#"[{"when": {"/type": "kick"}, "require": [{"claim": "role", "one_of": ["moderator"]}]}]"#,
    ),
    (
        "policies.*.messages.schemas.",
        "policies.*.messages.schemas",
        r#"{"by": "/type", "each": {"say": true}}"#,
    ),
    ("policies.*.messages.max_frame_bytes", "policies.*.messages.max_message_bytes", r#""64KiB""#),
    (
        "policies.*.global_rate_limit.",
        "policies.*.global_rate_limit",
        r#"{"cluster": "ratelimit", "domain": "postern"}"#,
    ),
    ("policies.*.backpressure.", "policies.*.backpressure", r#"{"max_backlog_bytes": "256KiB"}"#),
    ("routes[].", "routes", r#"[{"match": {"host": "a.example.com"}, "policy": "chat"}]"#),
    ("routes[].match.", "routes", r#"[{"match": {}, "policy": "chat"}]"#),
];

/// Returns a document in which nothing is written that has a default.
fn smallest() -> Value {
    json!({
        "providers": {"chat": {
            "issuer": "i", "audiences": ["a"],
            "jwks": {"inline": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}},
        }},
        "policies": {"chat": {
            "origins": {"allow": ["https://app.example.com"]},
            "auth": {"providers": ["chat"], "from": [{"header": "authorization"}]},
        }},
    })
}

/// Returns the smallest document with what `key` needs around it.
fn document_around(key: &str) -> Value {
    let mut document = smallest();
    for (prefix, place, value) in SURROUNDINGS {
        if key.starts_with(prefix) {
            let value: Value = serde_json::from_str(value).expect("JSON");
            put(&mut document, place, value);
        }
    }
    document
}

/// Writes a value where `key` leads; a null takes out what is there.
fn put(document: &mut Value, key: &str, value: Value) {
    let mut steps: Vec<&str> = key.split('.').collect();
    let last = steps.pop().expect("a step");
    let parent = steps.iter().fold(document, |value, step| descend(value, step));
    match last.strip_suffix("[]") {
        Some(list) => parent[list] = json!([value]),
        None if value.is_null() => drop(parent.as_object_mut().expect("an object").remove(last)),
        None => parent[last] = value,
    }
}

fn descend<'a>(value: &'a mut Value, step: &str) -> &'a mut Value {
    match step.strip_suffix("[]") {
        Some(list) => &mut value[list][0],
        None if step == "*" => &mut value["chat"],
        None => &mut value[step],
    }
}

/// Returns the rows of all tables of keys: key, default, what it takes, what is refused.
fn rows() -> Vec<[String; 4]> {
    let rows = page("docs/policy.md").tables().into_iter().filter(|table| table.head.len() == 5);
    let rows: Vec<[String; 4]> = rows
        .flat_map(|table| table.rows)
        .map(|row| [row[0].trim_matches('`'), &row[1], &row[2], &row[3]].map(str::to_owned))
        .collect();
    assert!(rows.len() > 80, "{}", rows.len());
    rows
}

#[test]
fn a_key_written_with_the_default_of_the_table_changes_nothing() {
    let read_whole = |document: &Value| {
        let config = postern_config::Config::from_value(document.clone())
            .unwrap_or_else(|problems| panic!("{document}: {problems}"));
        let postern_config::Config { providers, policies, routes, default_policy, log, memory, .. } = config;
        format!("{:#?}", (providers, policies, routes, default_policy, log, memory))
    };
    let mut written = 0;
    for [key, default, ..] in rows() {
        let is_one_span = default.starts_with('`') && default.ends_with('`') && spans(&default).count() == 1;
        if !is_one_span {
            continue;
        }
        let base = document_around(&key);
        let mut document = base.clone();
        put(&mut document, &key, value_of(default.trim_matches('`')));
        assert_eq!(read_whole(&document), read_whole(&base), "{key}");
        written += 1;
    }
    assert!(written > 40, "{written}");
}

/// Returns the value that a default stands for, as YAML reads it.
fn value_of(text: &str) -> Value {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some("") => json!([]),
        Some(items) => items.split(", ").map(value_of).collect(),
        None => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}

#[test]
fn what_a_key_takes_is_sound_and_what_is_refused_is_a_problem_of_that_key() {
    let rows = rows();
    let mut tried: Vec<(String, bool, String)> = Vec::new();
    for [key, _, takes, refused] in &rows {
        for (cell, is_sound) in [(takes, true), (refused, false)] {
            tried.extend(spans(cell).map(|value| (key.clone(), is_sound, value.to_owned())));
        }
        assert!(!refused.is_empty() && !takes.is_empty(), "{key}: say what it takes and what is refused");
    }
    assert!(tried.len() > 200, "{}", tried.len());
    let found = problems_of(tried.iter().map(|(key, _, value)| with(key, value)));
    let mut wrong = String::new();
    for ((key, is_sound, value), problems) in tried.iter().zip(found) {
        let path = key.replace('*', "chat").replace("[]", "[0]");
        let is_of_the_key = problems.iter().any(|problem| problem.starts_with(&path));
        match is_sound {
            true if fault(&with(key, value)).is_some() => {
                wrong += &format!(
                    "{key}: {value} is refused by the schema: {:?}
",
                    fault(&with(key, value))
                );
            }
            true if !problems.is_empty() => wrong += &format!("{key}: {value} is refused: {problems:?}\n"),
            false if !is_of_the_key => wrong += &format!("{key}: {value} is not refused: {problems:?}\n"),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Returns a document with this YAML at `key`. It is put in as text, for JSON is YAML.
fn with(key: &str, yaml: &str) -> String {
    let mut document = document_around(key);
    put(&mut document, key, json!("@@"));
    document.to_string().replace("\"@@\"", yaml)
}

/// Returns the problems that `postern check` finds in each document, as `path: what; remedy`.
fn problems_of(documents: impl Iterator<Item = String>) -> Vec<Vec<String>> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut names = Vec::new();
    for (number, document) in documents.enumerate() {
        let name = format!("{number}.yaml");
        std::fs::write(directory.path().join(&name), document).expect("a writable directory");
        names.push(name);
    }
    let outcome = check(directory.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut of_each: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    // Beneath each finding is its line of the file, indented.
    for line in outcome.stderr.lines().filter(|line| !line.starts_with(' ')) {
        let (place, problem) = line.split_once(": ").expect("a place");
        let name = place.split(':').next().expect("a name");
        if !problem.starts_with("warning: ") {
            of_each.entry(name).or_default().push(problem.to_owned());
        }
    }
    names.iter().map(|name| of_each.remove(name.as_str()).unwrap_or_default()).collect()
}

#[test]
fn no_key_of_the_language_is_missing_in_the_tables_and_in_the_schema() {
    let of_the_schema = schema::keys();
    let listed: BTreeSet<String> = rows().into_iter().map(|[key, ..]| key).collect();
    let parents: BTreeSet<&str> = listed.iter().flat_map(|key| parents(key)).collect();
    let unknown = "surely_no_key_of_the_language";
    let keys: Vec<String> = parents
        .iter()
        .filter(|parent| !["providers", "policies"].contains(*parent))
        .map(|parent| if parent.is_empty() { unknown.to_owned() } else { format!("{parent}.{unknown}") })
        .collect();
    let mut found = 0;
    for (key, problems) in keys.iter().zip(problems_of(keys.iter().map(|key| with(key, "1")))) {
        let parent = key.trim_end_matches(unknown);
        let allowed = problems
            .iter()
            .filter(|problem| ["is an unknown key", "in a tier"].iter().any(|what| problem.contains(what)))
            .find_map(|problem| problem.split_once("allowed: "));
        let Some((_, allowed)) = allowed else { continue };
        for name in spans(allowed) {
            let key = format!("{parent}{name}");
            let is_listed = |listed: &String| {
                listed.strip_prefix(&key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            assert!(listed.iter().any(is_listed), "docs/policy.md has no row for `{key}`");
            assert!(of_the_schema.contains(&key), "the schema has no `{key}`");
            found += 1;
        }
    }
    assert!(found > 90, "{found}");
}

/// Returns the objects that a key is in, outermost first; that of the document is empty.
fn parents(key: &str) -> impl Iterator<Item = &str> {
    let dots = key.match_indices('.').filter_map(|(at, _)| key.get(..at));
    std::iter::once("").chain(dots)
}
