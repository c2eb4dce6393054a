//! The key `policies.*.auth`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::auth::{Auth, Carrier, ClaimPath, Expiry, JsonPointer, Revocation};
use crate::grammar::is_line;
use crate::header_name::is_same_to_a_gateway;
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::provider::Provider;
use crate::raw::carriers::{self, RawCarrier, header_name, is_reserved};
use crate::raw::claims::{RawRequirement, claim_path, pointer};
use crate::raw::jwks::cluster;
use crate::raw::list::{List, distinct, distinct_some, string};
use crate::raw::or_none::OrNone;
use crate::raw::reference::Surroundings;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::units::{Zero, duration, duration_or_none, size};
use crate::words::shown;

/// The object `auth` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawAuth {
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    providers: Option<List<String>>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    from: Option<List<RawCarrier>>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    first_message_timeout: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Size>"))]
    max_unauthenticated_bytes: Option<Value>,
    require: Option<List<RawRequirement>>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Forward>"))]
    forward: Option<BTreeMap<String, String>>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::PointerOrNone>"))]
    refresh: Option<String>,
    refresh_reply: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::DurationOrNone>"))]
    expiry_notice: Option<Value>,
    expiry: Option<Expiry>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::DurationOrZero>"))]
    expiry_grace: Option<Value>,
    keep_token: Option<bool>,
    single_use: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::DurationOrNone>"))]
    max_session: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::DurationOrZero>"))]
    max_session_jitter: Option<Value>,
    revocation: Option<OrNone<RawRevocation>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct RawRevocation {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Line>"))]
    cluster: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::RequestPath>"))]
    path: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    interval: Option<Value>,
}

impl RawAuth {
    /// Returns the valid form.
    pub(super) fn read(self, around: &Surroundings<'_>, at: &Path, report: &mut Report) -> Option<Auth> {
        let providers = providers(self.providers, around, &at.key("providers"), report);
        let from = carriers::read(self.from, &at.key("from"), report);
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
        let max_session_jitter = match &self.max_session_jitter {
            Some(value) => duration(value, Zero::Allowed, &at.key("max_session_jitter"), report),
            None => Some(Duration::ZERO),
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
            max_session_jitter: max_session_jitter?,
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
            report.push(
                ProblemKind::Ambiguous,
                &at.index(i),
                format!("takes tokens of `{other}` too: {why}"),
                remedy,
            );
        }
        seen.push(provider);
    }
    Some(names)
}

/// Says whether the jitter of `max_session` is a part of it. A tier may have a shorter `max_session`, and so may an override; both
/// cut the jitter.
pub(super) fn has_sound_jitter(auth: &Auth, at: &Path, report: &mut Report) -> bool {
    let longest = auth.max_session.unwrap_or_default();
    let is_sound = auth.max_session_jitter <= longest;
    if !is_sound {
        let what = "is longer than `max_session`, of which it is a part";
        let remedy = "write at most what `max_session` says, or leave it out";
        report.push(ProblemKind::Contradiction, &at.key("max_session_jitter"), what, remedy);
    }
    is_sound
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
                ProblemKind::ImpossibleValue,
                &place,
                "cannot be set to a claim",
                "write a header of your own, such as `x-user-id`",
            );
        } else if carries_tokens(&name) {
            report.push(
                ProblemKind::Contradiction,
                &place,
                "carries the token already",
                "write a header of its own",
            );
        } else if let Some(other) = forward.keys().find(|other| is_same_to_a_gateway(&name, other)) {
            let what = format!("is the same header as {} to many services", shown(other));
            report.push(
                ProblemKind::Ambiguous,
                &place,
                what,
                "write headers that differ in more than what is no letter or digit",
            );
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
