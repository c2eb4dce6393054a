//! One policy: everything that is decided about a WebSocket on a route.

use std::time::Duration;

use crate::auth::{Auth, Csrf, Requirement};
use crate::limits::{
    Backpressure, Compression, Connections, GlobalRateLimit, Liveness, Messages, Rate, UpstreamMessages,
};
use crate::origin::Origins;
use crate::shadow::ShadowedRules;

/// A whole policy; its values cannot be wrong.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The name, which is the key under `policies`: letters, digits, `_`, `-`, and single dots between them,
    /// at most 64.
    pub name: String,
    /// Says whether refusals are carried out.
    pub mode: Mode,
    /// The rules that are judged and not enforced. Those of a tier are the policy's.
    pub shadow: ShadowedRules,
    /// The demand on the connection's security.
    pub tls: Tls,
    /// The fate of upgrades that are not WebSocket.
    pub other_upgrades: OtherUpgrades,
    /// The time over which live connections are sent away.
    pub drain: Option<Duration>,
    /// Says whether ordinary HTTP is refused.
    pub upgrade_only: bool,
    /// The origins that may open a socket from a browser.
    pub origins: Origins,
    /// The rules of tokens; `None` for `auth: none`.
    pub auth: Option<Auth>,
    /// The rules of tokens against cross-site request forgery.
    pub csrf: Option<Csrf>,
    /// The subprotocols that may be agreed on.
    pub subprotocols: Subprotocols,
    /// The treatment of permessage-deflate.
    pub compression: Compression,
    /// The rules for messages from client to upstream.
    pub messages: Messages,
    /// The rules for messages from upstream to client.
    pub upstream_messages: UpstreamMessages,
    /// The rates in the order written.
    pub rates: Vec<Rate>,
    /// The caps on live connections at once.
    pub connections: Connections,
    /// The limits by claim; the first whose demands hold is in force.
    pub tiers: Vec<Tier>,
    /// The number of bits of an IPv6 address that name a client; 1 to 128.
    pub ipv6_prefix: u8,
    /// The heartbeat and the deadlines.
    pub liveness: Liveness,
    /// The limit of what a client may leave unread.
    pub backpressure: Option<Backpressure>,
    /// The one count over the whole mesh.
    pub global_rate_limit: Option<GlobalRateLimit>,
}

/// The limits for those whose tokens have certain claims.
#[derive(Clone, Debug)]
pub struct Tier {
    /// The demands on the claims of the token, each of which must hold; never empty.
    pub require: Vec<Requirement>,
    /// The policy with the keys of the tier laid over it. It has no tiers.
    pub policy: Policy,
    /// Says whether the tier has rates of its own; otherwise they are the policy's, and so are their buckets.
    pub has_rates: bool,
}

/// The mode of a policy: whether it acts on what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The policy refuses.
    Enforce,
    /// The policy judges, counts and logs, and lets everything through.
    Shadow,
}

/// The demand on the connection's security.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// TLS to Envoy, or `x-forwarded-proto: https`.
    Forwarded,
    /// TLS to Envoy with a client certificate that Envoy has verified.
    Mutual,
    /// No demand.
    Optional,
    /// TLS to Envoy.
    Required,
}

/// The fate of an Upgrade that is not `websocket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OtherUpgrades {
    /// The request is refused.
    Deny,
    /// The request passes unjudged.
    Pass,
}

/// The subprotocols that may be agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subprotocols {
    /// The names that may be agreed on; `None` for any but the known tunnels.
    pub allow: Option<Vec<String>>,
    /// Says whether a client must offer one.
    pub require: bool,
}
