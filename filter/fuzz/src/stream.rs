//! The policies that open a connection without a token, what becomes of frames under them, and
//! what its peers may agree on.

use postern_config::Compression;
use postern_engine::Peer;
use serde_json::{Value, json};

/// A policy for open streams.
#[derive(Debug)]
pub(crate) struct StreamPolicy {
    pub(crate) name: &'static str,
    /// Whether a rate discards messages.
    drops: bool,
    /// Whether text from the client is proved.
    client_utf8: bool,
    /// Whether text from the upstream is proved.
    upstream_utf8: bool,
    pub(crate) compression: Compression,
}

/// A policy for each way in which an open stream is judged whose messages are not compressed.
pub(crate) const STREAM_POLICIES: [StreamPolicy; 6] = [
    StreamPolicy::plain("proved", true, true, true),
    StreamPolicy::plain("shared", true, true, false),
    StreamPolicy::plain("small", false, true, false),
    StreamPolicy::plain("drop", true, true, false),
    StreamPolicy::plain("wide", false, true, false),
    StreamPolicy::plain("unproved", false, false, false),
];

/// Those under which compressed messages are inflated.
pub(crate) const INSPECTED_POLICIES: [StreamPolicy; 3] = [
    StreamPolicy::inspected("inspected", false, true, true),
    StreamPolicy::inspected("inspected_drop", true, true, false),
    StreamPolicy::inspected("inspected_unproved", false, false, false),
];

/// The one under which they pass as they are.
pub(crate) const PASSED_POLICY: StreamPolicy = StreamPolicy {
    name: "passed",
    drops: false,
    client_utf8: false,
    upstream_utf8: false,
    compression: Compression::Pass,
};

/// What the upstream answers to [`OFFER`].
pub(crate) const ANSWERS: [&str; 4] = [
    "permessage-deflate",
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; client_max_window_bits=8; server_max_window_bits=9",
    "permessage-deflate; server_no_context_takeover; client_max_window_bits=12",
];

pub(crate) const OFFER: &str = "permessage-deflate; client_max_window_bits";

impl StreamPolicy {
    const fn plain(name: &'static str, drops: bool, client_utf8: bool, upstream_utf8: bool) -> Self {
        Self { name, drops, client_utf8, upstream_utf8, compression: Compression::Strip }
    }

    const fn inspected(name: &'static str, drops: bool, client_utf8: bool, upstream_utf8: bool) -> Self {
        Self { name, drops, client_utf8, upstream_utf8, compression: Compression::Inspect }
    }

    /// Whether messages from `peer` may be discarded.
    pub(crate) fn discards(&self, peer: Peer) -> bool {
        self.drops && peer == Peer::Client
    }

    /// Whether text from `peer` is proved to be UTF-8.
    pub(crate) fn proves_text(&self, peer: Peer) -> bool {
        match peer {
            Peer::Client => self.client_utf8,
            Peer::Upstream => self.upstream_utf8,
        }
    }

    /// As an operator writes it; those of [`STREAM_POLICIES`] are written out.
    pub(crate) fn written(&self) -> Value {
        let drop = json!({
            "count": "messages", "per": "connection", "limit": 4, "window": "1s", "on_exceed": "drop",
        });
        json!({
            "tls": "optional", "auth": "none",
            "origins": {"allow": ["https://app.example.com"], "missing": "allow"},
            "compression": if self.compression == Compression::Inspect { "inspect" } else { "pass" },
            "rates": if self.drops { vec![drop] } else { vec![] },
            "messages": {
                "utf8": self.client_utf8, "max_frame_bytes": 256, "max_fragments": 6,
                "max_message_bytes": max_message_bytes(Peer::Client),
            },
            "upstream_messages": {
                "utf8": self.upstream_utf8, "max_frame_bytes": 400,
                "max_message_bytes": max_message_bytes(Peer::Upstream),
            },
        })
    }
}

/// What a message from `peer` may have in bytes, inflated where it is inspected, under each policy
/// with compression.
pub(crate) fn max_message_bytes(peer: Peer) -> u64 {
    match peer {
        Peer::Client => 300,
        Peer::Upstream => 500,
    }
}

/// How a peer compresses (RFC 7692 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// The base-two logarithm of the window.
    pub(crate) window_bits: u8,
    /// Whether a message may refer to earlier ones.
    pub(crate) takeover: bool,
}

/// How `peer` compresses by an answer that is one of [`ANSWERS`], or one with more parameters.
pub(crate) fn context(answer: &str, peer: Peer) -> Context {
    let (no_takeover, max_window_bits) = match peer {
        Peer::Client => ("client_no_context_takeover", "client_max_window_bits="),
        Peer::Upstream => ("server_no_context_takeover", "server_max_window_bits="),
    };
    let mut parameters = answer.split("; ");
    let bits = parameters.clone().find_map(|parameter| parameter.strip_prefix(max_window_bits));
    Context {
        window_bits: bits.map_or(15, |bits| bits.parse().expect("a number of bits")),
        takeover: !parameters.any(|parameter| parameter == no_takeover),
    }
}
