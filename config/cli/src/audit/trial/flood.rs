//! Floods, each of a number that is known beforehand: of messages, bytes, Pings, connections and handshakes.

use std::time::Duration;

use super::Field;
use crate::audit::attack::{Flood, Verdict};
use crate::audit::client::{Event, Opened, Socket};
use crate::audit::frame::{Frame, opcode};
use crate::world;

/// The number of long messages of a flood of bytes, and how long each is: 3 MiB in all.
const LONG_MESSAGES: u32 = 64;
const LONG_MESSAGE: usize = 48 << 10;

/// The time that a flood has beside that for an answer.
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
        let deadline = self.client.after(self.client.timeout.saturating_add(TRANSFER));
        let seen = self.probe_flood(&mut socket, &payload, deadline);
        match seen {
            Seen { end: Some(end), .. } => Verdict::Closed(end),
            Seen { pong: false, echoes, .. } if echoes < times => self.unanswered(),
            Seen { echoes, .. } if self.habits.echoes && flood != Flood::Pings && echoes < times => {
                Verdict::Closed(format!("dropped: {echoes} of {times} came back"))
            }
            Seen { .. } => Verdict::Open(format!("{times} were sent, and a Ping behind them was answered")),
        }
    }

    fn probe_flood(&self, socket: &mut Socket, payload: &[u8], deadline: std::time::Instant) -> Seen {
        const LAST: &[u8] = b"postern-audit: the last";
        socket.send(&Frame::new(opcode::PING, LAST).bytes());
        let mut seen = Seen::default();
        loop {
            match socket.next(deadline) {
                Event::Frame(frame) if frame.opcode == opcode::CLOSE => {
                    seen.end = Some(self.seen_close(&frame));
                    return seen;
                }
                Event::Frame(frame) if frame.opcode == opcode::PONG && frame.payload == LAST => {
                    seen.pong = true;
                    return seen;
                }
                Event::Frame(frame) => {
                    seen.echoes += u32::from(frame.is_data() && frame.payload == payload);
                }
                Event::End(end) => {
                    seen.end = Some(end.seen().to_owned());
                    return seen;
                }
                Event::Nothing => return seen,
            }
        }
    }

    pub(super) fn connections(&self) -> Verdict {
        let mut sockets = Vec::new();
        for number in 1..=self.limits.connections {
            match self.client.open(&self.client.honest.request()) {
                Opened::Socket(socket, _) => sockets.push(socket),
                other if number == 1 => {
                    return Verdict::Undetermined(format!("the first of them: {}", self.seen_of(&other)));
                }
                other => {
                    let seen = self.seen_of(&other);
                    self.let_go(sockets);
                    return Verdict::Closed(format!("number {number} at once: {seen}"));
                }
            }
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
            socket.close(self.client.deadline());
        }
        let deadline = self.client.deadline();
        while world::instant() < deadline {
            if let Opened::Socket(socket, _) = self.client.open(&self.client.honest.request()) {
                return socket.close(self.client.deadline());
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
    }

    pub(super) fn handshakes(&self) -> Verdict {
        for number in 1..=self.limits.handshakes {
            match self.client.open_at_once(&self.client.honest.request()) {
                Opened::Socket(socket, _) => socket.close(self.client.deadline()),
                Opened::Silent => {
                    return Verdict::Undetermined(format!(
                        "number {number}: {}",
                        self.seen_of(&Opened::Silent)
                    ));
                }
                other if number == 1 => {
                    return Verdict::Undetermined(format!("the first of them: {}", self.seen_of(&other)));
                }
                other => return Verdict::Closed(format!("number {number}: {}", self.seen_of(&other))),
            }
        }
        Verdict::Open(format!("{} were answered by 101", self.limits.handshakes))
    }
}

/// What was seen of a flood.
#[derive(Default)]
struct Seen {
    echoes: u32,
    pong: bool,
    end: Option<String>,
}

/// Returns a string of JSON of `length` bytes.
pub(crate) fn quoted(length: usize) -> Vec<u8> {
    let inner = length.saturating_sub(2);
    [b"\"", &vec![b'x'; inner][..], b"\""].concat()
}
