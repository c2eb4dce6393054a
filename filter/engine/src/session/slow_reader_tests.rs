//! Clients that read slowly what lies before them, or not at all.

use serde_json::{Value, json};

use super::tests::START;
use super::time_tests::{at, parked};
use super::*;
use crate::session::held_up_tests::own_ping;
use crate::session::tests::Trial;
use crate::testing::{from_client, from_upstream};
use crate::websocket::FrameHeader;

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(250);
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The size of the buffers between the host and a client, in bytes: when they are full the host reads the
/// service no more.
const BUFFERS: usize = 6 * MIB;

/// A policy under which a silent client is asked after ten seconds, gone after fifteen, and idle after
/// thirty.
fn policy() -> Value {
    json!({"rates": [], "liveness": {"idle_timeout": "30s", "ping_interval": "10s", "pong_timeout": "5s"}})
}

/// A client that reads at some speed, and the buffers before it.
struct Reader {
    trial: Trial,
    now: Duration,
    unread: VecDeque<u8>,
    /// The number of bytes that the client reads a second.
    speed: usize,
    answers: bool,
    /// Says whether the client's service answers Pings.
    service_answers: bool,
    /// The bytes that the client has read of a frame that is not whole.
    partial: Vec<u8>,
    /// The number of times that the client was asked.
    asked: usize,
}

impl Reader {
    fn new(policy: Value, speed: usize) -> Self {
        let (trial, unread, partial) = (parked(policy), VecDeque::new(), Vec::new());
        Self { trial, now: START, unread, speed, answers: true, service_answers: true, partial, asked: 0 }
    }

    /// Sends as much of `all` from the service as the buffers take, in such pieces, and returns how much that
    /// was.
    fn say(&mut self, all: &[u8], piece: usize) -> usize {
        let mut said = 0;
        for chunk in all.chunks(piece) {
            if self.unread.len() >= BUFFERS {
                break;
            }
            let down = self.trial.bytes(Peer::Upstream, chunk, self.now);
            self.unread.extend(down);
            self.trial.outputs.clear();
            said += chunk.len();
        }
        said
    }

    /// Lets a tick pass, and returns the reason why the connection is over, if it is.
    fn wait(&mut self) -> Option<Reason> {
        self.now += TICK;
        let (sent, reason) = at(&mut self.trial, self.now);
        for (receiver, frame) in sent {
            match own_ping(&frame).filter(|_| receiver == Peer::Upstream) {
                Some(ping) if self.service_answers => {
                    let down = self.trial.bytes(Peer::Upstream, &from_upstream(0x8a, &ping), self.now);
                    self.unread.extend(down);
                }
                Some(_) => {}
                None => self.unread.extend(frame),
            }
        }
        if reason.is_none() {
            self.read();
        }
        reason
    }

    fn read(&mut self) {
        let len = (self.speed / 4).min(self.unread.len());
        self.partial.extend(self.unread.drain(..len));
        let partial = std::mem::take(&mut self.partial);
        let mut rest = &partial[..];
        while let Some((frame, behind)) = split_frame(rest) {
            rest = behind;
            if frame[0] == 0x89 {
                self.asked += 1;
                if self.answers {
                    self.trial.bytes(Peer::Client, &from_client(0x8a, &frame[2..]), self.now);
                    self.trial.outputs.clear();
                }
            }
        }
        self.partial = rest.to_vec();
    }

    /// Lets so much time pass, unless the connection ends before.
    fn wait_for(&mut self, time: Duration) -> Option<Reason> {
        let end = self.now + time;
        while self.now < end {
            if let Some(reason) = self.wait() {
                return Some(reason);
            }
        }
        None
    }

    /// Returns the time that the connection lasts from now on, and the reason why it ends.
    fn lasts(&mut self) -> (Duration, Option<Reason>) {
        let start = self.now;
        let reason = self.wait_for(3600 * SECOND);
        (self.now - start, reason)
    }
}

/// Splits the first frame off these bytes, if it is whole.
fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let header = FrameHeader::parse(bytes).unwrap()?;
    bytes.split_at_checked(header.len + usize::try_from(header.payload_len).unwrap())
}

fn messages(bytes: usize, size: usize) -> Vec<u8> {
    let message = from_upstream(0x82, &vec![7; size]);
    message.repeat(bytes / message.len())
}

/// The lengths of messages, with those of the pieces in which they come.
const PIECES: [(usize, usize); 7] = [
    (1000, 1004),
    (1000, 16 * KIB),
    (1000, 256 * KIB),
    (1000, MIB),
    (60 * KIB, 16 * KIB),
    (MIB - 10, 16 * KIB),
    (MIB - 10, MIB),
];

#[test]
fn a_client_that_reads_slowly_stays_as_long_as_it_answers_what_it_gets_to() {
    for (size, piece) in PIECES {
        for speed in [20 * KIB, 32 * KIB] {
            for service_answers in [true, false] {
                let mut reader = Reader::new(policy(), speed);
                reader.service_answers = service_answers;
                let all = messages(6 * MIB, size);
                assert_eq!(reader.say(&all, piece), all.len());
                let reason = reader.wait_for(u32::try_from(BUFFERS / speed).unwrap() * SECOND);
                let what = format!("{size} in pieces of {piece} at {speed}: {:?}", reader.now - START);
                assert_eq!(reason, None, "{what}");
                // A Ping behind that is answered in time, too.
                if service_answers {
                    assert_eq!(reader.wait_for(60 * SECOND), None, "{what}");
                    assert!((2..30).contains(&reader.asked), "{what}: asked {} times", reader.asked);
                }
            }
        }
    }
}

