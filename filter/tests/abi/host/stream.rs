//! One HTTP stream: Envoy's side of it, in the order in which Envoy does things.

use proxy_wasm::types::Action;

use super::exports;
use super::state::{Fields, Host, LocalReply, StreamState};
use super::worker::Worker;

/// One HTTP stream, and what has become of it.
pub(crate) struct Stream<'w> {
    id: u32,
    worker: &'w Worker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

impl<'w> Stream<'w> {
    /// A request comes in. Properties go by their path, its parts joined by dots.
    pub(crate) fn open(worker: &'w Worker, request: &Fields, properties: &[(&str, &[u8])]) -> Self {
        let properties =
            properties.iter().map(|(path, value)| ((*path).to_owned(), value.to_vec())).collect();
        let (id, root, count) = Host::with(|host| {
            let id = host.next_id();
            let state = StreamState { request: request.clone(), properties, ..StreamState::default() };
            host.streams.insert(id, state);
            (id, *host.roots.last().expect("a configuration was taken"), request.len())
        });
        let stream = Self { id, worker };
        exports::proxy_on_context_create(id, root);
        let ordinary = !request.iter().any(|(name, _)| name == "upgrade");
        enter(id);
        let action = exports::proxy_on_request_headers(id, count, ordinary);
        if action == Action::Continue {
            stream.state(|state| state.outside.request = Some(state.request.clone()));
        } else {
            stream.state(|state| state.held = true);
        }
        settle(id);
        stream
    }

    /// The request as the upstream has it, if it got there.
    pub(crate) fn request(&self) -> Option<Fields> {
        self.state(|state| state.outside.request.clone())
    }

    /// The response as the client has it, if it got there.
    pub(crate) fn response(&self) -> Option<Fields> {
        self.state(|state| state.outside.response.clone())
    }

    /// What the filter answered in the upstream's place.
    pub(crate) fn reply(&self) -> Option<LocalReply> {
        self.state(|state| state.outside.reply.clone())
    }

    /// Whether the stream was cut.
    pub(crate) fn is_reset(&self) -> bool {
        self.state(|state| state.outside.reset)
    }

    /// What the client's and the access log's view of the request is.
    pub(crate) fn logged_request(&self) -> Fields {
        self.state(|state| state.request.clone())
    }

    /// A property, by its path joined by dots.
    pub(crate) fn property(&self, path: &str) -> Option<Vec<u8>> {
        self.state(|state| state.properties.get(path).cloned())
    }

    /// The upstream answers. After a 101 both directions have their empty first callback.
    pub(crate) fn answered(&self, response: &Fields) {
        let switching = super::value_of(response, ":status") == Some(b"101");
        self.body(Direction::Request, b"");
        if self.is_over() {
            return;
        }
        self.state(|state| state.response = Some(response.clone()));
        enter(self.id);
        let action = exports::proxy_on_response_headers(self.id, response.len(), false);
        if action == Action::Continue {
            self.state(|state| state.outside.response = state.response.clone());
        }
        settle(self.id);
        if switching && !self.is_over() {
            self.body(Direction::Response, b"");
        }
    }

    /// A filter behind this one gives the request another path, and Envoy chooses its route anew.
    pub(crate) fn rerouted(&self, path: &str, route_name: &str) {
        self.state(|state| {
            for (name, value) in &mut state.request {
                if name == ":path" {
                    *value = path.as_bytes().to_vec();
                }
            }
            state.properties.insert("xds.route_name".to_owned(), route_name.as_bytes().to_vec());
        });
    }

    /// A chunk comes from the client; what goes to the upstream because of it.
    pub(crate) fn client_sends(&self, chunk: &[u8]) -> Vec<u8> {
        let before = self.state(|state| state.outside.to_upstream.len());
        self.body(Direction::Request, chunk);
        self.state(|state| state.outside.to_upstream[before..].to_vec())
    }

    /// A chunk comes from the upstream; what goes to the client because of it.
    pub(crate) fn upstream_sends(&self, chunk: &[u8]) -> Vec<u8> {
        let before = self.state(|state| state.outside.to_client.len());
        self.body(Direction::Response, chunk);
        self.state(|state| state.outside.to_client[before..].to_vec())
    }

    /// Trailers come from the client, over HTTP/2; what goes to the upstream because of it. Unless they are
    /// paused, all goes on that is.
    pub(crate) fn client_ends_with_trailers(&self) -> Vec<u8> {
        let before = self.state(|state| state.outside.to_upstream.len());
        self.trailers(Direction::Request);
        self.state(|state| state.outside.to_upstream[before..].to_vec())
    }

    /// The client ends with these trailers; those that go to the upstream.
    pub(crate) fn client_sends_trailers(&self, trailers: &Fields) -> Fields {
        self.state(|state| state.request_trailers.clone_from(trailers));
        self.trailers(Direction::Request);
        self.state(|state| state.request_trailers.clone())
    }

    /// Trailers come from the upstream; what goes to the client because of it.
    pub(crate) fn upstream_ends_with_trailers(&self) -> Vec<u8> {
        let before = self.state(|state| state.outside.to_client.len());
        self.trailers(Direction::Response);
        self.state(|state| state.outside.to_client[before..].to_vec())
    }

    /// Every byte that has gone to the upstream.
    pub(crate) fn to_upstream(&self) -> Vec<u8> {
        self.state(|state| state.outside.to_upstream.clone())
    }

    /// Every byte that has gone to the client.
    pub(crate) fn to_client(&self) -> Vec<u8> {
        self.state(|state| state.outside.to_client.clone())
    }

