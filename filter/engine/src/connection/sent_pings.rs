//! Postern's own Pings (RFC 6455 §5.5.2) to one end of the line, and which of them are unanswered.
//!
//! A payload is a mark that tells whoever looks at the wire whose Ping it is, and a number that nobody can
//! foretell, so that an answer proves that the Ping was read. Knows neither time nor streams.

use std::hash::Hasher;
use std::num::NonZeroU32;
use std::time::Duration;

use siphasher::sip::SipHasher24;

use crate::peer::Peer;
use crate::websocket::frame_reader::UNMASKED_PONG_LEN;
use crate::websocket::mask::Mask;

/// The length of the payload of every own Ping, in bytes.
pub(crate) const PAYLOAD_LEN: usize = UNMASKED_PONG_LEN;

/// The length of the longest own Ping, header and masking key included, in bytes.
pub(super) const MAX_LEN: usize = 2 + 4 + PAYLOAD_LEN;

const MARK: [u8; 8] = *b"postern:";

/// The most Pings that may be unanswered at once. A peer may answer only the last (RFC 6455 §5.5.3), so that
/// an answer stands for all before it.
const MAX_UNANSWERED: u8 = 8;

/// The key from which the payloads and masking keys of a connection are derived.
#[derive(Clone, Copy, Default)]
pub(crate) struct PingKey(pub(crate) [u8; 16]);

/// The own Pings to one receiver. Their numbers wrap around.
#[derive(Debug)]
pub(super) struct Pings {
    receiver: Peer,
    /// The number of the next Ping.
    next: u32,
    /// The number of the latest Pings that may still be answered.
    unanswered: u8,
    /// The number of the latest Pings that are known; answers to older ones are not.
    known: u8,
    /// Says whether an answer to the last Ping is expected.
    expected: bool,
    /// The position of each Ping: the bytes that had gone to the receiver before it. Absent while all are 0.
    positions: Option<Box<[u64; MAX_UNANSWERED as usize]>>,
    /// The number of the next Ping when Pings were last counted.
    counted: u32,
    /// The time of the last Ping, in milliseconds that wrap around; absent once its round trip is known, or will not be.
    sent_at: Option<NonZeroU32>,
}

impl Pings {
    pub(super) fn new(receiver: Peer) -> Self {
        Self {
            receiver,
            next: 0,
            unanswered: 0,
            known: 0,
            expected: false,
            positions: None,
            counted: 0,
            sent_at: None,
        }
    }

    /// Says whether an answer is expected.
    pub(super) fn is_expected(&self) -> bool {
        self.expected
    }

    /// Returns the number of Pings to which an answer is expected.
    pub(super) fn awaited(&self) -> u8 {
        if self.expected { self.unanswered } else { 0 }
    }

    /// Returns the position of the first Ping to which an answer is expected.
    pub(super) fn first_awaited(&self) -> Option<u64> {
        let since = self.awaited().checked_sub(1)?;
        let place = index(self.number(since));
        self.positions.as_ref().map_or(Some(0), |positions| positions.get(place).copied())
    }

    /// Says whether a Pong may answer one of the Pings.
    pub(super) fn may_be_answered(&self) -> bool {
        self.known > 0
    }

