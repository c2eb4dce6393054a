//! How much, how often and how long: sizes, rates, caps and deadlines.

use std::time::Duration;

/// The kind of a data message (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    /// Opcode 0x2.
    Binary,
    /// Opcode 0x1.
    Text,
}

/// Rules for messages from client to upstream.
#[derive(Clone, Debug)]
pub struct Messages {
    /// Types that may pass; never empty, no type twice.
    pub types: Vec<MessageType>,
    /// The longest payload of one frame.
    pub max_frame_bytes: u64,
    /// The longest payload of one message over all its frames.
    pub max_message_bytes: u64,
    /// The most frames of one message, empty ones included; at least 1.
    pub max_fragments: u32,
    /// Whether text is proved UTF-8.
    pub utf8: bool,
    /// JSON Schema for every text message.
    pub schema: Option<serde_json::Value>,
    /// The deepest nesting of a text message.
    pub max_json_depth: Option<u32>,
    /// Whether tunnelled protocols are refused.
    pub deny_tunnels: bool,
}

/// Rules for messages from upstream to client.
#[derive(Clone, Debug)]
pub struct UpstreamMessages {
    /// The longest payload of one frame.
    pub max_frame_bytes: u64,
    /// The longest payload of one message over all its frames.
    pub max_message_bytes: u64,
    /// Whether text is proved UTF-8.
    pub utf8: bool,
}

/// What becomes of permessage-deflate (RFC 7692).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Messages are inflated to be judged.
    Inspect,
    /// Wire bytes only are judged.
    Pass,
    /// The offer is taken out of the handshake.
    Strip,
}

/// What a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
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
}

/// Who shares one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
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

/// What happens when a bucket is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
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
    /// What is counted.
    pub count: Counted,
    /// Who shares a bucket.
    pub per: Per,
    /// Tokens gained per `window`; at least 1.
    pub limit: u64,
    /// Longer than zero, at most 366 days.
    pub window: Duration,
    /// The bucket's size, full at first; at least 1.
    pub burst: u64,
    /// One of those that fit `count`.
    pub on_exceed: OnExceed,
}

/// Live connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// By client address.
    pub per_ip: Option<u64>,
    /// By token subject.
    pub per_user: Option<u64>,
}

/// Heartbeat and deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// The longest without a frame from the client.
    pub idle_timeout: Duration,
    /// Time between Postern's own Pings to the client.
    pub ping_interval: Option<Duration>,
    /// Whether Pings of Postern's own go to the upstream.
    pub ping_upstream: bool,
    /// The longest a Pong may take.
    pub pong_timeout: Duration,
    /// From a Close to a reset.
    pub close_timeout: Duration,
}

/// What happens above the backlog limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backlog {
    /// The connection is closed with 1013.
    Close,
    /// Whole messages are discarded.
    Drop,
}

/// How much a client may leave unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backpressure {
    /// Bytes sent to the client but not yet proved read.
    pub max_backlog_bytes: u64,
    /// What happens above it.
    pub on_exceed: Backlog,
}

/// One count over the whole mesh, by Envoy's rate limit service protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalRateLimit {
    /// The Envoy cluster of the service.
    pub cluster: String,
    /// The `domain` of its configuration.
    pub domain: String,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Whether a service that does not answer refuses the client.
    pub failure_deny: bool,
    /// What the descriptor holds, in order; [`Per::Connection`] never occurs.
    pub descriptors: Vec<Per>,
    /// Time between reports of messages.
    pub report_interval: Duration,
}