    /// From now on the host does not let the filter get at what the upstream sends.
    pub(crate) fn hide_response_body(&self) {
        self.state(|state| state.hides_response_body = true);
    }

    /// A peer has gone away.
    pub(crate) fn end(&self) {
        destroy(self.id);
    }

    pub(crate) fn worker(&self) -> &'w Worker {
        self.worker
    }

    /// Whether its context is deleted.
    pub(crate) fn is_over(&self) -> bool {
        self.state(|state| state.over)
    }

    fn state<T>(&self, see: impl FnOnce(&mut StreamState) -> T) -> T {
        with(self.id, see)
    }

    fn body(&self, direction: Direction, chunk: &[u8]) {
        if direction == Direction::Request && self.state(|state| state.held) {
            self.state(|state| state.waiting.extend_from_slice(chunk));
        } else if !self.is_over() {
            body(self.id, direction, chunk, false);
            settle(self.id);
        }
    }
}

impl Stream<'_> {
    /// Envoy keeps trailers behind a request whose filter has stopped all; they are not of interest then.
    fn trailers(&self, direction: Direction) {
        assert!(!self.is_over() && !self.state(|state| state.held), "no callback is made for these");
        enter(self.id);
        let action = match direction {
            Direction::Request => exports::proxy_on_request_trailers(self.id, 1),
            Direction::Response => exports::proxy_on_response_trailers(self.id, 1),
        };
        if action == Action::Continue {
            with(self.id, |state| {
                let bytes = state.body(direction).resume();
                state.goes_on(direction, bytes);
            });
        }
        settle(self.id);
    }
}

/// What is in force before a stream's callback: it is the one that calls are about.
fn enter(id: u32) {
    Host::with(|host| host.effective = id);
}

fn with<T>(id: u32, see: impl FnOnce(&mut StreamState) -> T) -> T {
    Host::with(|host| see(host.streams.get_mut(&id).expect("the stream has been opened")))
}

fn body(id: u32, direction: Direction, chunk: &[u8], end_of_stream: bool) {
    let len = with(id, |state| state.body(direction).receive(chunk));
    enter(id);
    let action = match direction {
        Direction::Request => exports::proxy_on_request_body(id, len, end_of_stream),
        Direction::Response => exports::proxy_on_response_body(id, len, end_of_stream),
    };
    // What was asked of the stream in the callback comes before what the callback returned.
    with(id, |state| {
        state.resume_asked();
        let bytes = state.body(direction).returned(action);
        state.goes_on(direction, bytes);
    });
}

impl StreamState {
    fn body(&mut self, direction: Direction) -> &mut super::buffer::Buffer {
        match direction {
            Direction::Request => &mut self.request_body,
            Direction::Response => &mut self.response_body,
        }
    }

    fn resume_asked(&mut self) {
        for (asked, direction) in [
            (std::mem::take(&mut self.asked.resume_request), Direction::Request),
            (std::mem::take(&mut self.asked.resume_response), Direction::Response),
        ] {
            if asked && direction == Direction::Request && std::mem::take(&mut self.held) {
                self.outside.request = Some(self.request.clone());
            } else if asked {
                let bytes = self.body(direction).resume();
                self.goes_on(direction, bytes);
            }
        }
    }

    fn goes_on(&mut self, direction: Direction, bytes: Vec<u8>) {
        match direction {
            Direction::Request => self.outside.to_upstream.extend(bytes),
            Direction::Response => self.outside.to_client.extend(bytes),
        }
    }
}

/// Does what the filter asked for in a callback that has returned.
fn settle(id: u32) {
    let (asked, waiting) = with(id, |state| {
        state.resume_asked();
        let waiting = if state.held { Vec::new() } else { std::mem::take(&mut state.waiting) };
        (std::mem::take(&mut state.asked), waiting)
    });
    if !waiting.is_empty() {
        body(id, Direction::Request, &waiting, false);
    }
    if let Some(reply) = asked.reply {
        local_reply(id, reply);
    }
    if asked.reset {
        with(id, |state| state.outside.reset = true);
        destroy(id);
    }
}

/// Does it for every stream: a tick may have been about any of them.
pub(super) fn settle_all() {
    let live: Vec<u32> = Host::with(|host| {
        host.streams.iter().filter(|(_, stream)| !stream.over).map(|(id, _)| *id).collect()
    });
    live.into_iter().for_each(settle);
}

/// Envoy runs a local reply through the response callbacks of the very filter that made it, unless
/// the upstream's response had come that far already.
fn local_reply(id: u32, reply: LocalReply) {
    let re_enters = with(id, |state| state.response.is_none());
    if re_enters {
        let mut fields: Fields = vec![(":status".to_owned(), reply.status.to_string().into_bytes())];
        fields.extend(reply.fields.iter().cloned());
        let count = fields.len();
        with(id, |state| state.response = Some(fields));
        enter(id);
        let headers = exports::proxy_on_response_headers(id, count, reply.body.is_empty());
        assert_eq!(headers, Action::Continue, "the reply is held back");
        body(id, Direction::Response, &reply.body, true);
        let asked = with(id, |state| std::mem::take(&mut state.asked));
        assert!(asked.reply.is_none() && !asked.reset, "the reply is answered");
        let sent = with(id, |state| std::mem::take(&mut state.outside.to_client));
        assert_eq!(sent, reply.body, "the reply is changed");
    }
    with(id, |state| state.outside.reply = Some(reply));
    destroy(id);
}

fn destroy(id: u32) {
    if with(id, |state| state.over) {
        return;
    }
    enter(id);
    exports::proxy_on_log(id);
    exports::proxy_on_done(id);
    exports::proxy_on_delete(id);
    with(id, |state| state.over = true);
}
