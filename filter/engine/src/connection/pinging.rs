//! Pings of Postern's own: when one is sent, behind what passes or into a parked stream, and what an answer proves.
//!
//! Knows neither how the streams stand, which [`parking`](super::parking) does, nor the times, which
//! [`deadlines`](super::deadlines) does.

use std::time::Duration;

use crate::connection::Passage;
use crate::peer::Peer;

use super::Connection;
use super::direction::Flow;
use super::parking::{self, Marks};
use super::sent_pings;

impl Connection {
    /// Notes that a peer has answered a Ping of Postern's own, and so has read up to position `read`.
    pub(super) fn on_answer(&mut self, peer: Peer, read: u64, now: Duration) {
        if let Some(time) = self.parking.of(peer).take_round_trip(now) {
            self.tally.round_trip(peer, time);
        }
        match peer {
            Peer::Client => {
                self.excuse_upstream(now);
                self.backlog.prove(read, now.into());
                self.deadlines.note_read(self.backlog.unread(), now);
                self.deadlines.expect_no_pong(now);
            }
            Peer::Upstream => {
                self.end_hold_up(now);
                if let Some(upload) = &mut self.upload {
                    upload.prove(read, now.into());
                }
                self.deadlines.expect_no_upstream_pong();
            }
        }
    }

    /// Notes that a peer has answered a Ping of the application's, or says by itself that it is there.
    pub(super) fn on_foreign_pong(&mut self, peer: Peer, now: Duration) {
        self.parking.of(peer).note_pong();
        match peer {
            Peer::Client => {
                self.backlog.note_answer(now.into());
                self.deadlines.expect_no_pong(now);
            }
            Peer::Upstream => {
                if let Some(upload) = &mut self.upload {
                    upload.expect_no_answer();
                }
                self.deadlines.expect_no_upstream_pong();
            }
        }
    }

    /// Notes that the application asks a peer, `ahead` bytes behind what has gone to it.
    pub(super) fn on_foreign_ping(&mut self, receiver: Peer, ahead: usize, now: Duration) {
        if self.parking.of(receiver).note_ping() && receiver == Peer::Client {
            let position = self.backlog.position().saturating_add(ahead as u64);
            let first = self.parking.first_awaited_of_client();
            self.backlog.note_application(position, first, now.into());
        }
    }

    /// Settles the stream of a chunk of which `passage` goes on: an own Ping may follow, or the stream is
    /// parked.
    pub(super) fn settle(
        &mut self,
        sender: Peer,
        len: usize,
        (was_parked, room): (bool, usize),
        passage: &mut Passage,
        now: Duration,
    ) {
        let direction = match sender {
            Peer::Client => {
                if len > 0 {
                    self.note_upload(passage.len(), now);
                    self.deadlines.note_client(now);
                }
                &self.client
            }
            Peer::Upstream => {
                // If the upstream speaks at once, the host tells of its first bytes only.
                self.parking.begin(len == 0 || self.upstream.diverted);
                self.backlog.add(passage.len());
                self.deadlines.note_upstream(passage.len(), now);
                self.look_for_proof(now);
                &self.upstream
            }
        };
        let closing = matches!(direction.flow, Flow::Closing(_)) && direction.at_boundary();
        if closing && was_parked {
            // The Close has to wait until the chunk has gone.
            self.parking.of(sender.other()).pause.set_parked(true);
            passage.park = true;
            self.deadlines.speak_next(now);
            return;
        }
        if !matches!(direction.flow, Flow::Passing) || self.deadlines.is_closing() {
            // The stream goes on, also if it has only just begun.
            self.parking.of(sender.other()).pause.set_parked(false);
            return;
        }
        let (at_boundary, withheld) = (direction.at_boundary(), direction.withheld());
        let ping_due = sender == Peer::Upstream && self.may_answer() && self.deadlines.is_ping_due(now);
        let wants_proof = sender == Peer::Upstream && self.backlog.wants_proof();
        let expected = self.parking.of(Peer::Client).is_expected();
        let wants_mark = match sender {
            Peer::Client => self.upload.as_ref().is_some_and(|upload| upload.wants_mark()),
            Peer::Upstream => self.backlog.wants_mark(expected),
        };
        let marks = match wants_mark {
            false => Marks::No,
            true if sender == Peer::Upstream && self.deadlines.is_mark_overdue() => Marks::Overdue,
            true => Marks::Due,
        };
        let chunk = parking::Chunk {
            sender,
            was_parked,
            len,
            passes: passage.len(),
            room,
            at_boundary,
            withheld,
            diverted: direction.diverted,
            due: ping_due || wants_proof,
            marks,
            quiet: self.deadlines.is_quiet(now),
            position: self.gone_to(sender.other()),
        };
        let then = self.parking.settle(chunk, now);
        passage.park = then.park;
        if let Some(ping) = then.ask {
            passage.insert(&ping);
            self.note_asked(sender.other(), chunk.position, ping_due, now);
        } else if (marks != Marks::No || wants_proof) && then.park {
            self.deadlines.mark_next(now);
        }
        if self.parking.can_park_client() {
            self.deadlines.park_when_quiet(now);
        }
    }

