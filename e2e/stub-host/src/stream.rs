//! One stream, with the rules by which Envoy's filter manager calls a filter's hooks and passes on what it lets go.
//!
//! Envoy calls back within calls: nothing is borrowed while a hook runs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::abi::{Handle, InModule, Side, module};
use crate::connections::Connection;
use crate::{log, streams};

/// A header field.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// A body, which hooks change while the filter manager has it.
type Body = Rc<RefCell<Vec<Vec<u8>>>>;

/// The number by which Envoy knows what is kept of the request.
const KEPT_REQUEST: u32 = 1;

/// The sender of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Client = 0,
    Upstream = 1,
}

impl Peer {
    fn side(self) -> Side {
        match self {
            Self::Client => Side::Request,
            Self::Upstream => Side::Response,
        }
    }
}

/// The state in which a filter has left a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Iteration {
    #[default]
    Continue,
    /// It goes on when the filter says so in a later hook, or from anywhere.
    Stopped,
    /// The same, and no hook is called until then.
    StoppedAll,
}

/// One of the two messages of a stream.
#[derive(Debug, Default)]
pub(crate) struct Way {
    iteration: Iteration,
    /// Says whether the filter has said last that the message is to go on.
    has_continued: bool,
    has_trailers: bool,
    kept: Option<Body>,
    received: Option<Body>,
    /// Says whether the fields have gone on.
    pub(crate) fields_passed: bool,
    /// Says whether the trailers have.
    pub(crate) trailers_passed: bool,
    /// The bytes that have gone on.
    pub(crate) passed: Vec<u8>,
}

/// What changes of a stream.
#[derive(Debug, Default)]
pub(crate) struct State {
    request: Vec<Field>,
    request_trailers: Vec<Field>,
    response: Vec<Field>,
    response_trailers: Vec<Field>,
    /// The client's chunks that the filter that sends has kept.
    before_filter: Vec<Vec<u8>>,
    /// The bytes of the client's that the module has taken last out of what was kept.
    taken_back: Vec<u8>,
    pub(crate) kept_values: HashMap<Vec<u8>, Vec<u8>>,
    pub(crate) ways: [Way; 2],
    /// The hooks of the request that are running: an answer waits for their end.
    decoding: u32,
    prepared: Option<u32>,
    /// The status of the module's answer.
    pub(crate) reply: Option<u32>,
    /// The number of things that the stream has counted by labels.
    pub(crate) counts: u32,
    /// How often the module has cut the stream.
    pub(crate) cuts: u32,
    pub(crate) has_ended: bool,
}

/// A stream with its two filters.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) number: usize,
    pub(crate) connection: Rc<Connection>,
    pub(crate) address: String,
    filter: RefCell<InModule>,
    sender: RefCell<Option<InModule>>,
    pub(crate) state: RefCell<State>,
}

/// Returns how many bytes fields take of a connection, more or less.
fn len_of(fields: &[Field]) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len()).sum()
}

impl State {
    /// Returns a message by Envoy's number.
    pub(crate) fn message(&self, kind: u32) -> &[Field] {
        match kind {
            0 => &self.request,
            1 => &self.request_trailers,
            2 => &self.response,
            _ => &self.response_trailers,
        }
    }

    /// Returns a message by Envoy's number, to be changed.
    pub(crate) fn message_mut(&mut self, kind: u32) -> &mut Vec<Field> {
        match kind {
            0 => &mut self.request,
            1 => &mut self.request_trailers,
            2 => &mut self.response,
            _ => &mut self.response_trailers,
        }
    }
}

impl Way {
    /// Puts a chunk behind what is kept, unless it is that itself.
    fn keep(&mut self, chunk: &Body) {
        let kept = self.kept.get_or_insert_default();
        if !Rc::ptr_eq(kept, chunk) {
            kept.borrow_mut().append(&mut chunk.borrow_mut());
        }
    }

    fn pass(&mut self, chunk: &Body) {
        for slice in chunk.take() {
            self.passed.extend(slice);
        }
    }
}

impl Stream {
    /// Opens a stream under a configuration, with a filter that sends before the one that judges if there is one.
    pub(crate) fn open(
        configuration: InModule,
        senders: Option<InModule>,
        connection: Rc<Connection>,
        address: String,
        request: Vec<Field>,
    ) -> Rc<Self> {
        let state = State { request, ..State::default() };
        let stream = Rc::new(Self {
            number: streams::next_number(),
            connection,
            address,
            filter: RefCell::default(),
            sender: RefCell::default(),
            state: RefCell::new(state),
        });
        streams::add(&stream);
        stream.connection.serve(stream.handle());
        let sender = senders.map(|senders| module().new_filter(senders, stream.sender_handle()));
        stream.sender.replace(sender);
        stream.filter.replace(module().new_filter(configuration, stream.handle()));
        stream
    }

