//! An open WebSocket: two directions, and how they end.
//!
//! Owns what has passed, what may still pass and when whatever is left is cut. A refusal ends
//! both directions at their next frame boundary with a Close of the same code and reason, and
//! nothing follows it; a peer's own Close is passed on. What Postern says by itself, and when, is
//! decided by [`parking`] and [`deadlines`]; what the client says to Postern, in [`in_band`].

mod authentication;
mod backlog;
mod candidate;
mod deadlines;
mod direction;
pub(crate) mod grant;
mod hold;
mod in_band;
mod notices;
mod own_frames;
mod parking;
mod passage;
pub(crate) mod ping;
mod plain;
pub(crate) mod proof;
mod queued_input;
pub(crate) mod rates;
mod silence;
mod upload;
mod waiting;
mod withheld;

use std::rc::Rc;
use std::time::Duration;

use crate::auth::revocation::RevocationSubject;
use crate::auth::single_use::{Spent, Ticket};
use crate::decision::detail::Detail;
use crate::decision::reason::Reason;
use crate::handshake::Deflate;
use crate::memory::blocks::Blocks;
use crate::metrics::tally::{Counts, Tally};
use crate::rate::{Charge, Outcome};
use crate::ruleset::Ruleset;
use crate::websocket::OpCode;
use crate::websocket::frame_reader::{Fault, Frame, Peer, Step};
use crate::websocket::{Chunk, Start, Unreadable};
use authentication::Authentication;
use backlog::{Backlog, NoRoom};
use candidate::Candidate;
use deadlines::Deadlines;
pub(crate) use deadlines::Ends;
pub(crate) use direction::MAX_WITHHELD_HEADERS;
use direction::{Direction, Stop};
use grant::Grant;
use hold::Holds;
use in_band::Unheard;
use notices::Notices;
use parking::{MayAsk, Parking};
pub use passage::{Passage, Piece};
use ping::PingKey;
use queued_input::QueuedInput;
use rates::{Charging, Next, Rates};
use silence::Brought;
use upload::Upload;
use waiting::Waiting;

/// Both directions of an upgraded stream.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Direction,
    upstream: Direction,
    rates: Rates,
    mask: [u8; 4],
    parking: Parking,
    /// How many chunks of the client are still to come of which the host holds the bytes paused,
    /// though their stream is not parked: what it has sent before the agreement, and the next.
    held_early: u8,
    deadlines: Deadlines,
    backlog: Backlog,
    /// What the client has sent; absent while that is nothing.
    upload: Option<Box<Upload>>,
    /// Since when messages are kept back; absent as long as none has been.
    holds: Option<Box<Holds>>,
    refused: Option<Reason>,
    /// What was wrong with the token that ended it.
    detail: Option<Box<Detail>>,
    /// What goes on the parked streams at once.
    sends: Vec<(Peer, Vec<u8>)>,
    /// The client's chunk that waits for an answer.
    asking: Waiting<Asking>,
    tally: Counts,
    /// By what right it is open, under a policy that asks for one.
    grant: Option<Box<Grant>>,
    authentication: Authentication,
    /// What waits behind a first message that cannot be judged yet.
    queued: Option<Box<QueuedInput>>,
    notices: Notices,
    /// What the upstream sent before the client was authenticated, which goes to the client at once.
    delivery: Option<Blocks>,
    /// Whether the host holds the upstream's next chunk paused, though its stream is not parked: such
    /// a delivery ended within a frame.
    paused_once: bool,
    /// The same, where its stream is not parked: it goes ahead of the next chunk.
    late: Blocks,
}

/// What the handshake settled for the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// When it ends.
    pub(crate) ends: Ends,
    /// What Postern's own Pings are made of.
    pub(crate) ping_key: PingKey,
    /// The key that masks Postern's own frames to the upstream.
    pub(crate) mask: [u8; 4],
    /// How much the client may send.
    pub(crate) rates: Rates,
    /// By what right it is open, under a policy that asks for one.
    pub(crate) grant: Option<Box<Grant>>,
}

