//! `policies.*.auth`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::auth::{Auth, Carrier, ClaimPath, Expiry, JsonPointer, Revocation};
use crate::grammar::{is_line, is_token};
use crate::header_name::{folded, is_same_to_a_gateway};
use crate::path::Path;
use crate::provider::Provider;
use crate::raw::claims::{RawRequirement, claim_path, pointer};
use crate::raw::jwks::cluster;
use crate::raw::list::{List, distinct, distinct_some, string};
use crate::raw::or_none::OrNone;
use crate::raw::reference::Surroundings;
use crate::report::Report;
use crate::units::{Zero, duration, duration_or_none, size};
use crate::words::{listed, shown};

/// The object `auth` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct RawAuth {
    providers: Option<List<String>>,
    from: Option<List<RawCarrier>>,
    first_message_timeout: Option<Value>,
    max_unauthenticated_bytes: Option<Value>,
    require: Option<List<RawRequirement>>,
    forward: Option<BTreeMap<String, String>>,
    refresh: Option<String>,
    refresh_reply: Option<bool>,
    expiry_notice: Option<Value>,
    expiry: Option<Expiry>,
    expiry_grace: Option<Value>,
    keep_token: Option<bool>,
    single_use: Option<bool>,
    max_session: Option<Value>,
    revocation: Option<OrNone<RawRevocation>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with one carrier, such as `header: authorization`")]
