//! One connection through a host that pauses streams as Envoy does, from its request to its end.

use std::rc::Rc;
use std::time::Duration;

use postern_engine::cause::HostFault;
use postern_engine::http::headers::Field;
use postern_engine::remote::{self, Answer, Settled, Source, Step};
use postern_engine::{Engine, Event, Input, Output, Passage, Peer, Reason, RouteFacts, Selection, Session};

use super::policy::{IDLE_TIMEOUT, Policy};
use crate::fixture::{EXTENSIONS, NOW, agreement, handshake, head};
use crate::line::assert_tells;
use crate::tables::Slots;

/// How many bytes a paused stream may come to hold beyond what came, and beyond what was withheld.
const ROOM: usize = 4096 + 256;

/// How much more than a policy's own bound a session may hold: the bodies of two Closes.
const SLACK: u64 = 512;

/// How much a callback may ask for.
const MAX_OUTPUTS: usize = 24;

/// One direction of the stream.
#[derive(Debug, Default)]
struct Stream {
    bytes: Vec<u8>,
    /// Whether the last callback paused it.
    paused: bool,
    /// Whether it has not been resumed since.
    stopped: bool,
    /// All that has gone.
    gone: Vec<u8>,
    /// How much had gone when trailers came.
    trailers: Option<usize>,
}

/// How far the request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// The filter has stopped it.
    Held,
    /// It has gone up.
    Sent,
    /// The upstream has answered it.
    Answered,
    /// Postern has.
    Replied,
}

/// The connection and its host.
pub(crate) struct Host {
    policy: &'static Policy,
    session: Box<Session>,
    source: Option<Rc<Source>>,
    shared: Vec<u8>,
    slots: Slots,
    pub(crate) now: Duration,
    request: Request,
    /// What the client has sent while the request is held: the host makes no callback for it.
    waiting: Vec<u8>,
    streams: [Stream; 2],
    /// Whether the host lets frames into paused streams.
    parks: bool,
    /// Whether the next callback goes beyond the budget of memory.
    exceeds: bool,
    /// Whether the connection has had to give back all that it held.
    gave_back: bool,
    /// Whether it is to be looked at by the next tick, whatever its deadline: what came of that is still to be performed.
    due: bool,
    pub(crate) closed: Option<Reason>,
    pub(crate) over: bool,
}

/// How an upstream answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    Agrees,
    Declines,
    /// With a 101 that is none.
    Lies,
    /// As it should, on a route under another policy.
    Rerouted,
}

/// What comes of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetch {
    Fails,
    NamesNobody,
    NamesTheUser,
}

/// Settings of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    /// More fields of the request.
    pub(crate) fields: Vec<Field>,
    /// Flags as [`head`] takes them.
    pub(crate) flags: u8,
    pub(crate) parks: bool,
    pub(crate) memory_is_full: bool,
}

impl Host {
    /// A request comes. `None` where there is no session.
    pub(crate) fn open(policy: &'static Policy, setting: Setting) -> Option<Self> {
        let mut fields = handshake();
        fields.extend(setting.fields);
        let head = head(fields, setting.flags);
        let route = RouteFacts { name: Some(policy.name.to_owned()), metadata: None };
        let select = |engine: &Engine| (engine.select(&head, &route), engine.sources().into_iter().next());
        let (Selection::Judge(session), source) = policy.with_engine(select) else { return None };
        let mut host = Self {
            policy,
            session,
            source,
            shared: Vec::new(),
            slots: Slots::default(),
            now: NOW,
            request: Request::Sent,
            waiting: Vec::new(),
            streams: Default::default(),
            parks: setting.parks,
            exceeds: false,
            gave_back: false,
            due: false,
            closed: None,
            over: false,
        };
        if setting.memory_is_full {
            host.session.handle(Input::MemoryFull, &mut host.slots, NOW);
        }
        host.input(Input::Request(head));
        Some(host)
    }

    /// Whether frames are judged, or will be.
    pub(crate) fn is_open(&self) -> bool {
        self.session.was_opened() && !self.over
    }

    /// Whether the upstream has agreed.
    pub(crate) fn was_opened(&self) -> bool {
        self.session.was_opened()
    }

    /// Whether the upstream may answer.
    pub(crate) fn awaits_response(&self) -> bool {
        self.request == Request::Sent && !self.over
    }

