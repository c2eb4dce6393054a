//! One HTTP stream: callbacks become inputs, outputs become host calls.

use std::rc::Rc;
use std::time::Duration;

use log::Level;
use postern_engine::cause::{HostFault, Shown};
use postern_engine::http::headers::{Field, HeaderEdit};
use postern_engine::remote::rate_limit::Answer;
use postern_engine::{
    ConnectionFacts, Engine, Entropy, Event, Input, Judgement, Mode, Output, Peer, Reply, RequestHead,
    ResponseFacts, RouteFacts, Selection, Session, Stopped, Unreadable, fail_without_engine, is_upgrade,
};

use crate::host::{self, Flow, HostChunk, Message};
use crate::log_lines::Whence;
use crate::sessions::{Live, Plugin};
use crate::tables::Tables;
use crate::{access_log, log_lines, memory, metrics, rate_limit, sessions, tables};

/// A stream to which no policy applies, by the label of its counts.
const UNJUDGED: Whence<'_> = Whence { policy: metrics::NO_POLICY, origin: None, session: None };

/// One HTTP stream.
pub(crate) struct Stream {
    context_id: u32,
    plugin: Plugin,
    root: u32,
    engine: Option<Rc<Engine>>,
    live: Option<Rc<Live>>,
    /// The route by which the policy was found.
    route: Option<Box<RouteFacts>>,
}

impl Stream {
    /// Creates a stream under the configuration of `root`.
    pub(crate) fn new(context_id: u32, plugin: Plugin, root: u32, engine: Option<Rc<Engine>>) -> Self {
        Self { context_id, plugin, root, engine, live: None, route: None }
    }

    /// Takes the response to a request that passed unjudged, if it was changed.
    fn on_unjudged_response(&mut self) -> Flow {
        let (Some(engine), Some(before)) = (&self.engine, self.route.take()) else { return Flow::Continue };
        let mut action = Flow::Continue;
        for output in engine.on_unjudged_response(&before, &HostResponse) {
            action = perform_one(UNJUDGED, output).unwrap_or(action);
        }
        action
    }

    fn on_body(&mut self, sender: Peer, len: usize) -> Flow {
        let Some(live) = &self.live else { return Flow::Continue };
        let mut session = live.session.borrow_mut();
        let mut chunk = HostChunk::new(sender, len);
        let mut tables = Tables::default();
        let judgement = session.on_chunk(sender, &mut chunk, &mut tables, host::now);
        let unjudged = match judgement {
            Ok(Judgement::Unread) => Some(Flow::Continue),
            Ok(Judgement::Plain) => chunk.let_go_parked(),
            _ => None,
        };
        if let Some(action) = unjudged {
            memory::touch(live, sessions::last_tick());
            live.note_traffic();
            return action;
        }
        tables.count(session.policy());
        let (let_go, now) = match judgement {
            Ok(Judgement::Judged(passage, now)) => (chunk.let_go(&passage), now),
            Ok(Judgement::Unread | Judgement::Plain) => (Err(HostFault::NotResumed), host::now()),
            Err(Unreadable) => (Err(HostFault::Chunk), host::now()),
        };
        let flow = let_go.unwrap_or_else(|fault| {
            tables::handle(&mut session, Input::HostFailed(fault), now);
            Flow::Pause
        });
        let action = perform(live, &mut session, now);
        drop(session);
        memory::touch(live, now);
        memory::keep_within_budget(now);
        if flow == Flow::Pause { flow } else { action }
    }

    fn on_trailers(&self, sender: Peer) -> Flow {
        let Some(live) = &self.live else {
            if let (Peer::Client, Some(engine)) = (sender, &self.engine) {
                edit_trailers(|trailers| engine.strip_trailers(trailers));
            }
            return Flow::Continue;
        };
        let mut session = live.session.borrow_mut();
        let passes = session.passes_trailers(sender);
        if passes && sender == Peer::Client {
            edit_trailers(|trailers| session.strip_trailers(trailers));
        }
        // Those that pass may be told of.
        let now = host::now();
        tables::handle(&mut session, Input::Trailers(sender), now);
        perform(live, &mut session, now);
        if passes { Flow::Continue } else { Flow::Pause }
    }