struct RawCarrier {
    header: Option<String>,
    subprotocol: Option<String>,
    query: Option<String>,
    cookie: Option<String>,
    first_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct RawRevocation {
    cluster: Option<String>,
    path: Option<String>,
    interval: Option<Value>,
}

impl RawAuth {
    /// The valid form.
    pub(super) fn read(self, around: &Surroundings<'_>, at: &Path, report: &mut Report) -> Option<Auth> {
        let providers = providers(self.providers, around, &at.key("providers"), report);
        let from = carriers(self.from, &at.key("from"), report);
        let first_message_timeout = match &self.first_message_timeout {
            Some(value) => duration(value, Zero::Refused, &at.key("first_message_timeout"), report),
            None => Some(Duration::from_secs(5)),
        };
        let max_unauthenticated_bytes = match &self.max_unauthenticated_bytes {
            Some(value) => size(value, &at.key("max_unauthenticated_bytes"), report),
            None => Some(16 << 10),
        };
        let require =
            distinct(self.require.unwrap_or_default(), &at.key("require"), report, RawRequirement::read);
        let forward = forward(self.forward, from.as_deref().unwrap_or_default(), &at.key("forward"), report);
        let refresh = refresh(self.refresh, &at.key("refresh"), report);
        let mut ending = |value: &Option<Value>, key| match value {
            Some(value) => duration_or_none(value, &at.key(key), report),
            None => Some(None),
        };
        let expiry_notice = ending(&self.expiry_notice, "expiry_notice");
        let max_session = ending(&self.max_session, "max_session");
        let expiry_grace = match &self.expiry_grace {
            Some(value) => duration(value, Zero::Allowed, &at.key("expiry_grace"), report),
            None => Some(Duration::from_secs(25)),
        };
        let revocation = match self.revocation.and_then(|written| written.0) {
            Some(written) => written.read(&at.key("revocation"), report).map(Some),
            None => Some(None),
        };
        Some(Auth {
            providers: providers?,
            from: from?,
            first_message_timeout: first_message_timeout?,
            max_unauthenticated_bytes: max_unauthenticated_bytes?,
            require: require?,
            forward: forward?,
            refresh: refresh?,
            refresh_reply: self.refresh_reply.unwrap_or(true),
            expiry_notice: expiry_notice?,
            expiry: self.expiry.unwrap_or(Expiry::Close),
            expiry_grace: expiry_grace?,
            keep_token: self.keep_token.unwrap_or(false),
            single_use: self.single_use.unwrap_or(false),
            max_session: max_session?,
            revocation: revocation?,
        })
    }
}

impl RawRevocation {
    fn read(self, at: &Path, report: &mut Report) -> Option<Revocation> {
        let cluster = cluster(self.cluster, at, report);
        let path_at = at.key("path");
        let remedy = "write the path to ask for, such as `/revoked.json`";
        let is_path: fn(&str) -> bool = |path| path.starts_with('/') && is_line(path);
        let path = report
            .required(self.path, &path_at, remedy)
            .and_then(|path| string(path, is_path, remedy, &path_at, report));
        let interval = match &self.interval {
            Some(value) => duration(value, Zero::Refused, &at.key("interval"), report),
            None => Some(Duration::from_secs(10)),
        };
        Some(Revocation { cluster: cluster?, path: path?, interval: interval? })
    }
}

fn providers(
    written: Option<List<String>>,
    around: &Surroundings<'_>,
    at: &Path,
    report: &mut Report,
) -> Option<Vec<String>> {
    let list = report.required(written, at, "write the names of one or more of the `providers`")?;
    let names = distinct_some(list, at, report, |name, at, report| {
        around.names.resolve(name, "providers", at, report)
    })?;
    // The provider of a token is chosen by its `iss` and its `alg`, so no two of a policy may take the same ones.
    let mut seen: Vec<&Provider> = Vec::new();
    for (i, provider) in
        names.iter().enumerate().filter_map(|(i, name)| Some((i, around.providers.get(name)?)))
    {
        let clash = seen.iter().find_map(|other| Some((&other.name, other.shared_algorithm(provider)?)));
        if let Some((other, algorithm)) = clash {
            let why = match provider.issuers.as_slice() {
                [] => format!("neither names an issuer, and both have `{algorithm:?}`"),
                _ => format!("they have an issuer in common, and `{algorithm:?}`"),
            };
            let remedy = "give each provider of a policy issuers or `algorithms` of its own";
            report.push(&at.index(i), format!("takes tokens of `{other}` too: {why}"), remedy);
        }
        seen.push(provider);
    }
    Some(names)
}

fn carriers(written: Option<List<RawCarrier>>, at: &Path, report: &mut Report) -> Option<Vec<Carrier>> {
    let list =
        report.required(written, at, "write where a token may be, such as `[{header: authorization}]`")?;
    let carriers = distinct_some(list, at, report, RawCarrier::read)?;
    let prefixes: Vec<(usize, &str)> = carriers
        .iter()
        .enumerate()
        .filter_map(|(i, carrier)| match carrier {
            Carrier::Subprotocol(prefix) => Some((i, prefix.as_str())),
            Carrier::Cookie(_) | Carrier::FirstMessage(_) | Carrier::Header(_) | Carrier::Query(_) => None,
        })
        .collect();
    for (n, (i, prefix)) in prefixes.iter().enumerate() {
        let clash = prefixes.iter().take(n).find(|(_, p)| p.starts_with(prefix) || prefix.starts_with(p));
        if let Some((first, _)) = clash {
            let what = format!("takes the same items as {}", at.index(*first));
            report.push(&at.index(*i), what, "write prefixes of which none begins another");
        }
    }
    let is_first_message = |carrier: &&Carrier| matches!(carrier, Carrier::FirstMessage(_));
    let mut firsts = carriers.iter().enumerate().filter(|(_, carrier)| is_first_message(carrier));
    if let (Some((first, _)), Some((i, _))) = (firsts.next(), firsts.next()) {
        let what = format!("looks into the same message as {}", at.index(first));
        report.push(&at.index(i), what, "leave one of them out");
    }
    Some(carriers)
}

impl RawCarrier {
    fn read(self, at: &Path, report: &mut Report) -> Option<Carrier> {
        const NAMES: [&str; 5] = ["header", "subprotocol", "query", "cookie", "first_message"];
        let values = [self.header, self.subprotocol, self.query, self.cookie, self.first_message];
        let mut written = NAMES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?)));
        let Some((name, value)) = written.next() else {
            if !report.is_broken_below(at) {
                report.push(at, "names no carrier", format!("write one of {}", listed(&NAMES)));
            }
            return None;
        };
        if written.next().is_some() {
            report.push(at, "names more than one carrier", "write each as an element of its own");
            return None;
        }
        let at = at.key(name);
        match name {
            "header" => header(value, &at, report).map(Carrier::Header),
            "subprotocol" => {
                let remedy = "write the prefix of a subprotocol name, such as `bearer.`";
                string(value, is_token, remedy, &at, report).map(Carrier::Subprotocol)
            }
            "query" => {
                string(value, is_line, "write the name of a query parameter", &at, report).map(Carrier::Query)
            }
            "cookie" => cookie(value, &at, report).map(Carrier::Cookie),
            _ => pointer(value, &at, report).map(Carrier::FirstMessage),
        }
    }
}