    /// Whether the host makes callbacks for what `sender` sends.
    pub(crate) fn hears(&self, sender: Peer) -> bool {
        let comes = match sender {
            Peer::Client => true,
            Peer::Upstream => self.request == Request::Answered,
        };
        comes && !self.over && self.streams[sender as usize].trailers.is_none()
    }

    /// What has gone of what `sender` sent, and in its place, and how much of it when trailers came.
    pub(crate) fn gone(&self, sender: Peer) -> (&[u8], Option<usize>) {
        let Stream { gone, trailers, .. } = &self.streams[sender as usize];
        (gone, *trailers)
    }

    /// A chunk comes from `sender`.
    pub(crate) fn body(&mut self, sender: Peer, chunk: &[u8]) {
        if !self.hears(sender) {
            return;
        }
        if sender == Peer::Client && self.request == Request::Held {
            self.waiting.extend_from_slice(chunk);
            return;
        }
        let stream = &mut self.streams[sender as usize];
        stream.bytes.extend_from_slice(chunk);
        let bytes = std::mem::take(&mut stream.bytes);
        let mut pauses = false;
        if self.session.pass_unread(sender, bytes.len()) {
            stream.bytes = bytes;
        } else if self.session.pass_plain(sender, &mut &bytes[..]).expect("the chunk is at hand") {
            stream.bytes = bytes;
            self.resume(sender);
            pauses = true;
        } else {
            let passage = self.judge(sender, &bytes);
            let left = passage.bytes(&bytes);
            let paused = self.streams[sender as usize].paused;
            assert!(!paused || left.len() <= bytes.len() + ROOM, "the host cuts the stream");
            self.streams[sender as usize].bytes = left;
            if passage.resume {
                self.resume(sender);
            }
            pauses = passage.park || passage.hold;
            pauses |= self.perform();
        }
        if std::mem::take(&mut self.exceeds) {
            self.exceed();
        }
        let stream = &mut self.streams[sender as usize];
        let stays = pauses || (stream.paused && !stream.stopped);
        (stream.paused, stream.stopped) = (pauses, pauses);
        if !stays {
            stream.go();
        }
        assert!(stream.bytes.is_empty() || pauses, "bytes stay with the host");
        self.settle();
    }

    /// Trailers come from `sender`.
    pub(crate) fn trailers(&mut self, sender: Peer) {
        if !self.hears(sender) || self.request == Request::Held {
            return;
        }
        let passes = self.session.passes_trailers(sender);
        assert!(!passes || !(self.is_open() || self.awaits_response()), "all that is paused would go on");
        if passes {
            self.resume(sender);
            self.streams[sender as usize].trailers = Some(usize::MAX);
            return;
        }
        let stream = &mut self.streams[sender as usize];
        stream.trailers = Some(stream.gone.len());
        stream.stopped = true;
        self.input(Input::Trailers(sender));
    }

    /// The upstream answers, and if it agrees, then to this extension.
    pub(crate) fn respond(&mut self, response: Response, extension: Option<&str>) {
        if !self.awaits_response() {
            return;
        }
        let extension = extension.map(|extension| (EXTENSIONS.to_owned(), extension.as_bytes().to_vec()));
        let fields = match response {
            Response::Agrees | Response::Rerouted => agreement().into_iter().chain(extension).collect(),
            Response::Declines => vec![(":status".to_owned(), b"403".to_vec())],
            Response::Lies => agreement().into_iter().take(2).collect(),
        };
        self.request = Request::Answered;
        if response == Response::Rerouted {
            self.session.handle(Input::Rerouted, &mut self.slots, self.now);
        }
        self.input(Input::Response(fields));
    }

    /// Time passes; the timer may be `late`.
    pub(crate) fn wait(&mut self, time: Duration, late: bool) {
        self.now += time;
        if self.over {
            return;
        }
        self.session.note_time(self.now);
        if !late && (self.due || self.session.deadline().is_some_and(|deadline| deadline <= self.now)) {
            self.input(Input::Timer);
        }
    }

    /// The clock is set back.
    pub(crate) fn set_back(&mut self, by: Duration) {
        self.now -= by;
        self.input(Input::SetBack(by));
    }

    /// The policy goes away.
    pub(crate) fn drain(&mut self, within: Duration) {
        self.input(Input::Drain(self.now + within));
    }

    /// Memory is exceeded: now, or when the next callback has been performed.
    pub(crate) fn exceed_memory(&mut self, in_callback: bool) {
        if in_callback {
            self.exceeds = true;
        } else if !self.over {
            self.exceed();
            self.check();
        }
    }

