//! The keys `messages`, `upstream_messages`, `liveness`, `backpressure` and `global_rate_limit` of a policy.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::auth::Auth;
use crate::content::OnViolation;
use crate::grammar::is_line;
use crate::limits::{
    Backlog, Backpressure, GlobalCount, GlobalRateLimit, Liveness, MessageType, Messages, Per,
    UpstreamMessages,
};
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::raw::content::{RawAllowance, RawContent, RawSchemas};
use crate::raw::jwks::cluster;
use crate::raw::list::{List, distinct_some, string};
use crate::raw::or_none::OrNone;
use crate::raw::rates::NO_USERS;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::units::{Zero, count_u32, duration, duration_or_none, size};

/// The object `messages` as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("not" = schema::both_kinds_of_schemas())))]
pub(super) struct RawMessages {
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    types: Option<List<MessageType>>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Size>"))]
    max_frame_bytes: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Size>"))]
    max_message_bytes: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Count32>"))]
    max_fragments: Option<Value>,
    utf8: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::MessageSchemaOrNone>"))]
    schema: Option<Value>,
    schemas: Option<OrNone<RawSchemas>>,
    allow: Option<List<RawAllowance>>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::DepthOrNone>"))]
    max_json_depth: Option<Value>,
    on_violation: Option<OnViolation>,
    tunnels: Option<Tunnels>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum Tunnels {
    Deny,
    Pass,
}

impl RawMessages {
    /// Returns the valid form. `has_claims` says whether there is a token.
    pub(super) fn read(self, has_claims: bool, at: &Path, report: &mut Report) -> Option<Messages> {
        let types = match self.types {
            Some(list) => distinct_some(list, &at.key("types"), report, |kind, _, _| Some(kind)),
            None => Some(vec![MessageType::Text, MessageType::Binary]),
        };
        let max_frame_bytes =
            bytes(self.max_frame_bytes.as_ref(), 64 << 10, &at.key("max_frame_bytes"), report);
        let max_message_bytes =
            bytes(self.max_message_bytes.as_ref(), 64 << 10, &at.key("max_message_bytes"), report);
        let max_fragments = match &self.max_fragments {
            Some(value) => count_u32(value, &at.key("max_fragments"), report),
            None => Some(128),
        };
        let content = RawContent {
            schema: self.schema,
            schemas: self.schemas,
            allow: self.allow,
            max_json_depth: self.max_json_depth,
            on_violation: self.on_violation,
        };
        let content = content.read(has_claims, at, report);
        Some(Messages {
            types: types?,
            max_frame_bytes: max_frame_bytes?,
            max_message_bytes: max_message_bytes?,
            max_fragments: max_fragments?,
            utf8: self.utf8.unwrap_or(true),
            content: content?,
            deny_tunnels: matches!(self.tunnels, None | Some(Tunnels::Deny)),
        })
    }
}

/// The object `upstream_messages` as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("not" = schema::both_kinds_of_schemas())))]
pub(super) struct RawUpstreamMessages {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Size>"))]
    max_frame_bytes: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Size>"))]
    max_message_bytes: Option<Value>,
    utf8: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::MessageSchemaOrNone>"))]
    schema: Option<Value>,
    schemas: Option<OrNone<RawSchemas>>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::DepthOrNone>"))]
    max_json_depth: Option<Value>,
    on_violation: Option<OnViolation>,
}

impl RawUpstreamMessages {
    /// Returns the valid form.
    pub(super) fn read(self, at: &Path, report: &mut Report) -> Option<UpstreamMessages> {
        let max_frame_bytes =
            bytes(self.max_frame_bytes.as_ref(), 1 << 20, &at.key("max_frame_bytes"), report);
        let max_message_bytes =
            bytes(self.max_message_bytes.as_ref(), 1 << 20, &at.key("max_message_bytes"), report);
        let content = RawContent {
            schema: self.schema,
            schemas: self.schemas,
            allow: None,
            max_json_depth: self.max_json_depth,
            on_violation: self.on_violation,
        };
        let content = content.read(false, at, report);
        Some(UpstreamMessages {
            max_frame_bytes: max_frame_bytes?,
            max_message_bytes: max_message_bytes?,
            utf8: self.utf8.unwrap_or(false),
            content: content?,
        })
    }
}

fn bytes(written: Option<&Value>, default: u64, at: &Path, report: &mut Report) -> Option<u64> {
    match written {
        Some(value) => size(value, at, report),
        None => Some(default),
    }
}

/// The object `liveness` as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawLiveness {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    idle_timeout: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::DurationOrNone>"))]
    ping_interval: Option<Value>,
    ping_upstream: Option<bool>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pong_timeout: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    close_timeout: Option<Value>,
}

