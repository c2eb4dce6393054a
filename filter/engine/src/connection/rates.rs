//! How much a client may send: the rules that count messages, bytes and control frames.
//!
//! A rule per connection keeps its bucket here; the others share theirs with all connections of
//! the same address, user or policy.

use std::time::Duration;

use postern_config::{Counted as Count, OnExceed, Per, Rate};

use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::peer::Peer;
use crate::rate::slots::EntryKey;
use crate::rate::{Bucket, BucketRequest, Charged, Outcome, Quota, Shared};
use crate::websocket::OpCode;
use crate::websocket::frame_reader::Frame;

/// The rules of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    /// Messages first, then bytes, then control frames: a message that is discarded costs no
    /// bytes.
    rules: Vec<Limit>,
}

#[derive(Clone, Debug)]
struct Limit {
    /// Where it is in `rates` of the policy.
    index: usize,
    counted: Count,
    quota: Quota,
    on_exceed: OnExceed,
    bucket: Place,
}

/// Where a bucket is.
#[derive(Clone, Debug)]
enum Place {
    Own(Bucket),
    Shared(EntryKey),
}

/// A frame, as far as rules count it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    opcode: OpCode,
    starts_message: bool,
    payload_len: u64,
}

/// What becomes of a frame by its rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It passes.
    Pass,
    /// Its message is discarded.
    Discard,
    /// It ends the connection.
    Refuse(Violation),
}

impl Rates {
    /// The rules among `rates`, each with its place in the policy, that count what a client sends. `key` names the bucket of a rule
    /// that is not per connection.
    pub(crate) fn new<'r>(
        rates: impl IntoIterator<Item = (usize, &'r Rate)>,
        key: impl Fn(&Rate, &Quota) -> EntryKey,
    ) -> Self {
        let mut all = Self::default();
        all.add(rates, key);
        all
    }

    /// Adds rules.
    pub(crate) fn add<'r>(
        &mut self,
        rates: impl IntoIterator<Item = (usize, &'r Rate)>,
        key: impl Fn(&Rate, &Quota) -> EntryKey,
    ) {
        let of_frames = |(_, rate): &(usize, &Rate)| rate.count != Count::Handshakes;
        let added = rates.into_iter().filter(of_frames).map(|(index, rate)| {
            let quota = Quota::new(rate);
            let bucket = match rate.per {
                Per::Connection => Place::Own(Bucket::default()),
                Per::Ip | Per::Policy | Per::User => Place::Shared(key(rate, &quota)),
            };
            Limit { index, counted: rate.count, quota, on_exceed: rate.on_exceed, bucket }
        });
        self.rules.extend(added);
        self.rules.sort_by_key(|rule| match rule.counted {
            Count::Handshakes | Count::Messages => 0,
            Count::Bytes => 1,
            Count::ControlFrames => 2,
        });
    }

    /// Whether no frame is ever charged.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Charges every rule for a frame, until one refuses it.
    pub(crate) fn charge(&mut self, frame: Counted, shared: &mut dyn Shared, now: Duration) -> Verdict {
        for rule in &mut self.rules {
            let tokens = frame.tokens(rule.counted);
            let outcome = match &mut rule.bucket {
                _ if tokens == 0 => continue,
                Place::Own(bucket) => Outcome::Charged(bucket.take(rule.quota, tokens, now)),
                Place::Shared(key) => {
                    shared.charge(&BucketRequest { key: *key, quota: rule.quota, tokens }, now)
                }
            };
            if outcome != Outcome::Charged(Charged::Taken) {
                return rule.exceeded_by(frame);
            }
        }
        Verdict::Pass
    }
}

impl Limit {
    fn exceeded_by(&self, frame: Counted) -> Verdict {
        // Of a message that has begun to pass the rest cannot be discarded.
        if self.on_exceed == OnExceed::Drop && frame.starts_message {
            return Verdict::Discard;
        }
        let reason = match self.counted {
            Count::Bytes => Reason::ByteRate,
            Count::ControlFrames => Reason::ControlRate,
            Count::Handshakes | Count::Messages => Reason::MessageRate,
        };
        Verdict::Refuse(Violation::by(Peer::Client, Rule::Rates(self.index), reason))
    }
}

impl Counted {
    pub(crate) fn of(frame: &Frame) -> Self {
        let Frame { header, starts_message, .. } = frame;
        Self { opcode: header.opcode, starts_message: *starts_message, payload_len: header.payload_len }
    }

