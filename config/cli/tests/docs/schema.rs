//! `postern schema` against the language: the schema takes every policy that is sound, refuses what is wrong by its shape, and
//! has a description of every key.

use std::collections::BTreeSet;
use std::path::PathBuf;

use postern_engine::json_schema::{Budget, Fault, Schema};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Value, json};

use crate::pages::root;
use crate::postern::run;

/// The fixtures whose fault a schema cannot tell, by what it would have to do.
const BEYOND_A_SCHEMA: &[(&str, &[&str])] = &[
    (
        "look into another part of the document",
        &[
            "auth_first_message_unread",
            "auth_forward_token_carrier",
            "auth_forward_token_of_another",
            "auth_providers_overlapping_issuers",
            "auth_providers_same_algorithm",
            "auth_providers_same_issuer",
            "auth_providers_unknown",
            "auth_refresh_unread",
            "connections_user_without_auth",
            "csrf_from_prefix_of_token",
            "csrf_from_token_query",
            "csrf_issue_session_cookie",
            "default_policy_unknown",
            "global_rate_limit_tickets_without_auth",
            "global_rate_limit_tickets_without_single_use",
            "global_rate_limit_user_without_auth",
            "messages_allow_without_auth",
            "rates_refusals_user_without_auth",
            "rates_user_without_auth",
            "routes_policy_unknown",
            "shadow_needed",
            "shadow_not_set",
            "shadow_unknown",
            "subprotocols_is_csrf_prefix",
            "subprotocols_is_token_prefix",
            "subprotocols_of_pair",
        ],
    ),
    (
        "compare elements of a list by a part of them",
        &["auth_first_message_twice", "auth_from_pair_of_prefix", "auth_from_prefix_of_another"],
    ),
    (
        "know sizes and durations as numbers",
        &[
            "auth_jitter_alone",
            "auth_jitter_longer",
            "auth_max_session_too_long",
            "memory_budget_too_large",
            "messages_frame_over_message",
            "rates_twice",
            "rates_window_too_long",
            "upstream_messages_frame_over_message",
        ],
    ),
    ("count bytes", &["csrf_secret_short", "log_subject_key_short", "provider_secret_short"]),
    (
        "compare the names of headers as gateways do",
        &[
            "auth_forward_authorization",
            "auth_forward_folded",
            "auth_forward_hop_by_hop",
            "auth_forward_websocket",
            "auth_from_header_cookie",
            "auth_from_header_subprotocol",
        ],
    ),
    (
        "normalise origins and paths",
        &[
            "origins_port",
            "origins_star_inside",
            "origins_trailing_dot",
            "origins_twice_normalised",
            "routes_path_encoded_slash",
            "routes_path_not_normalised",
        ],
    ),
    (
        "find the names inside an issuer",
        &[
            "provider_issuer_allow_missing",
            "provider_issuer_allow_of_nothing",
            "provider_issuer_allow_of_two",
            "provider_issuer_allow_unknown",
            "provider_issuer_allow_without_issuer",
            "provider_issuer_template_outside_path",
            "provider_issuer_template_part",
            "provider_issuer_template_twice",
        ],
    ),
    ("read JSON inside a text", &["jwks_inline_text_duplicate", "jwks_inline_text_syntax"]),
];

fn schema() -> Value {
    let outcome = run(&root(), &["schema"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

thread_local! {
    static COMPILED: Schema = {
        let mut schema = schema();
        // Every keyword that it has means the same in the draft that Postern judges by.
        schema.as_object_mut().expect("an object").remove("$schema");
        Schema::compile(&schema).unwrap_or_else(|problems| panic!("{problems:#?}"))
    };
}

/// Returns what the schema finds wrong with a policy, as YAML: nothing, or the place of a keyword that does not hold.
pub(crate) fn fault(yaml: &str) -> Option<Fault> {
    COMPILED.with(|schema| schema.validate(&document(yaml), Budget::for_bytes(1 << 20)).err())
}

/// Returns the policies of a folder of `config/`, by their names.
fn policies(folder: &str) -> Vec<(String, String)> {
    let folder = root().join("config").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    assert!(!paths.is_empty(), "{}", folder.display());
    let name = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).expect("text"))).collect()
}

