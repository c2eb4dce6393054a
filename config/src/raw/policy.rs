//! The keys of `policies.*`.

use serde::Deserialize;
use serde_json::Value;

use crate::auth::{Auth, Carrier, Csrf, CsrfCarrier};
use crate::grammar::is_subprotocol;
use crate::limits::Compression;
use crate::path::Path;
use crate::policy::{Mode, OtherUpgrades, Policy, Subprotocols, Tls};
use crate::problem::ProblemKind;
use crate::raw::auth::RawAuth;
use crate::raw::connections::RawConnections;
use crate::raw::csrf::RawCsrf;
use crate::raw::in_band;
use crate::raw::limits::{
    RawBackpressure, RawGlobalRateLimit, RawLiveness, RawMessages, RawUpstreamMessages,
};
use crate::raw::list::{List, distinct, string};
use crate::raw::or_none::OrNone;
use crate::raw::origins::RawOrigins;
use crate::raw::provider::name_is_good;
use crate::raw::rates::{self, RawRate};
use crate::raw::reference::Surroundings;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::shadow::ShadowedRules;
use crate::units::{count, duration_or_none, size};

/// One policy as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawPolicy {
    mode: Option<Mode>,
    shadow: Option<List<String>>,
    tls: Option<Tls>,
    other_upgrades: Option<OtherUpgrades>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::DurationOrNone>"))]
    drain: Option<Value>,
    upgrade_only: Option<bool>,
    origins: Option<RawOrigins>,
    auth: Option<OrNone<RawAuth>>,
    csrf: Option<OrNone<RawCsrf>>,
    subprotocols: Option<RawSubprotocols>,
    compression: Option<Compression>,
    messages: Option<RawMessages>,
    upstream_messages: Option<RawUpstreamMessages>,
    rates: Option<List<RawRate>>,
    connections: Option<OrNone<RawConnections>>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<crate::raw::tiers::RawTier>>", extend("uniqueItems" = false)))]
    tiers: Option<List<Value>>,
    client_address: Option<RawClientAddress>,
    liveness: Option<RawLiveness>,
    backpressure: Option<OrNone<RawBackpressure>>,
    global_rate_limit: Option<OrNone<RawGlobalRateLimit>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct RawClientAddress {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::PrefixLength>"))]
    ipv6_prefix: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("not" = schema::demands_what_is_nowhere())))]
struct RawSubprotocols {
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<schema::Subprotocol>>"))]
    allow: Option<List<String>>,
    require: Option<bool>,
}

impl RawPolicy {
    /// Takes the tiers, which are read on their own.
    pub(super) fn take_tiers(&mut self) -> List<Value> {
        self.tiers.take().unwrap_or_default()
    }

    /// Takes the ids of rules that are shadowed, which are held against the whole policy.
    pub(super) fn take_shadow(&mut self) -> List<String> {
        self.shadow.take().unwrap_or_default()
    }

    /// Says whether there are tokens. A broken `auth` may have meant some.
    pub(super) fn asks_for_tokens(&self) -> bool {
        !matches!(self.auth, Some(OrNone(None)))
    }

    /// Returns the policy called `name`, without its tiers, and with no rule in shadow.
    pub(super) fn read(
        self,
        name: &str,
        around: &Surroundings<'_>,
        at: &Path,
        report: &mut Report,
    ) -> Option<Policy> {
        let named = policy_name_is_good(name, at, report);
        let has_users = self.asks_for_tokens();
        let drain = match &self.drain {
            Some(value) => duration_or_none(value, &at.key("drain"), report),
            None => Some(None),
        };
        let origins_at = at.key("origins");
        let origins = report
            .required(self.origins, &origins_at, "write `origins: {allow: [\"https://app.example.com\"]}`")
            .and_then(|origins| origins.read(&origins_at, report));
        let auth_at = at.key("auth");
        let auth =
            report.required(self.auth, &auth_at, "write who may connect, or `auth: none`").and_then(|auth| {
                match auth.0 {
                    Some(auth) => auth.read(around, &auth_at, report).map(Some),
                    None => Some(None),
                }
            });
        let token_rules = auth.as_ref().and_then(Option::as_ref);
        let csrf = optional(self.csrf, |csrf| csrf.read(token_rules, &at.key("csrf"), report));
        let subprotocols = match self.subprotocols {
            Some(written) => {
                let guard = csrf.as_ref().and_then(Option::as_ref);
                written.read(token_rules, guard, &at.key("subprotocols"), report)
            }
            None => Some(Subprotocols { allow: None, require: false }),
        };
        let messages = self.messages.unwrap_or_default().read(has_users, &at.key("messages"), report);
        let compression = self.compression.unwrap_or(Compression::Strip);
        if let (Some(Some(auth)), Some(messages)) = (&auth, &messages) {
            in_band::check(auth, compression, messages, at, report);
        }
        let upstream_messages =
            self.upstream_messages.unwrap_or_default().read(&at.key("upstream_messages"), report);
        let rates = rates::read(self.rates, has_users, &at.key("rates"), report);
        let connections =
            optional(self.connections, |written| written.read(has_users, &at.key("connections"), report));
        let ipv6_prefix = ipv6_prefix(self.client_address, &at.key("client_address"), report);
        let liveness = self.liveness.unwrap_or_default().read(&at.key("liveness"), report);
        let backpressure =
            optional(self.backpressure, |written| written.read(&at.key("backpressure"), report));
        let global_rate_limit = optional(self.global_rate_limit, |written| {
            let tokens = if has_users { token_rules.map(Some) } else { Some(None) };
            written.read(tokens, &at.key("global_rate_limit"), report)
        });
        named.then_some(Policy {
            name: name.to_owned(),
            mode: self.mode.unwrap_or(Mode::Enforce),
            shadow: ShadowedRules::default(),
            tls: self.tls.unwrap_or(Tls::Required),
            other_upgrades: self.other_upgrades.unwrap_or(OtherUpgrades::Deny),
            drain: drain?,
            upgrade_only: self.upgrade_only.unwrap_or(false),
            origins: origins?,
            auth: auth?,
            csrf: csrf?,
            subprotocols: subprotocols?,
            compression,
            messages: messages?,
            upstream_messages: upstream_messages?,
            rates: rates?,
            connections: connections?.unwrap_or_default(),
            tiers: Vec::new(),
            ipv6_prefix: ipv6_prefix?,
            liveness: liveness?,
            backpressure: backpressure?,
            global_rate_limit: global_rate_limit?,
        })
    }
}

