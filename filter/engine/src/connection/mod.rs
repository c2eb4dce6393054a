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
mod dropped;
mod ending;
mod gates;
pub(crate) mod grant;
mod greeting;
mod held;
mod in_band;
mod judge;
mod kept_back;
mod limits;
mod notices;
mod on_time;
mod opening;
mod parking;
mod passage;
mod pause;
mod pinging;
mod plain;
pub(crate) mod proof;
mod questions;
mod queued_input;
pub(crate) mod rates;
pub(crate) mod sent_pings;
mod shadowed_proofs;
mod silence;
mod summary;
mod timers;
mod upload;
mod withheld;

use std::rc::Rc;
use std::time::Duration;

use crate::auth::revocation::RevocationSubject;
use crate::decision::cause::RateLimitFault;
use crate::decision::{Findings, Violation};
use crate::handshake::Deflate;
use crate::memory::blocks::Blocks;
use crate::metrics::tally::{Counts, Tally};
use crate::moment::Moment;
use crate::peer::Peer;
use crate::rate::BucketRequest;
use crate::rate::live::places::Places;
use crate::remote::rate_limit::{Account, Answer, Membership, Question};
use crate::ruleset::Ruleset;
use authentication::Authentication;
use backlog::Backlog;
use deadlines::Deadlines;
use direction::Direction;
pub(crate) use direction::MAX_WITHHELD_HEADERS;
use dropped::Dropped;
use grant::Grant;
use greeting::Greeting;
use kept_back::Holds;
use limits::Limits;
use notices::Notices;
use parking::{MayAsk, Parking};
pub use passage::{Passage, Piece, Pieces};
use pause::Pause;
use queued_input::QueuedInput;
use rates::Rates;
use sent_pings::PingKey;
use upload::Upload;

/// Both directions of an upgraded stream.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Direction,
    upstream: Direction,
    /// The limits of either direction; absent where the policy has no tiers, and they never change.
    limits: Option<Box<Limits>>,
    rates: Rates,
    /// The places under caps, which must be given back when the stream is over.
    places: Places,
    mask: [u8; 4],
    parking: Parking,
    deadlines: Deadlines,
    backlog: Backlog,
    /// The bytes that the client has sent; absent while there are none.
    upload: Option<Box<Upload>>,
    /// The waits for messages that are partly kept back; absent as long as none has been.
    holds: Option<Box<Holds>>,
    /// The violations that do not end the connection.
    pub(crate) findings: Findings,
    /// The violation for which Postern has ended the connection, if it has.
    violation: Option<Box<Violation>>,
    /// The peer whose Close was the first to pass, if one has.
    closed_by: Option<Peer>,
    /// The frames that go on the parked streams at once.
    sends: Vec<(Peer, Vec<u8>)>,
    tally: Counts,
    /// The part of the connection in the counts over the mesh.
    membership: Option<Membership>,
    /// The right by which the connection is open, under a policy that asks for one.
    grant: Option<Box<Grant>>,
    authentication: Authentication,
    /// The bytes that wait behind a first message that cannot be judged yet.
    queued: Option<Box<QueuedInput>>,
    notices: Notices,
    /// The answers to messages that were dropped for what they say; absent while none has been.
    dropped: Option<Box<Dropped>>,
    /// The bytes that the upstream sent before the client was authenticated.
    greeting: Greeting,
}

/// The terms that the handshake settled for the connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// The end of the time that the connection may last.
    pub(crate) session_ends_at: Option<Moment>,
    /// The key that Postern's own Pings are made of.
    pub(crate) ping_key: PingKey,
    /// The key that masks Postern's own frames to the upstream.
    pub(crate) mask: [u8; 4],
    /// The rates of the client.
    pub(crate) rates: Rates,
    /// The places under caps.
    pub(crate) places: Places,
    /// The right by which the connection is open, under a policy that asks for one.
    pub(crate) grant: Option<Box<Grant>>,
    /// The account of the connection in the counts over the mesh.
    pub(crate) account: Option<Rc<Account>>,
    /// Says whether each side may open another protocol, since the subprotocol that was agreed on is one.
    pub(crate) lets_tunnels: bool,
    /// The violations that did not refuse the handshake.
    pub(crate) findings: Findings,
}

/// The state of the stream towards the upstream before the upstream agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Early {
    /// The stream was left alone.
    #[default]
    Flowing,
    /// The stream is paused, and holds what the client has sent too early.
    Held,
    /// The stream is paused and holds nothing.
    Parked,
}

impl Early {
    /// Returns the pause in which the stream towards the upstream begins. The host brings what it holds once
    /// more, and after that the chunk that it got meanwhile.
    fn pause(self) -> Pause {
        match self {
            Self::Flowing => Pause::Flowing,
            Self::Held => Pause::Holding(2),
            Self::Parked => Pause::Parked,
        }
    }
}