    /// Returns what stands for the filter that judges.
    pub(crate) fn handle(&self) -> Handle {
        self.number * 2
    }

    fn sender_handle(&self) -> Handle {
        self.number * 2 + 1
    }

    /// Says whether the stream has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.borrow().has_ended
    }

    /// Calls the filter that sends, and says whether it lets the message go on: it has to, but in a panic.
    fn at_sender(&self, call: impl FnOnce(Handle, InModule) -> u32) -> bool {
        let sender = *self.sender.borrow();
        let stops = sender.is_some_and(|sender| call(self.sender_handle(), sender) != 0);
        if stops && std::env::var_os("POSTERN_PANIC").is_none() {
            log::broken("the filter that sends has stopped a message".to_owned());
        }
        !stops
    }

    fn at_filter<T>(&self, call: impl FnOnce(Handle, InModule) -> T) -> T {
        let filter = *self.filter.borrow();
        call(self.handle(), filter)
    }

    /// Runs hooks of the request, and gives the answer that was asked for meanwhile.
    fn decode<T>(&self, run: impl FnOnce() -> T) -> T {
        self.state.borrow_mut().decoding += 1;
        let ran = run();
        let prepared = {
            let mut state = self.state.borrow_mut();
            state.decoding -= 1;
            if state.decoding == 0 { state.prepared.take() } else { None }
        };
        if let Some(status) = prepared {
            self.answer(status);
        }
        ran
    }

    /// Brings the fields of the request.
    pub(crate) fn on_request(&self) {
        let len = len_of(&self.state.borrow().request);
        self.connection.on_read(len);
        let status = self.decode(|| {
            self.at_sender(|filter, sender| module().headers(Side::Request, filter, sender, false));
            self.at_filter(|handle, filter| module().headers(Side::Request, handle, filter, false))
        });
        self.after_fields(Peer::Client, status);
    }

    /// Brings the fields of the upstream's response.
    pub(crate) fn on_response(&self, fields: Vec<Field>) {
        if self.has_ended() {
            return;
        }
        self.state.borrow_mut().response = fields;
        let status = self.at_filter(|handle, filter| module().headers(Side::Response, handle, filter, false));
        self.after_fields(Peer::Upstream, status);
    }

    fn after_fields(&self, peer: Peer, status: u32) {
        if self.has_ended() {
            return;
        }
        {
            let mut state = self.state.borrow_mut();
            let way = &mut state.ways[peer as usize];
            way.has_continued = status == 0;
            way.iteration = match status {
                0 => Iteration::Continue,
                1 => Iteration::Stopped,
                _ => Iteration::StoppedAll,
            };
        }
        if status == 0 {
            self.pass_fields(peer);
        }
    }

    fn pass_fields(&self, peer: Peer) {
        let was_passed = {
            let mut state = self.state.borrow_mut();
            std::mem::replace(&mut state.ways[peer as usize].fields_passed, true)
        };
        if !was_passed && peer == Peer::Upstream {
            self.at_sender(|filter, sender| module().headers(Side::Response, filter, sender, false));
            let len = len_of(&self.state.borrow().response);
            self.connection.on_response(len);
        }
    }

    /// Brings a chunk.
    pub(crate) fn on_chunk(&self, peer: Peer, slices: Vec<Vec<u8>>, ends: bool) {
        if peer == Peer::Client && !self.has_ended() {
            self.connection.on_read(slices.iter().map(Vec::len).sum());
        }
        self.data(peer, &Rc::new(RefCell::new(slices)), ends, false);
    }

    /// Brings bytes of the module's own as a chunk of the client's, which the network filter has injected.
    pub(crate) fn on_injected(&self, bytes: &[u8]) {
        self.data(Peer::Client, &Rc::new(RefCell::new(vec![bytes.to_vec()])), false, false);
    }

    /// Has the filter judge a chunk; one that is the module's own passes the filter that has sent it by.
    fn data(&self, peer: Peer, chunk: &Body, ends: bool, is_own: bool) {
        if self.has_ended() {
            return;
        }
        {
            let mut state = self.state.borrow_mut();
            let way = &mut state.ways[peer as usize];
            if way.iteration == Iteration::StoppedAll {
                way.keep(chunk);
                return;
            }
            way.received = Some(Rc::clone(chunk));
        }
        let Some(status) = self.in_hook_of(peer, chunk, ends) else { return };
        if self.has_ended() {
            return;
        }
        let goes_on = {
            let mut state = self.state.borrow_mut();
            let way = &mut state.ways[peer as usize];
            way.received = None;
            way.has_continued = status == 0;
            let was_stopped = way.iteration == Iteration::Stopped;
            match status {
                0 if was_stopped => way.keep(chunk),
                0 => {}
                1 | 2 => way.keep(chunk),
                _ => chunk.borrow_mut().clear(),
            }
            if status != 0 {
                way.iteration = Iteration::Stopped;
            }
            (status == 0).then_some(was_stopped)
        };
        match goes_on {
            None => {}
            Some(true) => self.resume(peer),
            Some(false) => self.pass(peer, chunk, is_own),
        }
    }

    /// Calls the hook of a chunk, unless the filter before has stopped it.
    fn in_hook_of(&self, peer: Peer, chunk: &Body, ends: bool) -> Option<u32> {
        let body = || self.at_filter(|handle, filter| module().body(peer.side(), handle, filter, ends));
        match peer {
            Peer::Client => self.decode(|| self.passes_sender(chunk, ends).then(body)),
            Peer::Upstream => Some(body()),
        }
    }

    /// Calls the filter that sends for a chunk of the client's, and says whether it lets that go on, behind all that it has kept.
    fn passes_sender(&self, chunk: &Body, ends: bool) -> bool {
        let passes = self.at_sender(|filter, sender| module().body(Side::Request, filter, sender, ends));
        let mut state = self.state.borrow_mut();
        state.before_filter.append(&mut chunk.borrow_mut());
        if passes {
            chunk.borrow_mut().append(&mut state.before_filter);
        }
        passes
    }

    fn pass(&self, peer: Peer, chunk: &Body, is_own: bool) {
        if peer == Peer::Upstream && !is_own {
            self.at_sender(|filter, sender| module().body(Side::Response, filter, sender, false));
        }
        if peer == Peer::Upstream {
            let len = chunk.borrow().iter().map(Vec::len).sum();
            self.connection.on_answer(len);
        }
        self.state.borrow_mut().ways[peer as usize].pass(chunk);
    }

    /// Lets a stopped message go on, with what is kept of it.
    fn resume(&self, peer: Peer) {
        let (before, trailers) = {
            let mut state = self.state.borrow_mut();
            let way = &mut state.ways[peer as usize];
            (std::mem::take(&mut way.iteration), way.has_trailers)
        };
        if before == Iteration::Continue {
            return;
        }
        self.pass_fields(peer);
        let kept = self.state.borrow().ways[peer as usize].kept.clone();
        if let Some(kept) = kept {
            match before {
                // The hook has not seen it.
                Iteration::StoppedAll => self.data(peer, &kept, false, false),
                _ => self.pass(peer, &kept, false),
            }
        }
        if !trailers || self.has_ended() {
            return;
        }
        match before {
            Iteration::StoppedAll => self.trailers(peer),
            _ => self.state.borrow_mut().ways[peer as usize].trailers_passed = true,
        }
    }

    /// Lets the request go on as the module asks, unless it has said so already.
    pub(crate) fn continue_decoding(&self) {
        let is_over = {
            let state = self.state.borrow();
            state.has_ended || state.reply.is_some() || state.ways[0].has_continued
        };
        if !is_over {
            self.decode(|| self.resume(Peer::Client));
            self.state.borrow_mut().ways[0].has_continued = true;
        }
    }

    /// Brings trailers.
    pub(crate) fn on_trailers(&self, peer: Peer, fields: Vec<Field>) {
        if self.has_ended() {
            return;
        }
        let is_stopped = {
            let mut state = self.state.borrow_mut();
            match peer {
                Peer::Client => state.request_trailers = fields,
                Peer::Upstream => state.response_trailers = fields,
            }
            let way = &mut state.ways[peer as usize];
            way.has_trailers = true;
            way.iteration == Iteration::StoppedAll
        };
        if !is_stopped {
            self.trailers(peer);
        }
    }

    fn trailers(&self, peer: Peer) {
        let hook = || self.at_filter(|handle, filter| module().trailers(peer.side(), handle, filter));
        let status = match peer {
            Peer::Client => self.decode(hook),
            Peer::Upstream => hook(),
        };
        if self.has_ended() {
            return;
        }
        let was_stopped = {
            let mut state = self.state.borrow_mut();
            let way = &mut state.ways[peer as usize];
            way.has_continued = status == 0;
            if status != 0 {
                way.iteration = Iteration::Stopped;
                return;
            }
            way.iteration == Iteration::Stopped
        };
        match was_stopped {
            true => self.resume(peer),
            false => self.state.borrow_mut().ways[peer as usize].trailers_passed = true,
        }
    }

    /// Brings an event of the module's.
    pub(crate) fn on_event(&self, event: u64) {
        if !self.has_ended() {
            self.at_filter(|handle, filter| module().scheduled(handle, filter, event));
        }
    }

    /// Calls the hooks that do nothing.
    pub(crate) fn on_nothing(&self) {
        if !self.has_ended() {
            self.at_filter(|handle, filter| module().idle_hooks(handle, filter));
        }
    }

    /// Answers in the upstream's place as the module asks, once the hooks of the request have ended.
    pub(crate) fn reply(&self, status: u32, fields: Vec<Field>) {
        let answers_now = {
            let mut state = self.state.borrow_mut();
            if state.has_ended {
                return;
            }
            if state.ways[1].fields_passed {
                None
            } else if state.prepared.is_some() || state.reply.is_some() {
                log::broken(format!("a stream is answered twice: {:?}, then {status}", state.reply));
                return;
            } else {
                state.response = fields;
                let is_decoding = state.decoding > 0;
                state.prepared = is_decoding.then_some(status);
                Some(!is_decoding)
            }
        };
        match answers_now {
            // There is a response already.
            None => self.cut(),
            Some(true) => self.answer(status),
            Some(false) => {}
        }
    }

    fn answer(&self, status: u32) {
        if self.has_ended() {
            return;
        }
        self.state.borrow_mut().reply = Some(status);
        self.at_sender(|filter, sender| module().headers(Side::Response, filter, sender, true));
        let len = len_of(&self.state.borrow().response);
        self.connection.on_write(len);
        self.end();
    }

    /// Sends bytes of the module's to the client, through the hook of the filter that judges.
    pub(crate) fn send_to_client(&self, bytes: &[u8]) {
        if self.has_ended() {
            return;
        }
        if !self.state.borrow().ways[1].fields_passed {
            log::broken("the module has sent to a client that has no response".to_owned());
        }
        self.data(Peer::Upstream, &Rc::new(RefCell::new(vec![bytes.to_vec()])), false, true);
    }

    /// Takes bytes of the module's to the client, which come by its connection and pass no filter of the stream.
    pub(crate) fn write_to_client(&self, bytes: &[u8]) {
        if self.has_ended() {
            return;
        }
        if self.sender.borrow().is_some() {
            log::broken(
                "the module has written to a connection though there is a filter that sends".to_owned(),
            );
        }
        if !self.state.borrow().ways[1].fields_passed {
            log::broken("the module has written to a client that has no response".to_owned());
        }
        self.connection.on_write(bytes.len());
        self.state.borrow_mut().ways[1].passed.extend(bytes);
    }

    /// Returns a body by Envoy's number, if there is one.
    pub(crate) fn body(&self, body: u32) -> Option<Body> {
        let state = self.state.borrow();
        let way = &state.ways[Peer::of_body(body) as usize];
        if body.is_multiple_of(2) { way.received.clone() } else { way.kept.clone() }
    }

    /// Puts bytes behind a body. Nothing is received outside of its hook; what is kept begins with this.
    pub(crate) fn append(&self, body: u32, bytes: &[u8]) -> bool {
        if !body.is_multiple_of(2) {
            let mut state = self.state.borrow_mut();
            state.ways[Peer::of_body(body) as usize].kept.get_or_insert_default();
        }
        let Some(body) = self.body(body) else { return false };
        if !bytes.is_empty() {
            body.borrow_mut().push(bytes.to_vec());
        }
        true
    }

    /// Takes the first bytes out of a body.
    pub(crate) fn drain(&self, body: u32, count: usize) -> bool {
        let is_kept_of_client = body == KEPT_REQUEST;
        let Some(body) = self.body(body) else { return false };
        if is_kept_of_client {
            self.state.borrow_mut().taken_back =
                body.borrow().iter().flatten().copied().take(count).collect();
        }
        let (mut slices, mut left) = (body.borrow_mut(), count);
        while left > 0 {
            let Some(first) = slices.first_mut() else { break };
            if first.len() > left {
                // Elsewhere, so that nobody reads the old bytes unseen.
                *first = first.split_off(left);
                return true;
            }
            left -= first.len();
            slices.remove(0);
        }
        if left > 0 {
            log::broken(format!("{count} bytes are drained of {}", count - left));
        }
        left == 0
    }

    /// Says whether these bytes are what the module has taken last out of what was kept of the client's.
    pub(crate) fn has_taken_back(&self, bytes: &[u8]) -> bool {
        self.state.borrow().taken_back == bytes
    }

    /// Cuts the stream as the module asks.
    pub(crate) fn cut(&self) {
        if !self.has_ended() {
            self.state.borrow_mut().cuts += 1;
            self.end();
        }
    }

    /// Ends the stream: the hooks of its end are called within whatever has ended it.
    pub(crate) fn end(&self) {
        if std::mem::replace(&mut self.state.borrow_mut().has_ended, true) {
            return;
        }
        self.at_filter(|handle, filter| module().stream_complete(handle, filter));
        let sender = *self.sender.borrow();
        if let Some(sender) = sender {
            module().stream_complete(self.sender_handle(), sender);
            module().destroy(sender);
        }
        self.at_filter(|_, filter| module().destroy(filter));
        streams::remove(self);
    }
}
