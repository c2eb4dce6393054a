//! JWK sets (RFC 7517 §5): in the document, or behind a cluster.

use serde::Deserialize;
use serde_json::Value;

use crate::grammar::is_line;
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::provider::{KeySource, RemoteJwks};
use crate::raw::list::string;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::units::{Zero, duration, kind};
use crate::words::{listed, shown};

use std::time::Duration;

/// The members that only private keys have (RFC 7518 §6.2.2, §6.3.2, §6.4.1; RFC 8037 §2).
pub(crate) const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The object `{remote: …}` or `{inline: …}` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `remote` or `inline`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("oneOf" = schema::any_of(&["remote", "inline"]))))]
pub(super) struct RawJwks {
    remote: Option<RawRemote>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::KeySet>"))]
    inline: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct RawRemote {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Line>"))]
    cluster: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Address>"))]
    uri: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    timeout: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    refresh_interval: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::DurationOrZero>"))]
    max_stale: Option<Value>,
}

impl RawJwks {
    /// Returns the source of the keys.
    pub(super) fn read(self, at: &Path, report: &mut Report) -> Option<KeySource> {
        match (self.remote, self.inline) {
            (Some(remote), None) => remote.read(&at.key("remote"), report).map(KeySource::Remote),
            (None, Some(set)) => inline(set, &at.key("inline"), report).map(KeySource::Inline),
            (Some(_), Some(_)) => {
                report.push(
                    ProblemKind::Contradiction,
                    at,
                    "has both `remote` and `inline`",
                    "leave one of them out",
                );
                None
            }
            (None, None) => {
                if !report.is_broken_below(at) {
                    report.push(
                        ProblemKind::MissingKey,
                        at,
                        "has neither `remote` nor `inline`",
                        "write one of them",
                    );
                }
                None
            }
        }
    }
}

impl RawRemote {
    fn read(self, at: &Path, report: &mut Report) -> Option<RemoteJwks> {
        let mut time = |value: Option<Value>, key, zero, default| match value {
            Some(value) => duration(&value, zero, &at.key(key), report),
            None => Some(default),
        };
        let timeout = time(self.timeout, "timeout", Zero::Refused, Duration::from_secs(2));
        let refresh_interval =
            time(self.refresh_interval, "refresh_interval", Zero::Refused, Duration::from_secs(300));
        let max_stale = time(self.max_stale, "max_stale", Zero::Allowed, Duration::from_secs(3600));
        let cluster = cluster(self.cluster, at, report);
        let uri = report
            .required(self.uri, &at.key("uri"), "write the address of the JWK set")
            .and_then(|text| uri(&text, &at.key("uri"), report));
        Some(RemoteJwks {
            cluster: cluster?,
            uri: uri?,
            timeout: timeout?,
            refresh_interval: refresh_interval?,
            max_stale: max_stale?,
        })
    }
}

/// Reads the required key `cluster` of the object at `at`.
pub(super) fn cluster(name: Option<String>, at: &Path, report: &mut Report) -> Option<String> {
    let at = at.key("cluster");
    report
        .required(name, &at, "write the name of an Envoy cluster")
        .and_then(|name| string(name, is_line, "write the name of an Envoy cluster", &at, report))
}

fn uri(text: &str, at: &Path, report: &mut Report) -> Option<url::Url> {
    const REMEDY: &str = "write an address such as `https://auth.example.com/.well-known/jwks.json`";
    let uri = match url::Url::parse(text) {
        Ok(uri) if matches!(uri.scheme(), "http" | "https") => uri,
        Ok(uri) => {
            report.push(
                ProblemKind::ImpossibleValue,
                at,
                format!("has the scheme {}", shown(uri.scheme())),
                "write `https` or `http`",
            );
            return None;
        }
        Err(error) => {
            report.push(ProblemKind::ImpossibleValue, at, format!("is not an address: {error}"), REMEDY);
            return None;
        }
    };
    if !uri.username().is_empty() || uri.password().is_some() {
        report.push(ProblemKind::ImpossibleValue, at, "has a user or a password", "leave them out");
        return None;
    }
    if uri.fragment().is_some() {
        report.push(
            ProblemKind::ImpossibleValue,
            at,
            "has a fragment, which is never sent",
            "leave `#` and what follows it out",
        );
        return None;
    }
    Some(uri)
}

/// Reads a set in the document, as an object or as JSON text.
fn inline(set: Value, at: &Path, report: &mut Report) -> Option<Value> {
    let set = match set {
        Value::String(text) => crate::strict::parse(text.as_bytes(), at, report)?,
        set => set,
    };
    if !set.is_object() {
        report.push(
            ProblemKind::WrongType,
            at,
            format!("is {}", kind(&set)),
            "write a JWK set, an object with a `keys` list, or its JSON text",
        );
        return None;
    }
    let keys_at = at.key("keys");
    match set.get("keys") {
        Some(Value::Array(keys)) if !keys.is_empty() => {
            for (i, key) in keys.iter().enumerate() {
                public_key(key, &keys_at.index(i), report);
            }
            Some(set)
        }
        Some(Value::Array(_)) => {
            report.push(ProblemKind::ImpossibleValue, &keys_at, "is empty", "write at least one key");
            None
        }
        Some(other) => {
            report.push(
                ProblemKind::WrongType,
                &keys_at,
                format!("is {}", kind(other)),
                "write a list of keys",
            );
            None
        }
        None => {
            report.missing(&keys_at, "write a list of keys");
            None
        }
    }
}

fn public_key(key: &Value, at: &Path, report: &mut Report) {
    let Value::Object(members) = key else {
        if !report.is_broken(at) {
            report.push(
                ProblemKind::WrongType,
                at,
                format!("is {}", kind(key)),
                "write a JWK, an object with `kty`",
            );
        }
        return;
    };
    match members.get("kty").and_then(Value::as_str) {
        Some("oct") => {
            report.push(
                ProblemKind::ExposedKey,
                at,
                "is a shared secret (`kty` is `oct`)",
                "write it under the provider's `secret`",
            );
            return;
        }
        Some(_) => {}
        None => report.missing(&at.key("kty"), "write the type of the key, such as `RSA`, `EC` or `OKP`"),
    }
    let private: Vec<&str> = PRIVATE.iter().copied().filter(|name| members.contains_key(*name)).collect();
    if !private.is_empty() {
        report.push(
            ProblemKind::ExposedKey,
            at,
            format!("is a private key: it has {}", listed(&private)),
            "write the public key only, and replace this one: it is no secret any more",
        );
    }
}