/// Returns the first YAML document as JSON.
fn document(yaml: &str) -> Value {
    documents(yaml).into_iter().next().expect("a document")
}

/// Returns YAML documents as JSON, by the words of YAML 1.2.
pub(crate) fn documents(yaml: &str) -> Vec<Value> {
    let documents = Yaml::load_from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    documents.iter().map(json_of).collect()
}

fn json_of(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(items) => items.iter().map(json_of).collect(),
        Yaml::Mapping(members) => {
            let member = |(key, value): (&Yaml<'_>, &Yaml<'_>)| {
                (key.as_str().expect("a key is text").to_owned(), json_of(value))
            };
            Value::Object(members.iter().map(member).collect())
        }
        other => panic!("no policy has {other:?}"),
    }
}

#[test]
fn the_schema_takes_every_policy_that_is_sound() {
    for folder in ["examples", "tests/fixtures/valid", "tests/fixtures/whole"] {
        for (name, policy) in policies(folder) {
            assert_eq!(fault(&policy), None, "{folder}/{name}");
        }
    }
}

#[test]
fn the_schema_refuses_what_is_wrong_by_its_shape() {
    let beyond: BTreeSet<&str> = BEYOND_A_SCHEMA.iter().flat_map(|(_, names)| *names).copied().collect();
    let fixtures = policies("tests/fixtures/invalid");
    let taken = fixtures.iter().filter(|(_, policy)| fault(policy).is_none());
    let taken: BTreeSet<&str> = taken.map(|(name, _)| name.as_str()).collect();
    assert_eq!(taken, beyond, "the schema takes the first");
}

#[test]
fn every_key_is_described_and_of_a_kind() {
    every_key(&schema(), "", &mut |path, property| {
        let is_described = property["description"].as_str().is_some_and(|text| !text.is_empty());
        assert!(is_described, "{path} has no description: it has no row in docs/policy.md");
        let is_of_a_kind = ["type", "anyOf", "enum"].iter().any(|keyword| property.get(keyword).is_some());
        assert!(is_of_a_kind, "{path} may be anything: say what it is in `config/src/raw`");
    });
}

/// Returns the paths of all keys that the schema has.
pub(crate) fn keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    every_key(&schema(), "", &mut |path, _| {
        keys.insert(path.to_owned());
    });
    assert!(keys.len() > 150, "{}", keys.len());
    keys
}

fn every_key(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    for keyword in ["anyOf", "oneOf"] {
        for schema in schema[keyword].as_array().into_iter().flatten() {
            every_key(schema, path, visit);
        }
    }
    every_key_of(&schema["additionalProperties"], &format!("{path}.*"), visit);
    every_key_of(&schema["items"], &format!("{path}[]"), visit);
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        // What is in a key set is a matter of RFC 7517.
        if path.ends_with(".jwks.inline.keys") {
            continue;
        }
        visit(&path, property);
        every_key(property, &path, visit);
    }
}

fn every_key_of(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    if schema.is_object() {
        every_key(schema, path, visit);
    }
}

#[test]
fn the_schema_is_of_a_draft_that_editors_read() {
    let schema = schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let later = ["$defs", "dependentRequired", "minContains", "prefixItems", "unevaluatedProperties"];
    assert!(
        later.iter().all(|keyword| !schema.to_string().contains(&format!("\"{keyword}\""))),
        "of later drafts"
    );
    assert!(!schema.to_string().contains("\"$ref\""), "an editor need not fetch anything");
    assert_eq!(schema["properties"]["memory"]["properties"]["budget"]["default"], json!("256MiB"));
}