    fn tokens(self, counted: Count) -> u64 {
        let is_control = self.opcode.is_control();
        match counted {
            Count::Handshakes => 0,
            Count::Messages => u64::from(self.starts_message),
            Count::Bytes if is_control => 0,
            Count::Bytes => self.payload_len,
            Count::ControlFrames => u64::from(is_control && self.opcode != OpCode::CLOSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::slots::KeySpace;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn rate(count: Counted, per: Per, limit: u64, on_exceed: OnExceed) -> Rate {
        Rate { count, per, limit, window: Duration::from_secs(10), burst: limit, on_exceed }
    }

    fn rates(rates: &[Rate]) -> Rates {
        Rates::new(rates.iter().enumerate(), |rate, quota| {
            KeySpace::new([1; 16]).key(&[format!("{:?}", rate.per).as_bytes()], quota, b"")
        })
    }

    fn message(len: u64) -> Charging {
        Charging::new(OpCode::BINARY, true, len)
    }

    fn fragment(len: u64) -> Charging {
        Charging::new(OpCode::CONTINUATION, false, len)
    }

    fn control(opcode: OpCode) -> Charging {
        Charging::new(opcode, false, 5)
    }

    #[test]
    fn each_frame_costs_what_the_rules_count_of_it() {
        let mut messages = rates(&[rate(Counted::Messages, Per::Connection, 2, OnExceed::Close)]);
        let mut bytes = rates(&[rate(Counted::Bytes, Per::Connection, 10, OnExceed::Close)]);
        let mut controls = rates(&[rate(Counted::ControlFrames, Per::Connection, 2, OnExceed::Close)]);
        for mut frame in [message(4), fragment(6), message(0)] {
            assert_eq!(messages.charge(&mut frame, NOW), Next::Pass);
            assert_eq!(controls.charge(&mut frame, NOW), Next::Pass);
        }
        for mut frame in [message(4), fragment(6), message(0), control(OpCode::PING), fragment(0)] {
            assert_eq!(bytes.charge(&mut frame, NOW), Next::Pass, "{frame:?}");
        }
        for mut frame in [control(OpCode::PING), control(OpCode::PONG), control(OpCode::CLOSE)] {
            assert_eq!(controls.charge(&mut frame, NOW), Next::Pass, "{frame:?}");
            assert_eq!(messages.charge(&mut frame, NOW), Next::Pass, "{frame:?}");
        }
        assert_eq!(messages.charge(&mut message(0), NOW), Next::Refuse(Reason::MessageRate));
        assert_eq!(messages.charge(&mut fragment(0), NOW), Next::Pass, "counted at its first frame");
        assert_eq!(bytes.charge(&mut fragment(1), NOW), Next::Refuse(Reason::ByteRate));
        assert_eq!(controls.charge(&mut control(OpCode::PONG), NOW), Next::Refuse(Reason::ControlRate));
    }

    #[test]
    fn a_frame_larger_than_the_bucket_never_passes() {
        let mut bytes = rates(&[rate(Counted::Bytes, Per::Connection, 10, OnExceed::Close)]);
        assert_eq!(bytes.charge(&mut message(u64::MAX), NOW), Next::Refuse(Reason::ByteRate));
        assert_eq!(bytes.charge(&mut message(10), NOW), Next::Pass, "a refusal takes nothing");
    }

    #[test]
    fn a_message_is_discarded_whole_or_not_at_all() {
        let mut bytes = rates(&[rate(Counted::Bytes, Per::Connection, 10, OnExceed::Drop)]);
        assert_eq!(bytes.charge(&mut message(11), NOW), Next::Discard);
        assert_eq!(bytes.charge(&mut message(10), NOW), Next::Pass);
        assert_eq!(bytes.charge(&mut fragment(1), NOW), Next::Refuse(Reason::ByteRate));
    }

    #[test]
    fn a_discarded_message_costs_no_bytes() {
        let mut both = rates(&[
            rate(Counted::Bytes, Per::Connection, 10, OnExceed::Close),
            rate(Counted::Messages, Per::Connection, 1, OnExceed::Drop),
        ]);
        assert_eq!(both.charge(&mut message(5), NOW), Next::Pass);
        assert_eq!(both.charge(&mut message(6), NOW), Next::Discard);
        assert_eq!(both.charge(&mut fragment(5), NOW), Next::Pass);
    }

    #[test]
    fn shared_buckets_are_asked_in_turn_and_any_of_them_may_refuse() {
        let both = [
            rate(Counted::Bytes, Per::User, 10, OnExceed::Close),
            rate(Counted::Messages, Per::Ip, 10, OnExceed::Close),
        ];
        let waits = Outcome::Charged(Charged::Wait(Duration::from_secs(1)));
        let taken = Outcome::Charged(Charged::Taken);
        for (answers, end) in [
            (vec![taken, taken], Next::Pass),
            (vec![waits], Next::Refuse(Reason::MessageRate)),
            (vec![taken, waits], Next::Refuse(Reason::ByteRate)),
            (vec![taken, Outcome::Full], Next::Refuse(Reason::ByteRate)),
        ] {
            let mut rates = rates(&both);
            let mut frame = message(7);
            let mut asked = Vec::new();
            let mut answers = answers.into_iter();
            let got = loop {
                match rates.charge(&mut frame, NOW) {
                    Next::Ask(charge) => asked.push(charge.tokens),
                    end => break end,
                }
                if let Some(end) = rates.answer(&mut frame, answers.next().unwrap()) {
                    break end;
                }
            };
            assert_eq!((got, answers.next()), (end, None));
            assert_eq!(asked, [1, 7][..asked.len()]);
        }
    }
}
