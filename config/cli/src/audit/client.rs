//! The client's end of the endpoint: handshakes, paced, and sockets of which frames are read. Judges nothing.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::frame::{self, Frame, Reading, Received, opcode};
use super::honest::Honest;
use super::request::Request;
use super::wire::{End, Tls, Wire};
use crate::world;

/// The ports of HTTP and HTTPS (RFC 9110 §4.2).
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// The time for the answer to a Close. Who answers none is left.
const CLOSES_IN: Duration = Duration::from_millis(300);

/// The endpoint that is audited. Nothing else is ever connected to.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) honest: Honest,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Tls>,
    /// The time for an answer.
    pub(crate) timeout: Duration,
    pub(crate) pace: Pace,
}

/// The most attempts in a second.
#[derive(Debug)]
pub(crate) struct Pace {
    between: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// Creates a pace of `rate` attempts a second.
    pub(crate) fn new(rate: u32) -> Self {
        Self { between: Duration::from_secs(1) / rate.max(1), next: Mutex::default() }
    }

    /// Waits until the next attempt may be made.
    fn step(&self) {
        let now = world::instant();
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mine = next.unwrap_or(now).max(now);
        *next = mine.checked_add(self.between);
        drop(next);
        std::thread::sleep(mine.saturating_duration_since(now));
    }
}

/// The outcome of a handshake.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It was answered by a 101.
    Socket(Socket, Answer),
    /// It was answered by something else.
    Refused(Answer),
    /// The connection ended without an answer, or what came is none.
    Ended,
    /// There was no answer in time.
    Silent,
}

impl Client {
    /// Makes a handshake at the pace of all.
    pub(crate) fn open(&self, request: &Request) -> Opened {
        self.pace.step();
        self.open_at_once(request)
    }

    /// Makes a handshake, whatever the pace is.
    pub(crate) fn open_at_once(&self, request: &Request) -> Opened {
        self.open_through(self.address, request, self.tls.as_ref())
    }

    /// Makes a handshake without TLS; where the endpoint has the port of HTTPS, at that of HTTP too, and returns the outcome
    /// there if it is a WebSocket.
    pub(crate) fn open_in_the_clear(&self, request: &Request) -> Opened {
        self.pace.step();
        if self.address.port() == HTTPS {
            let opened = self.open_through(SocketAddr::new(self.address.ip(), HTTP), request, None);
            if matches!(opened, Opened::Socket(..)) {
                return opened;
            }
        }
        self.open_through(self.address, request, None)
    }

    fn open_through(&self, address: SocketAddr, request: &Request, tls: Option<&Tls>) -> Opened {
        let deadline = self.deadline();
        let Ok(mut wire) = Wire::connect(address, tls, deadline) else { return Opened::Ended };
        wire.send(&request.bytes());
        match Answer::read(&mut wire, deadline) {
            Some(answer) if answer.status == 101 => Opened::Socket(Socket::new(wire), answer),
            Some(answer) => Opened::Refused(answer),
            None if wire.end().is_some() || !wire.unread().is_empty() => Opened::Ended,
            None => Opened::Silent,
        }
    }

    /// Returns the moment by which an answer has to be there.
    pub(crate) fn deadline(&self) -> Instant {
        self.after(self.timeout)
    }

    /// Returns the moment that is so far away.
    pub(crate) fn after(&self, time: Duration) -> Instant {
        let now = world::instant();
        now.checked_add(time).unwrap_or(now)
    }
}

/// Something that happened to a socket.
#[derive(Debug)]
pub(crate) enum Event {
    Frame(Received),
    /// The connection ended without a Close.
    End(End),
    /// Nothing came in time.
    Nothing,
}

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct Socket {
    wire: Wire,
    /// Says whether Pings are answered.
    pub(crate) answers_pings: bool,
    /// The number of Pings so far.
    pub(crate) pings: u64,
}

impl Socket {
    fn new(wire: Wire) -> Self {
        Self { wire, answers_pings: true, pings: 0 }
    }

    /// Sends bytes, which need be no frames.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.wire.send(bytes);
    }

    /// Sends a text message.
    pub(crate) fn say(&mut self, message: &[u8]) {
        self.send(&Frame::new(opcode::TEXT, message).bytes());
    }

    /// Returns what happens next, by `deadline`. Answers Pings if it is to.
    pub(crate) fn next(&mut self, deadline: Instant) -> Event {
        loop {
            match frame::read(self.wire.unread()) {
                Reading::Whole(frame, length) => {
                    self.wire.take(length);
                    if frame.opcode == opcode::PING {
                        self.pings = self.pings.saturating_add(1);
                        if self.answers_pings {
                            self.send(&Frame::new(opcode::PONG, frame.payload.clone()).bytes());
                        }
                    }
                    return Event::Frame(frame);
                }
                Reading::TooLong => return Event::End(End::Cut),
                Reading::Incomplete => {}
            }
            if let Some(end) = self.wire.end() {
                return Event::End(end);
            }
            if !self.wire.await_more(deadline) {
                return Event::Nothing;
            }
        }
    }

    /// Ends the connection as a good client does, and waits for a moment for the end.
    pub(crate) fn close(mut self) {
        let now = world::instant();
        let deadline = now.checked_add(CLOSES_IN).unwrap_or(now);
        self.send(&Frame::new(opcode::CLOSE, 1000_u16.to_be_bytes()).bytes());
        while let Event::Frame(frame) = self.next(deadline) {
            if frame.opcode == opcode::CLOSE {
                return;
            }
        }
    }
}
