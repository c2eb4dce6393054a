//! Floods, each of a number that is known beforehand: of messages, bytes, Pings, connections and handshakes.

use std::time::{Duration, Instant};

use super::Field;
use super::probe::SETTLES_IN;
use crate::audit::answer::Answer;
use crate::audit::attack::{Flood, Verdict};
use crate::audit::client::{Event, Opened, Socket};
use crate::audit::frame::{Frame, opcode};
use crate::world;

/// The number of long messages of a flood of bytes, and how long each is: 3 MiB in all.
const LONG_MESSAGES: u32 = 64;
const LONG_MESSAGE: usize = 48 << 10;

/// The time that a flood has beside that for an answer, where the endpoint answers anything.
const TRANSFER: Duration = Duration::from_secs(10);

/// The time between two looks at whether a place is free again.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

impl Field {
    pub(super) fn flood(&self, flood: Flood) -> Verdict {
        let (times, opcode, payload) = match flood {
            Flood::Messages => match self.client.honest.say() {
                Some(message) => (self.limits.messages, opcode::TEXT, message),
                None => return Verdict::NotTried("the honest client has no message".to_owned()),
            },
            Flood::Bytes => (LONG_MESSAGES, opcode::TEXT, quoted(LONG_MESSAGE)),
            Flood::Pings => (self.limits.messages, opcode::PING, b"x".to_vec()),
        };
        let mut socket = match self.honest_socket() {
            Ok(socket) => socket,
            Err(verdict) => return verdict,
        };
        socket.send(&Frame::new(opcode, payload.clone()).bytes().repeat(usize::try_from(times).unwrap_or(0)));
        let answers = self.habits.pongs || self.habits.echoes;
        let transfer = if answers { TRANSFER } else { Duration::ZERO };
        let deadline = self.client.after(self.client.timeout.saturating_add(transfer));
        let echoes = if flood == Flood::Pings { 0 } else { times };
        let seen = self.probe_flood(&mut socket, (&payload, echoes), deadline);
        match seen {
            Seen { end: Some(end), .. } => Verdict::Closed(end),
            Seen { pong: false, echoes: seen, .. } if echoes == 0 || seen < echoes => self.unanswered(),
            Seen { echoes: seen, is_quiet: false, .. } if self.habits.echoes && seen < echoes => {
                Verdict::Undetermined(format!("{seen} of {times} came back in time, and more might have"))
            }
            Seen { echoes: seen, .. } if self.habits.echoes && seen < echoes => {
                Verdict::Closed(format!("dropped: {seen} of {times} came back"))
            }
            Seen { .. } => Verdict::Open(format!("{times} were sent, and a Ping behind them was answered")),
        }
    }

    /// Sends a Ping behind a flood, and watches what comes of both, until `last` at most. `echo` is what is counted where it
    /// comes back, and how often it may.
    fn probe_flood(&self, socket: &mut Socket, echo: (&[u8], u32), last: Instant) -> Seen {
        const BEHIND: &[u8] = b"postern-audit: the last";
        socket.send(&Frame::new(opcode::PING, BEHIND).bytes());
        // Libraries answer Pings ahead of what services are still about.
        let quiet = if self.habits.echoes { self.client.timeout } else { SETTLES_IN };
        let (mut seen, mut deadline) = (Seen::default(), last);
        loop {
            match socket.next(deadline) {
                Event::Frame(frame) if frame.opcode == opcode::CLOSE => {
                    seen.end = Some(self.seen_close(&frame));
                    return seen;
                }
                Event::Frame(frame) => {
                    seen.pong |= frame.opcode == opcode::PONG && frame.payload == BEHIND;
                    seen.echoes += u32::from(frame.is_data() && frame.payload == echo.0);
                }
                Event::End(end) => {
                    seen.end = Some(end.seen().to_owned());
                    return seen;
                }
                Event::Nothing => {
                    seen.is_quiet = world::instant() < last;
                    return seen;
                }
            }
            if seen.pong && self.habits.echoes && seen.echoes >= echo.1 {
                return seen;
            }
            if seen.pong {
                deadline = last.min(self.client.after(quiet));
            }
        }
    }

    pub(super) fn connections(&self) -> Verdict {
        let mut sockets = Vec::new();
        for number in 1..=self.limits.connections {
            let refused = match self.client.open(&self.client.honest.request()) {
                Opened::Socket(socket, _) => {
                    sockets.push(socket);
                    continue;
                }
                refused => refused,
            };
            let seen = format!("number {number} at once: {}", self.seen_of(&refused));
            let says_nothing = number == 1 || matches!(&refused, Opened::Refused(answer) if is_rate(answer));
            self.let_go(sockets);
            if says_nothing {
                return Verdict::Undetermined(format!("{seen}, which says nothing of how many may be open"));
            }
            return Verdict::Closed(seen);
        }
        // A service may close the oldest instead.
        let soon = self.client.after(BETWEEN_TRIES);
        let ended = sockets.iter_mut().filter_map(|socket| self.watch(socket, soon)).next();
        self.let_go(sockets);
        match ended {
            Some(end) => Verdict::Closed(format!("one of {} at once: {end}", self.limits.connections)),
            None => Verdict::Open(format!("{} were open at once", self.limits.connections)),
        }
    }

    /// Ends connections, and waits until the endpoint has a place again.
    fn let_go(&self, sockets: Vec<Socket>) {
        for socket in sockets {
            socket.close();
        }
        let deadline = self.client.deadline();
        while world::instant() < deadline {
            if let Opened::Socket(socket, _) = self.client.open(&self.client.honest.request()) {
                return socket.close();
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
    }

    /// Makes handshakes until one is refused. The audit has made so many by now that the first may be.
    pub(super) fn handshakes(&self) -> Verdict {
        for number in 1..=self.limits.handshakes {
            let refused = match self.client.open_at_once(&self.client.honest.request()) {
                Opened::Socket(socket, _) => {
                    socket.close();
                    continue;
                }
                refused => refused,
            };
            let seen = format!("number {number}: {}", self.seen_of(&refused));
            return match refused {
                Opened::Refused(answer) if number > 1 || answer.status == 429 => Verdict::Closed(seen),
                Opened::Ended if number > 1 => Verdict::Closed(seen),
                _ => Verdict::Undetermined(seen),
            };
        }
        Verdict::Open(format!("{} were answered by 101", self.limits.handshakes))
    }
}

/// Says whether an answer refuses for how often was asked, and not for how many connections are open.
fn is_rate(answer: &Answer) -> bool {
    matches!(answer.reason().as_deref(), Some("handshake_rate" | "refusal_rate" | "global_rate"))
}

/// The observations of a flood.
#[derive(Default)]
struct Seen {
    echoes: u32,
    pong: bool,
    /// Whether nothing had come for a while before it was given up.
    is_quiet: bool,
    end: Option<String>,
}

/// Returns a string of JSON of `length` bytes.
pub(crate) fn quoted(length: usize) -> Vec<u8> {
    let inner = length.saturating_sub(2);
    [b"\"", &vec![b'x'; inner][..], b"\""].concat()
}