    /// Takes the end of the stream.
    pub(crate) fn on_done(&mut self) {
        if let Some(live) = self.live.take() {
            live.schedule(None);
            live.set_may_make_way(false);
            memory::forget(&live);
            let mut session = live.session.borrow_mut();
            live.set_waiting(false, session.policy());
            let tally = session.take_last_tally();
            metrics::tally(session.policy(), &tally);
            let now = host::now();
            if let Some(time) = session.open_for(now) {
                metrics::lasted(session.policy(), time);
            }
            tables::handle(&mut session, Input::Ended, now);
            metrics::measures(session.policy(), session.take_measures());
            while let Some(output) = session.poll_output() {
                perform_one(live.whence(&session), output);
            }
        }
    }

    /// Takes a panic in a callback of the stream: what was judged of it may be half done, so that nothing more passes.
    #[cfg(feature = "dynamic-module")]
    pub(crate) fn on_panic(&mut self) {
        let Some(live) = &self.live else {
            let (fields, connection) = (host::fields(Message::Request), ConnectionFacts::default());
            let head = RequestHead { fields, connection, entropy: Entropy::NONE };
            let failed = |engine: &Rc<Engine>| engine.fail(&head, HostFault::Panicked);
            let outputs = self.engine.as_ref().map_or_else(|| fail_without_engine(&head), failed);
            refuse(&head, outputs);
            return;
        };
        let (mut session, now) = (live.session.borrow_mut(), host::now());
        tables::handle(&mut session, Input::HostFailed(HostFault::Panicked), now);
        perform(live, &mut session, now);
    }

    /// Takes the fields of the request.
    pub(crate) fn on_request_headers(&mut self) -> Flow {
        let fields = host::fields(Message::Request);
        let connection = if is_upgrade(&fields) { host::connection() } else { ConnectionFacts::default() };
        let entropy = host::entropy();
        let head = RequestHead { fields, connection, entropy: entropy.unwrap_or(Entropy::NONE) };
        let engine = match (&self.engine, entropy) {
            (Some(engine), Some(_)) => engine,
            (Some(engine), None) => return refuse(&head, engine.fail(&head, HostFault::NoRandomness)),
            (None, _) => return refuse(&head, fail_without_engine(&head)),
        };
        let route = self.route.insert(Box::new(host::route()));
        match engine.select(&head, route) {
            Selection::Pass(edits) => {
                if edits.is_empty() {
                    self.route = None;
                }
                host::edit(Message::Request, &edits);
                Flow::Continue
            }
            Selection::Refuse(outputs) => refuse(&head, outputs),
            Selection::Judge(mut session) => {
                let (now, origin) = (host::now(), shown_origin(&head));
                if memory::is_full(now) {
                    tables::handle(&mut session, Input::MemoryFull, now);
                }
                if memory::rests_enough() {
                    tables::handle(&mut session, Input::MemoryRests, now);
                }
                tables::handle(&mut session, Input::Request(head), now);
                let live = Live::new(Rc::clone(&self.plugin), self.root, self.context_id, *session, origin);
                let live = self.live.insert(live);
                let action = perform(live, &mut live.session.borrow_mut(), now);
                memory::keep_within_budget(now);
                action
            }
        }
    }

    /// Takes this many bytes from the client.
    pub(crate) fn on_request_body(&mut self, len: usize) -> Flow {
        self.on_body(Peer::Client, len)
    }

    /// Takes the trailers of the client's.
    pub(crate) fn on_request_trailers(&mut self) -> Flow {
        self.on_trailers(Peer::Client)
    }

