//! An attack as data: its name, what it does, when it counts as open, and what closes it.

use std::fmt;

use super::honest::Honest;
use super::request::Request;

/// The severity of an attack that stands open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    High,
    Medium,
    Low,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        })
    }
}

/// The reason why an attack cannot be tried on an endpoint.
pub(crate) type Untried = &'static str;

/// A departure from the honest handshake.
pub(crate) type Departure = fn(&Honest) -> Result<Request, Untried>;

/// One attack of the catalogue.
#[derive(Debug)]
pub(crate) struct Attack {
    /// The name, which never changes.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// The thing that is sent.
    pub(crate) sends: &'static str,
    pub(crate) severity: Severity,
    /// The requirement or clause that asks for the refusal.
    pub(crate) reference: &'static str,
    /// The key of Postern's policy that closes it, or `protocol`, which always holds, or Envoy's own.
    pub(crate) closed_by: &'static str,
    pub(crate) trial: Trial,
}

/// The way in which an attack is tried.
#[derive(Debug)]
pub(crate) enum Trial {
    /// A handshake that must not open a WebSocket.
    Handshake(Departure),
    /// A handshake without TLS.
    Cleartext,
    /// An upgrade to another protocol.
    Upgrade(Departure),
    /// A subprotocol that must not be agreed on.
    Subprotocol(&'static str),
    /// Compression that must not be agreed on.
    Compression,
    /// Bytes on an open WebSocket, behind which nothing may be heard any more.
    Frames(fn() -> Vec<u8>),
    /// The payload of one sound message that must not come through: its opcode and its bytes.
    Content(u8, fn() -> Vec<u8>),
    /// The payload of a Close that must not be echoed.
    Close(&'static [u8]),
    /// A compressed message of so many bytes, where compression is agreed on.
    Bomb(usize),
    /// The beginning of a frame that is never whole, on which nobody should wait.
    Endless(fn() -> Vec<u8>),
    /// A behaviour over time.
    Slow(Slow),
    /// More messages or bytes than anybody has to say.
    Flood(Flood),
    /// More connections at once than anybody needs.
    Connections,
    /// More handshakes than anybody makes.
    Handshakes,
}

/// A behaviour that an endpoint has to end by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slow {
    /// Half a head.
    Head,
    /// A frame of which a byte comes at a time.
    Frame,
    /// Messages, and no answer to any Ping.
    NoPong,
    /// Nothing at all.
    Silence,
    /// A token that expires while the connection is open.
    Expiry,
}

/// The things that too much is sent of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    Messages,
    /// Long messages, and few.
    Bytes,
    Pings,
}

impl Trial {
    /// Says when the attack counts as open.
    pub(crate) fn open_when(&self) -> &'static str {
        match self {
            Self::Handshake(_) | Self::Cleartext => {
                "the answer is 101, and the connection still answers, or is not closed at once"
            }
            Self::Upgrade(_) => "the answer is 101",
            Self::Subprotocol(_) => "the answer is 101 with this subprotocol",
            Self::Compression => "the answer is 101 with permessage-deflate",
            Self::Frames(_) => "a message or a Ping behind it is answered",
            Self::Content(..) => "it comes back, or a Ping behind it is answered where nothing comes back",
            Self::Close(_) => "the Close that answers has the same payload",
            Self::Bomb(_) => {
                "permessage-deflate is agreed on, and it comes back or a Ping behind it is answered"
            }
            Self::Endless(_) => "the connection is still open after --timeout",
            Self::Slow(Slow::Expiry) => "the connection is still open --grace after `exp`",
            Self::Slow(_) => "the connection is still open after --wait",
            Self::Flood(_) => "all of it is taken, and a Ping behind it is answered",
            Self::Connections => "--connections are open at once",
            Self::Handshakes => "--handshakes are answered by 101, one behind the other",
        }
    }
}

/// The fate of an attack, and what was seen that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Open(String),
    Closed(String),
    /// Nothing was seen that would say either.
    Undetermined(String),
    /// It was not tried, for this reason.
    NotTried(String),
}

impl Verdict {
    /// The names of the verdicts in their order.
    pub(crate) const NAMES: [&'static str; 4] = ["open", "undetermined", "closed", "not_tried"];

    /// Returns the name of the verdict.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Undetermined(_) => "undetermined",
            Self::Closed(_) => "closed",
            Self::NotTried(_) => "not_tried",
        }
    }

    /// Returns what was seen, or why nothing was.
    pub(crate) fn seen(&self) -> &str {
        let (Self::Open(seen) | Self::Closed(seen) | Self::Undetermined(seen) | Self::NotTried(seen)) = self;
        seen
    }
}

/// An attack and what became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) attack: &'static Attack,
    /// The family of the attack.
    pub(crate) family: &'static str,
    pub(crate) verdict: Verdict,
}
