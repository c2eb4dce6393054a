//! An open WebSocket: two lanes, and how they end.
//!
//! Owns what has passed, what may still pass and when whatever is left is cut. A refusal ends
//! both directions at their next frame boundary with a Close of the same code and reason, and
//! nothing follows it; a peer's own Close is passed on. Never reads a payload.

use std::time::Duration;

use postern_config::{OnExceed, Policy};

use crate::close;
use crate::lane::{Frame, Lane, LaneLimits, Peer, Step};
use crate::passage::Passage;
use crate::rate::{Bucket, Charged, Quota};
use crate::reason::Reason;
use crate::tally::Tally;

/// Both directions of an upgraded stream.
#[derive(Debug)]
pub(crate) struct Open {
    client: Side,
    upstream: Side,
    message_rates: Vec<MessageRate>,
    mask: [u8; 4],
    parked: bool,
    close_timeout: Duration,
    /// When what is left is cut, once a Close has been sent or passed.
    cut_at: Option<Duration>,
    /// When the right to the connection ends.
    expires_at: Option<Duration>,
    refused: Option<Reason>,
    tally: Tally,
}

/// What one peer sends, and how far it still goes.
#[derive(Debug)]
struct Side {
    lane: Lane,
    flow: Flow,
    /// Whether the message that is open is being discarded.
    dropping_message: bool,
    /// Whether the frame that is open is.
    dropping_frame: bool,
}

/// How far the bytes of a side still go.
#[derive(Debug)]
enum Flow {
    /// To its next frame boundary, where this Close takes their place.
    Closing(Vec<u8>),
    /// No further: a Close has gone.
    Ended,
    /// On.
    Passing,
}

#[derive(Debug)]
struct MessageRate {
    quota: Quota,
    bucket: Bucket,
    on_exceed: OnExceed,
}

/// What the timer found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Whatever is left is to be cut.
    Cut,
    /// The connection has been refused.
    Refused,
    /// Nothing.
    Nothing,
}

impl Open {
    pub(crate) fn new(policy: &Policy, mask: [u8; 4], expires_at: Option<Duration>) -> Self {
        let message_rates = policy
            .rates
            .iter()
            .filter(|rate| {
                rate.count == postern_config::Counted::Messages && rate.per == postern_config::Per::Connection
            })
            .map(|rate| MessageRate {
                quota: Quota::new(rate),
                bucket: Bucket::default(),
                on_exceed: rate.on_exceed,
            })
            .collect();
        Self {
            client: Side::new(Lane::new(Peer::Client, LaneLimits::client(&policy.messages))),
            upstream: Side::new(Lane::new(Peer::Upstream, LaneLimits::upstream(&policy.upstream_messages))),
            message_rates,
            mask,
            parked: false,
            close_timeout: policy.liveness.close_timeout,
            cut_at: None,
            expires_at,
            refused: None,
            tally: Tally::default(),
        }
    }

    /// Whether the stream towards the client, empty, is to be paused, so that a frame can be sent
    /// on it at any time: only where a frame may stand, and while one may come to be sent.
    pub(crate) fn park(&mut self) -> bool {
        self.parked = self.upstream.lane.at_boundary() && matches!(self.upstream.flow, Flow::Passing);
        self.parked
    }

    /// Why the connection was refused, once it was.
    pub(crate) fn refused(&self) -> Option<Reason> {
        self.refused
    }