    /// A fetch begins and ends.
    pub(crate) fn fetch(&mut self, fetch: Fetch) {
        let Some(source) = self.source.clone() else { return };
        let Step::Claim(claimed) = source.look(&self.shared, 1, self.now) else { return };
        source.look(&claimed, 1, self.now);
        let body: &[u8] = match fetch {
            Fetch::Fails => b"",
            Fetch::NamesNobody => b"{}",
            Fetch::NamesTheUser => br#"{"sub": {"alice": 9999999999}}"#,
        };
        let answer = Answer { status: b"200", len: body.len(), body };
        let outcome = source.judge(&answer).unwrap_or(remote::Outcome::FAILED);
        let settled = source.settle(&claimed, outcome, body, 1, self.now);
        let Settled::Swap { document, record } = settled else { return };
        self.shared = record;
        if source.look(&self.shared, 1, self.now) == Step::Read
            && let Some(document) = document
        {
            source.take_up(&document);
        }
        if self.session.is_waiting() || self.session.is_revocable_by(&source) {
            self.input(Input::Fetched);
        }
    }

    /// The stream is over, by whomever. Whatever should still be asked of its session, nothing comes of it.
    pub(crate) fn end(&mut self) {
        self.over = true;
        self.session.take_last_tally();
        self.session.handle(Input::Ended, &mut self.slots, self.now);
        while let Some(output) = self.session.poll_output() {
            assert!(matches!(output, Output::Tell(_)), "it is over: {output:?}");
        }
        for input in [Input::Timer, Input::Fetched, Input::MemoryExceeded, Input::Trailers(Peer::Client)] {
            self.session.handle(input, &mut self.slots, self.now);
        }
        for peer in [Peer::Client, Peer::Upstream] {
            assert!(!self.session.pass_unread(peer, 1) && !self.session.passes_trailers(peer));
            let judged = self.session.judge(peer, &mut &b"\x81"[..], &mut self.slots, self.now);
            assert_eq!(judged, Ok(Passage::default()), "it is over");
        }
        assert_eq!(self.session.poll_output(), None, "it is over");
        assert_eq!((self.session.held(), self.session.deadline()), (0, None), "it is over");
    }

    /// Nothing happens any more but that time passes: the connection ends.
    pub(crate) fn run_out(&mut self) {
        let begun = self.now;
        self.wait(Duration::ZERO, false);
        for _ in 0..4000 {
            if self.over || !(self.is_open() || self.session.is_waiting()) {
                return;
            }
            let deadline = self.session.deadline().expect("it waits without a deadline");
            self.wait(deadline.saturating_sub(self.now), false);
            assert!(self.session.deadline().is_none_or(|next| next > self.now), "it is due again and again");
            assert!(self.now - begun < 20 * IDLE_TIMEOUT, "it stays");
        }
        panic!("it stays");
    }

    fn input(&mut self, input: Input) {
        if self.over {
            return;
        }
        self.session.handle(input, &mut self.slots, self.now);
        let pauses = self.perform();
        match self.request {
            Request::Sent if pauses && !self.session.was_opened() => self.request = Request::Held,
            _ => {}
        }
        self.settle();
    }

