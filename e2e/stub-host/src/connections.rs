//! The clients' connections of a worker, with the module's network filter on most of them, and what the module injects into them.
//!
//! A connection is found for as long as its network filter has not been destroyed. Whatever the module asks for later, or on
//! another thread, is a fault of the module's.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::abi::{Handle, InModule, module};
use crate::stream::Stream;
use crate::{configurations, frames, log, streams};

/// The number before those that stand for network filters: far from what stands for streams, so that neither is taken for the other.
const BEFORE_HANDLES: Handle = 1 << 40;

/// The event of a connection that its client has closed.
const REMOTE_CLOSE: u32 = 0;
/// The event of a connection that the host has closed.
const LOCAL_CLOSE: u32 = 1;

thread_local! {
    static CONNECTIONS: RefCell<HashMap<Handle, Rc<Connection>>> = RefCell::default();
}

/// The way of injected bytes to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Delivery within the call.
    AtOnce,
    /// Delivery within the call, in two chunks.
    InPieces,
    /// Delivery to another filter alone, which keeps them.
    Kept,
    /// Another filter ends the stream for them.
    Ends,
    /// Delivery within the call, while another filter keeps what the upstream says.
    AnswersKept,
    /// Delivery within the call, while another filter keeps all of the response, its fields as well.
    ResponseKept,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The number by which streams know it.
    pub(crate) id: u64,
    handle: Handle,
    delivery: Delivery,
    /// The network filter, if there is one and it has not been destroyed.
    filter: Cell<Option<InModule>>,
    /// The handle of the stream of the connection.
    stream: Cell<Option<Handle>>,
    /// The number of frames that have come to the stream.
    injected: Cell<u64>,
    /// The number of frames that came to another filter alone.
    kept: Cell<u64>,
}

impl Connection {
    /// Opens a connection, with a network filter on it if it is known what becomes of that filter's bytes.
    pub(crate) fn open(delivery: Option<Delivery>) -> Rc<Self> {
        let number = streams::next_number();
        let connection = Rc::new(Self {
            id: number as u64,
            handle: BEFORE_HANDLES + number,
            delivery: delivery.unwrap_or(Delivery::AtOnce),
            filter: Cell::default(),
            stream: Cell::default(),
            injected: Cell::default(),
            kept: Cell::default(),
        });
        if delivery.is_some() {
            connection.add_filter();
        }
        connection
    }

    fn add_filter(self: &Rc<Self>) {
        CONNECTIONS.with_borrow_mut(|connections| connections.insert(self.handle, Rc::clone(self)));
        let filter = module().new_network_filter(configurations::injectors(), self.handle);
        if filter == 0 {
            log::broken("the module has made no network filter".to_owned());
        }
        self.filter.set(Some(filter));
        self.at_filter(|handle, filter| module().new_connection(handle, filter));
    }

    /// Calls the network filter, if there is one, which has to let all go on.
    fn at_filter(&self, call: impl FnOnce(Handle, InModule) -> u32) {
        if self.filter.get().is_some_and(|filter| call(self.handle, filter) != 0) {
            log::broken("the network filter has stopped a connection".to_owned());
        }
    }

    /// Has the connection bring what comes for a stream.
    pub(crate) fn serve(&self, stream: Handle) {
        self.stream.set(Some(stream));
    }

    /// Brings bytes of the client's.
    pub(crate) fn on_read(&self, len: usize) {
        self.at_filter(|handle, filter| module().network_read(handle, filter, len, false));
    }

    /// Takes the fields of the upstream's response to the client, unless another filter keeps them.
    pub(crate) fn on_response(&self, len: usize) {
        if self.delivery != Delivery::ResponseKept {
            self.on_write(len);
        }
    }

    /// Takes bytes of the upstream's to the client, unless another filter keeps them.
    pub(crate) fn on_answer(&self, len: usize) {
        if !self.keeps_answers() {
            self.on_write(len);
        }
    }

    /// Takes bytes to the client.
    pub(crate) fn on_write(&self, len: usize) {
        self.at_filter(|handle, filter| module().network_write(handle, filter, len, false));
    }

    /// Calls the hooks that do nothing.
    pub(crate) fn on_nothing(&self) {
        if let Some(filter) = self.filter.get() {
            module().idle_network_hooks(self.handle, filter);
        }
    }