/// Reads an optional object. The outer `None` stands for a fault, the inner one for a key left out or the
/// word `none`.
fn optional<T, U>(written: Option<OrNone<T>>, read: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    match written.and_then(|written| written.0) {
        Some(written) => read(written).map(Some),
        None => Some(None),
    }
}

/// Says whether a policy may have this name: `default_policy` takes the words `deny` and `pass` beside the
/// names of policies, and metrics say `none` where no policy applies.
fn policy_name_is_good(name: &str, at: &Path, report: &mut Report) -> bool {
    let is_word = matches!(name, "deny" | "none" | "pass");
    if is_word {
        report.push(
            ProblemKind::ImpossibleValue,
            at,
            "has a name that means something else in `default_policy`",
            "write another name",
        );
    }
    name_is_good(name, at, report) && !is_word
}

fn ipv6_prefix(written: Option<RawClientAddress>, at: &Path, report: &mut Report) -> Option<u8> {
    match written.and_then(|written| written.ipv6_prefix) {
        Some(value) => {
            count(&value, 128, &at.key("ipv6_prefix"), report).and_then(|bits| u8::try_from(bits).ok())
        }
        None => Some(64),
    }
}

impl RawSubprotocols {
    fn read(
        self,
        auth: Option<&Auth>,
        csrf: Option<&Csrf>,
        at: &Path,
        report: &mut Report,
    ) -> Option<Subprotocols> {
        let allow_at = at.key("allow");
        let require = self.require.unwrap_or(false);
        let allow = match self.allow {
            Some(list) if list.is_empty() && require => {
                report.push(
                    ProblemKind::Contradiction,
                    &allow_at,
                    "is empty, and one is required",
                    "write at least one, or `require: false`",
                );
                None
            }
            Some(list) => distinct(list, &allow_at, report, |name, at, report| {
                let name = string(
                    name,
                    is_subprotocol,
                    "write the name of a subprotocol, such as `chat.v2`",
                    at,
                    report,
                )?;
                let token = token_prefix(auth, &name).map(|prefix| ("a token", prefix));
                match token.or_else(|| csrf_prefix(csrf, &name).map(|prefix| ("a CSRF token", prefix))) {
                    Some((kind, prefix)) => {
                        report.push(
                            ProblemKind::Ambiguous,
                            at,
                            format!("would be taken for {kind}, by `{prefix}`"),
                            "write a name that does not begin so",
                        );
                        None
                    }
                    None => Some(name),
                }
            })
            .map(Some),
            None => Some(None),
        };
        Some(Subprotocols { allow: allow?, require })
    }
}

/// Returns the prefix by which an item called `name` would be taken for a token.
fn token_prefix<'a>(auth: Option<&'a Auth>, name: &str) -> Option<&'a str> {
    auth?.from.iter().find_map(|carrier| match carrier {
        Carrier::Subprotocol { prefix, .. } => name.starts_with(prefix.as_str()).then_some(prefix.as_str()),
        Carrier::SubprotocolPair(pair) => (name == pair).then_some(pair.as_str()),
        Carrier::Cookie(_) | Carrier::FirstMessage(_) | Carrier::Header(_) | Carrier::Query(_) => None,
    })
}

/// Returns the prefix by which an item called `name` would be taken for a CSRF token.
fn csrf_prefix<'a>(csrf: Option<&'a Csrf>, name: &str) -> Option<&'a str> {
    match &csrf?.from {
        CsrfCarrier::Subprotocol(prefix) => name.starts_with(prefix.as_str()).then_some(prefix.as_str()),
        CsrfCarrier::Query(_) => None,
    }
}

/// Notes frames that may be longer than messages, when one author wrote both: no such frame could pass. If a
/// default or a policy under an override sets one of them, the smaller one governs. Under `inspect` a frame
/// counts as it is on the wire and its message as what it inflates to, and a message that does not compress
/// is longer on the wire.
pub(crate) fn contradictions(written: &Value, at: &Path, report: &mut Report) {
    if written.get("compression").and_then(Value::as_str) == Some("inspect") {
        return;
    }
    for key in ["messages", "upstream_messages"] {
        let at = at.key(key);
        // A size that is wrong by itself is told where it is read.
        let bytes = |limit: &str| {
            let value = written.get(key)?.get(limit)?;
            size(value, &at, &mut Report::default())
        };
        if let (Some(frame), Some(message)) = (bytes("max_frame_bytes"), bytes("max_message_bytes"))
            && frame > message
        {
            report.push(
                ProblemKind::Contradiction,
                &at.key("max_frame_bytes"),
                format!("is more than `max_message_bytes`, {message}, so no frame of this length could pass"),
                format!("write at most {message}"),
            );
        }
    }
}
