//! The probe behind an attack: a message and a Ping, and what the endpoint does about them.

use std::time::{Duration, Instant};

use super::{Field, seconds};
use crate::audit::attack::Verdict;
use crate::audit::client::{Event, Socket};
use crate::audit::frame::{Frame, Received, opcode};
use crate::audit::honest::next_number;

/// The time for a Close that follows an answer to a Ping: who answers Pings need not be who judges messages.
pub(super) const SETTLES_IN: Duration = Duration::from_millis(300);

/// The word by which Postern tells a sender that its message was dropped.
const DROPPED: &[u8] = br#""postern":"message_refused""#;

/// The reasons of Postern's for which any connection may end, whatever was sent on this one.
const FOR_NOW: [&str; 7] = [
    "connection_replaced",
    "control_rate",
    "drain",
    "global_rate",
    "memory_exceeded",
    "message_rate",
    "session_limit",
];

/// What an endpoint does on an honest connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Habits {
    /// It sends messages back.
    pub(crate) echoes: bool,
    /// It answers Pings.
    pub(crate) pongs: bool,
}

/// What was seen behind an attack.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How many times what was looked for came back.
    pub(crate) attacks: u32,
    /// Whether the honest message came back.
    pub(crate) message: bool,
    /// Whether the Ping was answered.
    pub(crate) pong: bool,
    /// Whether the endpoint said that it dropped a message.
    pub(crate) dropped: bool,
    /// How the connection ended.
    pub(crate) end: Option<String>,
    /// Whether that says nothing of what was sent.
    pub(crate) is_for_now: bool,
}

impl Field {
    /// Sends the honest message and a Ping, and watches until `deadline` what comes of them. `attack` is the payload that
    /// is counted where it comes back.
    pub(super) fn probe(&self, socket: &mut Socket, attack: Option<&[u8]>, mut deadline: Instant) -> Seen {
        let message = self.client.honest.say();
        let ping = next_number().to_be_bytes();
        if let Some(message) = &message {
            socket.say(message);
        }
        socket.send(&Frame::new(opcode::PING, ping).bytes());
        let mut seen = Seen::default();
        loop {
            match socket.next(deadline) {
                Event::Frame(frame) if frame.opcode == opcode::CLOSE => {
                    seen.is_for_now = FOR_NOW.contains(&frame.reason().as_str());
                    seen.end = Some(self.seen_close(&frame));
                    return seen;
                }
                Event::Frame(frame) if frame.opcode == opcode::PONG => {
                    seen.pong |= frame.payload == ping;
                    // Libraries answer Pings ahead of what services are still about.
                    if seen.pong && self.habits == (Habits { echoes: false, pongs: true }) {
                        deadline = deadline.min(self.client.after(SETTLES_IN));
                    }
                }
                Event::Frame(frame) if frame.is_data() => {
                    seen.attacks += u32::from(attack.is_some_and(|attack| attack == frame.payload));
                    seen.message |= Some(&frame.payload) == message.as_ref();
                    seen.dropped |= frame.payload.windows(DROPPED.len()).any(|window| window == DROPPED);
                }
                Event::Frame(_) => {}
                Event::End(end) => {
                    seen.end = Some(end.seen().to_owned());
                    return seen;
                }
                Event::Nothing => return seen,
            }
            // Nothing more is to come.
            if seen.message && seen.pong && (attack.is_none() || seen.attacks > 0) {
                return seen;
            }
        }
    }

    /// Says how a Close ended the connection.
    pub(super) fn seen_close(&self, close: &Received) -> String {
        match close.code() {
            Some(code) => format!("closed by {code} {}", self.client.honest.shown(&close.reason()))
                .trim_end()
                .to_owned(),
            None => "closed without a code".to_owned(),
        }
    }

    /// Watches until `deadline` whether the connection ends by itself; says how.
    pub(super) fn watch(&self, socket: &mut Socket, deadline: Instant) -> Option<String> {
        loop {
            return match socket.next(deadline) {
                Event::Frame(frame) if frame.opcode == opcode::CLOSE => Some(self.seen_close(&frame)),
                Event::Frame(_) => continue,
                Event::End(end) => Some(end.seen().to_owned()),
                Event::Nothing => None,
            };
        }
    }

    /// Judges a connection that should have ended.
    pub(super) fn judge_ended(&self, seen: &Seen) -> Verdict {
        match &seen.end {
            Some(end) => Self::judge_end(seen, end),
            None if seen.message => Verdict::Open("a message behind it came back".to_owned()),
            None if seen.pong => Verdict::Open("a Ping behind it was answered".to_owned()),
            None => self.unanswered(),
        }
    }

    /// Judges a message that should not have come through; it may have been dropped, and the connection have stayed.
    pub(super) fn judge_passed(&self, seen: &Seen) -> Verdict {
        match &seen.end {
            _ if seen.attacks > 0 => Verdict::Open("it came back".to_owned()),
            Some(end) => Self::judge_end(seen, end),
            None if seen.dropped => Verdict::Closed("the endpoint says that it was dropped".to_owned()),
            None if seen.message => {
                Verdict::Closed("dropped: what was sent behind it came back alone".to_owned())
            }
            None if self.habits.echoes => self.unanswered(),
            None if seen.pong => Verdict::Open("a Ping behind it was answered".to_owned()),
            None => self.unanswered(),
        }
    }

    /// Judges the end of a connection.
    pub(super) fn judge_end(seen: &Seen, end: &str) -> Verdict {
        if seen.is_for_now {
            return Verdict::Undetermined(format!("{end}, which says nothing of what was sent"));
        }
        Verdict::Closed(end.to_owned())
    }

    pub(super) fn unanswered(&self) -> Verdict {
        let habits = match (self.habits.echoes, self.habits.pongs) {
            (false, false) => {
                "; the endpoint answers neither messages nor Pings on an honest connection either"
            }
            _ => "",
        };
        let seen = format!("neither an answer nor an end within {}{habits}", seconds(self.client.timeout));
        Verdict::Undetermined(seen)
    }
}

impl Field {
    /// Learns what the endpoint does on an honest connection; the error says how it ended that.
    pub(crate) fn habits(&self, socket: &mut Socket) -> Result<Habits, String> {
        let seen = self.probe(socket, None, self.client.deadline());
        match seen.end {
            Some(end) => Err(end),
            None => Ok(Habits { echoes: seen.message, pongs: seen.pong }),
        }
    }
}
