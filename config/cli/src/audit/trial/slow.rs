//! Clients that take their time. Each is watched for as long as the audit waits.

use std::time::{Duration, Instant};

use super::{Field, seconds};
use crate::audit::attack::{Slow, Verdict};
use crate::audit::client::{Opened, Socket};
use crate::audit::frame::{Frame, opcode};
use crate::audit::wire::Wire;
use crate::world;

/// The number of bytes of a slow frame that are sent, of more that it announces.
const BYTES_OF_FRAME: u32 = 20;

impl Field {
    pub(super) fn slow(&self, slow: Slow) -> Verdict {
        match slow {
            Slow::Head => return self.slow_head(),
            Slow::Expiry => return self.expiry(),
            Slow::Frame | Slow::NoPong | Slow::Silence => {}
        }
        let mut socket = match self.honest_socket() {
            Ok(socket) => socket,
            Err(verdict) => return verdict,
        };
        socket.answers_pings = false;
        let begun = world::instant();
        let ended = match slow {
            Slow::Frame => self.drip(&mut socket),
            Slow::NoPong => self.leave_pings_unanswered(&mut socket),
            _ => self.watch(&mut socket, self.client.after(self.limits.wait)),
        };
        match ended {
            Some(end) => Verdict::Closed(format!("{end} after {}", since(begun))),
            None if socket.pings == 0 => {
                Verdict::Open(format!("still open after {}, and no Ping came", seconds(self.limits.wait)))
            }
            None => Verdict::Open(format!("still open after {}", seconds(self.limits.wait))),
        }
    }

    /// Sends half a head.
    fn slow_head(&self) -> Verdict {
        let deadline = self.client.after(self.limits.wait);
        let Ok(mut wire) =
            Wire::connect(self.client.address, self.client.tls.as_ref(), self.client.deadline())
        else {
            return Verdict::Undetermined("no connection".to_owned());
        };
        let head = self.client.honest.request().bytes();
        wire.send(head.get(..head.len() / 2).unwrap_or_default());
        let begun = world::instant();
        if wire.await_more(deadline) {
            return Verdict::Closed(format!("answered, or cut, after {}", since(begun)));
        }
        Verdict::Open(format!("still open after {}", seconds(self.limits.wait)))
    }

    /// Sends a frame a byte at a time; says how the connection ended.
    fn drip(&self, socket: &mut Socket) -> Option<String> {
        let frame = Frame::new(opcode::BINARY, [0; 125]).bytes();
        let (begun, part) = (world::instant(), self.limits.wait / BYTES_OF_FRAME);
        let (header, payload) = frame.split_at_checked(6)?;
        socket.send(header);
        for (byte, number) in payload.chunks(1).zip(1..=BYTES_OF_FRAME) {
            let next = begun.checked_add(part * number)?;
            if let Some(end) = self.watch(socket, next) {
                let sent = number.saturating_sub(1);
                return Some(format!("{end}, {sent} bytes into the frame"));
            }
            socket.send(byte);
        }
        None
    }

    /// Says something now and then, and answers no Ping; says how the connection ended.
    fn leave_pings_unanswered(&self, socket: &mut Socket) -> Option<String> {
        let begun = world::instant();
        for part in [2, 4] {
            let next = begun.checked_add(self.limits.wait / 5 * part)?;
            if let Some(end) = self.watch(socket, next) {
                return Some(end);
            }
            if let Some(message) = self.client.honest.say() {
                socket.say(&message);
            }
        }
        self.watch(socket, begun.checked_add(self.limits.wait)?)
    }

    /// Outlives its token.
    fn expiry(&self) -> Verdict {
        let Some((token, expires)) = &self.expiring else {
            let untried = "it takes a token that expires within --wait: --expiring-token, or such a --token";
            return Verdict::NotTried(untried.to_owned());
        };
        let left = expires.saturating_sub(world::now());
        let mut socket = match self.client.open(&self.client.honest.with_token(Some(token))) {
            Opened::Socket(socket, _) => socket,
            other => {
                return Verdict::Undetermined(format!(
                    "the handshake with this token: {}",
                    self.seen_of(&other)
                ));
            }
        };
        let deadline = self.client.after(left.saturating_add(self.limits.grace));
        let begun = world::instant();
        match self.talk(&mut socket, deadline) {
            Some(end) if world::now() < *expires => {
                Verdict::Undetermined(format!("{end}, before the token had expired"))
            }
            Some(end) => Verdict::Closed(format!("{end} after {}", since(begun))),
            None => Verdict::Open(format!("still open {} after `exp`", seconds(self.limits.grace))),
        }
    }

    /// Says something every second until `deadline`; says how the connection ended before.
    fn talk(&self, socket: &mut Socket, deadline: Instant) -> Option<String> {
        loop {
            let next = self.client.after(Duration::from_secs(1)).min(deadline);
            if let Some(end) = self.watch(socket, next) {
                return Some(end);
            }
            if next >= deadline {
                return None;
            }
            if let Some(message) = self.client.honest.say() {
                socket.say(&message);
            }
        }
    }
}

fn since(begun: Instant) -> String {
    seconds(world::instant().saturating_duration_since(begun))
}