impl Connection {
    /// Creates a connection that was agreed on at `now`, and begins under `ruleset`.
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
            client: Direction::new(Peer::Client, policy, client, terms.lets_tunnels),
            upstream: Direction::new(Peer::Upstream, policy, server, terms.lets_tunnels),
            limits: terms.grant.as_ref().and_then(|grant| Limits::new(grant, ruleset)),
            rates: terms.rates,
            places: terms.places,
            mask: terms.mask,
            parking: Parking::new(terms.ping_key, early.pause(), MayAsk::of(policy)),
            deadlines: Deadlines::new(Rc::clone(ruleset), terms.session_ends_at, now),
            backlog: Backlog::new(policy.backpressure),
            upload: None,
            holds: None,
            findings: terms.findings,
            violation: None,
            closed_by: None,
            sends: Vec::new(),
            tally: Counts::new(ruleset.measures()),
            membership: terms.account.map(Membership::new),
            grant: terms.grant,
            authentication: Authentication::Open,
            queued: None,
            notices: Notices::default(),
            dropped: None,
            greeting: Greeting::default(),
        };
        open.begin(now);
        open
    }

    /// Returns the violation that ended the connection, once Postern has ended it.
    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_deref()
    }

    /// Returns the buckets to charge when the connection ends for what its client sent.
    pub(crate) fn refusals(&self) -> Vec<(usize, BucketRequest)> {
        self.rates.refusals()
    }

    /// The places under caps.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// Takes the places under caps, since the stream is over.
    pub(crate) fn take_places(&mut self) -> Places {
        std::mem::take(&mut self.places)
    }

    /// Returns the owner of the connection as revocation lists name one, once that is known.
    pub(crate) fn revocation_subject(&self) -> Option<&RevocationSubject> {
        self.grant.as_ref().and_then(|grant| grant.revocation_subject())
    }

    /// Takes what was counted since the last call; `is_over` says whether this one is the last.
    pub(crate) fn take_tally(&mut self, is_over: bool) -> Tally {
        let backlog = self.backlog.take_most();
        let heartbeats = self.parking.count(is_over || self.deadlines.is_closing());
        let tally = Tally { backlog, heartbeats, ..self.tally.take() };
        if let Some(membership) = &self.membership {
            membership.add(&tally.client);
        }
        tally
    }

    /// Returns the fault for which the rate limit service has the connection end.
    pub(crate) fn condemned_for(&self) -> Option<RateLimitFault> {
        self.membership.as_ref().and_then(Membership::verdict)
    }

    /// Says whether anything goes at once, into a stream that is parked or from one that the host holds.
    pub(crate) fn sends_at_once(&self) -> bool {
        let is_due = self.queued.as_ref().is_some_and(|queued| queued.due);
        is_due || !self.sends.is_empty() || self.greeting.goes_at_once() || self.has_question()
    }

    fn has_question(&self) -> bool {
        self.grant.as_ref().is_some_and(|grant| grant.has_question())
    }

    /// Takes the question that must be put to the rate limit service, if there is one.
    pub(crate) fn take_question(&mut self) -> Option<Box<Question>> {
        self.grant.as_mut().and_then(|grant| grant.take_question())
    }

    /// Takes the answer to the question of this number, and goes on with what waits for it.
    pub(crate) fn take_answer(&mut self, number: u32, answer: Answer, now: Duration) {
        if self.grant.as_mut().is_some_and(|grant| grant.take_answer(number, answer)) {
            self.look_again(now);
        }
    }

    /// Takes the frames that go to these receivers at once, on streams that were parked.
    pub(crate) fn take_sends(&mut self) -> Vec<(Peer, Vec<u8>)> {
        std::mem::take(&mut self.sends)
    }

    /// Takes the bytes that waited for the client to be authenticated, and go to it at once, on a stream that
    /// was parked. What [`Connection::take_sends`] has for the client follows them.
    pub(crate) fn take_delivery(&mut self) -> Option<Blocks> {
        self.greeting.take_at_once()
    }

    /// Returns the time when [`Connection::on_time`] next has something to do.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.deadlines.next(self.under_way())
    }

    /// Notes that what has passed unread did so by `now`.
    pub(crate) fn note_time(&mut self, now: Duration) {
        if self.deadlines.has_moved() {
            self.excuse_unread(now);
        }
        self.note_upload(0, now);
        self.deadlines.note_time(now);
        self.look_for_proof(now);
    }

    /// Moves all times with a clock that was set back.
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

    /// Has the connection end by `at`, since its policy goes away.
    pub(crate) fn drain(&mut self, at: Duration) {
        self.deadlines.drain(at);
    }

    /// Has the connection end by `at`, since Envoy is about to end.
    pub(crate) fn drain_with_envoy(&mut self, at: Duration) {
        self.deadlines.drain_with_envoy(at);
    }

    /// Has the connection stay, since Envoy is not about to end any more.
    pub(crate) fn stay_with_envoy(&mut self) {
        self.deadlines.stay_with_envoy();
    }

    /// Parks no more, since the host did not let anything be put into a parked stream.
    pub(crate) fn give_up_parking(&mut self, now: Duration) {
        self.parking.give_up();
        self.deadlines.expect_no_pong(now);
    }

    /// Says whether the next `len` bytes from `peer` pass as they are, unread. If so, they count as passed.
    pub(crate) fn pass_unread(&mut self, peer: Peer, len: usize) -> bool {
        match peer {
            Peer::Client => {
                // A stream that the host holds paused has to be resumed.
                let holds = matches!(self.parking.of(Peer::Upstream).pause, Pause::Holding(_));
                let passes = !holds && self.client.pass_unread(len);
                if passes {
                    self.note_unread(len);
                }
                passes
            }
            Peer::Upstream => {
                let flows = self.parking.of(Peer::Client).pause == Pause::Flowing;
                let is_plain = self.authentication.is_open() && flows && !self.greeting.waits();
                let passes = is_plain && self.upstream.pass_unread(len);
                if passes {
                    self.backlog.add(len);
                    self.deadlines.note_upstream_unread(len);
                }
                passes
            }
        }
    }
}