    /// Says whether one more Ping may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.unanswered < MAX_UNANSWERED
    }

    /// Returns the next Ping, to follow the first `position` bytes to its receiver.
    pub(super) fn frame(&mut self, key: &PingKey, position: u64) -> Vec<u8> {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.unanswered = self.unanswered.saturating_add(1).min(MAX_UNANSWERED);
        self.known = self.known.saturating_add(1).min(MAX_UNANSWERED);
        self.expected = true;
        if self.positions.is_some() || position > 0 {
            let positions = self.positions.get_or_insert_default();
            if let Some(place) = positions.get_mut(index(number)) {
                *place = position;
            }
        }
        let payload = self.payload(key, number);
        let mut frame = vec![0x89];
        // The length fits the seven bits of the header.
        let len = u8::try_from(PAYLOAD_LEN).unwrap_or(0);
        match self.receiver {
            Peer::Client => {
                frame.push(len);
                frame.extend(payload);
            }
            Peer::Upstream => {
                let [a, b, c, d, ..] = self.derive(key, b'k', number);
                let key = [a, b, c, d];
                frame.push(0x80 | len);
                frame.extend(key);
                frame.extend(payload.iter().zip(Mask::new(key).bytes()).map(|(byte, key)| byte ^ key));
            }
        }
        frame
    }

    /// Takes the payload of a Pong. If it answers one of the last Pings, in whatever order and however often,
    /// returns what the receiver has read: the position that [`Pings::frame`] was told.
    pub(super) fn answer(&mut self, key: &PingKey, payload: &[u8]) -> Option<u64> {
        let answers = |since: &u8| self.payload(key, self.number(*since)) == payload;
        let since = (0..self.known).find(answers)?;
        self.unanswered = self.unanswered.min(since);
        self.expected &= self.unanswered > 0;
        let place = index(self.number(since));
        self.positions.as_ref().map_or(Some(0), |positions| positions.get(place).copied())
    }

    /// Says whether the payload of a Pong answers one of the last Pings that no longer counts as unanswered.
    pub(super) fn is_answered(&self, key: &PingKey, payload: &[u8]) -> bool {
        (self.unanswered..self.known).any(|since| self.payload(key, self.number(since)) == payload)
    }

    /// Expects no answer any more. An answer that comes all the same is still known.
    pub(super) fn expect_none(&mut self) {
        self.expected = false;
    }

    /// Counts no Ping as unanswered any more: a peer that answers others by Pongs of its own would soon not
    /// be asked at all. An answer that comes all the same is still known.
    pub(super) fn make_room(&mut self) {
        (self.unanswered, self.sent_at) = (0, None);
    }

    /// Notes that the last Ping goes at `now`.
    pub(super) fn note_sent(&mut self, now: Duration) {
        self.sent_at = NonZeroU32::new(milliseconds(now));
    }

    /// Takes the time from the last Ping to `now`, at which its first answer has come; `None` where that has come
    /// before, or an older one was answered, or the clock was set back.
    pub(super) fn take_round_trip(&mut self, now: Duration) -> Option<Duration> {
        let sent_at = self.sent_at.take_if(|_| self.unanswered == 0)?;
        let since = milliseconds(now).wrapping_sub(sent_at.get());
        (since <= u32::MAX / 2).then(|| Duration::from_millis(since.into()))
    }

    /// Takes the number of Pings since the last call.
    pub(super) fn take_count(&mut self) -> u64 {
        self.next.wrapping_sub(std::mem::replace(&mut self.counted, self.next)).into()
    }

    /// Returns the number of the Ping that `since` others have followed.
    fn number(&self, since: u8) -> u32 {
        self.next.wrapping_sub(1).wrapping_sub(since.into())
    }

    fn payload(&self, key: &PingKey, number: u32) -> [u8; PAYLOAD_LEN] {
        let mut payload = [0; PAYLOAD_LEN];
        let (mark, nonce) = payload.split_at_mut(MARK.len());
        mark.copy_from_slice(&MARK);
        nonce.copy_from_slice(&self.derive(key, b'p', number));
        payload
    }

    fn derive(&self, key: &PingKey, purpose: u8, number: u32) -> [u8; 8] {
        let receiver = match self.receiver {
            Peer::Client => b'c',
            Peer::Upstream => b'u',
        };
        let mut hash = SipHasher24::new_with_key(&key.0);
        hash.write(&[purpose, receiver]);
        hash.write(&number.to_be_bytes());
        hash.finish().to_be_bytes()
    }
}

