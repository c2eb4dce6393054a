//! What an open connection is to do, said as plainly as it can be.
//!
//! The model reads one byte at a time, keeps what it has read, and shares no code with the engine
//! but the table of reasons.

use std::time::Duration;

use postern_engine::{Messages, Peer, Reason, Tally};

use crate::buckets::{Bucket, Name};
use crate::policy::{Count, Limits, Per, Policy, Rate};
use crate::reader::{self, Header, Read};
use crate::support::{MASK, frame};

/// A connection that the upstream has agreed to.
#[derive(Debug)]
pub(crate) struct Model<'p> {
    policy: &'p Policy,
    rates: Vec<(Rate, Option<Bucket>)>,
    subjects: Subjects,
    client: Side,
    upstream: Side,
    parked: bool,
    refused: Option<Reason>,
    cut_at: Option<Duration>,
    expires_at: Option<Duration>,
    cut: bool,
    /// What is to be done, since it was last taken.
    pub(crate) told: Vec<Told>,
    /// What was counted, since it was last taken.
    pub(crate) tally: Tally,
    /// What the last bucket that was empty said how long it would be.
    pub(crate) wait: Duration,
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
    Park,
    Reset,
    SendToClient(Vec<u8>),
}

/// What a shared bucket says: that the tokens were there, or how long to wait for them.
pub(crate) type Ask<'a> = &'a mut dyn FnMut(Name, u64) -> Result<(), Duration>;

#[derive(Debug)]
struct Side {
    peer: Peer,
    limits: Limits,
    /// The bytes of the frame that is open.
    frame: Vec<u8>,
    /// Its header, once it has been let through, and what becomes of the frame.
    judged: Option<(Header, Fate)>,
    message: Option<Message>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pass,
    Withhold,
    Discard,
}

/// A message that is open.
#[derive(Debug, Default)]
struct Message {
    text: bool,
    discarded: bool,
    bytes: u64,
    fragments: u64,
    /// What it reads as so far, where that matters.
    read: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Bytes pass.
    Open,
    /// A Close of Postern's follows at the next boundary.
    Closing,
    /// A Close has passed.
    Closed,
}

impl<'p> Model<'p> {
    pub(crate) fn new(
        policy: &'p Policy,
        subjects: Subjects,
        expires_at: Option<Duration>,
        now: Duration,
    ) -> Self {
        let own = |rate: &Rate| (rate.per == Per::Connection).then(|| Bucket::full(rate.quota, now));
        let mut rates: Vec<_> = policy.rates.iter().map(|rate| (*rate, own(rate))).collect();
        rates.sort_by_key(|(rate, _)| rate.count);
        Self {
            policy,
            rates,
            subjects,
            client: Side::new(Peer::Client, policy.client),
            upstream: Side::new(Peer::Upstream, policy.upstream),
            parked: false,
            refused: None,
            cut_at: None,
            expires_at,
            cut: false,
            told: Vec::new(),
            tally: Tally::default(),
            wait: Duration::ZERO,
        }
    }

    /// When time next changes something.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        if self.cut { None } else { self.cut_at.or(self.expires_at) }
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether a chunk of `len` bytes is payload that nobody reads.
    pub(crate) fn passes_unread(&self, peer: Peer, len: usize) -> bool {
        let side = self.side(peer);
        let left = side.judged.filter(|(_, fate)| *fate == Fate::Pass).map_or(0, |_| side.bytes_left());
        !self.cut && side.end == End::Open && len > 0 && left >= len as u64
    }

    pub(crate) fn response_starts(&mut self) {
        self.parked = !self.cut && self.upstream.end == End::Open && self.upstream.is_at_boundary();
        if self.parked {
            self.told.push(Told::Park);
        }
    }