    /// Says whether an answer of the client's would be heard: not if it waits behind a first message.
    pub(super) fn may_answer(&self) -> bool {
        self.queued.is_none()
    }

    /// Notes that an own Ping goes to `receiver` at `position`; `due` says whether the client's silence asked
    /// for it.
    fn note_asked(&mut self, receiver: Peer, position: u64, due: bool, now: Duration) {
        self.parking.of(receiver).note_sent(now);
        match receiver {
            Peer::Client => {
                self.backlog.ask(position, self.first_awaited(), now.into());
                if due {
                    self.deadlines.expect_pong(self.read_by(), now);
                }
            }
            Peer::Upstream => {
                if let Some(upload) = &mut self.upload {
                    upload.ask(now.into());
                }
                self.deadlines.expect_upstream_pong(now);
            }
        }
    }

    /// Asks the client what it has read between two frames of the upstream's chunk at hand, of which `most`
    /// bytes may go on: the next end of a chunk may be far, and within a frame. Returns the place in the
    /// chunk where that must be done next. A parked stream may come to hold as [little](parking::LITTLE) more
    /// as where that is withheld.
    pub(super) fn prove_between(
        &mut self,
        position: usize,
        passage: &mut Passage,
        most: &mut usize,
        room: usize,
        now: Duration,
    ) -> Option<usize> {
        *most = most.saturating_add(sent_pings::MAX_LEN);
        let has_room = *most <= room.saturating_add(parking::LITTLE);
        if !has_room || !matches!(self.upstream.flow, Flow::Passing) || self.deadlines.is_closing() {
            return None;
        }
        let gone = self.backlog.position().saturating_add(passage.len() as u64);
        passage.insert(&self.parking.ping(Peer::Client, gone));
        self.note_asked(Peer::Client, gone, false, now);
        self.proof_at(position, passage.len(), now)
    }

    /// Asks a client that has been silent for long, if it can be reached.
    pub(super) fn ask_client(&mut self, now: Duration) {
        let client = self.parking.of(Peer::Client);
        if client.takes_frames(self.upstream.at_boundary()) && client.may_be_asked() {
            self.send_ping(Peer::Client, true, now);
        } else if client.is_expected() || (!self.upstream.diverted && client.is_asked_by_application()) {
            // The client was asked before, by whomever, and has not said anything since.
            self.deadlines.expect_pong(self.read_by(), now);
        } else {
            client.give_up_on_answers();
        }
        if self.upload.as_ref().is_some_and(|upload| upload.is_much()) {
            self.ask_upstream(now);
        }
        self.park_client(now);
    }

    /// Asks the upstream what it has read, if it can be reached: bytes that it has not read may be why the
    /// client is silent.
    fn ask_upstream(&mut self, now: Duration) {
        let upstream = self.parking.of(Peer::Upstream);
        let is_open = upstream.takes_frames(self.client.at_boundary());
        if is_open && upstream.may_be_asked() && !upstream.is_expected() {
            self.send_ping(Peer::Upstream, false, now);
        }
    }

    /// Asks the peers what they have read, if they can be reached and nothing else has asked them.
    pub(super) fn mark(&mut self, now: Duration) {
        if self.upload.as_ref().is_some_and(|upload| upload.wants_mark()) {
            self.ask_upstream(now);
        }
        self.look_for_proof(now);
        let client = self.parking.of(Peer::Client);
        if client.takes_frames(self.upstream.at_boundary())
            && client.may_be_asked()
            && (self.backlog.wants_proof() || self.backlog.wants_mark(client.is_expected()))
        {
            self.send_ping(Peer::Client, false, now);
        }
    }

    /// Asks the upstream, so that its answer parks the stream towards the client.
    pub(super) fn park_client(&mut self, now: Duration) {
        if !self.parking.can_park_client() || !self.upstream.at_boundary() {
            return;
        }
        self.send_ping(Peer::Upstream, false, now);
    }

    /// Puts an own Ping into the stream towards `receiver`, which is parked; `due` says whether the client's
    /// silence asked for it.
    fn send_ping(&mut self, receiver: Peer, due: bool, now: Duration) {
        let position = self.gone_to(receiver);
        let ping = self.parking.ping(receiver, position);
        self.sends.push((receiver, ping));
        self.note_asked(receiver, position, due, now);
    }

    /// Returns the number of bytes that have gone to a peer.
    fn gone_to(&self, receiver: Peer) -> u64 {
        match receiver {
            Peer::Client => self.backlog.position(),
            Peer::Upstream => self.uploaded(),
        }
    }
}
