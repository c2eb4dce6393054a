//! What an open connection is to do, said as plainly as it can be.
//!
//! The model reads one byte at a time, keeps what it has read, and shares no code with the engine
//! but the table of reasons.

use std::time::Duration;

use postern_engine::{Messages, Peer, Reason, Tally};

use crate::buckets::{Bucket, Name};
use crate::deflate::Agreed;
use crate::policy::{Count, Per, Policy, Rate};
use crate::reader::{self, Header, Read};
use crate::side::{End, Fate, Side};
use crate::support::{MASK, frame};

/// A connection that the upstream has agreed to.
#[derive(Debug)]
pub(crate) struct Model<'p> {
    policy: &'p Policy,
    rates: Vec<(Rate, Option<Bucket>)>,
    subjects: Subjects,
    client: Side,
    upstream: Side,
    refused: Option<Reason>,
    cut_at: Option<Duration>,
    expires_at: Option<Duration>,
    /// When Closes are looked at that could not go at once: before all else.
    speaks_at: Option<Duration>,
    cut: bool,
    /// How many chunks of the client are still to come whose stream the host holds paused.
    held: u8,
    /// What is to be done, since it was last taken.
    pub(crate) told: Vec<Told>,
    /// What was counted, since it was last taken.
    pub(crate) tally: Tally,
    pub(crate) inflated: Inflated,
    /// What the last bucket that was empty said how long it would be.
    pub(crate) wait: Duration,
}

/// What was inflated, since it was last taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inflated {
    /// Messages that have passed.
    pub(crate) messages: u64,
    /// Control frames that went ahead of one.
    pub(crate) went_ahead: u64,
}

/// Whose buckets a connection shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subjects {
    pub(crate) address: u64,
    pub(crate) user: u64,
}

/// What is to be done beside passing bytes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Closed(Reason),
    Reset,
}

/// What a shared bucket says: that the tokens were there, or how long to wait for them.
pub(crate) type Ask<'a> = &'a mut dyn FnMut(Name, u64) -> Result<(), Duration>;

impl<'p> Model<'p> {
    pub(crate) fn new(
        policy: &'p Policy,
        agreed: Option<Agreed>,
        subjects: Subjects,
        expires_at: Option<Duration>,
        now: Duration,
    ) -> Self {
        let own = |rate: &Rate| (rate.per == Per::Connection).then(|| Bucket::full(rate.quota, now));
        let mut rates: Vec<_> = policy.rates.iter().map(|rate| (*rate, own(rate))).collect();
        rates.sort_by_key(|(rate, _)| rate.count);
        let (client, upstream) = agreed.map(|Agreed { client, upstream }| (client, upstream)).unzip();
        Self {
            policy,
            rates,
            subjects,
            client: Side::new(Peer::Client, policy.client, policy.compression, client),
            upstream: Side::new(Peer::Upstream, policy.upstream, policy.compression, upstream),
            refused: None,
            cut_at: None,
            expires_at,
            speaks_at: None,
            cut: false,
            held: 0,
            told: Vec::new(),
            tally: Tally::default(),
            inflated: Inflated::default(),
            wait: Duration::ZERO,
        }
    }

    /// When time next changes something.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        if self.cut { None } else { self.speaks_at.or(self.cut_at).or(self.expires_at) }
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// The host holds bytes that the client has sent too early: they are the next chunk, and the
    /// one behind them finds the stream paused.
    pub(crate) fn came_early(&mut self) {
        self.held = 2;
    }

    /// Whether a chunk of `len` bytes is payload that nobody reads.
    pub(crate) fn passes_unread(&self, peer: Peer, len: usize) -> bool {
        let side = self.side(peer);
        let left = side.judged.filter(|(_, fate)| *fate == Fate::Pass).map_or(0, |_| side.bytes_left());
        let held = peer == Peer::Client && self.held > 0;
        !self.cut && !held && side.end == End::Open && len > 0 && left > len as u64
    }

    /// How much of what came may neither go on nor be forgotten, in bytes.
    pub(crate) fn held(&self) -> usize {
        if self.cut { 0 } else { self.client.held() + self.upstream.held() }
    }

    /// A peer ends its stream with trailers.
    pub(crate) fn trailers(&mut self, now: Duration) {
        self.end_by_host(Reason::ProtocolError, now);
    }

