//! An attack is tried, and judged by what the endpoint does. Each kind of trial says what was seen, and never guesses: what
//! says neither is undetermined.

mod flood;
mod frames;
mod handshake;
mod probe;
mod slow;

use std::time::Duration;

use super::answer::Answer;
use super::attack::{Attack, Trial, Verdict};
use super::client::{Client, Opened, Socket};

pub(crate) use flood::quoted;
pub(crate) use probe::Habits;

/// The facts that trials need.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) client: Client,
    /// The conduct of the endpoint on an honest connection.
    pub(crate) habits: Habits,
    pub(crate) limits: Limits,
    /// A token that expires while the audit waits, and when it does, since the Unix epoch.
    pub(crate) expiring: Option<(String, Duration)>,
}

/// The bounds on times and numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The time for which a client that should be sent away is watched.
    pub(crate) wait: Duration,
    /// The time for which a connection may outlive its token.
    pub(crate) grace: Duration,
    pub(crate) messages: u32,
    pub(crate) connections: u32,
    pub(crate) handshakes: u32,
}

impl Field {
    /// Tries an attack.
    pub(crate) fn attempt(&self, attack: &Attack) -> Verdict {
        match &attack.trial {
            Trial::Handshake(departure) => self.handshake(*departure),
            Trial::Cleartext => self.cleartext(),
            Trial::Upgrade(departure) => self.upgrade(*departure),
            Trial::Subprotocol(name) => self.subprotocol(name),
            Trial::Compression => self.compression(),
            Trial::Frames(bytes) => self.frames(&bytes()),
            Trial::Content(opcode, payload) => self.content(*opcode, payload()),
            Trial::Close(payload) => self.close(payload),
            Trial::Bomb(length) => self.bomb(*length),
            Trial::Endless(bytes) => self.endless(&bytes()),
            Trial::Slow(slow) => self.slow(*slow),
            Trial::Flood(flood) => self.flood(*flood),
            Trial::Connections => self.connections(),
            Trial::Handshakes => self.handshakes(),
        }
    }

    /// Opens an honest WebSocket; else the verdict on what needs one.
    fn honest_socket(&self) -> Result<Socket, Verdict> {
        match self.client.open(&self.client.honest.request()) {
            Opened::Socket(socket, _) => Ok(socket),
            other => {
                let seen = format!("the honest handshake before it: {}", self.seen_of(&other));
                Err(Verdict::Undetermined(seen))
            }
        }
    }

    /// Says what became of a handshake.
    pub(crate) fn seen_of(&self, opened: &Opened) -> String {
        match opened {
            Opened::Socket(..) => "answered by 101".to_owned(),
            Opened::Refused(answer) => self.seen_in(answer),
            Opened::Ended => "an end, or what is no HTTP, in the place of an answer".to_owned(),
            Opened::Silent => format!("no answer within {}", seconds(self.client.timeout)),
        }
    }

    fn seen_in(&self, answer: &Answer) -> String {
        match answer.reason() {
            Some(reason) => format!("answered by {} {}", answer.status, self.client.honest.shown(&reason)),
            None => format!("answered by {}", answer.status),
        }
    }
}

/// Writes a duration in seconds.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{} s", (time.as_secs_f64() * 10.0).round() / 10.0)
}
