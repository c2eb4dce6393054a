//! Random policies, as far as they bear on an open stream.

use std::time::Duration;

use serde_json::{Value, json};

use crate::numbers::Numbers;

/// What a policy says of an open stream.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) client: Limits,
    pub(crate) upstream: Limits,
    /// Whether messages may be compressed, and what is done about it.
    pub(crate) compression: Option<Compression>,
    pub(crate) rates: Vec<Rate>,
    pub(crate) close_timeout: Duration,
    /// Set where clients have tokens, which end.
    pub(crate) expiry_grace: Option<Duration>,
}

/// What one peer may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) text: bool,
    pub(crate) binary: bool,
    pub(crate) max_frame: u64,
    pub(crate) max_message: u64,
    pub(crate) max_fragments: u64,
    pub(crate) utf8: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Inspect,
    Pass,
}

/// How often a client may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) count: Count,
    pub(crate) per: Per,
    pub(crate) quota: Quota,
    pub(crate) drop: bool,
}

/// In the order in which rules are charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Count {
    Messages,
    Bytes,
    ControlFrames,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Per {
    Connection,
    Ip,
    User,
    Policy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Quota {
    pub(crate) limit: u64,
    pub(crate) window: Duration,
    pub(crate) burst: u64,
}

impl Policy {
    pub(crate) fn random(numbers: &mut Numbers) -> Self {
        let expiry_grace = numbers.one_in(2).then(|| Duration::from_secs(1 + numbers.to(9)));
        let mut client = Limits::random(numbers);
        match numbers.to(5) {
            0 => client.text = false,
            1 => client.binary = false,
            _ => {}
        }
        client.utf8 = !numbers.one_in(4);
        // The upstream's types are not limited, nor its fragments.
        let mut upstream = Limits { max_fragments: u64::MAX, ..Limits::random(numbers) };
        upstream.utf8 = numbers.one_in(2);
        let (inspect, pass) = (Some(Compression::Inspect), Some(Compression::Pass));
        let compression = numbers.of(&[inspect, inspect, inspect, pass, None, None]);
        let rates = (0..numbers.to(4)).map(|_| Rate::random(numbers, expiry_grace.is_some())).collect();
        let close_timeout = Duration::from_millis(100 + numbers.to(5_000));
        Self { client, upstream, compression, rates, close_timeout, expiry_grace }
    }

    /// Whether a message of the client may be discarded.
    pub(crate) fn drops(&self) -> bool {
        self.rates.iter().any(|rate| rate.drop)
    }

    /// As an operator writes it.
    pub(crate) fn written(&self) -> Value {
        let auth = self.expiry_grace.map_or(json!("none"), |grace| {
            json!({
                "providers": ["edge"], "from": [{"header": "authorization"}],
                "expiry_grace": milliseconds(grace),
            })
        });
        let types: Vec<_> = [("text", self.client.text), ("binary", self.client.binary)]
            .into_iter()
            .filter_map(|(name, allowed)| allowed.then_some(name))
            .collect();
        json!({
            "origins": {"allow": ["https://app.example.com"]},
            "auth": auth,
            "compression": match self.compression {
                Some(Compression::Inspect) => "inspect",
                Some(Compression::Pass) => "pass",
                None => "strip",
            },
            "messages": {
                "types": types,
                "max_frame_bytes": self.client.max_frame,
                "max_message_bytes": self.client.max_message,
                "max_fragments": self.client.max_fragments,
                "utf8": self.client.utf8,
            },
            "upstream_messages": {
                "max_frame_bytes": self.upstream.max_frame,
                "max_message_bytes": self.upstream.max_message,
                "utf8": self.upstream.utf8,
            },
            "rates": self.rates.iter().map(Rate::written).collect::<Vec<_>>(),
            "liveness": {
                "close_timeout": milliseconds(self.close_timeout), "idle_timeout": "8000h", "ping_interval": "none",
            },
        })
    }
}

impl Limits {
    fn random(numbers: &mut Numbers) -> Self {
        let max_message = numbers.of(&[1, 16, 100, 125, 126, 300, 1000, 1000, 70_000]);
        let max_frame = if numbers.one_in(2) { max_message } else { 1 + numbers.to(max_message - 1) };
        let max_fragments = numbers.of(&[1, 2, 5, 128]);
        Self { text: true, binary: true, max_frame, max_message, max_fragments, utf8: true }
    }
}

impl Rate {
    fn random(numbers: &mut Numbers, users: bool) -> Self {
        let count = numbers.of(&[Count::Messages, Count::Messages, Count::Bytes, Count::ControlFrames]);
        let per = numbers.of(&[Per::Connection, Per::Connection, Per::Ip, Per::Policy, Per::User]);
        let per = if per == Per::User && !users { Per::Ip } else { per };
        let scale = if count == Count::Bytes { 300 } else { 12 };
        let limit = if numbers.one_in(4) { 1 } else { 1 + numbers.to(scale) };
        let burst = if numbers.one_in(2) { limit } else { 1 + numbers.to(scale) };
        let window = Duration::from_millis(1 + numbers.to(3_000));
        let drop = count != Count::ControlFrames && numbers.one_in(2);
        Self { count, per, quota: Quota { limit, window, burst }, drop }
    }

    fn written(&self) -> Value {
        json!({
            "count": match self.count {
                Count::Messages => "messages",
                Count::Bytes => "bytes",
                Count::ControlFrames => "control_frames",
            },
            "per": match self.per {
                Per::Connection => "connection",
                Per::Ip => "ip",
                Per::User => "user",
                Per::Policy => "policy",
            },
            "limit": self.quota.limit,
            "window": milliseconds(self.quota.window),
            "burst": self.quota.burst,
            "on_exceed": if self.drop { "drop" } else { "close" },
        })
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