    /// All that is held has to be given back.
    pub(crate) fn give_back(&mut self, now: Duration) {
        self.client.give_back();
        self.upstream.give_back();
        if self.end_by_host(Reason::MemoryExceeded, now) {
            self.speaks_at = Some(now);
        }
    }

    fn end_by_host(&mut self, reason: Reason, now: Duration) -> bool {
        let ends = !self.cut && self.refused.is_none();
        if ends {
            self.refuse(reason, now);
            self.tell_refusal();
        }
        ends
    }

    pub(crate) fn time_passes(&mut self, now: Duration) {
        self.speaks_at.take_if(|at| *at <= now);
        if self.cut {
        } else if self.cut_at.is_some_and(|at| at <= now) {
            self.cut = true;
            self.told.push(Told::Reset);
        } else if self.cut_at.is_none() && self.expires_at.is_some_and(|at| at <= now) {
            self.refuse(Reason::TokenExpired, now);
            self.tell_refusal();
        }
    }

    /// What goes on of a chunk.
    pub(crate) fn chunk(&mut self, peer: Peer, chunk: &[u8], now: Duration, ask: Ask<'_>) -> Vec<u8> {
        let mut passed = Vec::new();
        if self.cut {
            return passed;
        }
        let was_refused = self.refused.is_some();
        let room = self.room(peer, chunk.len());
        let mut done = self.close_at_boundary(peer, room, &mut passed);
        for byte in chunk {
            if done || self.side(peer).end == End::Closed {
                break;
            }
            match self.byte(peer, *byte, now, ask, &mut passed) {
                Ok(()) => {}
                Err(reason) => {
                    let side = self.side_mut(peer);
                    side.frame.clear();
                    side.judged = None;
                    self.messages(peer).refused += 1;
                    self.refuse(reason, now);
                }
            }
            done = self.close_at_boundary(peer, room, &mut passed);
        }
        if !was_refused && self.refused.is_some() {
            self.tell_refusal();
        }
        passed
    }

    fn byte(
        &mut self,
        peer: Peer,
        byte: u8,
        now: Duration,
        ask: Ask<'_>,
        passed: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        self.side_mut(peer).frame.push(byte);
        if let Some((_, fate)) = self.side(peer).judged {
            if fate == Fate::Pass {
                passed.push(byte);
            }
            self.side_mut(peer).prove()?;
        } else {
            let Read::Whole(header) = reader::read(&self.side(peer).frame) else {
                return self.side(peer).judge_start();
            };
            self.side(peer).judge_start()?;
            self.side_mut(peer).judge(&header)?;
            let fate = self.fate(peer, &header, now, ask)?;
            self.side_mut(peer).judged = Some((header, fate));
            if fate == Fate::Pass {
                passed.extend_from_slice(&self.side(peer).frame);
                self.count(peer, &header);
            }
        }
        if self.side(peer).bytes_left() == 0 {
            self.end_frame(peer, now, passed)?;
        }
        Ok(())
    }

    /// What becomes of a frame whose header is allowed.
    fn fate(&mut self, peer: Peer, header: &Header, now: Duration, ask: Ask<'_>) -> Result<Fate, Reason> {
        let side = self.side_mut(peer);
        let discarded = side.message.as_ref().is_some_and(|message| message.discarded);
        if discarded && !header.is_control() {
            return Ok(Fate::Discard);
        }
        if peer == Peer::Client && !self.charge(header, now, ask)? {
            if let Some(message) = &mut self.client.message {
                message.discarded = true;
            }
            self.tally.client.dropped += 1;
            return Ok(Fate::Discard);
        }
        let side = self.side_mut(peer);
        let withheld = side.withholds(header)?;
        let ahead = header.is_control() && side.withholds_a_message();
        self.inflated.went_ahead += u64::from(ahead);
        Ok(if withheld { Fate::Withhold } else { Fate::Pass })
    }

