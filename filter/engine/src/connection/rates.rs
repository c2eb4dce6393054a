//! The rates of a client: the rules that count its messages, bytes and control frames.
//!
//! A rule per connection keeps its bucket here; the others share theirs with all connections of the same
//! address, user or policy.

use std::time::Duration;

use postern_config::{Counted as Count, OnExceed, Per, Rate};

use crate::decision::reason::Reason;
use crate::decision::{Enforce, Rule, Violation};
use crate::metrics::measures::Shared as Measured;
use crate::peer::Peer;
use crate::rate::slots::EntryKey;
use crate::rate::{Bucket, BucketRequest, Charged, Outcome, Quota, Shared};
use crate::websocket::OpCode;
use crate::websocket::frame_reader::Frame;

/// The rules of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    /// The rules, first those for messages, then for bytes, then for control frames: a discarded message
    /// costs no bytes.
    rules: Vec<Limit>,
    /// The buckets that are charged when the connection ends for what its client sent, each with the place of its
    /// rule.
    #[expect(clippy::box_collection, reason = "one word in every session, of which few have any")]
    refusals: Option<Box<Vec<(usize, BucketRequest)>>>,
    /// The tier whose rates these are, and what is left of others; absent where the rates were always the policy's.
    tiers: Option<Box<Tiers>>,
}

/// The tiers that a connection was judged under.
#[derive(Clone, Debug, Default)]
struct Tiers {
    /// The place of the tier whose rates are in force; absent where they are the policy's.
    tier: Option<usize>,
    /// The connection's own buckets under the rates of others.
    earlier: Vec<(Option<usize>, Vec<Bucket>)>,
}

#[derive(Clone, Debug)]
struct Limit {
    /// The place of the rule in `rates` of the policy.
    index: usize,
    counted: Count,
    quota: Quota,
    on_exceed: OnExceed,
    bucket: Place,
}

/// The place where a bucket is.
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

/// The verdict of the rates on a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The frame passes.
    Pass,
    /// The frame's message is discarded.
    Discard,
    /// The connection ends.
    Refuse(Violation),
}

impl Rates {
    /// Collects the rules among `rates`, each with its place in the policy, that count what a client sends.
    /// `key` names the bucket of a rule that is not per connection.
    pub(crate) fn new<'r>(
        rates: impl IntoIterator<Item = (usize, &'r Rate)>,
        key: impl Fn(&Rate, &Quota) -> EntryKey,
    ) -> Self {
        let mut all = Self::default();
        all.add(rates, key);
        all
    }

    /// Returns the same rules as those of a tier.
    pub(crate) fn of_tier(self, tier: Option<usize>) -> Self {
        let tiers = tier.map(|_| Box::new(Tiers { tier, earlier: Vec::new() }));
        Self { tiers, ..self }
    }

    /// Makes way for `rates`. A connection that comes back to a tier finds its own buckets as it left them, so that
    /// to change between two is no way to full ones.
    pub(crate) fn make_way(&mut self, mut rates: Self) {
        let tier = rates.tiers.as_ref().and_then(|tiers| tiers.tier);
        let Tiers { tier: before, mut earlier } =
            self.tiers.take().map_or_else(Tiers::default, |tiers| *tiers);
        earlier.push((before, self.own().map(|bucket| *bucket).collect()));
        if let Some(at) = earlier.iter().position(|(earlier, _)| *earlier == tier) {
            let (_, buckets) = earlier.swap_remove(at);
            rates.own().zip(buckets).for_each(|(own, bucket)| *own = bucket);
        }
        rates.tiers = Some(Box::new(Tiers { tier, earlier }));
        *self = rates;
    }

    /// Returns the connection's own buckets, in the order of the rules.
    fn own(&mut self) -> impl Iterator<Item = &mut Bucket> {
        self.rules.iter_mut().filter_map(|rule| match &mut rule.bucket {
            Place::Own(bucket) => Some(bucket),
            Place::Shared(_) => None,
        })
    }

    /// Adds rules.
    pub(crate) fn add<'r>(
        &mut self,
        rates: impl IntoIterator<Item = (usize, &'r Rate)>,
        key: impl Fn(&Rate, &Quota) -> EntryKey,
    ) {
        for (index, rate) in rates {
            let quota = Quota::new(rate);
            let bucket = match (rate.count, rate.per) {
                (Count::Handshakes, _) => continue,
                (Count::Refusals, _) => {
                    let request = BucketRequest { key: key(rate, &quota), quota, tokens: 1 };
                    self.refusals.get_or_insert_default().push((index, request));
                    continue;
                }
                (_, Per::Connection) => Place::Own(Bucket::default()),
                (_, Per::Ip | Per::Policy | Per::User) => Place::Shared(key(rate, &quota)),
            };
            self.rules.push(Limit { index, counted: rate.count, quota, on_exceed: rate.on_exceed, bucket });
        }
        self.rules.sort_by_key(|rule| match rule.counted {
            Count::Handshakes | Count::Refusals | Count::Messages => 0,
            Count::Bytes => 1,
            Count::ControlFrames => 2,
        });
    }