    /// Closes the connection, unless it is closed: its network filter is told, and destroyed.
    pub(crate) fn close(&self, by_client: bool) {
        self.at_filter(|handle, filter| match by_client {
            true => module().network_read(handle, filter, 0, true),
            false => module().network_write(handle, filter, 0, true),
        });
        let Some(filter) = self.filter.take() else { return };
        module().network_event(self.handle, filter, if by_client { REMOTE_CLOSE } else { LOCAL_CLOSE });
        module().destroy_network_filter(filter);
        CONNECTIONS.with_borrow_mut(|connections| connections.remove(&self.handle));
    }

    /// Returns how many frames of the module's have come to the stream.
    pub(crate) fn injected(&self) -> u64 {
        self.injected.get()
    }

    /// Returns how many frames of the module's came to another filter alone.
    pub(crate) fn kept(&self) -> u64 {
        self.kept.get()
    }

    /// Says whether the module has to cut a stream to whose client it would say something.
    pub(crate) fn keeps_answers(&self) -> bool {
        matches!(self.delivery, Delivery::AnswersKept | Delivery::ResponseKept)
    }

    /// Says whether the module has to cut a stream whose frames came to another filter alone.
    pub(crate) fn has_to_cut(&self) -> bool {
        self.delivery == Delivery::Kept
    }

    fn keep(&self, frames: u64) {
        self.kept.set(self.kept.get() + frames);
    }

    /// Takes what the client has sent while its handshake waited, which the module has taken back and brings once more.
    fn take_early(&self, stream: &Stream, bytes: &[u8]) {
        match self.delivery {
            Delivery::InPieces => {
                bytes.chunks(bytes.len().div_ceil(2)).for_each(|piece| stream.on_injected(piece))
            }
            _ => stream.on_injected(bytes),
        }
    }

    fn take(&self, stream: &Stream, bytes: &[u8]) {
        let frames = frames::parse(bytes).len() as u64;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        match self.delivery {
            Delivery::Kept => return self.keep(frames),
            Delivery::Ends => {
                self.keep(frames);
                return stream.end();
            }
            Delivery::AtOnce | Delivery::AnswersKept | Delivery::ResponseKept => {
                stream.on_injected(bytes);
            }
            Delivery::InPieces => {
                stream.on_injected(first);
                stream.on_injected(second);
            }
        }
        self.injected.set(self.injected.get() + frames);
        if !stream.has_ended() && !stream.state.borrow().ways[0].passed.ends_with(bytes) {
            log::broken("frames of the module's own came to a stream, and have not gone on".to_owned());
        }
    }
}

/// Returns the connection of a network filter of which the module asks something.
fn get(filter: Handle) -> Option<Rc<Connection>> {
    let found = CONNECTIONS.with_borrow(|connections| connections.get(&filter).cloned());
    if found.is_none() {
        log::broken(format!("the module asked for something of a connection that is gone: {filter}"));
    }
    found
}

/// Returns the number of a connection.
pub(crate) fn id(filter: Handle) -> u64 {
    get(filter).map_or(0, |connection| connection.id)
}

/// Brings bytes of the module's own to the stream of a connection, as if its client had sent them.
pub(crate) fn inject(filter: Handle, bytes: &[u8], ends: bool) {
    let Some(connection) = get(filter) else { return };
    let Some(stream) = connection.stream.get().and_then(streams::find) else {
        return log::broken("the module injects into a connection that has no stream".to_owned());
    };
    if ends {
        log::broken("what the module injects ends a connection".to_owned());
    }
    if frames::are_of_control(bytes) {
        connection.take(&stream, bytes);
    } else if stream.has_taken_back(bytes) {
        connection.take_early(&stream, bytes);
    } else {
        log::broken("what the module injects is no whole frames of a client's".to_owned());
    }
}

/// Sends bytes of the module's to the client of a connection.
pub(crate) fn write(filter: Handle, bytes: &[u8], ends: bool) {
    let Some(connection) = get(filter) else { return };
    if ends {
        log::broken("what the module writes ends a connection".to_owned());
    }
    match connection.stream.get().and_then(streams::find) {
        Some(stream) => stream.write_to_client(bytes),
        None => log::broken("the module writes to a connection that has no stream".to_owned()),
    }
}

/// Says how many network filters of this thread have not been destroyed.
pub(crate) fn open_connections() -> usize {
    CONNECTIONS.with_borrow(HashMap::len)
}