    /// Charges all rates in turn; `false` where the message is to be discarded.
    fn charge(&mut self, header: &Header, now: Duration, ask: Ask<'_>) -> Result<bool, Reason> {
        let subjects = self.subjects;
        for (rate, own) in &mut self.rates {
            let tokens = match rate.count {
                Count::Messages => u64::from(header.starts_message()),
                Count::Bytes if header.is_control() => 0,
                Count::Bytes => header.payload_len,
                Count::ControlFrames => u64::from(header.is_control() && !header.is_close()),
            };
            let subject = match rate.per {
                Per::Connection | Per::Policy => 0,
                Per::Ip => subjects.address,
                Per::User => subjects.user,
            };
            let name = Name { count: rate.count, per: rate.per, quota: rate.quota, subject };
            let taken = match own {
                _ if tokens == 0 => Ok(()),
                Some(bucket) => bucket.take(tokens, now),
                None => ask(name, tokens),
            };
            if let Err(wait) = taken {
                self.wait = wait;
                if rate.drop && header.starts_message() {
                    return Ok(false);
                }
                return Err(match rate.count {
                    Count::Messages => Reason::MessageRate,
                    Count::Bytes => Reason::ByteRate,
                    Count::ControlFrames => Reason::ControlRate,
                });
            }
        }
        Ok(true)
    }

    fn end_frame(&mut self, peer: Peer, now: Duration, passed: &mut Vec<u8>) -> Result<(), Reason> {
        let close_timeout = self.policy.close_timeout;
        let side = self.side_mut(peer);
        let Some((header, fate)) = side.judged else { return Ok(()) };
        if fate == Fate::Withhold {
            let on = side.prove_end(&header)?;
            let inflated = side.message.as_ref().filter(|message| message.inflated && !header.is_control());
            match inflated.map(|message| message.bytes) {
                None => self.count(peer, &header),
                Some(bytes) if header.fin => {
                    self.messages(peer).allowed += 1;
                    self.messages(peer).bytes += bytes;
                    self.inflated.messages += 1;
                }
                Some(_) => {}
            }
            passed.extend(on);
        }
        let side = self.side_mut(peer);
        side.frame.clear();
        side.judged = None;
        if header.fin && !header.is_control() {
            side.message = None;
        }
        if header.is_close() {
            side.end = End::Closed;
            self.cut_at.get_or_insert(now + close_timeout);
        }
        Ok(())
    }

    fn count(&mut self, peer: Peer, header: &Header) {
        if !header.is_control() {
            self.messages(peer).allowed += u64::from(header.starts_message());
            self.messages(peer).bytes += header.payload_len;
        }
    }

    fn refuse(&mut self, reason: Reason, now: Duration) {
        if self.refused.is_none() {
            self.refused = Some(reason);
            self.cut_at.get_or_insert(now + self.policy.close_timeout);
            for side in [&mut self.client, &mut self.upstream] {
                if side.end == End::Open {
                    side.end = End::Closing;
                }
            }
        }
    }

    fn tell_refusal(&mut self) {
        let Some(reason) = self.refused else { return };
        self.told.push(Told::Closed(reason));
    }

    /// How long what goes on of a chunk may be: a paused stream must not grow.
    fn room(&mut self, peer: Peer, len: usize) -> usize {
        if peer == Peer::Client && self.held > 0 {
            self.held -= 1;
            len.max(PAUSED_ROOM)
        } else {
            usize::MAX
        }
    }

    /// Puts Postern's Close in the place of what follows, if this is where it goes; whether
    /// nothing more of the chunk goes on. A Close that has no room waits for the next chunk.
    fn close_at_boundary(&mut self, peer: Peer, room: usize, passed: &mut Vec<u8>) -> bool {
        let Some(reason) = self.refused else { return false };
        let side = self.side_mut(peer);
        let here = side.end == End::Closing && side.is_at_boundary();
        let close = close(reason, peer);
        if here && passed.len() + close.len() <= room {
            passed.extend(close);
            side.end = End::Closed;
        }
        here
    }

    fn side(&self, peer: Peer) -> &Side {
        match peer {
            Peer::Client => &self.client,
            Peer::Upstream => &self.upstream,
        }
    }

    fn side_mut(&mut self, peer: Peer) -> &mut Side {
        match peer {
            Peer::Client => &mut self.client,
            Peer::Upstream => &mut self.upstream,
        }
    }

    fn messages(&mut self, peer: Peer) -> &mut Messages {
        match peer {
            Peer::Client => &mut self.tally.client,
            Peer::Upstream => &mut self.tally.upstream,
        }
    }
}

/// How long what a paused stream holds may be, where its chunk is shorter.
const PAUSED_ROOM: usize = 4096;

/// Postern's Close in the place of what `peer` sends.
fn close(reason: Reason, peer: Peer) -> Vec<u8> {
    let consequence = reason.consequence();
    let body = [&consequence.close.to_be_bytes(), consequence.id.as_bytes()].concat();
    frame(0x88, &body, (peer == Peer::Client).then_some(MASK))
}