    /// Returns the buckets to charge when the connection ends for what its client sent, each with the place of its
    /// rule.
    pub(crate) fn refusals(&self) -> Vec<(usize, BucketRequest)> {
        self.refusals.iter().flat_map(|refusals| &**refusals).copied().collect()
    }

    /// Charges those buckets once and for all, and returns the violation of a client that had none left.
    pub(super) fn charge_refusal(
        &mut self,
        shared: &mut dyn Shared,
        (measures, enforce): (&Measured, Enforce<'_>),
        now: Duration,
    ) -> Option<Violation> {
        let mut exceeded = None;
        for (index, request) in self.refusals.take().into_iter().flat_map(|refusals| *refusals) {
            let is_within = shared.charge(&request, now) == Outcome::Charged(Charged::Taken);
            measures.decided(Rule::Rates(index), is_within);
            if !is_within {
                let violation = Violation::by(Peer::Client, Rule::Rates(index), Reason::RefusalRate);
                exceeded = exceeded.or(enforce(violation).err());
            }
        }
        exceeded
    }

    /// Says whether no frame is ever charged.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Charges every rule for a frame, until one refuses it. A rule that is only told refuses nothing.
    pub(super) fn charge(
        &mut self,
        frame: Counted,
        shared: &mut dyn Shared,
        (measures, enforce): (&Measured, Enforce<'_>),
        now: Duration,
    ) -> Verdict {
        for rule in &mut self.rules {
            let tokens = frame.tokens(rule.counted);
            let outcome = match &mut rule.bucket {
                _ if tokens == 0 => continue,
                Place::Own(bucket) => Outcome::Charged(bucket.take(rule.quota, tokens, now)),
                Place::Shared(key) => {
                    shared.charge_frame(&BucketRequest { key: *key, quota: rule.quota, tokens }, now)
                }
            };
            let is_within = outcome == Outcome::Charged(Charged::Taken);
            measures.decided(Rule::Rates(rule.index), is_within);
            if !is_within && let Err(violation) = enforce(rule.exceeded()) {
                return rule.verdict(frame, violation);
            }
        }
        Verdict::Pass
    }
}

impl Limit {
    /// Returns what becomes of a frame that there was no token for.
    fn verdict(&self, frame: Counted, violation: Violation) -> Verdict {
        // The rest of a message that has begun to pass cannot be discarded.
        match self.on_exceed == OnExceed::Drop && frame.starts_message {
            true => Verdict::Discard,
            false => Verdict::Refuse(violation),
        }
    }

    /// Returns the violation of a frame that there was no token for.
    fn exceeded(&self) -> Violation {
        let reason = match self.counted {
            Count::Bytes => Reason::ByteRate,
            Count::ControlFrames => Reason::ControlRate,
            Count::Handshakes | Count::Refusals | Count::Messages => Reason::MessageRate,
        };
        Violation::by(Peer::Client, Rule::Rates(self.index), reason)
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
            Count::Handshakes | Count::Refusals => 0,
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
    use crate::testing::Tables;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn rate(count: Count, per: Per, limit: u64, on_exceed: OnExceed) -> Rate {
        Rate { count, per, limit, window: Duration::from_secs(10), burst: limit, on_exceed, twin: 0 }
    }

    fn rates(rates: &[Rate]) -> Rates {
        Rates::new(rates.iter().enumerate(), |rate, quota| {
            KeySpace::new([1; 16]).key(&[format!("{:?}", rate.per).as_bytes()], quota.name(), b"")
        })
    }

    fn judge(rates: &mut Rates, frame: Counted) -> Verdict {
        rates.charge(frame, &mut Tables::default(), (&Measured::default(), &mut Err), NOW)
    }

    fn refused(reason: Reason) -> Verdict {
        Verdict::Refuse(Violation::by(Peer::Client, Rule::Rates(0), reason))
    }

    fn counted(opcode: OpCode, starts_message: bool, payload_len: u64) -> Counted {
        Counted { opcode, starts_message, payload_len }
    }

    fn message(len: u64) -> Counted {
        counted(OpCode::BINARY, true, len)
    }

    fn fragment(len: u64) -> Counted {
        counted(OpCode::CONTINUATION, false, len)
    }

    fn control(opcode: OpCode) -> Counted {
        counted(opcode, false, 5)
    }

    #[test]
    fn each_frame_costs_what_the_rules_count_of_it() {
        let mut messages = rates(&[rate(Count::Messages, Per::Connection, 2, OnExceed::Close)]);
        let mut bytes = rates(&[rate(Count::Bytes, Per::Connection, 10, OnExceed::Close)]);
        let mut controls = rates(&[rate(Count::ControlFrames, Per::Connection, 2, OnExceed::Close)]);
        for frame in [message(4), fragment(6), message(0)] {
            assert_eq!(judge(&mut messages, frame), Verdict::Pass);
            assert_eq!(judge(&mut controls, frame), Verdict::Pass);
        }
        for frame in [message(4), fragment(6), message(0), control(OpCode::PING), fragment(0)] {
            assert_eq!(judge(&mut bytes, frame), Verdict::Pass, "{frame:?}");
        }
        for frame in [control(OpCode::PING), control(OpCode::PONG), control(OpCode::CLOSE)] {
            assert_eq!(judge(&mut controls, frame), Verdict::Pass, "{frame:?}");
            assert_eq!(judge(&mut messages, frame), Verdict::Pass, "{frame:?}");
        }
        assert_eq!(judge(&mut messages, message(0)), refused(Reason::MessageRate));
        assert_eq!(judge(&mut messages, fragment(0)), Verdict::Pass, "counted at its first frame");
        assert_eq!(judge(&mut bytes, fragment(1)), refused(Reason::ByteRate));
        assert_eq!(judge(&mut controls, control(OpCode::PONG)), refused(Reason::ControlRate));
    }

    #[test]
    fn a_frame_larger_than_the_bucket_never_passes() {
        let mut bytes = rates(&[rate(Count::Bytes, Per::Connection, 10, OnExceed::Close)]);
        assert_eq!(judge(&mut bytes, message(u64::MAX)), refused(Reason::ByteRate));
        assert_eq!(judge(&mut bytes, message(10)), Verdict::Pass, "a refusal takes nothing");
    }

    #[test]
    fn a_message_is_discarded_whole_or_not_at_all() {
        let mut bytes = rates(&[rate(Count::Bytes, Per::Connection, 10, OnExceed::Drop)]);
        assert_eq!(judge(&mut bytes, message(11)), Verdict::Discard);
        assert_eq!(judge(&mut bytes, message(10)), Verdict::Pass);
        assert_eq!(judge(&mut bytes, fragment(1)), refused(Reason::ByteRate));
    }

    #[test]
    fn a_discarded_message_costs_no_bytes() {
        let mut both = rates(&[
            rate(Count::Bytes, Per::Connection, 10, OnExceed::Close),
            rate(Count::Messages, Per::Connection, 1, OnExceed::Drop),
        ]);
        assert_eq!(judge(&mut both, message(5)), Verdict::Pass);
        assert_eq!(judge(&mut both, message(6)), Verdict::Discard);
        assert_eq!(judge(&mut both, fragment(5)), Verdict::Pass);
    }

    #[test]
    fn shared_buckets_are_asked_in_turn_and_any_of_them_may_refuse() {
        let both = [
            rate(Count::Bytes, Per::User, 10, OnExceed::Close),
            rate(Count::Messages, Per::Ip, 10, OnExceed::Close),
        ];
        let waits = Outcome::Charged(Charged::Wait(Duration::from_secs(1)));
        let taken = Outcome::Charged(Charged::Taken);
        for (answers, end) in [
            (vec![taken, taken], None),
            (vec![waits], Some((Reason::MessageRate, Rule::Rates(1)))),
            (vec![taken, waits], Some((Reason::ByteRate, Rule::Rates(0)))),
            (vec![taken, Outcome::Full], Some((Reason::ByteRate, Rule::Rates(0)))),
        ] {
            let mut tables = Tables::in_turn(answers.clone());
            let got = rates(&both).charge(message(7), &mut tables, (&Measured::default(), &mut Err), NOW);
            let got = match got {
                Verdict::Refuse(violation) => {
                    (Some((violation.reason, violation.rule)), tables.charged.len())
                }
                _ => (None, tables.charged.len()),
            };
            assert_eq!(got, (end, answers.len()));
            let asked: Vec<_> = tables.charged.iter().map(|request| request.tokens).collect();
            assert_eq!(asked, [1, 7][..asked.len()]);
        }
    }
}
