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

use postern_config::{Mode, OtherUpgrades};

use crate::auth::admit::revoked;
use crate::auth::subject_key::SubjectHash;
use crate::connection::Passage;
use crate::connection::{Connection, Early, Terms};
use crate::csrf::Page;
use crate::decision::cause::{HandshakeFault, HostFault, ResponseFault, Shown};
use crate::decision::reason::Reason;
use crate::decision::{Findings, Rule, Violation};
use crate::handshake::{self, Admission, Agreement, Expected, Handshake, Kind, Next, Witness};
use crate::http::headers::{Field, HeaderEdit, Headers, Single};
use crate::http::reply::{Instance, Reply};
use crate::http::request::{Protocol, RequestHead};
use crate::metrics::tally::Tally;
use crate::metrics::{Measures, Stopped};
use crate::moment::Moment;
use crate::peer::Peer;
use crate::rate::live::places::Places;
use crate::rate::slots::KeySpace;
use crate::rate::{BucketRequest, Shared};
use crate::ruleset::Ruleset;
use crate::websocket::{Chunk, Unreadable};
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

fn is_to_websocket(headers: Headers<'_>) -> bool {
    headers.list_has("upgrade", b"websocket") || headers.has("sec-websocket-accept")
}

fn upgrade_required() -> Violation {
    Violation::by(Peer::Client, Rule::UpgradeOnly, Reason::UpgradeRequired)
}

fn is_success(headers: Headers<'_>) -> bool {
    matches!(headers.single(":status"), Single::One([b'2', ..]))
}