impl RawLiveness {
    /// Returns the valid form.
    pub(super) fn read(self, at: &Path, report: &mut Report) -> Option<Liveness> {
        let ping_interval = match &self.ping_interval {
            Some(value) => duration_or_none(value, &at.key("ping_interval"), report),
            None => Some(Some(Duration::from_secs(15))),
        };
        let mut time = |value: Option<&Value>, key, default| match value {
            Some(value) => duration(value, Zero::Refused, &at.key(key), report),
            None => Some(Duration::from_secs(default)),
        };
        let idle_timeout = time(self.idle_timeout.as_ref(), "idle_timeout", 30);
        let pong_timeout = time(self.pong_timeout.as_ref(), "pong_timeout", 8);
        let close_timeout = time(self.close_timeout.as_ref(), "close_timeout", 5);
        Some(Liveness {
            idle_timeout: idle_timeout?,
            ping_interval: ping_interval?,
            ping_upstream: self.ping_upstream.unwrap_or(true),
            pong_timeout: pong_timeout?,
            close_timeout: close_timeout?,
        })
    }
}

/// The object `backpressure` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawBackpressure {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Size>"))]
    max_backlog_bytes: Option<Value>,
    on_exceed: Option<Backlog>,
}

impl RawBackpressure {
    /// Returns the valid form.
    pub(super) fn read(self, at: &Path, report: &mut Report) -> Option<Backpressure> {
        let at = at.key("max_backlog_bytes");
        let max_backlog_bytes = report
            .required(self.max_backlog_bytes, &at, "write a size, such as \"1MiB\"")
            .and_then(|value| size(&value, &at, report));
        Some(Backpressure {
            max_backlog_bytes: max_backlog_bytes?,
            on_exceed: self.on_exceed.unwrap_or(Backlog::Close),
        })
    }
}

/// The object `global_rate_limit` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawGlobalRateLimit {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Line>"))]
    cluster: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Line>"))]
    domain: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    timeout: Option<Value>,
    failure: Option<Failure>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::OneOrMore<schema::Descriptor>>"))]
    descriptors: Option<List<Per>>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    counts: Option<List<GlobalCount>>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    report_interval: Option<Value>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum Failure {
    Allow,
    Deny,
}

impl RawGlobalRateLimit {
    /// Returns the valid form. `auth` is absent where it is wrong, and says that there are no tokens by `Some(None)`.
    pub(super) fn read(
        self,
        auth: Option<Option<&Auth>>,
        at: &Path,
        report: &mut Report,
    ) -> Option<GlobalRateLimit> {
        let cluster = cluster(self.cluster, at, report);
        let domain_at = at.key("domain");
        let domain_remedy = "write the `domain` of the rate limit service's configuration";
        let domain = report
            .required(self.domain, &domain_at, domain_remedy)
            .and_then(|domain| string(domain, is_line, domain_remedy, &domain_at, report));
        let mut time = |value: Option<&Value>, key, default| match value {
            Some(value) => duration(value, Zero::Refused, &at.key(key), report),
            None => Some(default),
        };
        let timeout = time(self.timeout.as_ref(), "timeout", Duration::from_millis(50));
        let report_interval = time(self.report_interval.as_ref(), "report_interval", Duration::from_secs(1));
        let descriptors = match self.descriptors {
            Some(list) => distinct_some(list, &at.key("descriptors"), report, |per, at, report| match per {
                Per::Connection => {
                    report.push(
                        ProblemKind::ImpossibleValue,
                        at,
                        "a connection has no name in the mesh",
                        "write `ip`, `user` or `policy`",
                    );
                    None
                }
                Per::User if matches!(auth, Some(None)) => {
                    report.push(ProblemKind::Contradiction, at, NO_USERS, "write `ip`, or `auth`");
                    None
                }
                Per::Ip | Per::Policy | Per::User => Some(per),
            }),
            None => Some(vec![Per::Ip, Per::Policy]),
        };
        // A broken `auth` may have meant tokens of single use.
        let spends_tokens = auth.is_none_or(|auth| auth.is_some_and(|auth| auth.single_use));
        let counts = match self.counts {
            Some(list) => distinct_some(list, &at.key("counts"), report, |count, at, report| {
                if count == GlobalCount::Tickets && !spends_tokens {
                    report.push(
                        ProblemKind::Contradiction,
                        at,
                        "no token opens one connection only",
                        "write `auth.single_use: true`",
                    );
                    return None;
                }
                Some(count)
            }),
            None => Some(vec![GlobalCount::Handshakes, GlobalCount::Messages]),
        };
        Some(GlobalRateLimit {
            cluster: cluster?,
            domain: domain?,
            timeout: timeout?,
            failure_deny: matches!(self.failure, Some(Failure::Deny)),
            descriptors: descriptors?,
            counts: counts?,
            report_interval: report_interval?,
        })
    }
}