/// The name of a cookie (RFC 6265 §4.1.1).
pub(super) fn cookie(name: String, at: &Path, report: &mut Report) -> Option<String> {
    string(name, is_token, "write the name of a cookie: letters, digits and `!#$%&'*+-.^_`|~`", at, report)
}

/// Headers that frame the request, are connection's own, or have a meaning to Envoy or to Postern:
/// neither a token nor a claim may be there, in no spelling that a gateway takes for one of them.
fn is_reserved(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "origin",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    const PREFIXES: &[&str] = &["sec-websocket-", "x-envoy-", "x-forwarded-"];
    let begins_with = |prefix: &str| folded(name).take(prefix.len()).eq(folded(prefix));
    NAMES.iter().any(|reserved| is_same_to_a_gateway(name, reserved))
        || PREFIXES.iter().any(|prefix| begins_with(prefix))
}

/// The name of a header that carries a token.
fn header(name: String, at: &Path, report: &mut Report) -> Option<String> {
    let name = header_name(name, at, report)?;
    if is_reserved(&name) {
        let remedy = match name.as_str() {
            "cookie" => "write `cookie:` and the name of the cookie in place of `header:`",
            "sec-websocket-protocol" => "write `subprotocol:` and a prefix in place of `header:`",
            _ => "write another header, such as `authorization`",
        };
        report.push(at, format!("`{name}` cannot carry a token"), remedy);
        return None;
    }
    Some(name)
}

fn header_name(name: String, at: &Path, report: &mut Report) -> Option<String> {
    if !is_token(&name) {
        report.push(
            at,
            format!("{} is no header name", shown(&name)),
            "write the name in lower case, such as `x-user-id`",
        );
        return None;
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        report.push(
            at,
            format!("{} has capitals", shown(&name)),
            format!("write {}", shown(&name.to_ascii_lowercase())),
        );
        return None;
    }
    Some(name)
}

fn forward(
    written: Option<BTreeMap<String, String>>,
    carriers: &[Carrier],
    at: &Path,
    report: &mut Report,
) -> Option<BTreeMap<String, ClaimPath>> {
    let written = written.unwrap_or_default();
    let count = written.len();
    let mut forward: BTreeMap<String, ClaimPath> = BTreeMap::new();
    let carries_tokens = |name: &str| {
        carriers
            .iter()
            .any(|carrier| matches!(carrier, Carrier::Header(other) if is_same_to_a_gateway(name, other)))
    };
    for (name, claim) in written {
        let place = at.key(name.as_str());
        let claim = claim_path(claim, &place, report);
        let Some(name) = header_name(name, &place, report) else { continue };
        // A client's own copy is removed from every request, which would cost the upstream its own
        // credentials.
        if is_reserved(&name) || is_same_to_a_gateway(&name, "authorization") {
            report.push(
                &place,
                "cannot be set to a claim",
                "write a header of your own, such as `x-user-id`",
            );
        } else if carries_tokens(&name) {
            report.push(&place, "carries the token already", "write a header of its own");
        } else if let Some(other) = forward.keys().find(|other| is_same_to_a_gateway(&name, other)) {
            let what = format!("is the same header as {} to many services", shown(other));
            report.push(&place, what, "write headers that differ in more than what is no letter or digit");
        } else if let Some(claim) = claim {
            forward.insert(name, claim);
        }
    }
    (forward.len() == count).then_some(forward)
}

fn refresh(written: Option<String>, at: &Path, report: &mut Report) -> Option<Option<JsonPointer>> {
    match written {
        None => Some(None),
        Some(word) if word == "none" => Some(None),
        Some(text) => pointer(text, at, report).map(Some),
    }
}