    pub(crate) fn time_passes(&mut self, now: Duration) {
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
        if peer == Peer::Upstream && !chunk.is_empty() {
            self.parked = false;
        }
        let was_refused = self.refused.is_some();
        self.close_at_boundary(peer, &mut passed);
        for byte in chunk {
            if self.side(peer).end == End::Closed {
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
            self.close_at_boundary(peer, &mut passed);
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
        let side = self.side(peer);
        let text = side.message.as_ref().is_some_and(|message| message.text);
        let proved = header.is_close() || (side.limits.utf8 && text && !header.is_control());
        Ok(if proved { Fate::Withhold } else { Fate::Pass })
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
            side.prove_end(&header)?;
            passed.extend_from_slice(&side.frame);
            if !header.is_close() {
                self.count(peer, &header);
            }
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
        if self.parked && self.upstream.end == End::Closing {
            self.parked = false;
            self.upstream.end = End::Closed;
            self.told.push(Told::SendToClient(close(reason, Peer::Upstream)));
        }
    }

    fn close_at_boundary(&mut self, peer: Peer, passed: &mut Vec<u8>) {
        let Some(reason) = self.refused else { return };
        let side = self.side_mut(peer);
        if side.end == End::Closing && side.is_at_boundary() {
            passed.extend(close(reason, peer));
            side.end = End::Closed;
        }
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

impl Side {
    fn new(peer: Peer, limits: Limits) -> Self {
        Self { peer, limits, frame: Vec::new(), judged: None, message: None, end: End::Open }
    }

    /// Whether what went on ends with a whole frame.
    fn is_at_boundary(&self) -> bool {
        self.judged.is_none_or(|(_, fate)| fate != Fate::Pass)
    }

    /// How much of the open frame has not come.
    fn bytes_left(&self) -> u64 {
        self.judged.map_or(0, |(header, _)| header.len as u64 + header.payload_len - self.frame.len() as u64)
    }

    /// Judges what has come of a header.
    fn judge_start(&self) -> Result<(), Reason> {
        let broken = || Err(Reason::ProtocolError);
        let Some(first) = self.frame.first() else { return Ok(()) };
        let (opcode, fin) = (first & 0x0f, first & 0x80 != 0);
        let in_place = match opcode {
            0 => self.message.is_some(),
            1 | 2 => self.message.is_none(),
            8..=10 => fin,
            _ => false,
        };
        if first & 0x70 != 0 || !in_place {
            return broken();
        }
        let Some(second) = self.frame.get(1) else { return Ok(()) };
        if (second & 0x80 != 0) != (self.peer == Peer::Client) {
            return broken();
        }
        let short_len = second & 0x7f;
        if opcode >= 8 && (short_len > 125 || (opcode == 8 && short_len == 1)) {
            return broken();
        }
        if let Read::NotMinimal = reader::read(&self.frame) {
            return broken();
        }
        Ok(())
    }

    /// Judges a whole header by the limits, and opens its message.
    fn judge(&mut self, header: &Header) -> Result<(), Reason> {
        if header.is_control() {
            return Ok(());
        }
        let limits = self.limits;
        if (header.opcode == 1 && !limits.text) || (header.opcode == 2 && !limits.binary) {
            return Err(Reason::TypeDenied);
        }
        if header.payload_len > limits.max_frame {
            return Err(Reason::FrameTooBig);
        }
        let message =
            self.message.get_or_insert_with(|| Message { text: header.opcode == 1, ..Message::default() });
        message.bytes += header.payload_len;
        message.fragments += 1;
        if message.bytes > limits.max_message {
            return Err(Reason::MessageTooBig);
        }
        if message.fragments > limits.max_fragments {
            return Err(Reason::TooManyFragments);
        }
        Ok(())
    }

    /// Reads the last byte of the payload, where it has to be proved.
    fn prove(&mut self) -> Result<(), Reason> {
        let Some((header, Fate::Withhold)) = self.judged else { return Ok(()) };
        if header.is_close() {
            let body = header.plain(&self.frame);
            let begins = |code: u16| code.to_be_bytes().iter().zip(&body).all(|(byte, came)| byte == came);
            if !(1000..=1003).chain(1007..=1014).chain(3000..=4999).any(begins) {
                return Err(Reason::ProtocolError);
            }
            if is_hopeless(body.get(2..).unwrap_or_default()) {
                return Err(Reason::InvalidUtf8);
            }
        } else if let (Some(message), Some(byte)) = (&mut self.message, header.plain(&self.frame).last()) {
            message.read.push(*byte);
            if is_hopeless(&message.read) {
                return Err(Reason::InvalidUtf8);
            }
        }
        Ok(())
    }

    fn prove_end(&self, header: &Header) -> Result<(), Reason> {
        let body = header.plain(&self.frame);
        let text = match &self.message {
            _ if header.is_close() => body.get(2..).unwrap_or_default(),
            Some(message) if header.fin => &message.read,
            _ => return Ok(()),
        };
        if std::str::from_utf8(text).is_err() { Err(Reason::InvalidUtf8) } else { Ok(()) }
    }
}

/// Whether no more bytes can make this UTF-8.
fn is_hopeless(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_err_and(|error| error.error_len().is_some())
}

/// Postern's Close in the place of what `peer` sends.
fn close(reason: Reason, peer: Peer) -> Vec<u8> {
    let consequence = reason.consequence();
    let body = [&consequence.close.to_be_bytes(), consequence.id.as_bytes()].concat();
    frame(0x88, &body, (peer == Peer::Client).then_some(MASK))
}
