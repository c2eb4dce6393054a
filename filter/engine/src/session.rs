//! A session: one stream, from its request to its end.
//!
//! [`Session::handle`] takes an input with the time; [`Session::poll_output`] gives out one by one what the
//! host must do about it, and then `None`. A session holds no clock and performs nothing.
//!
//! After a request comes one of [`Output::Admit`] and [`Output::Reply`], later if something has to be fetched
//! first ([`Output::HoldHandshake`]). [`Session::judge`] takes bytes, and answers with what goes on of them.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use postern_config::Mode;

use crate::auth::subject_key::SubjectHash;
use crate::connection::{Connection, Terms};
use crate::csrf::Page;
use crate::decision::Violation;
use crate::decision::reason::Reason;
use crate::handshake::{Expected, Handshake};
use crate::http::reply::Instance;
use crate::http::request::Protocol;
use crate::metrics::Measures;
use crate::metrics::tally::Tally;
use crate::moment::Moment;
use crate::peer::Peer;
use crate::rate::live::places::Places;
use crate::rate::slots::KeySpace;
use crate::rate::{BucketRequest, Shared};
use crate::ruleset::Ruleset;
pub use chunk::Judgement;
pub use input::Input;
pub use output::{Event, Output};
use shadowed::Shadowed;
pub use summary::{FirstClose, Summary};

/// One stream under one policy.
#[derive(Debug)]
pub struct Session {
    ruleset: Rc<Ruleset>,
    phase: Phase,
    /// The name of the request in problem documents and logs.
    instance: Instance,
    /// Says whether the request is held.
    held: bool,
    /// The time when the upstream agreed to a WebSocket.
    opened_at: Option<Moment>,
    /// Says whether a violation was told and not enforced.
    found: bool,
    /// Says whether the memory budget was used up when the request came, so that nothing more may be held.
    memory_is_full: bool,
    /// Says whether inflaters kept as much as they may between messages when the request came.
    memory_rests: bool,
    /// The ordinary request whose response may be given a CSRF token.
    page: Option<Box<Page>>,
    /// The places under caps of a stream that is no open WebSocket.
    places: Places,
    /// The buckets that must be charged for a client that was refused.
    #[expect(clippy::box_collection, reason = "one word in every session, of which few have any")]
    owed: Option<Box<Vec<(usize, BucketRequest)>>>,
    /// The hash by which logs name the user, if the handshake had a genuine token.
    subject: Option<SubjectHash>,
    /// The summary of a connection that was cut.
    ended: Option<Box<Summary>>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    /// No request has come yet.
    Fresh(KeySpace),
    /// The request is being judged.
    Handshake(Box<Handshake>),
    /// The request went up as a WebSocket handshake, and its response has not come.
    AwaitingResponse(Box<Awaiting>),
    /// An open WebSocket.
    Open(Box<Connection>),
    /// Ordinary HTTP, or an upgrade that the policy does not judge: bytes pass.
    Unjudged { upgrade: bool },
    /// The upstream declined a WebSocket. Its answer passes; nothing of the client's does, which the
    /// upstream would take for a request.
    Declined,
    /// The stream was refused: what goes to the client is Postern's own reply.
    Refused,
    /// The stream is judged, and passes in any case.
    Shadowed(Box<Shadowed>),
    /// The stream is over: nothing passes.
    Ended,
}

#[derive(Debug)]
struct Awaiting {
    expected: Expected,
    /// The ruleset that the connection begins under.
    limits: Rc<Ruleset>,
    terms: Terms,
    protocol: Protocol,
    /// The first violation that did not refuse the handshake.
    found: Option<Reason>,
    /// The number of bytes that the client has sent before the 101.
    held_bytes: usize,
    /// Says whether the stream towards the upstream is parked.
    parked: bool,
    /// The time by which the response must have come, since a newer connection of the user has taken the place of
    /// this one; absent as long as none has.
    replaced_by: Option<Duration>,
}

impl Session {
    /// Creates a session under `ruleset`, whose buckets are named in `keys`.
    pub fn new(ruleset: Rc<Ruleset>, keys: KeySpace) -> Self {
        if ruleset.policy.mode == Mode::Enforce {
            return Self::judging(ruleset, keys);
        }
        let shadowed = Shadowed::new(Rc::clone(&ruleset), &keys);
        Self { phase: Phase::Shadowed(Box::new(shadowed)), ..Self::judging(ruleset, keys) }
    }