    /// What was counted since this was last asked.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// When [`Open::on_time`] next has something to do.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.cut_at.or(self.expires_at)
    }

    /// Whether the next `len` bytes from `peer` pass as they are, unread.
    pub(crate) fn passes_unread(&self, peer: Peer, len: usize) -> bool {
        let side = match peer {
            Peer::Client => &self.client,
            Peer::Upstream => &self.upstream,
        };
        len > 0
            && matches!(side.flow, Flow::Passing)
            && !side.dropping_frame
            && side.lane.within_payload(len)
            // The last byte of a Close has to be seen going.
            && !side.lane.is_closing()
    }

    /// Counts `len` bytes that [`Open::passes_unread`] let by.
    pub(crate) fn pass_unread(&mut self, peer: Peer, len: usize) {
        self.side(peer).lane.skip_payload(len);
    }

    /// Judges a chunk from `peer`.
    pub(crate) fn on_bytes(&mut self, peer: Peer, chunk: &[u8], now: Duration) -> Passage {
        if peer == Peer::Upstream && !chunk.is_empty() {
            self.parked = false;
        }
        let mut passage = Passage::default();
        let mut position = 0;
        loop {
            let side = self.side(peer);
            match &side.flow {
                Flow::Ended => break,
                Flow::Closing(frame) if side.lane.at_boundary() => {
                    passage.insert(frame);
                    side.flow = Flow::Ended;
                    break;
                }
                Flow::Closing(_) | Flow::Passing => {}
            }
            match side.lane.step(chunk, position) {
                Step::End => break,
                Step::Frame(frame) => {
                    position = frame.range.end;
                    match self.judge_frame(peer, &frame, now) {
                        Ok(true) => {
                            passage.pass_held(frame.held);
                            passage.pass(chunk, frame.range);
                        }
                        Ok(false) => {}
                        Err(reason) => {
                            // The lane has gone past the header, but nothing of the frame has passed.
                            self.side(peer).lane.forget_payload();
                            self.refuse(reason, now);
                        }
                    }
                }
                Step::Payload(range) => {
                    position = range.end;
                    if !side.dropping_frame {
                        passage.pass(chunk, range);
                    }
                }
                Step::Violation(reason) => {
                    self.tally.message(peer, Err(reason));
                    self.refuse(reason, now);
                }
            }
            let side = self.side(peer);
            if side.lane.is_closed() && !matches!(side.flow, Flow::Ended) {
                // Also where a Close of Postern's own was to follow: one is enough.
                side.flow = Flow::Ended;
                self.cut_at.get_or_insert(now.saturating_add(self.close_timeout));
            }
        }
        passage
    }

    /// Ends the connection by Postern's will. What can go to the client at once is returned by
    /// [`Open::take_parked_close`].
    pub(crate) fn refuse(&mut self, reason: Reason, now: Duration) {
        if self.refused.is_some() {
            return;
        }
        self.refused = Some(reason);
        self.cut_at.get_or_insert(now.saturating_add(self.close_timeout));
        self.client.end_with(close::to_upstream(reason, self.mask));
        self.upstream.end_with(close::to_client(reason));
    }

    /// The Close for the client, where it need not wait for a chunk to take the place of.
    pub(crate) fn take_parked_close(&mut self) -> Option<Vec<u8>> {
        if !self.parked || !matches!(self.upstream.flow, Flow::Closing(_)) {
            return None;
        }
        self.parked = false;
        match std::mem::replace(&mut self.upstream.flow, Flow::Ended) {
            Flow::Closing(frame) => Some(frame),
            Flow::Ended | Flow::Passing => None,
        }
    }

    /// Does what is due at `now`.
    pub(crate) fn on_time(&mut self, now: Duration) -> Due {
        if self.cut_at.is_some_and(|at| at <= now) {
            return Due::Cut;
        }
        if self.cut_at.is_none() && self.expires_at.is_some_and(|at| at <= now) {
            self.refuse(Reason::TokenExpired, now);
            return Due::Refused;
        }
        Due::Nothing
    }

    /// Whether a frame passes; `Err` ends the connection.
    fn judge_frame(&mut self, peer: Peer, frame: &Frame, now: Duration) -> Result<bool, Reason> {
        if frame.header.opcode.is_control() {
            self.side(peer).dropping_frame = false;
            return Ok(true);
        }
        if frame.starts_message {
            let verdict = if peer == Peer::Client { self.charge_message(now) } else { Ok(true) };
            self.tally.message(peer, verdict);
            self.side(peer).dropping_message = !verdict?;
        }
        let side = self.side(peer);
        side.dropping_frame = side.dropping_message;
        if side.dropping_frame {
            return Ok(false);
        }
        self.tally.bytes(peer, frame.header.payload_len);
        Ok(true)
    }

    /// Takes a token for a message from every bucket; `Ok(false)` discards it.
    fn charge_message(&mut self, now: Duration) -> Result<bool, Reason> {
        let mut passes = true;
        for rate in &mut self.message_rates {
            if rate.bucket.take(rate.quota, 1, now) == Charged::Taken {
                continue;
            }
            match rate.on_exceed {
                OnExceed::Drop => passes = false,
                OnExceed::Close | OnExceed::Deny => return Err(Reason::MessageRate),
            }
        }
        Ok(passes)
    }

    fn side(&mut self, peer: Peer) -> &mut Side {
        match peer {
            Peer::Client => &mut self.client,
            Peer::Upstream => &mut self.upstream,
        }
    }
}

impl Side {
    fn new(lane: Lane) -> Self {
        Self { lane, flow: Flow::Passing, dropping_message: false, dropping_frame: false }
    }

    fn end_with(&mut self, close: Vec<u8>) {
        if matches!(self.flow, Flow::Passing) {
            self.flow = Flow::Closing(close);
        }
    }
}