    /// What follows when a callback is over.
    fn settle(&mut self) {
        if self.request == Request::Sent && !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            self.body(Peer::Client, &waiting);
        }
        if self.over {
            self.end();
        } else {
            self.check();
        }
    }

    fn check(&self) {
        let held = self.session.held();
        if self.gave_back {
            assert_eq!(held, 0, "it holds what it has given back");
        }
        if self.is_open() {
            assert!(self.session.deadline().is_some(), "it waits without a deadline");
            let most = self.policy.most_held();
            assert!(held <= most + SLACK, "{held} bytes are held, and no more than {most} may be");
        } else if self.session.is_waiting() {
            assert!(self.session.deadline().is_some(), "the handshake waits without a deadline");
        } else {
            // What the service's answer is held against, or whom its page is for.
            let held = held - self.session.held_at_rest();
            assert!(held <= SLACK, "{held} bytes are held of which nobody waits for anything");
        }
        assert!(!self.session.has_outputs() || self.due, "nobody performs it");
    }

    fn exceed(&mut self) {
        self.session.handle(Input::MemoryExceeded, &mut self.slots, self.now);
        self.due = true;
        assert_eq!(self.session.held(), 0, "it does not give back");
        self.gave_back |= self.is_open();
    }

    fn judge(&mut self, sender: Peer, bytes: &[u8]) -> Passage {
        let judged = self.session.judge(sender, &mut &bytes[..], &mut self.slots, self.now);
        let passage = judged.expect("the chunk is at hand");
        assert_eq!(passage.bytes(bytes).len(), passage.len());
        passage
    }

    fn resume(&mut self, sender: Peer) {
        let stream = &mut self.streams[sender as usize];
        stream.stopped = false;
        stream.go();
    }

    /// Puts a frame into a paused stream; whether the host lets it.
    fn put(&mut self, receiver: Peer, frame: Vec<u8>) -> bool {
        let sender = other(receiver);
        let stream = &mut self.streams[sender as usize];
        if !self.parks {
            return false;
        }
        assert!(stream.paused && stream.bytes.is_empty(), "nothing can be put in there");
        stream.bytes = frame;
        self.resume(sender);
        true
    }

    /// Performs what the session asks for, and says whether the callback pauses its stream.
    fn perform(&mut self) -> bool {
        let mut pauses = false;
        self.due = false;
        for count in 0.. {
            let Some(output) = self.session.poll_output() else { break };
            assert!(count < MAX_OUTPUTS, "there is no end of it: {output:?}");
            match output {
                Output::Admit(_) | Output::AdmitResponse(_) | Output::Tell(Event::Opened) => {}
                Output::Tell(Event::Refused { violation, .. }) => assert_tells(&violation),
                Output::HoldHandshake(_) | Output::HoldRequest => pauses = true,
                Output::Ask(question) => panic!("no policy of these asks a rate limit service: {question:?}"),
                Output::Tell(told @ (Event::Found { .. } | Event::OpenedInShadow(_))) => {
                    panic!("no policy of these has anything in shadow: {told:?}");
                }
                Output::ResumeRequest if self.request == Request::Held => self.request = Request::Sent,
                Output::ResumeRequest => self.resume(Peer::Client),
                Output::ReleaseRequest(len) => self.release(len),
                Output::Send(receiver, frame) => {
                    assert!(frame.len() < 1024, "so much of Postern's own");
                    if !self.put(receiver, frame) {
                        self.session.handle(Input::NotParked, &mut self.slots, self.now);
                    }
                }
                Output::Deliver(bytes) => {
                    if !self.put(Peer::Client, bytes.to_vec(0)) {
                        let fault = HostFault::Delivery;
                        self.session.handle(Input::HostFailed(fault), &mut self.slots, self.now);
                    }
                }
                Output::Reply(..) => {
                    pauses = true;
                    self.reply();
                }
                Output::Reset => self.over = true,
                Output::Tell(Event::Closed { violation, .. }) => {
                    assert_tells(&violation);
                    assert!(self.closed.replace(violation.reason).is_none(), "closed twice");
                }
            }
        }
        pauses
    }

    /// What the host holds of the client's is judged as a chunk.
    fn release(&mut self, len: usize) {
        let stream = &mut self.streams[Peer::Client as usize];
        assert_eq!(stream.bytes.len(), len, "the host holds something else");
        let bytes = std::mem::take(&mut stream.bytes);
        let passage = self.judge(Peer::Client, &bytes);
        self.streams[Peer::Client as usize].bytes = passage.bytes(&bytes);
        if passage.resume {
            self.resume(Peer::Client);
        }
        assert!(
            passage.hold || self.streams[Peer::Client as usize].bytes.is_empty(),
            "bytes stay with the host"
        );
    }

    /// Envoy runs a local reply through the response callbacks, unless there was a response.
    fn reply(&mut self) {
        if std::mem::replace(&mut self.request, Request::Replied) == Request::Answered {
            return;
        }
        self.session.handle(
            Input::Response(vec![(":status".to_owned(), b"403".to_vec())]),
            &mut self.slots,
            self.now,
        );
        let judged = self.session.judge(Peer::Upstream, &mut &b"body"[..], &mut self.slots, self.now);
        let whole = Passage { keep: 4, ..Passage::default() };
        assert_eq!(judged, Ok(whole), "the reply is changed");
    }
}

impl Stream {
    fn go(&mut self) {
        self.gone.append(&mut self.bytes);
    }
}

fn other(peer: Peer) -> Peer {
    match peer {
        Peer::Client => Peer::Upstream,
        Peer::Upstream => Peer::Client,
    }
}