    /// Takes the fields of the response.
    pub(crate) fn on_response_headers(&mut self) -> Flow {
        let Some(live) = &self.live else { return self.on_unjudged_response() };
        let Some(engine) = &self.engine else { return Flow::Pause };
        let mut session = live.session.borrow_mut();
        let now = host::now();
        // Nobody asks for the route again, and there are many sessions.
        let (before, mut tables) = (self.route.take(), Tables::default());
        engine.on_response(&mut session, before.as_deref(), &HostResponse, &mut tables, now);
        tables.count(session.policy());
        perform(live, &mut session, now)
    }

    /// Takes this many bytes from the upstream.
    pub(crate) fn on_response_body(&mut self, len: usize) -> Flow {
        self.on_body(Peer::Upstream, len)
    }

    /// Takes the trailers of the upstream's.
    pub(crate) fn on_response_trailers(&mut self) -> Flow {
        self.on_trailers(Peer::Upstream)
    }

    /// Sets what the access log says at the end; ahead of [`Stream::on_done`], right before the line is written.
    pub(crate) fn on_log(&self) {
        if let Some(live) = &self.live {
            access_log::end(live, host::now());
        }
    }
}

/// The response whose header callback is at hand.
struct HostResponse;

impl ResponseFacts for HostResponse {
    fn status(&self) -> Vec<u8> {
        host::field(Message::Response, ":status").unwrap_or_default()
    }

    fn fields(&self) -> Vec<Field> {
        host::fields(Message::Response)
    }

    fn request_fields(&self) -> Vec<Field> {
        host::fields(Message::Request)
    }

    fn route(&self) -> RouteFacts {
        host::route()
    }
}

/// Judges what the host holds of the client's, and lets go of it what goes on.
fn release(session: &mut Session, len: usize, now: Duration) -> Result<(), HostFault> {
    let (mut chunk, mut tables) = (HostChunk::new(Peer::Client, len), Tables::default());
    let judged = session.judge(Peer::Client, &mut chunk, &mut tables, now);
    tables.count(session.policy());
    let passage = judged.map_err(|Unreadable| HostFault::Chunk)?;
    chunk.let_go(&passage).map(|_| ())
}

/// Answers a request that no session judges.
fn refuse(head: &RequestHead, outputs: Vec<Output>) -> Flow {
    metrics::stopped(UNJUDGED.policy, "policy", Stopped::Refused, 1);
    let origin = shown_origin(head);
    for output in outputs {
        perform_one(Whence { origin: origin.as_ref(), ..UNJUDGED }, output);
    }
    Flow::Pause
}

/// Returns what lines of the log may have of the Origin of an upgrade.
fn shown_origin(head: &RequestHead) -> Option<Shown> {
    is_upgrade(&head.fields).then(|| head.shown_origin()).flatten()
}

/// Makes the changes to a client's trailers that `edits` finds.
fn edit_trailers(edits: impl FnOnce(&[Field]) -> Vec<HeaderEdit>) {
    let trailers = host::fields(Message::RequestTrailers);
    host::edit(Message::RequestTrailers, &edits(&trailers));
}