/// A chunk of the client as far as it was judged.
#[derive(Debug, Default)]
struct Asking {
    passage: Passage,
    position: usize,
    /// The frame that is being charged; without one it is a message that is heard.
    charged: Option<Charged>,
}

/// What has become of the stream towards the upstream before it agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Early {
    /// Nothing.
    #[default]
    Flowing,
    /// It is paused, and holds what the client has sent too early.
    Held,
    /// It is paused and holds nothing.
    Parked,
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
    /// A token is to be spent. Its answer is the next input, and then the same chunk is judged on.
    Spend(Ticket),
}

impl Connection {
    /// A connection that was agreed on at `now`.
    pub(crate) fn new(
        ruleset: &Rc<Ruleset>,
        terms: Terms,
        deflate: Option<Deflate>,
        early: Early,
        now: Duration,
    ) -> Self {
        let policy = &ruleset.policy;
        let (client, server) = deflate.map(|Deflate { client, server }| (client, server)).unzip();
        let mut open = Self {
            client: Direction::client(policy, client),
            upstream: Direction::upstream(policy, server),
            rates: terms.rates,
            mask: terms.mask,
            parking: Parking::new(terms.ping_key, early == Early::Parked, MayAsk::of(policy)),
            held_early: if early == Early::Held { 2 } else { 0 },
            deadlines: Deadlines::new(Rc::clone(ruleset), terms.ends, now),
            backlog: Backlog::new(policy.backpressure),
            upload: None,
            holds: None,
            refused: None,
            detail: None,
            sends: Vec::new(),
            asking: Waiting::default(),
            tally: Counts::default(),
            grant: terms.grant,
            authentication: Authentication::Open,
            queued: None,
            notices: Notices::default(),
            delivery: None,
            paused_once: false,
            late: Blocks::default(),
        };
        open.begin(now);
        open
    }

    /// Why the connection was refused, once it was.
    pub(crate) fn refused(&self) -> Option<Reason> {
        self.refused
    }

    /// Whose connection it is, once that is known.
    pub(crate) fn revocation_subject(&self) -> Option<&RevocationSubject> {
        self.grant.as_ref().and_then(|grant| grant.revocation_subject())
    }

    /// What was wrong with what ended the connection.
    pub(crate) fn detail(&self) -> Option<Detail> {
        self.detail.as_deref().cloned()
    }

    /// What was counted since this was last asked; `is_over` where it is asked for the last time.
    pub(crate) fn take_tally(&mut self, is_over: bool) -> Tally {
        let backlog = self.backlog.take_most();
        let heartbeats = self.parking.count(is_over || self.deadlines.is_closing());
        Tally { backlog, heartbeats, ..self.tally.take() }
    }

    /// Frames that go to these receivers at once, on streams that were parked.
    pub(crate) fn take_sends(&mut self) -> Vec<(Peer, Vec<u8>)> {
        std::mem::take(&mut self.sends)
    }

    /// What waited for the client to be authenticated, and goes to it at once, on a stream that was
    /// parked. What of [`Connection::take_sends`] is for it follows.
    pub(crate) fn take_delivery(&mut self) -> Option<Blocks> {
        self.delivery.take()
    }

