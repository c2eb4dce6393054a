//! One policy: everything that is decided about a WebSocket on a route.

use std::time::Duration;

use crate::auth::{Auth, Csrf};
use crate::limits::{
    Backpressure, Compression, Connections, GlobalRateLimit, Liveness, Messages, Rate, UpstreamMessages,
};
use crate::origin::Origins;

/// A whole policy; its values cannot be wrong.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The key under `policies`: letters, digits, `_`, `-`, and single dots between them, at most 64.
    pub name: String,
    /// Whether refusals are carried out.
    pub mode: Mode,
    /// What is asked of the connection's security.
    pub tls: Tls,
    /// What happens to upgrades that are not WebSocket.
    pub other_upgrades: OtherUpgrades,
    /// Over how long live connections are sent away.
    pub drain: Option<Duration>,
    /// Whether ordinary HTTP is refused.
    pub upgrade_only: bool,
    /// Who may open a socket from a browser.
    pub origins: Origins,
    /// `None` for `auth: none`.
    pub auth: Option<Auth>,
    /// Tokens against cross-site request forgery.
    pub csrf: Option<Csrf>,
    /// Which subprotocols may be agreed on.
    pub subprotocols: Subprotocols,
    /// What becomes of permessage-deflate.
    pub compression: Compression,
    /// Client → upstream.
    pub messages: Messages,
    /// Upstream → client.
    pub upstream_messages: UpstreamMessages,
    /// In the order written.
    pub rates: Vec<Rate>,
    /// Live connections at once.
    pub connections: Connections,
    /// How many bits of an IPv6 address name a client; 1 to 128.
    pub ipv6_prefix: u8,
    /// Heartbeat and deadlines.
    pub liveness: Liveness,
    /// How much a client may leave unread.
    pub backpressure: Option<Backpressure>,
    /// One count over the whole mesh.
    pub global_rate_limit: Option<GlobalRateLimit>,
}

/// Whether a policy acts on what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It refuses.
    Enforce,
    /// It judges, counts and logs, and lets everything through.
    Shadow,
}

/// What is asked of the connection's security.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// TLS to Envoy, or `x-forwarded-proto: https`.
    Forwarded,
    /// TLS to Envoy with a client certificate that Envoy has verified.
    Mutual,
    /// Nothing.
    Optional,
    /// TLS to Envoy.
    Required,
}

/// What happens to an Upgrade that is not `websocket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherUpgrades {
    /// It is refused.
    Deny,
    /// It passes unjudged.
    Pass,
}

/// Which subprotocols may be agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subprotocols {
    /// `None`: any but the known tunnels.
    pub allow: Option<Vec<String>>,
    /// Whether a client must offer one.
    pub require: bool,
}
