//! The clients' connections of a thread that have Postern's network filter, by which frames of ours go to the upstream: it hands
//! them to Envoy's codec as if the client had sent them. So it serves HTTP/1.1 alone, where the bytes of an upgraded stream are
//! those of its connection.

use std::cell::RefCell;

use super::abi::calls::Connection;
use super::worker::ByNumber;

thread_local! {
    static CONNECTIONS: RefCell<Connections> = RefCell::default();
    /// The stream whose own frames are on their way to its hook, and what has not come there of them.
    static ON_THEIR_WAY: RefCell<Option<(u32, Vec<u8>)>> = const { RefCell::new(None) };
}

/// The connections, found either way.
#[derive(Default)]
struct Connections {
    by_id: ByNumber<u64, Connection>,
    /// The number of each, and of the bytes that Envoy has sent by it, over all of its streams.
    known: ByNumber<Connection, (u64, u64)>,
}

/// Adds a connection.
pub(super) fn add(id: u64, connection: Connection) {
    CONNECTIONS.with_borrow_mut(|connections| {
        connections.by_id.insert(id, connection);
        connections.known.insert(connection, (id, 0));
    });
}

/// Forgets a connection, which Envoy destroys.
pub(super) fn remove(connection: Connection) {
    CONNECTIONS.with_borrow_mut(|connections| {
        if let Some((id, _)) = connections.known.remove(&connection) {
            connections.by_id.remove(&id);
        }
    });
}

/// Says whether a connection has the network filter.
pub(super) fn has(id: u64) -> bool {
    of(id).is_some()
}

fn of(id: u64) -> Option<Connection> {
    CONNECTIONS.with_borrow(|connections| connections.by_id.get(&id).copied())
}

/// Notes that Envoy sends so many bytes by a connection.
pub(super) fn note_sent(connection: Connection, len: usize) {
    CONNECTIONS.with_borrow_mut(|connections| {
        if let Some((_, sent)) = connections.known.get_mut(&connection) {
            *sent = sent.saturating_add(len as u64);
        }
    });
}

/// Returns the number of bytes that Envoy has sent by a connection.
pub(super) fn sent(id: u64) -> Option<u64> {
    CONNECTIONS.with_borrow(|connections| {
        let connection = connections.by_id.get(&id)?;
        connections.known.get(connection).map(|(_, sent)| *sent)
    })
}

/// Sends frames of ours to the client of a connection, which no filter sees.
pub(super) fn send_to_client(id: u64, frames: &[u8]) {
    if let Some(connection) = of(id) {
        connection.send_to_client(frames);
    }
}

/// Has bytes of a client's come once more, in no callback of its connection, and says whether that is there.
pub(super) fn bring(id: u64, bytes: &[u8]) -> bool {
    let connection = of(id);
    if let Some(connection) = connection {
        connection.inject(bytes);
    }
    connection.is_some()
}

/// Has frames of ours go to the upstream of a stream by its connection, in no callback of either. Returns false if they have not
/// come to the stream's hook within the call: then nobody can tell them from the client's.
pub(super) fn inject(stream: u32, id: u64, frames: &[u8]) -> bool {
    let Some(connection) = of(id) else { return false };
    let before = ON_THEIR_WAY.replace(Some((stream, frames.to_vec())));
    connection.inject(frames);
    ON_THEIR_WAY.replace(before).is_some_and(|(_, rest)| rest.is_empty())
}

/// Says whether it is frames of ours that the client's hook of a stream is called with, `bytes`, which have come then.
pub(super) fn is_own(stream: u32, bytes: impl FnOnce() -> Vec<u8>) -> bool {
    ON_THEIR_WAY.with_borrow_mut(|on_their_way| {
        let Some((_, rest)) = on_their_way.as_mut().filter(|(own, _)| *own == stream) else { return false };
        let bytes = bytes();
        let is_own = rest.starts_with(&bytes);
        if is_own {
            rest.drain(..bytes.len());
        }
        is_own
    })
}

/// Forgets the frames that were on their way as a hook panicked.
pub(super) fn forget_own() {
    ON_THEIR_WAY.set(None);
}