#[test]
fn a_client_that_reads_slowly_what_never_ends_stays() {
    for (size, piece) in PIECES {
        let mut reader = Reader::new(policy(), 32 * KIB);
        let all = messages(4 * MIB, size);
        let mut said = 0;
        while reader.now < START + 600 * SECOND {
            // A host reads on once half of its own buffer is free.
            if reader.unread.len() < BUFFERS - MIB / 2 {
                said += reader.say(&all[said..], piece);
                said %= all.len();
            }
            let reason = reader.wait();
            assert_eq!(reason, None, "{size} in pieces of {piece}: {:?}", reader.now - START);
        }
        assert!(reader.asked > 10, "{size} in pieces of {piece}: asked {} times", reader.asked);
    }
}

#[test]
fn a_client_that_reads_nothing_or_next_to_nothing_ends_almost_as_soon_as_a_silent_one() {
    for (size, piece) in PIECES {
        for speed in [0, 4] {
            let mut reader = Reader::new(policy(), speed);
            reader.say(&messages(6 * MIB, size), piece);
            let (took, reason) = reader.lasts();
            // The client has a second for every 16 KiB up to the first Ping, which follows 64 KiB or a
            // message.
            let longest = 30 * SECOND + u32::try_from(size / (16 * KIB)).unwrap() * SECOND;
            assert!(reason.is_some() && took <= longest, "{size} in pieces of {piece}: {took:?} {reason:?}");
        }
    }
}

#[test]
fn a_client_that_stops_reading_ends_in_a_time_that_follows_from_the_next_ping() {
    for (size, piece) in PIECES {
        for after in [1, 5, 20, 60, 100, 170] {
            let mut reader = Reader::new(policy(), 32 * KIB);
            reader.say(&messages(6 * MIB, size), piece);
            assert_eq!(reader.wait_for(after * SECOND), None);
            reader.speed = 0;
            let (took, reason) = reader.lasts();
            // Four MiB may lie between two Pings, and a message more.
            let what = format!("{size} in pieces of {piece} after {after} s: {took:?} {reason:?}");
            assert!(reason.is_some() && took <= (256 + 64 + 15) * SECOND, "{what}");
        }
    }
}

#[test]
fn a_fast_client_that_is_gone_within_a_download_is_missed_soon() {
    for (size, piece) in PIECES {
        let mut reader = Reader::new(policy(), 400 * MIB);
        let all = messages(2 * MIB, size);
        for _ in 0..40 {
            assert_eq!(reader.say(&all, piece), all.len());
            assert_eq!(reader.wait(), None);
        }
        assert!(reader.asked < 160, "{size} in pieces of {piece}: asked {} times for 80 MiB", reader.asked);
        reader.speed = 0;
        for _ in 0..40 {
            reader.say(&all, piece);
            assert_eq!(reader.wait(), None);
        }
        let (took, reason) = reader.lasts();
        assert!(reason.is_some() && took <= 140 * SECOND, "{size} in pieces of {piece}: {took:?} {reason:?}");
    }
}

#[test]
fn a_client_that_reads_slowly_and_answers_nobody_is_gone_soon() {
    for (size, piece) in PIECES {
        let mut reader = Reader::new(policy(), 32 * KIB);
        reader.answers = false;
        reader.say(&messages(6 * MIB, size), piece);
        let (took, reason) = reader.lasts();
        assert!(reason.is_some() && took <= 100 * SECOND, "{size} in pieces of {piece}: {took:?} {reason:?}");
    }
}

#[test]
fn a_client_whose_policy_has_nobody_asked_is_idle_however_much_it_may_be_reading() {
    let mut policy = policy();
    policy["liveness"]["ping_interval"] = json!("none");
    let mut reader = Reader::new(policy, 32 * KIB);
    reader.say(&messages(6 * MIB, 1000), 16 * KIB);
    assert_eq!(reader.lasts(), (30 * SECOND, Some(Reason::IdleTimeout)));
    assert_eq!(reader.asked, 0);
}

#[test]
fn a_client_whose_application_asks_it_is_waited_for_until_it_has_read_that_far() {
    for (speed, stays) in [(32 * KIB, true), (0, false)] {
        let mut reader = Reader::new(policy(), speed);
        reader.say(&from_upstream(0x89, b"application"), 100);
        reader.say(&messages(6 * MIB, 1000), 16 * KIB);
        // The client answers the application's Ping alone, with its own Pong, once it has read it.
        if stays {
            reader.trial.bytes(Peer::Client, &from_client(0x8a, b"application"), reader.now);
            assert_eq!(reader.wait_for(190 * SECOND), None);
        } else {
            let (took, reason) = reader.lasts();
            assert!(reason.is_some() && took <= 30 * SECOND, "{took:?} {reason:?}");
        }
    }
}
