//! The policies that whole connections are played under.

use std::time::Duration;

use postern_config::{Compression, Config};
use postern_engine::{Engine, Peer, most_held};
use serde_json::{Value, json};

use crate::fixture::{SECRET, compile};

/// What a policy makes of an open connection.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) name: &'static str,
    /// Whether a client without a token in its handshake sends one in its first message.
    pub(crate) first_message: bool,
    /// Whether later messages may have a token.
    pub(crate) refreshes: bool,
    /// Whether a token waits for a list that is fetched.
    pub(crate) fetches: bool,
    pub(crate) compression: Compression,
    /// Whether text is proved, of the client and of the upstream.
    utf8: [bool; 2],
    /// Whether messages may be discarded, likewise.
    discards: [bool; 2],
    rates: Rates,
    backpressure: Option<&'static str>,
    pings: bool,
}

/// How much a client may send.
#[derive(Clone, Copy, Debug)]
enum Rates {
    None,
    /// By buckets of the connection's own.
    Own,
    /// By shared ones.
    Shared,
}

/// A policy for each way in which a connection may wait, hold and be limited.
pub(crate) const POLICIES: [Policy; 10] = [
    Policy { utf8: [true, true], ..Policy::PLAIN },
    Policy { name: "quiet", pings: false, ..Policy::PLAIN },
    Policy {
        name: "shared",
        utf8: [true, false],
        discards: [true, false],
        rates: Rates::Shared,
        ..Policy::PLAIN
    },
    Policy { name: "pressed", backpressure: Some("close"), ..Policy::PLAIN },
    Policy {
        name: "dropping",
        compression: Compression::Inspect,
        utf8: [true, true],
        discards: [true, true],
        rates: Rates::Own,
        backpressure: Some("drop"),
        ..Policy::PLAIN
    },
    Policy { name: "first", first_message: true, refreshes: true, utf8: [true, true], ..Policy::PLAIN },
    Policy { name: "first_unproved", first_message: true, pings: false, ..Policy::PLAIN },
    Policy { name: "fetched", first_message: true, refreshes: true, fetches: true, ..Policy::PLAIN },
    Policy {
        name: "first_inspected",
        first_message: true,
        refreshes: true,
        compression: Compression::Inspect,
        utf8: [true, true],
        discards: [true, false],
        rates: Rates::Shared,
        backpressure: Some("close"),
        ..Policy::PLAIN
    },
    Policy { name: "passed", compression: Compression::Pass, ..Policy::PLAIN },
];

/// For how long a client may be idle, and for how long a Close may take.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(6);

/// Where tokens are in messages.
pub(crate) const FIRST: &str = "token";
pub(crate) const REFRESH: &str = "refresh";

thread_local! {
    static ENGINE: Engine = compile(config());
    static MOST_HELD: Vec<u64> = POLICIES.iter().map(|policy| most_held(&config().policies[policy.name])).collect();
}

impl Policy {
    const PLAIN: Self = Self {
        name: "plain",
        first_message: false,
        refreshes: false,
        fetches: false,
        compression: Compression::Strip,
        utf8: [false, false],
        discards: [false, false],
        rates: Rates::None,
        backpressure: None,
        pings: true,
    };

    /// Whether a client has a token.
    pub(crate) fn has_tokens(&self) -> bool {
        self.first_message || self.refreshes
    }

    /// Whether messages of `peer` may be discarded.
    pub(crate) fn discards(&self, peer: Peer) -> bool {
        self.discards[peer as usize]
    }

    /// Whether text of `peer` is proved.
    pub(crate) fn proves_text(&self, peer: Peer) -> bool {
        self.utf8[peer as usize] && self.compression != Compression::Pass
    }

    /// Runs `act` with an engine. Where something is fetched it is one of its own, which knows of nothing yet.
    pub(crate) fn with_engine<T>(&self, act: impl FnOnce(&Engine) -> T) -> T {
        if self.fetches {
            let config = Config::from_value(document([self].into_iter())).expect("the policy is sound");
            return act(&compile(config));
        }
        ENGINE.with(act)
    }

    /// The most that a connection holds, in bytes.
    pub(crate) fn most_held(&self) -> u64 {
        let at = POLICIES.iter().position(|policy| policy.name == self.name).expect("one of these");
        MOST_HELD.with(|most| most[at])
    }

    /// As an operator writes it.
    fn written(&self) -> Value {
        let rate = |count: &str, per: &str, limit: u64, on_exceed: &str| json!({"count": count, "per": per, "limit": limit, "window": "1s", "on_exceed": on_exceed});
        let rates = match self.rates {
            Rates::None => json!([]),
            Rates::Own => json!([rate("messages", "connection", 4, "drop")]),
            Rates::Shared => json!([
                rate("messages", "ip", 6, "drop"),
                rate("bytes", "policy", 2000, "close"),
                rate("control_frames", "ip", 8, "close"),
            ]),
        };
        let mut written = json!({
            "tls": "optional", "origins": {"allow": ["https://app.example.com"], "missing": "allow"},
            "auth": "none", "rates": rates,
            "compression": match self.compression {
                Compression::Strip => "strip",
                Compression::Inspect => "inspect",
                Compression::Pass => "pass",
            },
            "messages": {
                "utf8": self.utf8[0], "max_frame_bytes": 400, "max_message_bytes": 600, "max_fragments": 6,
            },
            "upstream_messages": {"utf8": self.utf8[1], "max_frame_bytes": 400, "max_message_bytes": 500},
            "liveness": {
                "idle_timeout": "6s", "pong_timeout": "1s", "close_timeout": "2s",
                "ping_interval": if self.pings { "3s" } else { "none" },
            },
        });
        if let Some(on_exceed) = self.backpressure {
            written["backpressure"] = json!({"max_backlog_bytes": 700, "on_exceed": on_exceed});
        }
        if self.has_tokens() {
            let mut from = vec![json!({"header": "authorization"})];
            if self.first_message {
                from.push(json!({"first_message": format!("/{FIRST}")}));
            }
            written["auth"] = json!({
                "providers": ["edge"], "from": from, "expiry_notice": "5s", "expiry_grace": "1s",
                "max_unauthenticated_bytes": 3000, "first_message_timeout": "3s",
                "single_use": self.name == "first",
            });
            if self.refreshes {
                written["auth"]["refresh"] = json!(format!("/{REFRESH}"));
            }
            if self.fetches {
                written["auth"]["revocation"] = json!({"cluster": "auth", "path": "/revoked.json"});
            }
        }
        written
    }
}

fn config() -> Config {
    Config::from_value(document(POLICIES.iter())).expect("the policies are sound")
}

fn document<'p>(policies: impl Iterator<Item = &'p Policy> + Clone) -> Value {
    let mut document = json!({
        "providers": {"edge": {
            "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "clock_skew": "1s",
            "secret": {"inline": SECRET},
        }},
        "policies": {},
        "routes": policies.clone()
            .map(|policy| json!({"match": {"route_name": policy.name}, "policy": policy.name}))
            .collect::<Vec<_>>(),
    });
    for policy in policies {
        document["policies"][policy.name] = policy.written();
    }
    document
}