    /// When [`Connection::on_time`] next has something to do.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.deadlines.next(self.under_way())
    }

    /// What has passed unread did so by `now`.
    pub(crate) fn note_time(&mut self, now: Duration) {
        if self.deadlines.has_moved() {
            self.excuse_unread(now);
        }
        self.note_upload(0, now);
        self.deadlines.note_time(now);
        self.look_for_proof(now);
    }

    /// The clock was set back by so much.
    pub(crate) fn set_back(&mut self, by: Duration) {
        self.deadlines.set_back(by);
        self.backlog.set_back(by);
        if let Some(holds) = &mut self.holds {
            holds.set_back(by);
        }
        if let Some(grant) = &mut self.grant {
            grant.set_back(by);
        }
        if let Some(upload) = &mut self.upload {
            upload.set_back(by);
        }
    }

    /// The policy goes away: the connection ends by `at`.
    pub(crate) fn drain(&mut self, at: Duration) {
        self.deadlines.drain(at);
    }

    /// The host did not let anything be put into a parked stream.
    pub(crate) fn give_up_parking(&mut self, now: Duration) {
        self.parking.give_up();
        self.deadlines.expect_no_pong(now);
    }

    /// Whether the next `len` bytes from `peer` pass as they are, unread. If so, they count as
    /// passed.
    pub(crate) fn pass_unread(&mut self, peer: Peer, len: usize) -> bool {
        match peer {
            Peer::Client => {
                // What the host holds paused has to be resumed.
                let passes = self.held_early == 0 && self.client.pass_unread(len);
                if passes {
                    self.note_unread(len);
                }
                passes
            }
            Peer::Upstream => {
                let is_plain = self.authentication.is_open() && !self.paused_once && self.late.is_empty();
                let parked = self.parking.of(Peer::Client).is_parked();
                let passes = is_plain && !parked && self.upstream.pass_unread(len);
                if passes {
                    self.backlog.add(len);
                    self.deadlines.note_upstream_unread(len);
                }
                passes
            }
        }
    }

    /// Takes the answer of the bucket that [`Judged::Ask`] named.
    pub(crate) fn answer(&mut self, outcome: Outcome) {
        if let Some(charged) = self.asking.as_mut().and_then(|asking| asking.charged.as_mut()) {
            charged.decided = self.rates.answer(&mut charged.charging, outcome);
        } else if let Some(grant) = &mut self.grant {
            grant.answer(outcome);
        }
    }

    /// Takes the answer to the ticket that [`Judged::Spend`] gave out.
    pub(crate) fn spent(&mut self, spent: Spent) {
        if let Some(grant) = &mut self.grant {
            grant.spent(spent);
        }
    }

    /// Judges a chunk from `peer`.
    pub(crate) fn on_bytes(
        &mut self,
        peer: Peer,
        chunk: &mut impl Chunk,
        now: Duration,
    ) -> Result<Judged, Unreadable> {
        let was_parked = self.parking.of(peer.other()).unpark();
        // What a parked stream may come to hold.
        let mut is_paused = was_parked;
        let mut held = if peer == Peer::Client { self.queued.take() } else { None };
        if held.as_ref().is_some_and(|held| !held.released) {
            // The host has given back what it held, so that the chunk behind this one is its own.
            self.held_early = 1;
        }
        if peer == Peer::Client && self.held_early > 0 {
            self.held_early -= 1;
            is_paused = true;
        }
        let waiting = if peer == Peer::Client { self.asking.take() } else { None };
        let Asking { mut passage, mut position, mut charged } = waiting.unwrap_or_default();
        if peer == Peer::Upstream {
            passage.release(std::mem::take(&mut self.late));
            is_paused |= std::mem::take(&mut self.paused_once);
        }
        let room = if is_paused { chunk.len().max(parking::ROOM) } else { usize::MAX };
        // How much may go on at most, but for what is put in.
        let mut most = chunk.len().saturating_add(passage.len()).saturating_add(self.upstream.withheld());
        // Where the client is to be asked in it what it has read; at its end that is done anyway.
        let mut proof_at = match peer {
            Peer::Client => None,
            Peer::Upstream => self.proof_at(position, passage.len(), now).filter(|at| *at < chunk.len()),
        };
        let was_within = !self.upstream.at_boundary();
        // What of this chunk and of the frame that was open is still to go to the client.
        let mut ahead = self.upstream.reader.payload_left();
        let mut brought = Brought { len: chunk.len(), ..Brought::default() };
        loop {
            if peer == Peer::Client && self.client.is_heard() {
                match self.hear(held.as_deref(), &mut passage, now) {
                    Ok(()) => {}
                    Err(Unheard::Asks(question)) => {
                        let asking = Asking { passage, position, charged: None };
                        self.note_frame(brought, now);
                        self.wait_for_answer(was_parked, is_paused, asking);
                        return Ok(question);
                    }
                    Err(Unheard::Waits) => {
                        self.note_frame(brought, now);
                        if let Some(passage) = self.hold_behind(held.take(), chunk, position, now)? {
                            return Ok(Judged::Passage(passage));
                        }
                        continue;
                    }
                }
            } else if peer == Peer::Upstream && self.notices.waits() {
                self.speak_between(&mut passage, chunk.len(), room, now);
            } else if proof_at.is_some_and(|at| at <= position)
                && position < chunk.len()
                && self.upstream.at_boundary()
            {
                proof_at = self.prove_between(position, &mut passage, &mut most, room, now);
            }
            let Self { client, upstream, rates, tally, parking, backlog, authentication, queued, .. } = self;
            let direction = match peer {
                Peer::Client => client,
                Peer::Upstream => upstream,
            };
            brought.begins_frame |= direction.reader.is_between_frames();
            brought.begins_message |= direction.kept_back().is_none();
            // The frame that begins to pass, if it is one that has to do with Pings.
            let mut control = None;
            let taken = if let Some(mut frame) = charged.take() {
                match frame.decided.take().unwrap_or_else(|| rates.charge(&mut frame.charging, now)) {
                    Next::Ask(charge) => {
                        let charged = Some(frame);
                        self.note_frame(brought, now);
                        self.wait_for_answer(was_parked, is_paused, Asking { passage, position, charged });
                        return Ok(Judged::Ask(charge));
                    }
                    Next::Discard => {
                        tally.message(peer, Ok(false));
                        direction.discard_frame();
                        Ok(())
                    }
                    Next::Pass if direction.candidate.take_if(|pong| pong.is_answer).is_some() => Ok(()),
                    Next::Pass => {
                        control = Some(frame.frame.header.opcode);
                        if direction.candidate.is_some() {
                            direction.release_candidate(&mut passage);
                            Ok(())
                        } else {
                            direction.begin_frame(frame.frame, chunk, &mut position, &mut passage, tally)
                        }
                    }
                    Next::Refuse(reason) => Err(Stop::Refused(reason)),
                }
            } else {
                if direction.ends_here(&mut passage, room) {
                    break;
                }
                let uncounted = match peer {
                    Peer::Client => rates.is_empty(),
                    Peer::Upstream => !backlog.is_limited(),
                };
                if uncounted && authentication.is_open() && position < chunk.len() && direction.may_skim() {
                    position = match proof_at {
                        Some(at) => {
                            direction.skim(position, &mut Start::new(chunk, at), &mut passage, tally)?
                        }
                        None => direction.skim(position, chunk, &mut passage, tally)?,
                    };
                }
                match direction.reader.step(chunk, position)? {
                    Step::End => {
                        direction.end_chunk(chunk)?;
                        break;
                    }
                    Step::Frame(frame) => {
                        position = frame.range.end;
                        brought.payload_len = Some(frame.header.payload_len);
                        let queued = queued.as_ref().map_or(0, |queued| queued.len);
                        if frame.lacks_mask(peer) && !parking.of(peer).may_answer() {
                            Err(Fault::NotMasked.into())
                        } else if let Err(reason) =
                            authentication.judge(peer, &frame.header, &mut passage, queued)
                        {
                            Err(Stop::Refused(reason))
                        } else if direction.is_discarded(&frame) {
                            direction.discard_frame();
                            Ok(())
                        } else if Candidate::fits(&frame.header) && parking.of(peer).may_answer() {
                            direction.examine_frame(frame, chunk)?;
                            Ok(())
                        } else if peer == Peer::Client && !rates.is_empty() {
                            charged = Some(Charged::new(frame));
                            continue;
                        } else if peer == Peer::Upstream
                            && let Err(no_room) = backlog.judge(&frame.header, frame.starts_message, ahead)
                        {
                            match no_room {
                                NoRoom::Close => Err(Stop::Refused(Reason::BacklogExceeded)),
                                NoRoom::Discard => {
                                    tally.message(peer, Ok(false));
                                    direction.discard_frame();
                                    Ok(())
                                }
                            }
                        } else {
                            ahead = ahead.saturating_add(frame.header.payload_len + frame.header.len as u64);
                            control = Some(frame.header.opcode);
                            direction.begin_frame(frame, chunk, &mut position, &mut passage, tally)
                        }
                    }
                    Step::Payload(range) => {
                        position = range.end;
                        let taken = direction.take_payload(range, chunk, &mut passage, tally);
                        if let Some(candidate) = direction.candidate.as_mut().filter(|pong| pong.is_whole()) {
                            let payload = candidate.payload();
                            // To say it once is free.
                            let is_charged = peer == Peer::Client
                                && !rates.is_empty()
                                && parking.is_answered(peer, &payload);
                            if let Some(read) = parking.take_answer(peer, &payload) {
                                if is_charged {
                                    candidate.is_answer = true;
                                    charged = Some(Charged::new(candidate.frame(position)));
                                } else {
                                    direction.candidate = None;
                                }
                                self.on_answer(peer, read, now);
                                continue;
                            }
                            let frame = candidate.frame(position);
                            if frame.lacks_mask(peer) {
                                Err(Fault::NotMasked.into())
                            } else if peer == Peer::Client && !rates.is_empty() {
                                charged = Some(Charged::new(frame));
                                continue;
                            } else {
                                control = Some(OpCode::PONG);
                                direction.release_candidate(&mut passage);
                                taken
                            }
                        } else {
                            taken
                        }
                    }
                    Step::Violation(_, Some(fault)) => Err(fault.into()),
                    Step::Violation(reason, None) => Err(Stop::Refused(direction.refusal_by(reason))),
                }
            };
            let (refused, fault) = match taken {
                Ok(()) => (None, None),
                Err(Stop::Unreadable) => return Err(Unreadable),
                Err(Stop::Broken(fault)) => (Some(Reason::ProtocolError), Some(fault)),
                Err(Stop::Refused(reason)) => (Some(reason), None),
            };
            if let Some(reason) = refused {
                direction.forget_frame();
                tally.message(peer, Err(reason));
                if peer == Peer::Upstream && authentication.diverts() {
                    passage = Passage::default();
                }
                if self.refused.is_none() {
                    self.detail = fault.map(|fault| Box::new(fault.into()));
                }
                self.refuse(reason, now);
                continue;
            }
            let takes_pings = direction.takes(OpCode::PING);
            if direction.reader.is_closed() {
                direction.end();
                self.shut();
                self.deadlines.close(None, now);
            }
            match control {
                Some(OpCode::PING) if !takes_pings => self.on_foreign_ping(peer.other(), passage.len(), now),
                Some(OpCode::PONG) => self.on_foreign_pong(peer, now),
                _ => {}
            }
        }
        if peer == Peer::Client {
            self.note_frame(brought, now);
        } else {
            self.keep_from_client(&mut passage, chunk)?;
            self.note_upstream_message(brought.begins_message, now);
            if was_within && self.upstream.at_boundary() {
                self.deadlines.note_askable(now);
            }
        }
        self.settle(peer, chunk.len(), (was_parked, room), &mut passage, now);
        match peer {
            Peer::Client => self.speak(now),
            Peer::Upstream => self.speak_later(now),
        }
        passage.resume = is_paused && !passage.is_empty();
        Ok(Judged::Passage(passage))
    }

    /// Has the client's chunk wait for an answer.
    fn wait_for_answer(&mut self, was_parked: bool, is_paused: bool, asking: Asking) {
        self.parking.of(Peer::Upstream).restore(was_parked);
        self.held_early += u8::from(is_paused && !was_parked);
        self.asking.put(asking);
    }
}

impl Charged {
    fn new(frame: Frame) -> Self {
        let charging = Charging::new(frame.header.opcode, frame.starts_message, frame.header.payload_len);
        Self { frame, charging, decided: None }
    }
}