/// The most bytes that a client may send ahead of the 101. It should send none (RFC 6455 §4.1), but some
/// clients do not wait; an upstream that declines must not take them for a request.
const MAX_EARLY_BYTES: usize = 16 * 1024;

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

    /// Judges a chunk that `peer` sent on the upgraded stream, and says what goes on of it.
    ///
    /// # Errors
    /// Returns [`Unreadable`] when bytes that must be judged cannot be read: the host must cut the stream.
    pub fn judge(
        &mut self,
        peer: Peer,
        chunk: &mut impl Chunk,
        shared: &mut dyn Shared,
        now: Duration,
    ) -> Result<Passage, Unreadable> {
        let passage = match &mut self.phase {
            Phase::Open(open) => {
                let was_ended = open.violation().is_some();
                let passage = open.on_bytes(peer, chunk, shared, now);
                // Bytes that cannot be read end the stream, but may come behind others that have ended the
                // connection.
                self.tell_violation(was_ended);
                self.pay(shared, now);
                self.send();
                return passage;
            }
            Phase::Shadowed(shadowed) => {
                let events = shadowed.judge(peer, chunk, shared, now);
                self.tell(events, now);
                Passage::whole(chunk.len())
            }
            Phase::Unjudged { .. } => Passage::whole(chunk.len()),
            Phase::Refused | Phase::Declined if peer == Peer::Upstream => Passage::whole(chunk.len()),
            // A chunk that went on would take the request with it.
            Phase::Handshake(_) if peer == Peer::Client && chunk.is_empty() => {
                Passage { park: true, ..Passage::default() }
            }
            // Bytes ahead of the request's judgement would go on with the request, unjudged.
            Phase::Handshake(_) if peer == Peer::Client => {
                self.refuse_held(HandshakeFault::EarlyBytes);
                self.pay(shared, now);
                Passage { park: true, ..Passage::default() }
            }
            Phase::AwaitingResponse(awaiting) if peer == Peer::Client && chunk.is_empty() => {
                awaiting.parked = true;
                Passage { park: true, ..Passage::default() }
            }
            Phase::AwaitingResponse(awaiting) if peer == Peer::Client => {
                if chunk.len() > MAX_EARLY_BYTES {
                    self.refuse_response(HandshakeFault::EarlyBytes);
                    self.pay(shared, now);
                    return Ok(Passage::default());
                }
                (awaiting.held_bytes, awaiting.parked) = (chunk.len(), false);
                self.outputs.push_back(Output::HoldRequest);
                Passage::whole(chunk.len())
            }
            Phase::Fresh(_)
            | Phase::Handshake(_)
            | Phase::AwaitingResponse(_)
            | Phase::Declined
            | Phase::Refused
            | Phase::Ended => Passage::default(),
        };
        Ok(passage)
    }

    /// Says whether the next `len` bytes from `peer` pass as they are, so that nobody need read them. If so,
    /// they count as passed.
    pub fn pass_unread(&mut self, peer: Peer, len: usize) -> bool {
        match &mut self.phase {
            Phase::Open(open) => open.pass_unread(peer, len),
            Phase::Shadowed(shadowed) => shadowed.is_done(),
            Phase::Unjudged { .. } => true,
            _ => false,
        }
    }

    /// Says whether all of a chunk from `peer` goes on as it came, with its stream resumed and paused again,
    /// and nothing else to do, whatever the time. If so, the chunk counts as passed. If not, it must be
    /// judged.
    ///
    /// # Errors
    /// Returns [`Unreadable`] as [`Session::judge`] does.
    pub fn pass_plain(&mut self, peer: Peer, chunk: &mut impl Chunk) -> Result<bool, Unreadable> {
        match &mut self.phase {
            Phase::Open(open) => open.pass_plain(peer, chunk),
            _ => Ok(false),
        }
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

    fn on_request(&mut self, head: RequestHead, shared: &mut dyn Shared, now: Duration) {
        let Phase::Fresh(keys) = &self.phase else { return };
        let keys = keys.clone();
        self.begin(head, keys);
        self.advance_handshake(shared, now);
    }

    /// Takes the request, up to the judgement of a handshake that is to be judged.
    fn begin(&mut self, head: RequestHead, keys: KeySpace) {
        self.instance = Instance::of(&head);
        let kind = Kind::of(head.headers());
        let unjudged = self.passes_unjudged(kind, &head);
        if unjudged && !head.has_host() {
            let removals = handshake::removals(&self.ruleset, head.headers());
            self.refuse_at(handshake::REQUEST, removals, HandshakeFault::Host);
            return;
        }
        if (kind == Kind::Plain && self.takes_plain()) || unjudged {
            self.outputs.push_back(Output::Admit(self.ruleset.forwarded.strip(head.headers())));
            self.phase = Phase::Unjudged { upgrade: unjudged };
            if kind == Kind::Plain {
                self.page =
                    self.ruleset.csrf.as_ref().and_then(|guard| guard.page(head.headers())).map(Box::new);
            }
            return;
        }
        if kind == Kind::Plain {
            let removals = handshake::removals(&self.ruleset, head.headers());
            self.refuse_at(handshake::REQUEST, removals, upgrade_required());
            return;
        }
        let mut handshake = Handshake::new(Rc::clone(&self.ruleset), head, keys, self.memory_rests);
        if self.memory_is_full {
            handshake.forbid_holding();
        }
        self.phase = Phase::Handshake(Box::new(handshake));
    }

    fn advance_handshake(&mut self, shared: &mut dyn Shared, now: Duration) {
        self.advance_before(&mut (), shared, now);
    }

    /// Judges the handshake as far as can be, before a witness.
    fn advance_before(&mut self, witness: &mut impl Witness, shared: &mut dyn Shared, now: Duration) {
        let Phase::Handshake(handshake) = &mut self.phase else { return };
        let next = handshake.next(shared, now, witness);
        if let Next::Wait = next {
            self.outputs.extend(handshake.take_question().map(Output::Ask));
            if !std::mem::replace(&mut self.held, true) {
                let removals = handshake.removals().to_vec();
                self.outputs.push_back(Output::HoldHandshake(removals));
            }
            return;
        }
        let Phase::Handshake(handshake) = std::mem::replace(&mut self.phase, Phase::Refused) else {
            return;
        };
        self.let_go_unheld();
        let mut handshake = handshake;
        let mut findings = handshake.take_findings();
        self.subject = handshake.refused_subject();
        let (head, removals) = handshake.into_parts();
        let found = self.tell_found(&mut findings);
        match next {
            Next::Wait => {}
            Next::Refuse(refusal) => self.refuse(removals, refusal),
            Next::Admit(admission) => {
                let Admission { edits, expected, limits, mut terms } = *admission;
                terms.findings = findings;
                self.places = std::mem::take(&mut terms.places);
                self.subject = terms.grant.as_ref().and_then(|grant| grant.subject());
                self.outputs.push_back(Output::Admit(edits));
                if self.held {
                    self.outputs.push_back(Output::ResumeRequest);
                }
                self.phase = Phase::AwaitingResponse(Box::new(Awaiting {
                    expected,
                    limits,
                    terms,
                    protocol: head.connection.protocol,
                    found,
                    held_bytes: 0,
                    parked: false,
                    replaced_by: None,
                }));
            }
        }
    }

    fn on_response(&mut self, fields: &[Field], now: Duration) {
        let headers = Headers::new(fields);
        let switching = headers.single(":status") == Single::One(b"101");
        match std::mem::replace(&mut self.phase, Phase::Refused) {
            Phase::Refused => {}
            Phase::AwaitingResponse(mut awaiting) if switching => {
                let Agreement { deflate, edit } = match awaiting.expected.agreement(headers) {
                    Ok(agreement) => agreement,
                    Err(fault) => return self.refuse_response(fault),
                };
                let subject = awaiting.terms.grant.as_ref().and_then(|grant| grant.revocation_subject());
                if subject.is_some_and(|subject| self.ruleset.has_revoked(subject, now))
                    && let Err(violation) = awaiting.terms.findings.enforce(revoked(), &self.ruleset.policy)
                {
                    self.owed = Some(Box::new(awaiting.terms.rates.refusals()));
                    self.refuse_response(violation);
                    return;
                }
                let mut edits = Vec::from_iter(edit);
                edits.extend(awaiting.expected.choice(headers));
                if awaiting.protocol == Protocol::Multiplexed {
                    // The key was Postern's, so the client has nothing to hold its hash against.
                    edits.push(HeaderEdit::Remove("sec-websocket-accept".to_owned()));
                }
                self.outputs.push_back(Output::AdmitResponse(edits));
                let found = self.tell_found(&mut awaiting.terms.findings);
                let opened = awaiting.found.or(found).map_or(Event::Opened, Event::OpenedInShadow);
                self.outputs.push_back(Output::Tell(opened));
                let early = match (awaiting.held_bytes, awaiting.parked) {
                    (1.., _) => Early::Held,
                    (0, true) => Early::Parked,
                    (0, false) => Early::Flowing,
                };
                let lets_tunnels = awaiting.expected.chooses_tunnel(headers);
                let places = std::mem::take(&mut self.places);
                let terms = Terms { lets_tunnels, places, ..awaiting.terms };
                let open = Connection::new(&awaiting.limits, terms, deflate, early, now);
                self.phase = Phase::Open(Box::new(open));
                self.opened_at = Some(now.into());
                if awaiting.replaced_by.is_some() {
                    self.make_way(now);
                }
                if awaiting.held_bytes > 0 {
                    self.outputs.push_back(Output::ReleaseRequest(awaiting.held_bytes));
                }
            }
            // An HTTP/2 client takes any success for an open tunnel (RFC 8441 §5), which nobody would judge.
            Phase::AwaitingResponse(awaiting)
                if awaiting.protocol == Protocol::Multiplexed && is_success(headers) =>
            {
                self.refuse_response(ResponseFault::Tunnel);
            }
            Phase::AwaitingResponse(awaiting) => {
                if awaiting.parked {
                    self.outputs.push_back(Output::ResumeRequest);
                }
                self.outputs.push_back(Output::AdmitResponse(Vec::new()));
                self.phase = Phase::Declined;
            }
            // A service that answers so takes any upgrade for one to WebSocket, which nobody would judge.
            Phase::Unjudged { upgrade: true } if switching && is_to_websocket(headers) => {
                self.refuse_response(ResponseFault::WebSocket);
            }
            Phase::Unjudged { upgrade } if upgrade || !switching => {
                let guard = self.ruleset.csrf.as_ref().zip(self.page.take());
                let edit = guard.and_then(|(guard, page)| guard.issue(&page, headers, now));
                self.pass_response(upgrade, edit);
            }
            // The upstream answers 101 though nobody asked for another protocol.
            Phase::Unjudged { .. } => self.refuse_response(ResponseFault::Unasked),
            phase @ (Phase::Ended
            | Phase::Open(_)
            | Phase::Handshake(_)
            | Phase::Fresh(_)
            | Phase::Declined
            | Phase::Shadowed(_)) => {
                self.phase = phase;
                self.fail(HostFault::Response);
            }
        }
    }

    fn pass_response(&mut self, upgrade: bool, edit: Option<HeaderEdit>) {
        self.outputs.push_back(Output::AdmitResponse(Vec::from_iter(edit)));
        self.phase = Phase::Unjudged { upgrade };
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

    /// Says whether an upgrade to another protocol passes unjudged, be it that this is only told.
    fn passes_unjudged(&mut self, kind: Kind, head: &RequestHead) -> bool {
        if kind != Kind::OtherUpgrade || self.ruleset.policy.other_upgrades == OtherUpgrades::Pass {
            return kind == Kind::OtherUpgrade;
        }
        let protocol = Shown::of(head.headers().all("upgrade"));
        self.tells_only(HandshakeFault::OtherProtocol(protocol).into())
    }

    /// Says whether an ordinary request passes, be it that this is only told.
    fn takes_plain(&mut self) -> bool {
        !self.ruleset.policy.upgrade_only || self.tells_only(upgrade_required())
    }

    /// Takes the violation of a request that passes unjudged where its rule is shadowed, and says whether that is so.
    fn tells_only(&mut self, violation: Violation) -> bool {
        let mut findings = Findings::default();
        let is_shadowed = findings.enforce(violation, &self.ruleset.policy).is_ok();
        self.tell_found(&mut findings);
        is_shadowed
    }

    /// Tells the violations that are not enforced, and returns the reason of the first.
    fn tell_found(&mut self, findings: &mut Findings) -> Option<Reason> {
        let untold = findings.take_untold();
        let first = untold.first().map(|violation| violation.reason);
        for violation in untold {
            let is_first = !std::mem::replace(&mut self.found, true);
            let instance = self.instance.to_string();
            self.outputs.push_back(Output::Tell(Event::Found { violation, instance, is_first }));
        }
        first
    }

    /// Has something done to the open connection, if it is one.
    fn act(&mut self, act: impl FnOnce(&mut Connection)) {
        let Phase::Open(open) = &mut self.phase else { return };
        let was_ended = open.violation().is_some();
        act(open);
        self.tell_violation(was_ended);
    }

    /// Tells what was found on the open connection, and which violation has just ended it, if one has.
    fn tell_violation(&mut self, was_ended: bool) {
        let Phase::Open(open) = &mut self.phase else { return };
        if open.findings.has_untold() {
            let mut findings = std::mem::take(&mut open.findings);
            self.tell_found(&mut findings);
            let Phase::Open(open) = &mut self.phase else { return };
            open.findings = findings;
        }
        let Phase::Open(open) = &self.phase else { return };
        let Some(violation) = open.violation().filter(|_| !was_ended) else { return };
        if violation.counts_as_refusal() {
            self.owed = Some(Box::new(open.refusals()));
        }
        let (violation, instance) = (violation.clone(), self.instance.to_string());
        self.outputs.push_back(Output::Tell(Event::Closed { violation, instance }));
    }

    /// Cuts the stream, since the host has not done what it must. That is told, unless the stream had an end
    /// before.
    fn fail(&mut self, fault: HostFault) {
        let has_ended = match &self.phase {
            Phase::Open(open) => open.violation().is_some(),
            Phase::Refused | Phase::Ended => true,
            _ => false,
        };
        if !has_ended {
            let (violation, instance) = (Violation::from(fault), self.instance.to_string());
            match &self.phase {
                Phase::Handshake(handshake) => handshake.count_refusal(),
                _ if self.was_opened() => {}
                _ => self.ruleset.measures().stopped(handshake::RESPONSE, Stopped::Refused),
            }
            let event = match self.was_opened() {
                true => Event::Closed { violation, instance },
                false => Event::Refused { violation, instance },
            };
            self.outputs.push_back(Output::Tell(event));
        }
        self.outputs.push_back(Output::Reset);
        self.cut();
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

    /// Refuses a handshake that went up, and whatever else is answered by the service.
    fn refuse_response(&mut self, violation: impl Into<Violation>) {
        self.refuse_at(handshake::RESPONSE, Vec::new(), violation);
    }

    /// Refuses a request outside the steps of the handshake, at the place of this id.
    fn refuse_at(&mut self, step: &'static str, edits: Vec<HeaderEdit>, violation: impl Into<Violation>) {
        self.ruleset.measures().stopped(step, Stopped::Refused);
        self.refuse(edits, violation.into().into());
    }

    fn refuse(&mut self, edits: Vec<HeaderEdit>, refusal: handshake::Refusal) {
        let handshake::Refusal { violation, wait } = refusal;
        if let Phase::AwaitingResponse(awaiting) = &self.phase
            && violation.counts_as_refusal()
        {
            self.owed = Some(Box::new(awaiting.terms.rates.refusals()));
        }
        let instance = self.instance.to_string();
        let reply = Reply::refusal(violation.reason, &self.instance, wait);
        self.outputs.push_back(Output::Tell(Event::Refused { violation, instance }));
        self.outputs.push_back(Output::Reply(edits, reply));
        self.keep_places();
        self.phase = Phase::Refused;
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