/// Returns a time in milliseconds, of which the lowest bits are kept.
fn milliseconds(time: Duration) -> u32 {
    let [.., a, b, c, d] = time.as_millis().to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Returns the place where the position of a Ping is kept. As the numbers wrap around at a multiple of the
/// places, no two of the last Pings share one.
fn index(number: u32) -> usize {
    usize::try_from(number % u32::from(MAX_UNANSWERED)).unwrap_or(0)
}

impl std::fmt::Debug for PingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PingKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(frame: &[u8]) -> Vec<u8> {
        match frame[1] & 0x80 {
            0 => frame[2..].to_vec(),
            _ => frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(byte, key)| byte ^ key).collect(),
        }
    }

    const KEY: PingKey = PingKey([5; 16]);

    #[test]
    fn a_ping_is_masked_towards_the_upstream_only_and_never_the_same_twice() {
        let (mut client, mut upstream) = (Pings::new(Peer::Client), Pings::new(Peer::Upstream));
        let (a, b) = (client.frame(&KEY, 0), client.frame(&KEY, 0));
        let (c, d) = (upstream.frame(&KEY, 0), upstream.frame(&KEY, 0));
        assert_eq!(
            [&a[..2], &b[..2], &c[..2], &d[..2]],
            [[0x89, 16], [0x89, 16], [0x89, 0x90], [0x89, 0x90]]
        );
        assert_ne!(c[2..6], d[2..6], "a masking key of its own (§5.3)");
        let payloads = [a, b, c, d].map(|frame| payload(&frame));
        for (i, payload) in payloads.iter().enumerate() {
            assert!(payload.starts_with(&MARK), "{payload:?}");
            assert!(!payloads[..i].contains(payload));
        }
    }

    #[test]
    fn an_answer_stands_for_all_pings_before_it_and_is_known_however_often_it_comes() {
        let mut pings = Pings::new(Peer::Client);
        let sent: Vec<_> = [10, 20, 30].map(|position| payload(&pings.frame(&KEY, position))).into();
        assert_eq!((pings.awaited(), pings.first_awaited()), (3, Some(10)));
        let is_answered = |pings: &Pings| [0, 1, 2].map(|ping: usize| pings.is_answered(&KEY, &sent[ping]));
        assert_eq!(is_answered(&pings), [false; 3]);
        assert_eq!(pings.answer(&KEY, &sent[1]), Some(20));
        assert_eq!(is_answered(&pings), [true, true, false]);
        assert!(pings.is_expected(), "the last is unanswered");
        assert_eq!((pings.awaited(), pings.first_awaited()), (1, Some(30)));
        assert_eq!([pings.answer(&KEY, &sent[1]), pings.answer(&KEY, &sent[0])], [Some(20), Some(10)]);
        assert!(pings.is_expected());
        assert_eq!(pings.answer(&KEY, &sent[2]), Some(30));
        assert!(!pings.is_expected());
        assert_eq!((pings.awaited(), pings.first_awaited()), (0, None));
    }

    #[test]
    fn what_was_never_asked_is_no_answer() {
        let (mut pings, mut twin) = (Pings::new(Peer::Client), Pings::new(Peer::Client));
        let (first, second) = (payload(&twin.frame(&KEY, 0)), payload(&twin.frame(&KEY, 0)));
        assert_eq!(pings.answer(&KEY, &first), None, "nothing was asked");
        assert_eq!(payload(&pings.frame(&KEY, 7)), first);
        assert_eq!(pings.answer(&KEY, &second), None, "nor that yet");
        assert_eq!(pings.answer(&KEY, &first[..15]), None);
        let mut upstream = Pings::new(Peer::Upstream);
        upstream.frame(&KEY, 0);
        assert_eq!(upstream.answer(&KEY, &first), None, "another end's");
        assert_eq!(pings.answer(&KEY, &first), Some(7));
    }

    #[test]
    fn few_may_be_unanswered_and_late_answers_are_known() {
        let mut pings = Pings::new(Peer::Client);
        let sent: Vec<_> =
            (0..MAX_UNANSWERED.into()).map(|position| payload(&pings.frame(&KEY, position))).collect();
        assert!(!pings.has_room());
        pings.expect_none();
        assert!(!pings.is_expected() && pings.may_be_answered());
        for (position, payload) in (0..).zip(&sent) {
            assert_eq!(pings.answer(&KEY, payload), Some(position));
        }
        assert!(pings.has_room());
    }

    #[test]
    fn the_first_answer_to_the_last_ping_tells_how_long_it_took() {
        let (mut pings, at) = (Pings::new(Peer::Client), |ms: u64| Duration::from_millis((7 << 32) - 5 + ms));
        let ping = |pings: &mut Pings, ms| {
            let payload = payload(&pings.frame(&KEY, 0));
            pings.note_sent(at(ms));
            payload
        };
        let [first, second] = [ping(&mut pings, 0), ping(&mut pings, 3)];
        let answered = |pings: &mut Pings, payload: &[u8], ms| {
            pings.answer(&KEY, payload).unwrap();
            pings.take_round_trip(at(ms)).map(|time| time.as_millis())
        };
        assert_eq!(answered(&mut pings, &first, 40), None, "another has followed");
        assert_eq!(answered(&mut pings, &second, 90), Some(87));
        assert_eq!(answered(&mut pings, &second, 95), None, "again");
        let third = ping(&mut pings, 100);
        assert_eq!(answered(&mut pings, &third, 99), None, "the clock was set back");
        let fourth = ping(&mut pings, 200);
        pings.make_room();
        assert_eq!(answered(&mut pings, &fourth, 300), None, "given up");
    }

    #[test]
    fn numbers_that_wrap_around_are_told_apart_as_any_others() {
        let mut pings = Pings::new(Peer::Client);
        (pings.next, pings.counted) = (u32::MAX - 1, u32::MAX - 1);
        let sent = [1, 2, 3, 4].map(|position| payload(&pings.frame(&KEY, position)));
        assert_eq!(pings.take_count(), 4);
        assert_eq!(pings.answer(&KEY, &sent[1]), Some(2));
        assert!(pings.is_expected(), "two have followed");
        assert_eq!(pings.answer(&KEY, &sent[3]), Some(4));
        assert!(!pings.is_expected());
        assert_eq!(pings.answer(&KEY, &sent[0]), Some(1), "late, and known");
    }
}
