//! An open WebSocket: two directions, and how they end.
//!
//! Owns what has passed, what may still pass and when whatever is left is cut. A refusal ends
//! both directions at their next frame boundary with a Close of the same code and reason, and
//! nothing follows it; a peer's own Close is passed on.

pub(crate) mod proof;
pub(crate) mod rates;
mod side;
mod withheld;

use std::time::Duration;

use postern_config::Policy;

use crate::chunk::{Chunk, Unreadable};
use crate::close;
use crate::handshake::Deflate;
use crate::lane::{Frame, Peer, Step};
use crate::passage::Passage;
use crate::rate::{Charge, Outcome};
use crate::reason::Reason;
use crate::tally::Tally;
use rates::{Charging, Next, Rates};
use side::{Flow, Side, Stop};

/// Both directions of an upgraded stream.
#[derive(Debug)]
pub(crate) struct Open {
    client: Side,
    upstream: Side,
    rates: Rates,
    mask: [u8; 4],
    parked: bool,
    close_timeout: Duration,
    /// When what is left is cut, once a Close has been sent or passed.
    cut_at: Option<Duration>,
    /// When the right to the connection ends.
    expires_at: Option<Duration>,
    refused: Option<Reason>,
    /// The client's chunk that waits for a bucket's answer, as far as it was judged.
    asking: Option<(Passage, Charged)>,
    tally: Tally,
}

/// What the handshake settled for the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// When the right to it ends.
    pub(crate) expires_at: Option<Duration>,
    /// The key that masks Postern's own frames to the upstream.
    pub(crate) mask: [u8; 4],
    /// How much the client may send.
    pub(crate) rates: Rates,
}

/// A frame of the client on its way through the rates.
#[derive(Debug)]
struct Charged {
    frame: Frame,
    charging: Charging,
    /// Set by an answer that decides.
    decided: Option<Next>,
}

/// What became of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    /// This goes on of it.
    Passage(Passage),
    /// A bucket is to be charged. Its answer is the next input, and then the same chunk is judged
    /// on.
    Ask(Charge),
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
    pub(crate) fn new(policy: &Policy, terms: Terms, deflate: Option<Deflate>) -> Self {
        let (client, server) = deflate.map(|Deflate { client, server }| (client, server)).unzip();
        Self {
            client: Side::client(policy, client),
            upstream: Side::upstream(policy, server),
            rates: terms.rates,
            mask: terms.mask,
            parked: false,
            close_timeout: policy.liveness.close_timeout,
            cut_at: None,
            expires_at: terms.expires_at,
            refused: None,
            asking: None,
            tally: Tally::default(),
        }
    }

    /// Whether the stream towards the client, empty, is to be paused, so that a frame can be sent
    /// on it at any time: only where a frame may stand, and while one may come to be sent.
    pub(crate) fn park(&mut self) -> bool {
        self.parked = self.upstream.at_boundary() && matches!(self.upstream.flow, Flow::Passing);
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

    /// Whether the next `len` bytes from `peer` pass as they are, unread. If so, they count as
    /// passed.
    pub(crate) fn pass_unread(&mut self, peer: Peer, len: usize) -> bool {
        match peer {
            Peer::Client => self.client.pass_unread(len),
            Peer::Upstream => self.upstream.pass_unread(len),
        }
    }

    /// Takes the answer of the bucket that [`Judged::Ask`] named.
    pub(crate) fn answer(&mut self, outcome: Outcome) {
        if let Some((_, charged)) = &mut self.asking {
            charged.decided = self.rates.answer(&mut charged.charging, outcome);
        }
    }

    /// Judges a chunk from `peer`.
    pub(crate) fn on_bytes(
        &mut self,
        peer: Peer,
        chunk: &mut impl Chunk,
        now: Duration,
    ) -> Result<Judged, Unreadable> {
        if peer == Peer::Upstream && !chunk.is_empty() {
            self.parked = false;
        }
        let waiting = if peer == Peer::Client { self.asking.take() } else { None };
        let mut position = waiting.as_ref().map_or(0, |(_, charged)| charged.frame.range.end);
        let (mut passage, mut charged) =
            waiting.map_or_else(Default::default, |(passage, charged)| (passage, Some(charged)));
        loop {
            let Self { client, upstream, rates, tally, .. } = self;
            let side = match peer {
                Peer::Client => client,
                Peer::Upstream => upstream,
            };
            let taken = if let Some(mut frame) = charged.take() {
                match frame.decided.take().unwrap_or_else(|| rates.charge(&mut frame.charging, now)) {
                    Next::Ask(charge) => {
                        self.asking = Some((passage, frame));
                        return Ok(Judged::Ask(charge));
                    }
                    Next::Discard => {
                        tally.message(peer, Ok(false));
                        side.discard_frame();
                        Ok(())
                    }
                    Next::Pass => side.begin_frame(frame.frame, chunk, &mut position, &mut passage, tally),
                    Next::Refuse(reason) => Err(Stop::Refused(reason)),
                }
            } else {
                if side.ends_here(&mut passage) {
                    break;
                }
                if side.may_skim() && position < chunk.len() && (peer == Peer::Upstream || rates.is_empty()) {
                    position = side.skim(position, chunk, &mut passage, tally)?;
                }
                match side.lane.step(chunk, position)? {
                    Step::End => {
                        side.end_chunk(chunk)?;
                        break;
                    }
                    Step::Frame(frame) => {
                        position = frame.range.end;
                        if side.is_discarded(&frame) {
                            side.discard_frame();
                            Ok(())
                        } else if peer == Peer::Client && !rates.is_empty() {
                            charged = Some(Charged::new(frame));
                            continue;
                        } else {
                            side.begin_frame(frame, chunk, &mut position, &mut passage, tally)
                        }
                    }
                    Step::Payload(range) => {
                        position = range.end;
                        side.take_payload(range, chunk, &mut passage, tally)
                    }
                    Step::Violation(reason) => Err(Stop::Refused(reason)),
                }
            };
            match taken {
                Ok(()) => {}
                Err(Stop::Unreadable) => return Err(Unreadable),
                Err(Stop::Refused(reason)) => {
                    side.forget_frame();
                    tally.message(peer, Err(reason));
                    self.refuse(reason, now);
                    continue;
                }
            }
            if side.lane.is_closed() {
                side.end();
                self.cut_at.get_or_insert(now.saturating_add(self.close_timeout));
            }
        }
        Ok(Judged::Passage(passage))
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
}

impl Charged {
    fn new(frame: Frame) -> Self {
        let charging = Charging::new(frame.header.opcode, frame.starts_message, frame.header.payload_len);
        Self { frame, charging, decided: None }
    }
}
