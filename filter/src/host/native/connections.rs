//! The clients' connections of a thread that have Postern's network filter, by which frames of ours go to the upstream, handed to
//! Envoy's codec as if the client had sent them, and to the client. So it serves HTTP/1.1 alone, where the bytes of an upgraded
//! stream are those of its connection.

use std::cell::RefCell;

use super::abi::calls::Connection;
use super::worker::ByNumber;

thread_local! {
    static CONNECTIONS: RefCell<Connections> = RefCell::default();
    static ON_THEIR_WAY: RefCell<Option<OnTheirWay>> = const { RefCell::new(None) };
}

/// The bytes that are on their way to the client's hook of a stream.
struct OnTheirWay {
    stream: u32,
    /// The bytes that have not come there.
    rest: Vec<u8>,
    /// Says whether they are frames of ours.
    are_own: bool,
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

/// Has bytes of a client's come to its stream once more, in no callback of its connection. Returns false if they have not come to the
/// stream's hook within the call, before any others.
pub(super) fn bring(stream: u32, id: u64, bytes: &[u8]) -> bool {
    send_on_their_way(id, OnTheirWay { stream, rest: bytes.to_vec(), are_own: false })
}

/// Has frames of ours go to the upstream of a stream by its connection, in no callback of either. Returns false if they have not
/// come to the stream's hook within the call: then nobody can tell them from the client's.
pub(super) fn inject(stream: u32, id: u64, frames: &[u8]) -> bool {
    send_on_their_way(id, OnTheirWay { stream, rest: frames.to_vec(), are_own: true })
}

fn send_on_their_way(id: u64, bytes: OnTheirWay) -> bool {
    let Some(connection) = of(id) else { return false };
    let all = bytes.rest.clone();
    let before = ON_THEIR_WAY.replace(Some(bytes));
    connection.inject(&all);
    ON_THEIR_WAY.replace(before).is_some_and(|bytes| bytes.rest.is_empty())
}

/// Says whether it is frames of ours that the client's hook of a stream is called with, `bytes`, which have come then.
pub(super) fn is_own(stream: u32, bytes: impl FnOnce() -> Vec<u8>) -> bool {
    ON_THEIR_WAY.with_borrow_mut(|on_their_way| {
        let Some(expected) = on_their_way.as_mut().filter(|expected| expected.stream == stream) else {
            return false;
        };
        let bytes = bytes();
        let has_come = expected.rest.starts_with(&bytes);
        if has_come {
            expected.rest.drain(..bytes.len());
        }
        has_come && expected.are_own
    })
}

/// Forgets the frames that were on their way as a hook panicked.
pub(super) fn forget_own() {
    ON_THEIR_WAY.set(None);
}