/// Performs all outputs of a session, and returns the action of its callback.
pub(crate) fn perform(live: &Rc<Live>, session: &mut Session, now: Duration) -> Flow {
    let mut action = Flow::Continue;
    while let Some(output) = session.poll_output() {
        match output {
            Output::ReleaseRequest(len) => {
                if let Err(fault) = release(session, len, now) {
                    tables::handle(session, Input::HostFailed(fault), now);
                }
            }
            Output::ResumeRequest => {
                if !host::resume(Peer::Client) {
                    tables::handle(session, Input::HostFailed(HostFault::NotResumed), now);
                }
            }
            Output::Send(receiver, frame) => {
                if !host::send_parked(receiver, &frame.as_slice().into()) {
                    let text = "the host does not let a frame into a parked stream";
                    log_lines::write_of_stream(Level::Warn, "not_parked", session.policy(), text);
                    tables::handle(session, Input::NotParked, now);
                }
            }
            Output::Ask(question) => {
                let number = question.number;
                // The host holds what waits in an open connection, and lets go of nothing in the callback that
                // has just said so: a timer ends that wait.
                if !rate_limit::ask(live, *question, now) && !session.was_opened() {
                    tables::handle(session, Input::RateLimitAnswered(number, Answer::None), now);
                }
            }
            Output::Tell(opened @ (Event::Opened | Event::OpenedInShadow(_))) => {
                tell(live.whence(session), opened);
                live.note_opened(now);
                if let Some(by) = live.ends_by(session) {
                    tables::handle(session, Input::Drain(by), now);
                }
                if let Some(by) = live.ends_with_envoy_by() {
                    tables::handle(session, Input::DrainWithEnvoy(by), now);
                }
            }
            Output::Deliver(bytes) => {
                if !host::send_parked(Peer::Client, &bytes) {
                    tables::handle(session, Input::HostFailed(HostFault::Delivery), now);
                    action = Flow::Pause;
                }
            }
            output => {
                if let Some(Flow::Pause) = perform_one(live.whence(session), output) {
                    action = Flow::Pause;
                }
            }
        }
    }
    memory::note(live, session, now);
    live.set_may_make_way(session.may_make_way());
    let waits = session.is_waiting();
    if session.was_opened() {
        live.note_traffic();
    }
    if session.was_opened() || waits || live.is_waiting() || session.deadline().is_some() {
        live.set_waiting(waits, session.policy());
        live.schedule(session.deadline());
    }
    action
}

/// Performs one output; returns the action of the callback that was made for it, if one was.
fn perform_one(whence: Whence<'_>, output: Output) -> Option<Flow> {
    match output {
        Output::Admit(edits) => host::edit(Message::Request, &edits),
        Output::AdmitResponse(edits) => host::edit(Message::Response, &edits),
        // `perform` does these, which only a session gives out.
        Output::Ask(_)
        | Output::Deliver(_)
        | Output::ReleaseRequest(_)
        | Output::ResumeRequest
        | Output::Send(..) => {}
        Output::HoldHandshake(edits) => {
            host::edit(Message::Request, &edits);
            return Some(Flow::Pause);
        }
        Output::HoldRequest => return Some(Flow::Pause),
        Output::Reply(edits, reply) => {
            host::edit(Message::Request, &edits);
            let Reply { reason, headers, body } = reply;
            host::reply(reason.consequence().status, &headers, &body);
            return Some(Flow::Pause);
        }
        Output::Reset => host::reset(),
        Output::Tell(event) => tell(whence, event),
    }
    None
}

fn tell(whence: Whence<'_>, event: Event) {
    let policy = whence.policy;
    match event {
        Event::Closed { violation, instance } => {
            metrics::closed(policy, violation.reason);
            metrics::violation(policy, &violation, Mode::Enforced);
            access_log::violation(whence, &violation);
            log_lines::violation("closed", whence, &violation, &instance);
        }
        Event::Found { violation, instance, is_first } => {
            // A violation that is enforced takes its place.
            if is_first {
                access_log::found(whence, &violation);
            }
            metrics::violation(policy, &violation, Mode::Shadow);
            log_lines::violation("shadow", whence, &violation, &instance);
        }
        Event::Opened => {
            metrics::handshake_allowed(policy);
            metrics::connected(policy);
        }
        Event::OpenedInShadow(reason) => {
            metrics::handshake_shadowed(policy, reason);
            metrics::connected(policy);
        }
        Event::Refused { violation, instance } => {
            metrics::handshake_refused(policy, violation.reason);
            metrics::violation(policy, &violation, Mode::Enforced);
            access_log::violation(whence, &violation);
            log_lines::violation("refused", whence, &violation, &instance);
        }
    }
}