    /// Creates a session that judges, whatever becomes of that.
    fn judging(ruleset: Rc<Ruleset>, keys: KeySpace) -> Self {
        let (phase, instance) = (Phase::Fresh(keys), Instance::default());
        let outputs = VecDeque::new();
        Self {
            ruleset,
            phase,
            instance,
            held: false,
            opened_at: None,
            found: false,
            memory_is_full: false,
            memory_rests: false,
            page: None,
            places: Places::default(),
            owed: None,
            subject: None,
            ended: None,
            outputs,
        }
    }

    /// Returns the policy's name.
    pub fn policy(&self) -> &str {
        self.ruleset.name()
    }

    /// Says whether this session judges by `ruleset`.
    pub(crate) fn is_under(&self, ruleset: &Rc<Ruleset>) -> bool {
        Rc::ptr_eq(&self.ruleset, ruleset)
    }

    /// Says whether the upstream agreed to a WebSocket.
    pub fn was_opened(&self) -> bool {
        self.opened_at.is_some()
    }

    /// Returns the time for which a stream that was opened has been so at `now`.
    pub fn open_for(&self, now: Duration) -> Option<Duration> {
        self.opened_at.map(|at| now.saturating_sub(at.into()))
    }

    /// Takes what all sessions under the policy have measured since this was last called of any of them, if that is
    /// anything.
    pub fn take_measures(&self) -> Option<Box<Measures>> {
        self.ruleset.measures().take()
    }

    /// Says whether [`Input::Response`] must have every field, and not only `:status`.
    pub fn reads_response(&self) -> bool {
        if let Phase::Shadowed(shadowed) = &self.phase {
            return !shadowed.is_done();
        }
        self.page.is_some()
            || matches!(self.phase, Phase::AwaitingResponse(_) | Phase::Unjudged { upgrade: true })
    }

    /// Takes an input at `now`, the time since the Unix epoch.
    pub fn handle(&mut self, input: Input, shared: &mut dyn Shared, now: Duration) {
        let Phase::Shadowed(shadowed) = &mut self.phase else {
            self.take(input, shared, now);
            self.pay(shared, now);
            return;
        };
        self.outputs.extend(match input {
            Input::Request(_) => Some(Output::Admit(Vec::new())),
            Input::Response(_) => Some(Output::AdmitResponse(Vec::new())),
            _ => None,
        });
        let events = shadowed.take(input, shared, now);
        self.tell(events, now);
    }

    /// Tells what was found in shadow.
    fn tell(&mut self, events: Vec<Event>, now: Duration) {
        if events.iter().any(Event::is_opening) {
            self.opened_at = Some(now.into());
        }
        self.outputs.extend(events.into_iter().map(Output::Tell));
    }

    fn take(&mut self, input: Input, shared: &mut dyn Shared, now: Duration) {
        match input {
            Input::Request(head) => self.on_request(head, shared, now),
            Input::Response(fields) => self.on_response(&fields, now),
            Input::Drain(at) => {
                if let Phase::Open(open) = &mut self.phase {
                    open.drain(at);
                }
            }
            Input::DrainWithEnvoy(at) => {
                if let Phase::Open(open) = &mut self.phase {
                    open.drain_with_envoy(at);
                }
            }
            Input::StayWithEnvoy => {
                if let Phase::Open(open) = &mut self.phase {
                    open.stay_with_envoy();
                }
            }
            Input::Ended => self.end(shared),
            Input::Fetched => self.on_fetched(shared, now),
            Input::HostFailed(fault) => self.fail(fault),
            Input::MemoryExceeded => self.give_back(now),
            Input::MemoryFull => self.memory_is_full = true,
            Input::MemoryRests => self.memory_rests = true,
            Input::Replaced => self.make_way(now),
            Input::NotParked => {
                if let Phase::Open(open) = &mut self.phase {
                    open.give_up_parking(now);
                }
            }
            Input::SetBack(by) => self.set_back(by),
            Input::RateLimitAnswered(number, answer) => self.on_answer(number, answer, shared, now),
            Input::RateLimitExceeded => self.on_rate_limit_exceeded(now),
            Input::Rerouted => {
                self.refuse_response(Violation::rerouted());
            }
            Input::Timer => self.on_time(shared, now),
            Input::Trailers(sender) => self.on_trailers(sender, now),
        }
    }

    fn set_back(&mut self, by: Duration) {
        self.opened_at = self.opened_at.map(|at| at.before(by));
        match &mut self.phase {
            Phase::Handshake(handshake) => handshake.set_back(by),
            Phase::Open(open) => open.set_back(by),
            Phase::AwaitingResponse(awaiting) => {
                awaiting.replaced_by = awaiting.replaced_by.map(|at| at.saturating_sub(by));
            }
            _ => {}
        }
    }

