//! The limits of a policy: sizes, rates, caps and deadlines.

use std::time::Duration;

use crate::content::Content;

/// The kind of a data message (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    /// A binary message, opcode 0x2.
    Binary,
    /// A text message, opcode 0x1.
    Text,
}

/// The rules for messages from client to upstream.
#[derive(Clone, Debug)]
pub struct Messages {
    /// The types that may pass; never empty, no type twice.
    pub types: Vec<MessageType>,
    /// The longest payload of one frame, in bytes.
    pub max_frame_bytes: u64,
    /// The longest payload of one message over all its frames, in bytes.
    pub max_message_bytes: u64,
    /// The most frames of one message, empty ones included; at least 1.
    pub max_fragments: u32,
    /// Says whether text is proved UTF-8.
    pub utf8: bool,
    /// The rules on what whole text messages say.
    pub content: Content,
    /// Says whether tunnelled protocols are refused.
    pub deny_tunnels: bool,
}

/// The rules for messages from upstream to client.
#[derive(Clone, Debug)]
pub struct UpstreamMessages {
    /// The longest payload of one frame, in bytes.
    pub max_frame_bytes: u64,
    /// The longest payload of one message over all its frames, in bytes.
    pub max_message_bytes: u64,
    /// Says whether text is proved UTF-8.
    pub utf8: bool,
    /// The rules on what whole text messages say.
    pub content: Content,
}

/// The treatment of permessage-deflate (RFC 7692).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Messages are inflated to be judged.
    Inspect,
    /// Wire bytes only are judged.
    Pass,
    /// The offer is taken out of the handshake.
    Strip,
}

/// The quantity that a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Payload bytes of data frames from the client.
    Bytes,
    /// Pings and Pongs from the client.
    ControlFrames,
    /// Upgrade requests.
    Handshakes,
    /// Data messages from the client.
    Messages,
    /// Handshakes and connections that were refused for what their client sent.
    Refusals,
}

/// The group that shares one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// One connection.
    Connection,
    /// One client address.
    Ip,
    /// All clients of the policy.
    Policy,
    /// One token subject.
    User,
}

/// The consequence of an empty bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnExceed {
    /// The connection is closed.
    Close,
    /// The handshake is refused.
    Deny,
    /// The message is discarded.
    Drop,
}

/// One token bucket rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The quantity that is counted.
    pub count: Counted,
    /// The group that shares a bucket.
    pub per: Per,
    /// The tokens gained per `window`; at least 1.
    pub limit: u64,
    /// The time in which `limit` tokens are gained; longer than zero, at most 366 days.
    pub window: Duration,
    /// The bucket's size, full at first; at least 1.
    pub burst: u64,
    /// The consequence of an empty bucket, one of those that fit `count`.
    pub on_exceed: OnExceed,
    /// The number of rules before it in its list that count the same, by the same group, and fill in the same time.
    pub twin: u32,
}

impl Rate {
    /// Returns the time in which the empty bucket fills.
    pub fn fills_in(&self) -> Duration {
        let nanoseconds = self.window.as_nanos().saturating_mul(u128::from(self.burst));
        let nanoseconds = nanoseconds.checked_div(u128::from(self.limit)).unwrap_or(u128::MAX);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// Says whether another rule counts the same, by the same group, and fills in the same time.
    fn is_twin_of(&self, other: &Self) -> bool {
        let name = |rate: &Self| (rate.count, rate.per, rate.window, rate.fills_in());
        name(self) == name(other)
    }

    /// Tells those apart of a list that are twins.
    pub(crate) fn number_twins(rates: &mut [Self]) {
        for index in 1..rates.len() {
            let (before, rest) = rates.split_at_mut(index);
            if let Some(rate) = rest.first_mut() {
                let twins = before.iter().filter(|earlier| earlier.is_twin_of(rate)).count();
                rate.twin = u32::try_from(twins).unwrap_or(u32::MAX);
            }
        }
    }
}

/// The caps on live connections at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// The most connections of one client address; at least 1.
    pub per_ip: Option<u64>,
    /// The most connections of one token subject; at least 1.
    pub per_user: Option<u64>,
    /// The most connections under the policy; at least 1.
    pub per_policy: Option<u64>,
    /// The most connections of one client address that wait for their first message; at least 1.
    pub unauthenticated_per_ip: Option<u64>,
    /// The consequence of a user's cap that is reached.
    pub on_full: OnFull,
}

/// The consequence of as many live connections of a user as may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// The new connection is refused.
    #[default]
    Deny,
    /// The user's oldest connection is closed.
    Replace,
}

/// The heartbeat and the deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// The longest time without a frame from the client.
    pub idle_timeout: Duration,
    /// The time between Postern's own Pings to the client.
    pub ping_interval: Option<Duration>,
    /// Says whether Pings of Postern's own go to the upstream.
    pub ping_upstream: bool,
    /// The longest time that a Pong may take.
    pub pong_timeout: Duration,
    /// The time from a Close to a reset.
    pub close_timeout: Duration,
}

/// The consequence of a backlog above its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Backlog {
    /// The connection is closed with 1013.
    Close,
    /// Whole messages are discarded.
    Drop,
}

/// The limit of what a client may leave unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backpressure {
    /// The most bytes that may have been sent to the client and not been proved read.
    pub max_backlog_bytes: u64,
    /// The consequence of a backlog above it.
    pub on_exceed: Backlog,
}

/// The quantity that is counted over the whole mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GlobalCount {
    /// Payload bytes of data frames from the client.
    Bytes,
    /// Live connections.
    Connections,
    /// Upgrade requests.
    Handshakes,
    /// Data messages from the client.
    Messages,
    /// Uses of tokens that open one connection.
    Tickets,
}

/// One count over the whole mesh, by Envoy's rate limit service protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GlobalRateLimit {
    /// The Envoy cluster of the service.
    pub cluster: String,
    /// The `domain` of its configuration.
    pub domain: String,
    /// The longest time that an answer may take.
    pub timeout: Duration,
    /// Says whether a service that does not answer refuses the client.
    pub failure_deny: bool,
    /// The parts of the descriptor, in order; [`Per::Connection`] never occurs.
    pub descriptors: Vec<Per>,
    /// The quantities that are counted; never empty, none twice.
    pub counts: Vec<GlobalCount>,
    /// The time between reports of messages and bytes.
    pub report_interval: Duration,
}
