//! The ids of rules: the path of the key that sets a rule in the policy language.

use std::fmt;

use crate::peer::Peer;

/// A rule of the policy, or of the protocol. Its `Display` is its public id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `messages.allow[n]`: what a message may be sent with.
    Allow(usize),
    /// `auth`: the token itself.
    Auth,
    /// `auth.expiry`: a connection ends with its token.
    AuthExpiry,
    /// `auth.first_message_timeout`: the token of a first message comes in time.
    AuthFirstMessageTimeout,
    /// `auth.max_session`: the time that a connection may last.
    AuthMaxSession,
    /// `auth.max_unauthenticated_bytes`: the bytes that may be sent before a token is accepted.
    AuthMaxUnauthenticatedBytes,
    /// `auth.refresh`: a later token is of the same issuer and subject.
    AuthRefresh,
    /// `auth.require[n]`: a demand on the claims.
    AuthRequire(usize),
    /// `auth.revocation`: the list of tokens that are taken back.
    AuthRevocation,
    /// `auth.single_use`: a token opens one connection.
    AuthSingleUse,
    /// `backpressure`: the bytes that may be unread.
    Backpressure,
    /// `connections.per_ip`: the live connections of an address.
    ConnectionsPerIp,
    /// `connections.per_policy`: the live connections under the policy.
    ConnectionsPerPolicy,
    /// `connections.per_user`: the live connections of a user.
    ConnectionsPerUser,
    /// `connections.unauthenticated_per_ip`: those of an address that wait for their first message.
    ConnectionsUnauthenticatedPerIp,
    /// `csrf`: the token that is bound to a session.
    Csrf,
    /// `default_policy`: requests under no other policy.
    DefaultPolicy,
    /// `drain`: the policy goes away.
    Drain,
    /// `drain_with_envoy`: Envoy is about to end.
    DrainWithEnvoy,
    /// `global_rate_limit`: the counts over the mesh.
    GlobalRateLimit,
    /// `liveness.idle_timeout`: a client sends something in time, and the whole of what it began.
    IdleTimeout,
    /// `messages.max_fragments`, or of `upstream_messages`.
    MaxFragments(Peer),
    /// `messages.max_frame_bytes`, or of `upstream_messages`.
    MaxFrameBytes(Peer),
    /// `messages.max_json_depth`, or of `upstream_messages`.
    MaxJsonDepth(Peer),
    /// `messages.max_message_bytes`, or of `upstream_messages`.
    MaxMessageBytes(Peer),
    /// `memory.budget`: the bytes that are held for all peers of a worker.
    MemoryBudget,
    /// `origins`: the pages that may connect.
    Origins,
    /// `other_upgrades`: upgrades to other protocols than WebSocket.
    OtherUpgrades,
    /// `policies`: an override by a route's metadata is a valid policy, and no change of route evades one.
    Policies,
    /// `liveness.pong_timeout`: a Ping is answered in time.
    PongTimeout,
    /// `protocol`: RFC 6455, 7692, 8441, 9110 and 9112, and what a host must do for them to be judged.
    Protocol,
    /// `rates[n]`: the rates of what clients do.
    Rates(usize),
    /// `messages.schema`, or of `upstream_messages`.
    Schema(Peer),
    /// `messages.schemas`, or of `upstream_messages`.
    Schemas(Peer),
    /// `subprotocols`: the protocols that are spoken.
    Subprotocols,
    /// `tls`: the way in which the client is connected.
    Tls,
    /// `messages.tunnels`: no other protocol in messages, of either side.
    Tunnels,
    /// `messages.types`, or of `upstream_messages`.
    Types(Peer),
    /// `upgrade_only`: ordinary HTTP.
    UpgradeOnly,
    /// `messages.utf8`, or of `upstream_messages`.
    Utf8(Peer),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_messages = |f: &mut fmt::Formatter<'_>, sender: &Peer, key: &str| match sender {
            Peer::Client => write!(f, "messages.{key}"),
            Peer::Upstream => write!(f, "upstream_messages.{key}"),
        };
        f.write_str(match self {
            Self::Allow(line) => return write!(f, "messages.allow[{line}]"),
            Self::Auth => "auth",
            Self::AuthExpiry => "auth.expiry",
            Self::AuthFirstMessageTimeout => "auth.first_message_timeout",
            Self::AuthMaxSession => "auth.max_session",
            Self::AuthMaxUnauthenticatedBytes => "auth.max_unauthenticated_bytes",
            Self::AuthRefresh => "auth.refresh",
            Self::AuthRequire(line) => return write!(f, "auth.require[{line}]"),
            Self::AuthRevocation => "auth.revocation",
            Self::AuthSingleUse => "auth.single_use",
            Self::Backpressure => "backpressure",
            Self::ConnectionsPerIp => "connections.per_ip",
            Self::ConnectionsPerPolicy => "connections.per_policy",
            Self::ConnectionsPerUser => "connections.per_user",
            Self::ConnectionsUnauthenticatedPerIp => "connections.unauthenticated_per_ip",
            Self::Csrf => "csrf",
            Self::DefaultPolicy => "default_policy",
            Self::Drain => "drain",
            Self::DrainWithEnvoy => "drain_with_envoy",
            Self::GlobalRateLimit => "global_rate_limit",
            Self::IdleTimeout => "liveness.idle_timeout",
            Self::MaxFragments(sender) => return of_messages(f, sender, "max_fragments"),
            Self::MaxFrameBytes(sender) => return of_messages(f, sender, "max_frame_bytes"),
            Self::MaxJsonDepth(sender) => return of_messages(f, sender, "max_json_depth"),
            Self::MaxMessageBytes(sender) => return of_messages(f, sender, "max_message_bytes"),
            Self::MemoryBudget => "memory.budget",
            Self::Origins => "origins",
            Self::OtherUpgrades => "other_upgrades",
            Self::Policies => "policies",
            Self::PongTimeout => "liveness.pong_timeout",
            Self::Protocol => "protocol",
            Self::Rates(rule) => return write!(f, "rates[{rule}]"),
            Self::Schema(sender) => return of_messages(f, sender, "schema"),
            Self::Schemas(sender) => return of_messages(f, sender, "schemas"),
            Self::Subprotocols => "subprotocols",
            Self::Tls => "tls",
            Self::Tunnels => "messages.tunnels",
            Self::Types(sender) => return of_messages(f, sender, "types"),
            Self::UpgradeOnly => "upgrade_only",
            Self::Utf8(sender) => return of_messages(f, sender, "utf8"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_path_of_the_key_that_sets_the_rule() {
        for (rule, id) in [
            (Rule::AuthRequire(1), "auth.require[1]"),
            (Rule::MaxFrameBytes(Peer::Client), "messages.max_frame_bytes"),
            (Rule::MaxFrameBytes(Peer::Upstream), "upstream_messages.max_frame_bytes"),
            (Rule::Allow(1), "messages.allow[1]"),
            (Rule::Schema(Peer::Upstream), "upstream_messages.schema"),
            (Rule::Schemas(Peer::Client), "messages.schemas"),
            (Rule::MaxJsonDepth(Peer::Client), "messages.max_json_depth"),
            (Rule::Tunnels, "messages.tunnels"),
            (Rule::PongTimeout, "liveness.pong_timeout"),
            (Rule::Rates(0), "rates[0]"),
        ] {
            assert_eq!(rule.to_string(), id);
        }
    }
}