    /// Takes the next thing for the host to do, if there is one.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() && self.outputs.capacity() > 0 {
            // Sessions are many, and most have nothing to do most of the time.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// Says whether there is something for the host to do.
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Notes that what has passed unread or plain did so by `now`. Must be called at least once a second
    /// while anything passes.
    pub fn note_time(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Open(open) => open.note_time(now),
            Phase::Shadowed(shadowed) => shadowed.note_time(now),
            _ => {}
        }
    }

    /// Returns the time when [`Input::Timer`] is due, since the Unix epoch.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Open(open) => open.deadline(),
            Phase::Handshake(handshake) => handshake.waits_until(),
            Phase::AwaitingResponse(awaiting) => awaiting.replaced_by,
            Phase::Shadowed(shadowed) => shadowed.observer().deadline(),
            _ => None,
        }
    }

    /// Takes the counts of what went through since the last call.
    pub fn take_tally(&mut self) -> Tally {
        match &mut self.phase {
            Phase::Open(open) => open.take_tally(false),
            Phase::Shadowed(shadowed) => shadowed.take_tally(false),
            _ => Tally::default(),
        }
    }

    /// Takes the counts of what went through since the last call, of a stream that is over.
    pub fn take_last_tally(&mut self) -> Tally {
        match &mut self.phase {
            Phase::Open(open) => open.take_tally(true),
            Phase::Shadowed(shadowed) => shadowed.take_tally(true),
            _ => Tally::default(),
        }
    }

    fn on_time(&mut self, shared: &mut dyn Shared, now: Duration) {
        if self.is_waiting() {
            self.advance_handshake(shared, now);
        }
        self.await_no_longer(now);
        let Phase::Open(open) = &mut self.phase else { return };
        let was_ended = open.violation().is_some();
        if open.on_time(now) {
            self.outputs.push_back(Output::Reset);
            self.cut();
        }
        self.tell_violation(was_ended);
        self.send();
    }

    /// Has something done to the open connection, if it is one.
    fn act(&mut self, act: impl FnOnce(&mut Connection)) {
        let Phase::Open(open) = &mut self.phase else { return };
        let was_ended = open.violation().is_some();
        act(open);
        self.tell_violation(was_ended);
    }

    /// Sends what Postern itself has to say on the open connection.
    fn send(&mut self) {
        let Phase::Open(open) = &mut self.phase else { return };
        // Beside most chunks nothing goes.
        if !open.sends_at_once() {
            return;
        }
        self.outputs.extend(open.take_question().map(Output::Ask));
        let (delivery, sends) = (open.take_delivery(), open.take_sends());
        // Only one piece at a time can be put into a parked stream.
        let of = |peer: Peer| {
            let frames = sends.iter().filter(move |(receiver, _)| *receiver == peer);
            frames.flat_map(|(_, frame)| frame).copied()
        };
        let [client, upstream] = [Peer::Client, Peer::Upstream].map(|peer| of(peer).collect::<Vec<u8>>());
        match delivery {
            Some(mut held) => {
                held.push(&client);
                self.outputs.push_back(Output::Deliver(held));
            }
            None if client.is_empty() => {}
            None => self.outputs.push_back(Output::Send(Peer::Client, client)),
        }
        if !upstream.is_empty() {
            self.outputs.push_back(Output::Send(Peer::Upstream, upstream));
        }
        if let Some(len) = open.take_release() {
            self.outputs.push_back(Output::ReleaseRequest(len));
        }
    }
}

#[cfg(test)]
mod backlog_tests;
mod chunk;
#[cfg(test)]
mod compression_tests;
#[cfg(test)]
mod content_tests;
#[cfg(test)]
mod fetch_tests;
mod fetched;
#[cfg(test)]
mod frame_tests;
#[cfg(test)]
mod half_frame_tests;
mod held;
#[cfg(test)]
mod held_message_tests;
#[cfg(test)]
mod held_up_tests;
#[cfg(test)]
mod host_failure_tests;
mod input;
mod live;
#[cfg(test)]
mod live_tests;
#[cfg(test)]
mod measures_tests;
mod output;
#[cfg(test)]
mod over_tests;
#[cfg(test)]
mod pingless_tests;
#[cfg(test)]
mod plain_tests;
#[cfg(test)]
mod rate_limit_tests;
mod rate_limited;
mod refusal;
mod request;
mod response;
#[cfg(test)]
mod shadow_tests;
#[cfg(test)]
mod shadow_wait_tests;
mod shadowed;
#[cfg(test)]
mod slow_reader_tests;
mod summary;
#[cfg(test)]
mod summary_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod time_tests;
#[cfg(test)]
mod token_tests;
mod trailers;
#[cfg(test)]
mod unmasked_tests;
mod witnessed;
#[cfg(test)]
mod worst_case_tests;
